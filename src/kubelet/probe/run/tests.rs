use super::*;
use crate::model::pod::ContainerPort;

fn container() -> Container {
    let port = ContainerPort {
        name: "web".into(),
        container_port: 8080,
        ..Default::default()
    };
    Container {
        ports: vec![port],
        ..Default::default()
    }
}

#[test]
fn ports_are_numbers_or_names() {
    let name = |text: &str| IntOrString::Name(text.into());
    assert_eq!(port(&IntOrString::Int(80), &container()), Ok(80));
    assert_eq!(port(&name("web"), &container()), Ok(8080));
    assert_eq!(port(&name("81"), &container()), Ok(81));
    for (bad, words) in [
        (name("nope"), r#"strconv.Atoi: parsing "nope": invalid syntax"#),
        (name("70000"), "invalid port number: 70000"),
        (IntOrString::Int(0), "invalid port number: 0"),
        (IntOrString::Int(i32::MIN), "invalid port number: -2147483648"),
    ] {
        assert_eq!(port(&bad, &container()), Err(Outcome::Error(words.into())));
    }
}

#[test]
fn commands_know_the_variables_of_the_spec() {
    let variable = |name: &str, value: &str| crate::model::pod::EnvVar {
        name: name.into(),
        value: value.into(),
        ..Default::default()
    };
    let container = Container {
        env: vec![variable("A", "1"), variable("A", "2"), variable("FROM", "")],
        ..Default::default()
    };
    let action = ExecAction {
        command: ["$(A)", "$(FROM)x", "$(B)", "$$(A)"].map(Into::into).into(),
    };
    assert_eq!(command(&action, &container), ["2", "x", "$(B)", "$(A)"]);
}

#[test]
fn a_grpc_answer_is_told_in_kubelets_words() {
    use tonic::{Code, Status};
    let table = [
        (Ok(0), r#"service unhealthy (responded with "UNKNOWN")"#),
        (Ok(2), r#"service unhealthy (responded with "NOT_SERVING")"#),
        (Ok(3), r#"service unhealthy (responded with "SERVICE_UNKNOWN")"#),
        (Ok(-7), r#"service unhealthy (responded with "-7")"#),
        (
            Err(Status::new(Code::Unimplemented, "what?")),
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): what?",
        ),
        (
            Err(Status::new(Code::DeadlineExceeded, "late")),
            "timeout: health rpc did not complete within 1m30s",
        ),
        (
            Err(Status::new(Code::NotFound, "no such service")),
            "error: health rpc probe failed: rpc error: code = NotFound desc = no such service",
        ),
        (
            Err(Status::new(Code::Cancelled, "")),
            "error: health rpc probe failed: rpc error: code = Canceled desc = ",
        ),
    ];
    for (answer, words) in table {
        assert_eq!(
            judged(answer, Duration::from_secs(90)),
            Outcome::Failure(words.into())
        );
    }
    assert_eq!(judged(Ok(SERVING), Duration::ZERO), Outcome::Success);
}

#[test]
fn addresses_have_brackets_where_they_need_them() {
    assert_eq!(joined("fd00::1", 80), "[fd00::1]:80");
    assert_eq!(joined("10.0.0.1", 80), "10.0.0.1:80");
}

#[tokio::test]
async fn tcp_is_healthy_when_something_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(
        tcp("127.0.0.1", port, Duration::from_secs(5)).await,
        Outcome::Success
    );
    drop(listener);
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(
        tcp("127.0.0.1", port, Duration::from_secs(5)).await,
        Outcome::Failure(refused)
    );
}
