use super::*;
use crate::cri::v1::{self, NamespaceMode, security_profile::ProfileType};
use crate::kubelet::dirs::Dirs;
use crate::kubelet::userns;
use crate::model::pod::{
    Capabilities, ContainerPort, ExecAction, Lifecycle, LifecycleHandler, Pod, Protocol, Quantity,
    SecurityProfile, Sysctl, VolumeDevice,
};
use crate::testing::builders::{at, pod};
use std::path::Path;

fn dirs() -> Dirs {
    Dirs {
        root: "/var/lib/kubelet".into(),
        pod_logs: "/var/log/pods".into(),
    }
}

fn sandbox_of(pod: &Pod) -> Result<v1::PodSandboxConfig, Error> {
    let dns = v1::DnsConfig {
        servers: vec!["10.96.0.10".into()],
        ..v1::DnsConfig::default()
    };
    sandbox(&SandboxInput {
        pod,
        attempt: 3,
        seen: at(0),
        dns: &dns,
        cluster_domain: "cluster.local",
        cgroup_parent: "/kubepods/besteffort/poduid-p",
        dirs: &dirs(),
        node: node(),
        users: &userns::hosts(),
    })
}

fn input(pod: &Pod) -> ContainerInput<'_> {
    ContainerInput {
        pod,
        container: &pod.spec.containers[0],
        attempt: 2,
        crash_backoff: 40,
        pid_target: None,
        image_ref: "sha256:abc",
        image_user: ImageUser::default(),
        env: &[],
        mounts: &[],
        node: node(),
        seccomp_root: Path::new("/var/lib/kubelet/seccomp"),
        seccomp_default: false,
        users: hosts(),
        masked: &[],
    }
}

fn hosts() -> &'static v1::UserNamespace {
    static HOSTS: std::sync::LazyLock<v1::UserNamespace> = std::sync::LazyLock::new(userns::hosts);
    &HOSTS
}

/// A user namespace of the Pod's own.
fn users() -> v1::UserNamespace {
    let ids = vec![v1::IdMapping {
        host_id: 131_072,
        container_id: 0,
        length: 65536,
    }];
    v1::UserNamespace {
        mode: NamespaceMode::Pod.into(),
        uids: ids.clone(),
        gids: ids,
    }
}

/// A node with 8 GiB.
fn node() -> &'static NodeLimits {
    static NODE: std::sync::LazyLock<NodeLimits> = std::sync::LazyLock::new(|| NodeLimits {
        memory: 8 << 30,
        ..NodeLimits::default()
    });
    &NODE
}

fn security_of(pod: &Pod) -> Result<v1::LinuxContainerSecurityContext, Error> {
    container(&input(pod)).map(|c| c.linux.unwrap().security_context.unwrap())
}

fn resources_of(pod: &Pod) -> v1::LinuxContainerResources {
    container(&input(pod)).unwrap().linux.unwrap().resources.unwrap()
}

#[test]
fn a_sandbox() {
    let mut p = pod("p", &["a"]);
    p.metadata.labels.insert("app".into(), "web".into());
    p.metadata.annotations.insert("note".into(), "x".into());
    let config = sandbox_of(&p).unwrap();
    let metadata = v1::PodSandboxMetadata {
        name: "p".into(),
        uid: "uid-p".into(),
        namespace: "default".into(),
        attempt: 3,
    };
    assert_eq!(config.metadata, Some(metadata));
    assert_eq!(
        (&*config.hostname, &*config.log_directory),
        ("p", "/var/log/pods/default_p_uid-p")
    );
    let labels: Vec<_> = config.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let want = [
        "app=web",
        "io.kubernetes.pod.name=p",
        "io.kubernetes.pod.namespace=default",
        "io.kubernetes.pod.uid=uid-p",
    ];
    assert_eq!(labels, want);
    let annotations: Vec<_> = config
        .annotations
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let want = [
        "kubernetes.io/config.seen=2026-01-01T00:00:00Z",
        "kubernetes.io/config.source=api",
        "note=x",
    ];
    assert_eq!(annotations, want);
    let linux = config.linux.unwrap();
    assert_eq!(linux.cgroup_parent, "/kubepods/besteffort/poduid-p");
    let sc = linux.security_context.unwrap();
    assert_eq!(sc.seccomp.unwrap().profile_type(), ProfileType::RuntimeDefault);
    assert!(!sc.privileged);
    let ns = sc.namespace_options.unwrap();
    assert_eq!(
        (ns.network(), ns.pid(), ns.ipc()),
        (NamespaceMode::Pod, NamespaceMode::Container, NamespaceMode::Pod)
    );
}

#[test]
fn host_namespaces() {
    let mut p = pod("p", &["a"]);
    (p.spec.host_network, p.spec.host_pid, p.spec.host_ipc) = (true, true, true);
    p.spec.containers[0].security_context.privileged = Some(true);
    let config = sandbox_of(&p).unwrap();
    assert_eq!(config.hostname, "", "the node's own");
    let sc = config.linux.unwrap().security_context.unwrap();
    assert!(sc.privileged);
    let ns = sc.namespace_options.unwrap();
    assert_eq!([ns.network(), ns.pid(), ns.ipc()], [NamespaceMode::Node; 3]);
    let mut shared = pod("p", &["a"]);
    shared.spec.share_process_namespace = Some(true);
    let ns = security_of(&shared).unwrap().namespace_options.unwrap();
    assert_eq!(ns.pid(), NamespaceMode::Pod);
}

#[test]
fn an_ephemeral_container_shares_the_processes_of_its_target() {
    let target = crate::model::ContainerId::from("c1");
    let pid = |pod: &Pod| {
        let input = ContainerInput {
            pid_target: Some(&target),
            ..input(pod)
        };
        let sc = container(&input)
            .unwrap()
            .linux
            .unwrap()
            .security_context
            .unwrap();
        let ns = sc.namespace_options.unwrap();
        (ns.pid(), ns.target_id)
    };
    let mut p = pod("p", &["a"]);
    assert_eq!(pid(&p), (NamespaceMode::Target, "c1".to_owned()));
    // Where all share one namespace anyway there is nothing to aim at.
    p.spec.share_process_namespace = Some(true);
    assert_eq!(pid(&p), (NamespaceMode::Pod, String::new()));
    p.spec.host_pid = true;
    assert_eq!(pid(&p), (NamespaceMode::Node, String::new()));
}

#[test]
fn stdin_and_terminal() {
    let told = |stdin, stdin_once, tty| {
        let mut p = pod("p", &["a"]);
        let spec = &mut p.spec.containers[0];
        (spec.stdin, spec.stdin_once, spec.tty) = (stdin, stdin_once, tty);
        let config = container(&input(&p)).unwrap();
        (config.stdin, config.stdin_once, config.tty)
    };
    for case in [
        (false, false, false),
        (true, false, false),
        (true, true, false),
        (true, true, true),
        (false, false, true),
    ] {
        assert_eq!(told(case.0, case.1, case.2), case);
    }
}

#[test]
fn a_privileged_ephemeral_container_makes_the_sandbox_privileged() {
    let mut p = pod("p", &["a"]);
    p.spec.ephemeral_containers = pod("q", &["e"]).spec.containers;
    p.spec.ephemeral_containers[0].security_context.privileged = Some(true);
    let config = sandbox_of(&p).unwrap();
    assert!(config.linux.unwrap().security_context.unwrap().privileged);
}

#[test]
fn ports_are_mapped_once() {
    let port = |name: &str, container_port, host_port, protocol| ContainerPort {
        name: name.into(),
        container_port,
        host_port,
        protocol,
        host_ip: "".into(),
    };
    let mut p = pod("p", &["a", "b"]);
    p.spec.containers[0].ports = vec![
        port("web", 80, 8080, Protocol::Tcp),
        port("web", 81, 0, Protocol::Tcp),
        port("", 53, 53, Protocol::Udp),
    ];
    p.spec.containers[1].ports = vec![port("", 53, 53, Protocol::Udp), port("", 53, 53, Protocol::Udp)];
    let mapped: Vec<_> = sandbox_of(&p)
        .unwrap()
        .port_mappings
        .iter()
        .map(|m| (m.protocol(), m.container_port, m.host_port))
        .collect();
    let udp = (v1::Protocol::Udp, 53, 53);
    assert_eq!(mapped, [(v1::Protocol::Tcp, 80, 8080), udp, udp]);
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    let refused = |change: fn(&mut Pod)| {
        let mut p = pod("p", &["a"]);
        change(&mut p);
        let error = sandbox_of(&p).err().or_else(|| container(&input(&p)).err());
        error
            .map(|e| e.to_string().split(": ").next().unwrap().to_owned())
            .unwrap_or_default()
    };
    let unmasked = |p: &mut Pod| p.spec.containers[0].security_context.proc_mount = Some("Unmasked".into());
    assert_eq!(refused(unmasked), "spec.containers[a].securityContext.procMount");
    assert_eq!(refused(|p| p.spec.hostname = Some("A".into())), "spec.hostname");
    let strict = |p: &mut Pod| p.spec.security_context.supplemental_groups_policy = Some("Odd".into());
    assert_eq!(refused(strict), "spec.securityContext.supplementalGroupsPolicy");
    let block = |p: &mut Pod| p.spec.containers[0].volume_devices = vec![VolumeDevice { name: "d".into() }];
    assert_eq!(refused(block), "spec.containers[a].volumeDevices[d]");
    let contradiction = |p: &mut Pod| {
        let sc = &mut p.spec.containers[0].security_context;
        (sc.privileged, sc.allow_privilege_escalation) = (Some(true), Some(false));
    };
    assert_eq!(
        refused(contradiction),
        "spec.containers[a].securityContext.allowPrivilegeEscalation"
    );
    assert_eq!(refused(|_| {}), "");
}

#[test]
fn sysctls_are_named_with_dots() {
    let mut p = pod("p", &["a"]);
    p.spec.security_context.sysctls = vec![Sysctl {
        name: "net/ipv4/ip_unprivileged_port_start".into(),
        value: "0".into(),
    }];
    let told = sandbox_of(&p).unwrap().linux.unwrap().sysctls;
    assert_eq!(told["net.ipv4.ip_unprivileged_port_start"], "0");
}

#[test]
fn a_user_namespace_is_that_of_the_sandbox_the_containers_and_their_mounts() {
    let mut p = pod("p", &["a"]);
    p.spec.host_users = Some(false);
    p.spec.containers[0].security_context.proc_mount = Some("Unmasked".into());
    let (users, dns) = (users(), v1::DnsConfig::default());
    let sandbox = sandbox(&SandboxInput {
        pod: &p,
        attempt: 0,
        seen: at(0),
        dns: &dns,
        cluster_domain: "cluster.local",
        cgroup_parent: "/kubepods",
        dirs: &dirs(),
        node: node(),
        users: &users,
    })
    .unwrap();
    let mounts = [v1::Mount::default()];
    let container = container(&ContainerInput {
        users: &users,
        mounts: &mounts,
        ..input(&p)
    })
    .unwrap();
    let of_sandbox = sandbox.linux.unwrap().security_context.unwrap().namespace_options;
    let sc = container.linux.unwrap().security_context.unwrap();
    for options in [of_sandbox, sc.namespace_options] {
        assert_eq!(options.unwrap().userns_options.as_ref(), Some(&users));
    }
    assert!(sc.masked_paths.is_empty() && sc.readonly_paths.is_empty());
    assert_eq!(container.mounts[0].uid_mappings, users.uids);
    assert_eq!(container.mounts[0].gid_mappings, users.gids);
}

#[test]
fn a_container() {
    let mut p = pod("p", &["a"]);
    p.metadata.deletion_grace_period_seconds = Some(5);
    let c = &mut p.spec.containers[0];
    c.command = vec!["sh".into(), "$(X)".into()];
    c.args = vec!["$(Y) $$(X)".into()];
    c.working_dir = "/w".into();
    c.tty = true;
    c.ports = vec![ContainerPort {
        container_port: 80,
        ..ContainerPort::default()
    }];
    let exec = Some(ExecAction {
        command: vec!["bye".into()],
    });
    c.lifecycle = Some(Lifecycle {
        pre_stop: Some(LifecycleHandler {
            exec,
            ..LifecycleHandler::default()
        }),
        post_start: None,
    });
    let env = [("X".to_owned(), "1".to_owned())];
    let mounts = [v1::Mount {
        container_path: "/data".into(),
        ..v1::Mount::default()
    }];
    let config = container(&ContainerInput {
        env: &env,
        mounts: &mounts,
        ..input(&p)
    })
    .unwrap();
    assert_eq!(
        config.metadata,
        Some(v1::ContainerMetadata {
            name: "a".into(),
            attempt: 2
        })
    );
    let image = config.image.unwrap();
    assert_eq!(
        (&*image.image, &*image.user_specified_image),
        ("sha256:abc", "a:1")
    );
    assert_eq!(
        (config.command, config.args),
        (vec!["sh".into(), "1".into()], vec!["$(Y) $(X)".into()])
    );
    assert_eq!(
        (&*config.working_dir, &*config.log_path, config.tty),
        ("/w", "a/2.log", true)
    );
    assert_eq!(
        config.envs,
        [v1::KeyValue {
            key: "X".into(),
            value: b"1".to_vec()
        }]
    );
    assert_eq!(config.mounts, mounts);
    let labels: Vec<_> = config.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let want = [
        "io.kubernetes.container.name=a",
        "io.kubernetes.pod.name=p",
        "io.kubernetes.pod.namespace=default",
        "io.kubernetes.pod.uid=uid-p",
    ];
    assert_eq!(labels, want);
    let annotations: Vec<_> = config
        .annotations
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    let hash = format!(
        "io.kubernetes.container.hash={}",
        crate::kubelet::hash::container(&p.spec.containers[0])
    );
    let want = [
        &*hash,
        "io.kubernetes.container.ports=[{\"containerPort\":80,\"protocol\":\"TCP\"}]",
        "io.kubernetes.container.preStopHandler={\"exec\":{\"command\":[\"bye\"]}}",
        "io.kubernetes.container.restartCount=2",
        "io.kubernetes.container.terminationMessagePath=/dev/termination-log",
        "io.kubernetes.container.terminationMessagePolicy=File",
        "io.kubernetes.pod.deletionGracePeriod=5",
        "io.kubernetes.pod.terminationGracePeriod=30",
        "rustlet.dev/crash-backoff-seconds=40",
    ];
    assert_eq!(annotations, want);
}

#[test]
fn cpu_and_memory() {
    let of = |requests: &[(&str, &str)], limits: &[(&str, &str)]| {
        let mut p = pod("p", &["a"]);
        let list = |l: &[(&str, &str)]| {
            l.iter()
                .map(|(k, v)| ((*k).into(), Quantity((*v).into())))
                .collect()
        };
        p.spec.containers[0].resources.requests = list(requests);
        p.spec.containers[0].resources.limits = list(limits);
        let r = resources_of(&p);
        assert_eq!(r.cpu_period, 100_000);
        (
            r.cpu_shares,
            r.cpu_quota,
            r.memory_limit_in_bytes,
            r.oom_score_adj,
        )
    };
    assert_eq!(of(&[], &[]), (2, 0, 0, 1000));
    assert_eq!(of(&[("cpu", "100m")], &[]), (102, 0, 0, 999));
    assert_eq!(
        of(&[], &[("cpu", "500m"), ("memory", "64Mi")]),
        (512, 50_000, 64 << 20, 999)
    );
    assert_eq!(
        of(
            &[("cpu", "1"), ("memory", "4Gi")],
            &[("cpu", "1"), ("memory", "4Gi")]
        ),
        (1024, 100_000, 4 << 30, -997)
    );
    assert_eq!(
        of(&[("cpu", "1m")], &[("cpu", "1m")]),
        (2, 1000, 0, 999),
        "never below what the kernel takes"
    );
}

#[test]
fn the_container_overrides_the_pod() {
    let mut p = pod("p", &["a"]);
    let sc = &mut p.spec.security_context;
    (
        sc.run_as_user,
        sc.run_as_group,
        sc.fs_group,
        sc.supplemental_groups,
    ) = (Some(1), Some(2), Some(3), vec![4, 5]);
    let got = security_of(&p).unwrap();
    let numbers = |sc: &v1::LinuxContainerSecurityContext| {
        (
            sc.run_as_user.as_ref().map(|v| v.value),
            sc.run_as_group.as_ref().map(|v| v.value),
        )
    };
    assert_eq!(
        (numbers(&got), got.supplemental_groups),
        ((Some(1), Some(2)), vec![3, 4, 5])
    );
    let own = &mut p.spec.containers[0].security_context;
    (own.run_as_user, own.run_as_group) = (Some(10), Some(20));
    own.capabilities = Some(Capabilities {
        add: vec!["NET_ADMIN".into()],
        drop: vec!["ALL".into()],
    });
    own.read_only_root_filesystem = Some(true);
    own.allow_privilege_escalation = Some(false);
    let got = security_of(&p).unwrap();
    assert_eq!(numbers(&got), (Some(10), Some(20)));
    let caps = got.capabilities.clone().unwrap();
    assert_eq!(
        (caps.add_capabilities, caps.drop_capabilities),
        (vec!["NET_ADMIN".into()], vec!["ALL".into()])
    );
    assert!(got.readonly_rootfs && got.no_new_privs && !got.privileged);
    assert!(
        got.masked_paths.contains(&"/proc/kcore".into()) && got.readonly_paths.contains(&"/proc/sys".into())
    );
    let masked = ["/sys/hot".to_owned()];
    let got = container(&ContainerInput {
        masked: &masked,
        ..input(&p)
    });
    let sc = got.unwrap().linux.unwrap().security_context.unwrap();
    assert!(sc.masked_paths.contains(&masked[0]) && !sc.readonly_paths.contains(&masked[0]));
}

#[test]
fn the_images_user_is_used_unless_one_is_set() {
    let mut p = pod("p", &["a"]);
    let with = |p: &Pod, uid, name: &str| {
        let user = ImageUser { uid, name };
        let config = container(&ContainerInput {
            image_user: user,
            ..input(p)
        })
        .unwrap();
        let sc = config.linux.unwrap().security_context.unwrap();
        (sc.run_as_user.map(|v| v.value), sc.run_as_username)
    };
    assert_eq!(with(&p, Some(7), ""), (Some(7), String::new()));
    assert_eq!(with(&p, None, "web"), (None, "web".into()));
    p.spec.security_context.run_as_user = Some(1);
    assert_eq!(with(&p, None, "web"), (Some(1), String::new()));
}

#[test]
fn run_as_non_root_is_checked_against_the_image() {
    let check = |user: Option<i64>, uid, name: &str| {
        let mut p = pod("p", &["a"]);
        p.spec.security_context.run_as_non_root = Some(true);
        p.spec.containers[0].security_context.run_as_user = user;
        let image_user = ImageUser { uid, name };
        container(&ContainerInput {
            image_user,
            ..input(&p)
        })
        .err()
        .map(|e| e.to_string())
    };
    let pod = "(pod: \"p_default(uid-p)\", container: a)";
    let told = |text: &str| Some(format!("{text} {pod}"));
    assert_eq!(check(Some(1000), Some(0), ""), None);
    assert_eq!(check(None, Some(1000), ""), None);
    assert_eq!(
        check(Some(0), Some(1000), ""),
        told("container's runAsUser breaks non-root policy")
    );
    let root = told("container has runAsNonRoot and image will run as root");
    assert_eq!(check(None, Some(0), ""), root);
    assert_eq!(
        check(None, None, ""),
        root,
        "an image that names no user runs as root"
    );
    let name =
        "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root";
    assert_eq!(check(None, None, "web"), told(name));
    assert_eq!(
        check(None, Some(-1), ""),
        told(
            "container has runAsNonRoot and image has an invalid user id (-1). (Must be 1-(2147483647)): must be between \
             0 and 2147483647, inclusive"
        )
    );
    // The container may lift what the Pod asks for.
    let mut p = super::tests::pod("p", &["a"]);
    p.spec.security_context.run_as_non_root = Some(true);
    p.spec.containers[0].security_context.run_as_non_root = Some(false);
    assert!(container(&input(&p)).is_ok());
}

#[test]
fn seccomp_profiles() {
    let local = |kind: &str, name: Option<&str>| {
        Some(SecurityProfile {
            kind: kind.into(),
            localhost_profile: name.map(Into::into),
        })
    };
    let of = |pod_wide, own, default| {
        let mut p = pod("p", &["a"]);
        p.spec.security_context.seccomp_profile = pod_wide;
        p.spec.containers[0].security_context.seccomp_profile = own;
        let config = container(&ContainerInput {
            seccomp_default: default,
            ..input(&p)
        });
        config
            .map(|c| c.linux.unwrap().security_context.unwrap().seccomp.unwrap())
            .map_err(|e| e.to_string())
    };
    let kind = |r: Result<v1::SecurityProfile, String>| r.unwrap().profile_type();
    assert_eq!(kind(of(None, None, false)), ProfileType::Unconfined);
    assert_eq!(kind(of(None, None, true)), ProfileType::RuntimeDefault);
    assert_eq!(
        kind(of(local("RuntimeDefault", None), None, false)),
        ProfileType::RuntimeDefault
    );
    assert_eq!(
        kind(of(local("RuntimeDefault", None), local("Unconfined", None), true)),
        ProfileType::Unconfined
    );
    let profile = of(None, local("Localhost", Some("dir/x.json")), false).unwrap();
    assert_eq!(profile.localhost_ref, "/var/lib/kubelet/seccomp/dir/x.json");
    for (bad, want) in [
        (local("Localhost", None), "must be set for type Localhost"),
        (local("Localhost", Some("")), "must be set for type Localhost"),
        (
            local("Localhost", Some("../x")),
            "must stay below the node's seccomp directory",
        ),
        (
            local("Localhost", Some("/etc/x")),
            "must stay below the node's seccomp directory",
        ),
        (local("Odd", None), "\"Odd\" is not known"),
    ] {
        let error = of(None, bad, false).unwrap_err();
        assert!(
            error.starts_with("spec.containers[a].securityContext.seccompProfile") && error.ends_with(want),
            "{error}"
        );
    }
}

#[test]
fn apparmor_profiles() {
    let mut p = pod("p", &["a"]);
    assert_eq!(security_of(&p).unwrap().apparmor, None);
    let profile = SecurityProfile {
        kind: "Localhost".into(),
        localhost_profile: Some("mine".into()),
    };
    p.spec.security_context.app_armor_profile = Some(profile);
    assert_eq!(security_of(&p).unwrap().apparmor.unwrap().localhost_ref, "mine");
    p.spec
        .security_context
        .app_armor_profile
        .as_mut()
        .unwrap()
        .localhost_profile = None;
    assert!(security_of(&p).is_err(), "an empty name is no confinement");
    // The annotation comes before the Pod's profile, and the container's before both.
    let kind = |p: &Pod| {
        security_of(p)
            .unwrap()
            .apparmor
            .map(|a| (a.profile_type(), a.localhost_ref))
    };
    let key = "container.apparmor.security.beta.kubernetes.io/a";
    for (text, want) in [
        ("runtime/default", (ProfileType::RuntimeDefault, "")),
        ("unconfined", (ProfileType::Unconfined, "")),
        ("localhost/mine", (ProfileType::Localhost, "mine")),
    ] {
        p.metadata.annotations.insert(key.into(), text.into());
        assert_eq!(kind(&p), Some((want.0, want.1.to_owned())), "{text}");
    }
    p.spec.containers[0].security_context.app_armor_profile = Some(SecurityProfile {
        kind: "RuntimeDefault".into(),
        localhost_profile: None,
    });
    assert_eq!(kind(&p), Some((ProfileType::RuntimeDefault, String::new())));
    p.spec.containers[0].security_context.app_armor_profile = None;
    p.spec.security_context.app_armor_profile = None;
    p.metadata.annotations.insert(key.into(), "odd".into());
    assert_eq!(kind(&p), None);
}
