use super::*;

#[test]
fn a_wait_that_fails_says_what_was_expected_and_seen() {
    let mut looks = 0;
    let found = eventually("three looks", Duration::from_secs(30), || {
        looks += 1;
        Ok(if looks == 3 {
            Seen::Yes(looks)
        } else {
            Seen::No(format!("{looks} looks"))
        })
    });
    assert_eq!(found.unwrap(), 3);
    let error = eventually::<()>("the moon", Duration::ZERO, || {
        std::thread::sleep(Duration::from_millis(1));
        Ok(Seen::No("clouds".into()))
    });
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("expected: the moon") && text.contains("saw: clouds"),
        "{text}"
    );
}

#[test]
fn an_error_of_a_look_is_not_the_end() {
    let mut looks = 0;
    let found = eventually("recovery", Duration::from_secs(30), || {
        looks += 1;
        if looks == 1 {
            bail!("connection refused")
        }
        Ok(Seen::Yes(()))
    });
    assert!(found.is_ok());
}

#[test]
fn a_pod_is_described_with_the_reason_it_waits() {
    let pod = json!({
        "metadata": {"name": "web"},
        "spec": {"nodeName": "worker-1"},
        "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such"}}}]},
    });
    assert_eq!(
        describe_pod(&pod),
        "web on worker-1: Pending, ready False, c waiting: ErrImagePull no such"
    );
    assert_eq!(condition(&pod, "Initialized"), "Unknown");
    assert_eq!(describe_pods(&[]), "no pods");
}
