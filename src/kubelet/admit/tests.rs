use super::*;
use crate::model::net::NodeTaint;
use crate::model::pod::{ContainerPort, PodOs, Sysctl};
use crate::testing::builders::pod;

/// A node of 4 CPUs, 1 GiB, 3 Pods and two of something of its own.
fn node() -> Node {
    let mut node = Node::default();
    node.metadata.name = "worker-1".into();
    node.metadata.labels.insert("disk".into(), "ssd".into());
    node.status.allocatable = [("example.com/dongle", "2"), ("cpu", "64")]
        .map(|(name, amount)| (name.into(), Quantity(amount.into())))
        .into();
    node
}

struct World {
    node: Node,
    groups: bool,
    apparmor: bool,
    patterns: Vec<Pattern>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            node: node(),
            groups: false,
            apparmor: false,
            patterns: ["kernel.msg*", "net.core.somaxconn"]
                .map(|text| Pattern::parse(text).unwrap())
                .into(),
        }
    }
}

impl World {
    fn judge(&self, pod: &Pod, others: &[&Pod]) -> Verdict {
        let own = [
            ("cpu", "4"),
            ("memory", "1Gi"),
            ("pods", "3"),
            ("ephemeral-storage", "1G"),
        ]
        .map(|(name, amount)| (name.into(), Quantity(amount.into())))
        .into();
        judge(
            pod,
            others,
            &Ground {
                node: &self.node,
                allocatable: &allocatable(&own, &self.node),
                unsafe_sysctls: &self.patterns,
                supplemental_groups_policy: self.groups,
                apparmor: self.apparmor,
            },
        )
    }

    fn rejection(&self, pod: &Pod, others: &[&Pod]) -> (String, String) {
        match self.judge(pod, others) {
            Verdict::Rejected(r) | Verdict::Mismatched(r) => (r.reason.into(), r.message.into()),
            other => (format!("{other:?}"), String::new()),
        }
    }
}

fn requests(pod: &mut Pod, resource: &str, amount: &str) {
    let resources = &mut pod.spec.containers[0].resources;
    resources
        .requests
        .insert(resource.into(), Quantity(amount.into()));
}

fn asking(name: &str, resource: &str, amount: &str) -> Pod {
    let mut pod = pod(name, &["a"]);
    requests(&mut pod, resource, amount);
    pod
}

#[test]
fn what_the_node_does_not_have() {
    let world = World::default();
    let short = |resource: &str, amount: &str, others: &[&Pod]| {
        let (reason, message) = world.rejection(&asking("new", resource, amount), others);
        message
            .split_once(": ")
            .map(|(_, numbers)| format!("{reason} {numbers}"))
            .unwrap_or(reason)
    };
    let cpu = asking("cpu", "cpu", "3500m");
    let dongle = asking("dongle", "example.com/dongle", "1");
    for (resource, amount, others, want) in [
        ("cpu", "4", &[][..], "Admitted"),
        ("cpu", "500m", &[&cpu], "Admitted"),
        (
            "cpu",
            "501m",
            &[&cpu],
            "OutOfcpu cpu, requested: 501, used: 3500, capacity: 4000",
        ),
        (
            "memory",
            "2Gi",
            &[&cpu],
            "OutOfmemory memory, requested: 2147483648, used: 0, capacity: 1073741824",
        ),
        (
            "ephemeral-storage",
            "2G",
            &[],
            "OutOfephemeral-storage ephemeral-storage, requested: 2000000000, used: 0, capacity: 1000000000",
        ),
        ("example.com/dongle", "1", &[&dongle], "Admitted"),
        (
            "example.com/dongle",
            "2",
            &[&dongle],
            "OutOfexample.com/dongle example.com/dongle, requested: 2, used: 1, capacity: 2",
        ),
        // Something of the whole cluster.
        ("example.com/other", "5", &[], "Admitted"),
        (
            "hugepages-2Mi",
            "4Mi",
            &[],
            "OutOfhugepages-2Mi hugepages-2Mi, requested: 4194304, used: 0, capacity: 0",
        ),
        ("cpu", "0", &[&cpu, &cpu], "Admitted"),
        (
            "cpu",
            "4",
            &[&cpu, &cpu, &cpu],
            "OutOfpods pods, requested: 1, used: 3, capacity: 3",
        ),
    ] {
        assert_eq!(short(resource, amount, others), want);
    }
}

#[test]
fn every_reason_has_upstreams_words() {
    let told = |change: fn(&mut World, &mut Pod)| {
        let (mut world, mut pod) = (World::default(), pod("p", &["a"]));
        change(&mut world, &mut pod);
        let (reason, message) = world.rejection(&pod, &[]);
        format!("{reason}: {message}")
    };
    fn sets(pod: &mut Pod, name: &str) {
        let (name, value) = (name.into(), "1".into());
        pod.spec.security_context.sysctls.push(Sysctl { name, value });
    }
    fn armored(pod: &mut Pod, profile: &str) {
        let key = "container.apparmor.security.beta.kubernetes.io/a";
        pod.metadata.annotations.insert(key.into(), profile.into());
    }
    type Change = fn(&mut World, &mut Pod);
    let cases: &[(Change, &str)] = &[
        (|_, _| {}, "Admitted: "),
        (|_, p| sets(p, "net/ipv4/tcp_syncookies"), "Admitted: "),
        (|_, p| sets(p, "kernel.msgmax"), "Admitted: "),
        (|_, p| sets(p, "net.core.somaxconn"), "Admitted: "),
        (
            |_, p| sets(p, "kernel/sem"),
            "SysctlForbidden: forbidden sysctl: \"kernel.sem\" not allowlisted",
        ),
        (
            |_, p| {
                sets(p, "kernel.shm_rmid_forced");
                p.spec.host_ipc = true;
            },
            "SysctlForbidden: forbidden sysctl: \"kernel.shm_rmid_forced\" not allowed with host IPC enabled",
        ),
        (
            |_, p| {
                sets(p, "net.core.somaxconn");
                p.spec.host_network = true;
            },
            "SysctlForbidden: forbidden sysctl: \"net.core.somaxconn\" not allowed with host Net enabled",
        ),
        (
            |_, p| {
                drop(
                    p.metadata
                        .labels
                        .insert("kubernetes.io/os".into(), "windows".into()),
                )
            },
            "PodOSSelectorNodeLabelDoesNotMatch: Failed to admit pod as the `kubernetes.io/os` label doesn't match node \
             label",
        ),
        (
            |_, p| {
                p.spec.os = Some(PodOs {
                    name: "windows".into(),
                })
            },
            "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS",
        ),
        (
            |_, p| p.spec.os = Some(PodOs { name: "linux".into() }),
            "Admitted: ",
        ),
        (
            |_, p| p.spec.security_context.supplemental_groups_policy = Some("Strict".into()),
            "SupplementalGroupsPolicyNotSupported: SupplementalGroupsPolicy=Strict is not supported in this node",
        ),
        (
            |w, p| {
                w.groups = true;
                p.spec.security_context.supplemental_groups_policy = Some("Strict".into());
            },
            "Admitted: ",
        ),
        (
            |_, p| p.spec.security_context.supplemental_groups_policy = Some("Merge".into()),
            "Admitted: ",
        ),
        (
            |_, p| drop(p.spec.node_selector.insert("disk".into(), "hdd".into())),
            "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        (
            |w, _| {
                w.node.spec.taints.push(NodeTaint {
                    key: "k".into(),
                    value: "".into(),
                    effect: "NoExecute".into(),
                });
            },
            "TaintToleration: Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
        ),
        (
            |_, p| armored(p, "runtime/default"),
            "AppArmor: Cannot enforce AppArmor: AppArmor is not enabled on the host",
        ),
        (|_, p| armored(p, "unconfined"), "Admitted: "),
        (
            |w, p| {
                w.apparmor = true;
                armored(p, "localhost/ ");
            },
            "AppArmor: Cannot enforce AppArmor: invalid empty AppArmor profile name",
        ),
        (
            |w, p| {
                w.apparmor = true;
                armored(p, "localhost/mine");
            },
            "Admitted: ",
        ),
        (
            |_, p| {
                p.spec.host_network = true;
                p.spec.host_users = Some(false);
            },
            "PodFeatureUnsupported: Pod requires node features that are not available: \
             UserNamespacesHostNetworkSupport",
        ),
    ];
    for (change, want) in cases {
        assert_eq!(told(*change), *want);
    }
}

#[test]
fn the_first_of_several_reasons_is_told() {
    let world = World::default();
    let mut pod = asking("new", "cpu", "8");
    pod.spec.node_selector.insert("disk".into(), "hdd".into());
    pod.spec.containers[0].ports = vec![ContainerPort {
        host_port: 80,
        ..ContainerPort::default()
    }];
    let other = {
        let mut other = pod.clone();
        other.spec.containers[0].resources = Default::default();
        other
    };
    let reason = |pod: &Pod| world.rejection(pod, &[&other]).0;
    assert_eq!(reason(&pod), "OutOfcpu");
    pod.spec.containers[0].resources = Default::default();
    assert_eq!(reason(&pod), "NodeAffinity");
    assert!(
        matches!(world.judge(&pod, &[&other]), Verdict::Rejected(_)),
        "fresh labels would not help"
    );
    assert!(matches!(world.judge(&pod, &[]), Verdict::Mismatched(_)));
    pod.spec.node_selector.clear();
    assert_eq!(reason(&pod), "NodePorts");
}

#[test]
fn a_critical_pod_makes_others_go() {
    let world = World::default();
    let mut critical = asking("critical", "cpu", "2");
    critical.spec.priority = Some(2_000_000_000);
    let (small, large) = (asking("small", "cpu", "1"), asking("large", "cpu", "3"));
    assert_eq!(world.judge(&critical, &[&small]), Verdict::Admitted);
    assert_eq!(
        world.judge(&critical, &[&small, &large]),
        Verdict::Preempts {
            victims: vec![1],
            lacks: "cpu".into()
        }
    );
    requests(&mut critical, "cpu", "5");
    let (reason, message) = world.rejection(&critical, &[&small]);
    assert_eq!(reason, "UnexpectedAdmissionError");
    assert!(
        message.starts_with(
            "Unexpected error while attempting to recover from admission failure: preemption: error"
        ) && message.ends_with("[(res: cpu, q: 1000), ]"),
        "{message}"
    );
    // Nobody goes for a Pod that cannot start anyway.
    requests(&mut critical, "cpu", "2");
    critical.spec.node_selector.insert("disk".into(), "hdd".into());
    assert_eq!(world.rejection(&critical, &[&small, &large]).0, "NodeAffinity");
}

#[test]
fn reasons_are_counted_under_bounded_names() {
    for (reason, want) in [
        ("OutOfcpu", "OutOfcpu"),
        ("OutOfexample.com/dongle", "OutOfExtendedResources"),
        ("NodePorts", "Other"),
        ("SysctlForbidden", "SysctlForbidden"),
    ] {
        assert_eq!(Rejection::new(reason, "").label(), want);
    }
}
