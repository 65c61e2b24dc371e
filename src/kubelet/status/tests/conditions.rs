//! Conditions and their times.

use super::*;

#[test]
fn transition_times_change_only_with_the_status() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    case.pod.status.conditions = vec![told("Ready", "True", 20), told("ContainersReady", "False", 20)];
    let status = case.status();
    let since = |s: &PodStatus, kind: &str| condition(s, kind).last_transition_time.clone().unwrap().0;
    assert_eq!(
        (since(&status, "Ready"), since(&status, "ContainersReady")),
        (at(20), at(100))
    );
    case.previous = Some(status);
    case.now = 500;
    assert_eq!(since(&case.status(), "ContainersReady"), at(100));
}

#[test]
fn readiness_gates_need_their_conditions() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    case.pod.spec.readiness_gates = vec![ReadinessGate {
        condition_type: "x/y".into(),
    }];
    let status = case.status();
    assert_eq!(verdict(&status, "Ready"), "False ReadinessGatesNotReady");
    assert_eq!(verdict(&status, "ContainersReady"), "True");
    case.pod.status.conditions = vec![told("x/y", "False", 5)];
    let message = condition(&case.status(), "Ready").message.clone().unwrap();
    assert_eq!(
        message,
        "the status of pod readiness gate \"x/y\" is not \"True\", but False"
    );
    case.pod.status.conditions = vec![told("x/y", "True", 5)];
    let status = case.status();
    assert_eq!(verdict(&status, "Ready"), "True");
    assert_eq!(
        condition(&status, "x/y").last_transition_time,
        Some(Time(at(5))),
        "carried along"
    );
}

#[test]
fn a_completed_pod_says_so() {
    let status = Case::new(
        pod_with(RestartPolicy::Never, &["a"]),
        observed(vec![exited("a", 0, 50, 0)]),
    )
    .status();
    let verdicts = ["Initialized", "Ready", "ContainersReady"].map(|kind| verdict(&status, kind));
    assert_eq!(
        verdicts,
        ["True PodCompleted", "False PodCompleted", "False PodCompleted"]
    );
}
