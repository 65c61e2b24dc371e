use super::*;

fn sandbox(id: &str, uid: &str, ready: bool, created_at: i64) -> v1::PodSandbox {
    let mut sandbox = v1::PodSandbox {
        id: id.into(),
        created_at,
        metadata: Some(v1::PodSandboxMetadata {
            name: format!("pod-{uid}"),
            uid: uid.into(),
            namespace: "default".into(),
            attempt: 0,
        }),
        ..Default::default()
    };
    let state = if ready {
        v1::PodSandboxState::SandboxReady
    } else {
        v1::PodSandboxState::SandboxNotready
    };
    sandbox.set_state(state);
    sandbox
}

fn container(id: &str, sandbox: &str, state: v1::ContainerState) -> v1::Container {
    let mut container = v1::Container {
        id: id.into(),
        pod_sandbox_id: sandbox.into(),
        labels: [(NAME_LABEL.to_owned(), format!("name-{id}"))].into(),
        ..Default::default()
    };
    container.set_state(state);
    container
}

#[test]
fn only_what_runs_in_the_newest_sandbox_counts() {
    use v1::ContainerState::{ContainerExited, ContainerRunning};
    let sandboxes = [
        sandbox("old", "u1", true, 1),
        sandbox("new", "u1", true, 2),
        sandbox("dead", "u2", false, 1),
    ];
    let containers = [
        container("b", "new", ContainerRunning),
        container("a", "new", ContainerRunning),
        container("gone", "new", ContainerExited),
        container("before", "old", ContainerRunning),
        container("nobody", "elsewhere", ContainerRunning),
    ];
    let pods = listed(&sandboxes, &containers, "pause:1", &|_, _| "image".into());
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0].uid, "u1");
    let ids: Vec<&str> = pods[0].containers.iter().map(|c| &*c.id).collect();
    assert_eq!(ids, ["a", "b"]);
    let own = pods[0].sandbox.as_ref().unwrap();
    assert_eq!((&*own.id, &*own.image), ("new", "pause:1"));
}

#[test]
fn images_have_their_full_name() {
    let digest = format!("a/b@sha256:{}", "0".repeat(64));
    for (image, wanted) in [
        ("busybox", "docker.io/library/busybox:latest"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        (&digest, &format!("docker.io/{digest}")),
        ("No Image", "No Image"),
    ] {
        assert_eq!(full_name(image), wanted);
    }
}

#[test]
fn the_runtimes_numbers_fill_what_has_no_cgroup() {
    let mut pods = listed(
        &[sandbox("s", "u1", true, 1)],
        &[container("c", "s", v1::ContainerState::ContainerRunning)],
        "",
        &|_, _| String::new(),
    );
    let cpu = v1::CpuUsage {
        timestamp: 9,
        usage_core_nano_seconds: Some(v1::UInt64Value { value: 5 }),
        usage_nano_cores: None,
    };
    let stats = v1::PodSandboxStats {
        attributes: Some(v1::PodSandboxAttributes {
            id: "s".into(),
            metadata: sandbox("s", "u1", true, 1).metadata,
            ..Default::default()
        }),
        linux: Some(v1::LinuxPodSandboxStats {
            cpu: Some(cpu),
            containers: vec![v1::ContainerStats {
                attributes: Some(v1::ContainerAttributes {
                    id: "c".into(),
                    ..Default::default()
                }),
                cpu: Some(cpu),
                ..Default::default()
            }],
            ..Default::default()
        }),
    };
    fill(&mut pods, &[stats]);
    assert_eq!(pods[0].used.as_ref().unwrap().usage.cpu.total, Some(5));
    let found = &pods[0].containers[0].used;
    assert_eq!((&*found.id, found.usage.cpu.total), ("/s/c", Some(5)));
}

#[test]
fn the_machine_stands_in_for_a_root_cgroup_without_memory() {
    let machine = MachineUse {
        memory_total: 100,
        memory_free: 40,
        ..MachineUse::default()
    };
    let root = machine_use(CgroupUse::default(), &machine);
    assert_eq!((root.memory.usage, root.limits.memory), (Some(60), Some(100)));
    let mut own = CgroupUse::default();
    own.memory.usage = Some(7);
    assert_eq!(machine_use(own, &machine).memory.usage, Some(7));
}
