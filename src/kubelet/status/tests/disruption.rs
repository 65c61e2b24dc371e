//! A Pod that the node cannot keep.

use super::*;

fn evicted() -> Memory {
    let failure = PodFailure {
        reason: "Evicted".into(),
        message: "The node was low on resource: memory.".into(),
        grace_seconds: Some(1),
        disruption: Some("no memory".into()),
    };
    Memory {
        failed: Some(failure),
        ended: true,
        ..Memory::default()
    }
}

fn kinds(status: &PodStatus) -> Vec<&str> {
    status.conditions.iter().flatten().map(|c| &*c.type_).collect()
}

#[test]
fn its_end_and_the_disruption_are_told_once_nothing_runs() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    let before = case.status();
    case.memory = evicted();
    case.previous = Some(before.clone());
    let dying = case.status();
    assert_eq!(
        (dying.phase.as_deref(), dying.reason.as_deref()),
        (Some("Running"), None)
    );
    assert!(!kinds(&dying).contains(&"DisruptionTarget"));
    case.observed.containers = vec![exited("a", 0, 102, 137)];
    case.now = 103;
    let dead = case.status();
    assert_eq!(
        (dead.phase.as_deref(), dead.reason.as_deref()),
        (Some("Failed"), Some("Evicted"))
    );
    let told = serde_json::to_value(condition(&dead, "DisruptionTarget")).unwrap();
    let want = json!({"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet",
        "message": "no memory", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:01:43Z"});
    assert_eq!(told, want);
    let change = patch(Some(&before), &dead).unwrap();
    assert!(change["conditions"].as_array().unwrap().contains(&want));
}

#[test]
fn what_others_say_of_a_disruption_stays_theirs() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    let theirs = Condition {
        reason: Some("DeletionByTaintManager".into()),
        ..told("DisruptionTarget", "True", 5)
    };
    let before = case.status();
    case.pod.status.conditions = vec![theirs];
    case.previous = Some(before.clone());
    let status = case.status();
    assert_eq!(
        verdict(&status, "DisruptionTarget"),
        "True DeletionByTaintManager"
    );
    assert_eq!(patch(Some(&before), &status), None);
    // Should the node end it as well, it says so once.
    case.memory = evicted();
    case.observed.containers.clear();
    let status = case.status();
    assert_eq!(
        kinds(&status)
            .iter()
            .filter(|k| **k == "DisruptionTarget")
            .count(),
        1
    );
    assert_eq!(verdict(&status, "DisruptionTarget"), "True TerminationByKubelet");
}
