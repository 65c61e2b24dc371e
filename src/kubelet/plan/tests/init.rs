//! Init containers and sidecars: their order at start and at the end.

use super::*;
use crate::kubelet::cgroup::plan::Cfs;
use crate::kubelet::resize;
use crate::model::pod::Quantity;

#[test]
fn init_containers_run_one_after_the_other() {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![container("i"), container("j")];
    let steps: [(Vec<ContainerState>, Vec<Action>); 5] = [
        (vec![], vec![start_init("i", 0)]),
        (vec![running("i", 0, 10)], vec![]),
        (vec![exited("i", 0, 20, 0)], vec![start_init("j", 0)]),
        (vec![exited("i", 0, 20, 0), running("j", 0, 30)], vec![]),
        (
            vec![exited("i", 0, 20, 0), exited("j", 0, 40, 0)],
            vec![start("a", 0)],
        ),
    ];
    for (containers, want) in steps {
        assert_eq!(
            run(&p, &observed(containers.clone())).actions,
            want,
            "{containers:?}"
        );
    }
    // What ran before the last one may have been removed meanwhile.
    assert_eq!(
        run(&p, &observed(vec![exited("j", 0, 40, 0)])).actions,
        [start("a", 0)]
    );
    assert_eq!(run(&p, &observed(vec![running("a", 0, 50)])).actions, []);
}

#[test]
fn a_running_init_container_is_resized() {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![container("i")];
    let mut seen = running("i", 0, 10);
    seen.limits = Some(resize::limits(&p, &p.spec.init_containers[0], Cfs::default()));
    let limit = Quantity("20Mi".into());
    p.spec.init_containers[0].resources.limits = [("memory".into(), limit)].into();
    let resize = Action::ResizeContainer {
        id: "i-0".into(),
        name: "i".into(),
    };
    assert_eq!(run(&p, &observed(vec![seen.clone()])).actions, [resize]);
    let ended = observed(vec![exited("i", 0, 20, 0), running("a", 0, 30)]);
    assert_eq!(run(&p, &ended).actions, [], "one that has ended has no cgroup");
}

#[test]
fn a_failed_init_container_is_retried_or_ends_the_pod() {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![container("i")];
    let seen = observed(vec![exited("i", 0, 99, 1)]);
    assert_eq!(run(&p, &seen).actions, [start_init("i", 1)]);
    p.spec.restart_policy = RestartPolicy::Never;
    let plan = run(&p, &seen);
    assert!(plan.memory.ended);
    assert_eq!(plan.actions, [Action::StopSandbox { id: "s0".into() }]);
}

#[test]
fn a_sidecar_must_have_started_before_the_next_one_runs() {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![sidecar("s"), container("i")];
    p.spec.init_containers[0].startup_probe = Some(probe());
    let seen = observed(vec![running("s", 0, 10)]);
    assert_eq!(run(&p, &seen).actions, []);
    let view = ProbeView {
        started: Some(true),
        ..ProbeView::default()
    };
    let probes = BTreeMap::from([("s-0".into(), view)]);
    let memory = Memory::default();
    let input = Input {
        pod: &p,
        intent: &Intent::Run,
        observed: &seen,
        probes: &probes,
        memory: &memory,
        longest_pause: 300,
        now: at(100),
    };
    assert_eq!(plan(input).actions, [start_init("i", 0)]);
    // A restarted agent has no result yet, but the API server knows that it had started.
    let known = ContainerStatus {
        name: "s".into(),
        container_id: "containerd://s-0".into(),
        started: Some(true),
        ..ContainerStatus::default()
    };
    p.status.init_container_statuses = vec![known];
    assert_eq!(run(&p, &seen).actions, [start_init("i", 0)]);
}

#[test]
fn a_dead_sidecar_comes_back_beside_running_containers() {
    let mut p = pod("p", &["a"]);
    p.spec.init_containers = vec![sidecar("s")];
    p.spec.restart_policy = RestartPolicy::Never;
    let seen = observed(vec![exited("s", 0, 90, 0), running("a", 0, 20)]);
    assert_eq!(run(&p, &seen).actions, [start_init("s", 1)]);
    // But not once the containers are done.
    let seen = observed(vec![exited("s", 0, 90, 0), exited("a", 0, 95, 0)]);
    let plan = run(&p, &seen);
    assert!(plan.memory.ended);
    assert_eq!(plan.actions, [Action::StopSandbox { id: "s0".into() }]);
}
