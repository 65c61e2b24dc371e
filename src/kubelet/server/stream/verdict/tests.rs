use super::*;

fn told(text: &str) -> Value {
    let mut all = Gathered::default();
    // It may come in pieces.
    for piece in text.as_bytes().chunks(7) {
        all.add(piece);
    }
    serde_json::from_slice(&all.status()).unwrap()
}

#[test]
fn what_the_runtime_says_is_said_as_upstream_says_it() {
    let good = told(r#"{"metadata":{},"status":"Success"}"#);
    assert_eq!(good, json!({"metadata": {}, "status": "Success"}));

    let exited = told(
        r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#,
    );
    assert_eq!(exited["reason"], "NonZeroExitCode");
    assert_eq!(
        exited["details"]["causes"],
        json!([{"reason": "ExitCode", "message": "3"}])
    );
    assert_eq!(
        exited["message"],
        "command terminated with non-zero exit code: command terminated with exit code 3"
    );
    assert_eq!(exited.get("code"), None);

    let failed = told(
        r#"{"status":"Failure","message":"Internal error occurred: no such file","reason":"InternalError","code":500}"#,
    );
    let message = "Internal error occurred: no such file";
    assert_eq!(failed["message"], format!("Internal error occurred: {message}"));
    assert_eq!(failed["details"]["causes"][0]["message"], message);
    assert_eq!(
        (&failed["reason"], &failed["code"]),
        (&json!("InternalError"), &json!(500))
    );
}

#[test]
fn what_cannot_be_understood_is_an_error() {
    let code = |code: &str| {
        format!(
            r#"{{"status":"Failure","reason":"NonZeroExitCode","details":{{"causes":[{{"reason":"ExitCode","message":"{code}"}}]}}}}"#
        )
    };
    for (text, said) in [
        ("", "ended the session without a status"),
        ("plain words", "error stream protocol error: "),
        ("{}", "error stream protocol error: unknown error"),
        (
            r#"{"status":"Failure","reason":"NonZeroExitCode"}"#,
            "details must be set",
        ),
        (
            r#"{"status":"Failure","reason":"NonZeroExitCode","details":{}}"#,
            "no ExitCode cause",
        ),
        (&code("256"), "invalid exit code value \"256\""),
        (&code("-1"), "invalid exit code value \"-1\""),
    ] {
        let told = told(text);
        let message = told["message"].as_str().unwrap();
        assert!(
            message.starts_with("Internal error occurred: "),
            "{text}: {message}"
        );
        assert!(message.contains(said), "{text}: {message}");
    }
}

#[test]
fn no_more_is_held_than_a_status_has() {
    let mut all = Gathered::default();
    for _ in 0..100 {
        all.add(&[b' '; 10_000]);
    }
    assert_eq!(all.0.len(), MOST);
}
