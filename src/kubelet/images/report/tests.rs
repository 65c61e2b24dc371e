use super::*;
use tonic::Code;

fn cri_error(code: Code, message: &str) -> String {
    let error = cri::Error {
        call: "PullImage",
        code,
        message: message.into(),
    };
    error.grpc_text()
}

#[test]
fn durations_read_as_go_prints_them() {
    for (millis, text) in [
        (0, "0s"),
        (7, "7ms"),
        (250, "250ms"),
        (1000, "1s"),
        (1234, "1.234s"),
        (1200, "1.2s"),
        (62_500, "1m2.5s"),
        (60_000, "1m0s"),
        (3_600_001, "1h0m0.001s"),
        (7_325_000, "2h2m5s"),
    ] {
        assert_eq!(go_duration(Duration::from_millis(millis)), text);
    }
    assert_eq!(go_duration(Duration::from_micros(999)), "0s");
}

#[test]
fn a_pull_is_reported_with_both_times_and_the_size() {
    let event = pulled(
        "redis",
        Duration::from_millis(1200),
        Duration::from_millis(3400),
        4096,
    );
    assert_eq!(event.reason, "Pulled");
    assert_eq!(
        event.message,
        "Successfully pulled image \"redis\" in 1.2s (3.4s including waiting). Image size: 4096 bytes."
    );
}

#[test]
fn a_failed_pull_keeps_the_runtimes_words() {
    let (event, error) = pull_failed("redis", &[cri_error(Code::NotFound, "no such manifest")]);
    assert_eq!(event.kind, EventType::Warning);
    assert_eq!(
        event.message,
        "Failed to pull image \"redis\": rpc error: code = NotFound desc = no such manifest"
    );
    assert_eq!(error.reason, "ErrImagePull");
    assert_eq!(
        error.message,
        "rpc error: code = NotFound desc = no such manifest"
    );
}

#[test]
fn special_failures_have_reasons_of_their_own() {
    let (_, error) = pull_failed("redis", &[cri_error(Code::Unknown, "RegistryUnavailable: 503")]);
    assert_eq!(error.reason, "RegistryUnavailable");
    assert_eq!(
        error.message,
        "image pull failed for redis because the registry is unavailable: 503"
    );
    let (_, error) = pull_failed("redis", &[cri_error(Code::Unknown, "SignatureValidationFailed")]);
    assert_eq!(error.reason, "SignatureValidationFailed");
    assert_eq!(
        error.message,
        "image pull failed for redis because the signature validation failed"
    );
}

#[test]
fn several_credentials_give_a_list_without_repetitions() {
    let denied = cri_error(Code::Unknown, "denied");
    let (_, error) = pull_failed(
        "redis",
        &[
            denied.clone(),
            cri_error(Code::Unknown, "expired"),
            denied.clone(),
        ],
    );
    assert_eq!(error.message, "[denied, expired]");
    let (_, error) = pull_failed("redis", &[denied.clone(), denied]);
    assert_eq!(error.message, "denied");
}
