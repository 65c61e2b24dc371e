use super::*;
use serde_json::{Value, json};

/// The same status as the API server has it and as we know it.
fn answer(state: &Value, last: &Value, previous: bool) -> Result<String, String> {
    let status = json!({
        "name": "app", "containerID": "containerd://now", "image": "", "imageID": "", "ready": false, "restartCount": 1,
        "state": state, "lastState": last,
    });
    let whole: PodStatus =
        serde_json::from_value(json!({"initContainerStatuses": [status.clone()]})).unwrap();
    let told: pod::ContainerStatus = serde_json::from_value(status).unwrap();
    let known = choose(Facts::of_status(&whole, "app"), ("web", "app"), previous);
    let history = choose(Some(Facts::of_history(&told)), ("web", "app"), previous);
    assert_eq!(known, history);
    known
        .map(|id| bare(&id).to_owned())
        .map_err(|error| error.to_string())
}

fn ended(id: &str) -> Value {
    json!({"terminated": {"exitCode": 1, "containerID": format!("containerd://{id}")}})
}

#[test]
fn the_instance_that_runs_or_ran_last_is_meant() {
    let none = json!({});
    let running = json!({"running": {}});
    let crash_loop = json!({"waiting": {"reason": "CrashLoopBackOff"}});
    let no_id = json!({"terminated": {"exitCode": 137}});
    for (state, last, want, previous) in [
        (&running, &none, Ok("now"), None),
        (&running, &ended("old"), Ok("now"), Some("old")),
        (&ended("now"), &ended("old"), Ok("now"), Some("old")),
        (&crash_loop, &ended("now"), Ok("now"), Some("now")),
        (&no_id, &ended("old"), Ok("old"), Some("old")),
        (
            &no_id,
            &none,
            Err(r#"container "app" in pod "web" is terminated"#),
            None,
        ),
        (
            &crash_loop,
            &no_id,
            Err(r#"container "app" in pod "web" is terminated"#),
            None,
        ),
        (
            &none,
            &none,
            Err(r#"container "app" in pod "web" is waiting to start - no logs yet"#),
            None,
        ),
    ] {
        let want = want.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(answer(state, last, false), want, "{state} after {last}");
        let want = previous
            .map(str::to_owned)
            .ok_or_else(|| r#"previous terminated container "app" in pod "web" not found"#.to_owned());
        assert_eq!(answer(state, last, true), want, "before {state} after {last}");
    }
}

#[test]
fn a_container_that_waits_says_why() {
    for (reason, why) in [
        ("ContainerCreating", "ContainerCreating"),
        ("PodInitializing", "PodInitializing"),
        ("ErrImagePull", "image can't be pulled"),
        ("ImagePullBackOff", "trying and failing to pull image"),
    ] {
        let said = answer(&json!({"waiting": {"reason": reason}}), &json!({}), false).unwrap_err();
        let want = format!(r#"container "app" in pod "web" is waiting to start: {why}"#);
        assert_eq!(said, want);
    }
}

#[test]
fn a_container_without_a_status_is_not_available() {
    let status = PodStatus::default();
    let error = choose(Facts::of_status(&status, "app"), ("web", "app"), false).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"container "app" in pod "web" is not available"#
    );
}

#[test]
fn only_the_very_instance_counts_as_running() {
    let status = |state: Value| -> PodStatus {
        serde_json::from_value(json!({"containerStatuses": [{
            "name": "app", "containerID": "containerd://now", "image": "", "imageID": "", "ready": true,
            "restartCount": 0, "state": state,
        }]}))
        .unwrap()
    };
    let running = status(json!({"running": {}}));
    assert!(runs(&running, "containerd://now"));
    assert!(!runs(&running, "containerd://old"));
    assert!(!runs(&status(json!({"waiting": {}})), "containerd://now"));
}
