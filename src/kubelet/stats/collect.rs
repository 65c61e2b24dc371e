//! One look: what the runtime lists, and the cgroup files of each.

use super::Collector;
use super::snapshot::{ContainerUse, PodUse, Snapshot, Used, from_cri};
use crate::cri::{self, Images, POD_UID_LABEL, v1};
use crate::kubelet::cgroup::names::Names;
use crate::kubelet::images::reference;
use crate::kubelet::qos::Qos;
use crate::kubelet::volume::blocking;
use crate::model::PodUid;
use crate::model::usage::{CgroupUse, MachineUse};
use crate::sys::cgroup::{Cgroups, usage::own};
use crate::sys::usage;
use jiff::Timestamp;
use std::collections::BTreeMap;

const NAME_LABEL: &str = "io.kubernetes.container.name";
const CLASSES: [Qos; 3] = [Qos::Guaranteed, Qos::Burstable, Qos::BestEffort];
/// Where systemd keeps the services that may be the runtime's.
const RUNTIMES: [&str; 2] = ["/system.slice/containerd.service", "/system.slice/crio.service"];

/// The image sandboxes are made from: the one the runtime never lets go.
pub(super) async fn pause_image(images: &dyn Images) -> Option<String> {
    let pinned = images
        .list_images()
        .await
        .ok()?
        .into_iter()
        .filter(|image| image.pinned);
    pinned
        .flat_map(|image| image.repo_tags)
        .find(|tag| tag.contains("pause"))
}

/// Looks at everything.
pub(super) async fn look(collector: &Collector, pause: &str) -> cri::Result<Snapshot> {
    let runtime = &collector.runtime;
    let (sandboxes, containers) =
        tokio::try_join!(runtime.list_pod_sandboxes(None), runtime.list_containers(None))?;
    let image = |uid: &str, container: &v1::Container| {
        let pod = collector.source.get(&PodUid::from(uid));
        let name = container.labels.get(NAME_LABEL).map_or("", String::as_str);
        let spec = pod
            .as_deref()
            .and_then(|pod| pod.container(name))
            .map(|(spec, _)| spec.image.to_string());
        let listed = || {
            container
                .image
                .as_ref()
                .map(|image| image.image.clone())
                .unwrap_or_default()
        };
        full_name(&spec.unwrap_or_else(listed))
    };
    let mut pods = listed(&sandboxes, &containers, pause, &image);
    let root = collector.cgroup_root.to_string();
    let (cgroups, dirs) = (collector.cgroups.clone(), collector.dirs.clone());
    let mut snapshot = blocking(move || {
        let mut snapshot = Snapshot {
            at: now(),
            machine: usage::machine(&[&dirs.root, &dirs.pod_logs]),
            ..Snapshot::default()
        };
        if let Some(cgroups) = cgroups {
            read(&cgroups, &root, &mut pods, &mut snapshot);
        }
        snapshot.pods = pods;
        Ok(snapshot)
    })
    .await
    .unwrap_or_default();
    let missing = |pod: &PodUse| pod.containers.iter().any(|c| c.used.usage.read_at == 0);
    if snapshot.pods.iter().any(missing) {
        // A runtime without these calls leaves the numbers empty.
        if let Ok(stats) = runtime.list_pod_sandbox_stats(None).await {
            fill(&mut snapshot.pods, &stats);
        }
    }
    for pod in &mut snapshot.pods {
        pod.containers.retain(|c| c.used.usage.read_at != 0);
    }
    snapshot.pods.retain(|pod| !pod.containers.is_empty());
    Ok(snapshot)
}

fn now() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// PURE. `busybox` → `docker.io/library/busybox:latest`, as containerd names images.
fn full_name(image: &str) -> String {
    let Ok(parsed) = reference::parse(image) else {
        return image.to_owned();
    };
    let mut name = format!("{}/{}", parsed.domain, parsed.path);
    match (parsed.tag, parsed.digest) {
        (None, None) => name.push_str(":latest"),
        (Some(tag), _) => {
            name.push(':');
            name.push_str(tag);
        }
        (None, Some(_)) => {}
    }
    if let Some(digest) = parsed.digest {
        name.push('@');
        name.push_str(digest);
    }
    name
}

/// PURE. Pods with a ready sandbox and their running containers, sorted; the newest sandbox of each.
fn listed(
    sandboxes: &[v1::PodSandbox],
    containers: &[v1::Container],
    pause: &str,
    image: &dyn Fn(&str, &v1::Container) -> String,
) -> Vec<PodUse> {
    let mut pods: BTreeMap<(String, String, String), PodUse> = BTreeMap::new();
    for sandbox in sandboxes
        .iter()
        .filter(|s| s.state() == v1::PodSandboxState::SandboxReady)
    {
        let Some(meta) = &sandbox.metadata else { continue };
        let key = (meta.namespace.clone(), meta.name.clone(), meta.uid.clone());
        if pods.get(&key).is_some_and(|pod| pod.created > sandbox.created_at) {
            continue;
        }
        let own = ContainerUse {
            id: sandbox.id.clone(),
            image: pause.to_owned(),
            created: sandbox.created_at,
            ..ContainerUse::default()
        };
        let pod = PodUse {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            created: sandbox.created_at,
            sandbox: Some(own),
            ..PodUse::default()
        };
        pods.insert(key, pod);
    }
    let mut pods: Vec<PodUse> = pods.into_values().collect();
    for container in containers {
        if container.state() != v1::ContainerState::ContainerRunning {
            continue;
        }
        let uid = container.labels.get(POD_UID_LABEL).map_or("", String::as_str);
        let of_sandbox = |pod: &&mut PodUse| {
            pod.sandbox
                .as_ref()
                .is_some_and(|s| s.id == container.pod_sandbox_id)
        };
        let Some(pod) = pods.iter_mut().find(of_sandbox) else {
            continue;
        };
        pod.containers.push(ContainerUse {
            id: container.id.clone(),
            name: container.labels.get(NAME_LABEL).cloned().unwrap_or_default(),
            image: image(uid, container),
            created: container.created_at,
            used: Used::default(),
        });
    }
    for pod in &mut pods {
        pod.containers.sort_by(|a, b| a.name.cmp(&b.name));
    }
    pods
}

/// What the cgroups of Pods are called here: by what is there.
pub(super) fn names(cgroups: &Cgroups, root: &str) -> Names {
    let named = |systemd| Names {
        root: root.into(),
        systemd,
    };
    named(cgroups.exists(&named(true).class(Qos::Guaranteed)))
}

/// Reads the cgroups of Pods, their containers, the classes, and the machine.
fn read(cgroups: &Cgroups, root: &str, pods: &mut [PodUse], snapshot: &mut Snapshot) {
    let used = |id: String| cgroups.usage(&id).map(|usage| Used::new(id, usage));
    let names = names(cgroups, root);
    snapshot.groups = CLASSES
        .iter()
        .filter_map(|class| used(names.class(*class)))
        .collect();
    snapshot.root = Used::new(
        "/",
        machine_use(cgroups.usage("/").unwrap_or_default(), &snapshot.machine),
    );
    let service = own(&std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default());
    let service = service.filter(|path| path.ends_with(".service"));
    snapshot
        .system
        .extend(service.and_then(used).map(|used| ("kubelet", used)));
    let runtime = RUNTIMES.iter().find_map(|path| used((*path).to_owned()));
    snapshot.system.extend(runtime.map(|used| ("runtime", used)));
    for pod in pods {
        let found = CLASSES
            .iter()
            .find_map(|class| used(names.pod(*class, &pod.uid.as_str().into())));
        let Some(found) = found else { continue };
        let below = cgroups.below(&found.id);
        for container in pod.containers.iter_mut().chain(&mut pod.sandbox) {
            // The name is the id, or has it inside: `cri-containerd-<id>.scope`.
            let name = below.iter().find(|name| name.contains(&container.id));
            if let Some(used) = name.and_then(|name| used(format!("{}/{name}", found.id))) {
                container.used = used;
            }
        }
        pod.used = Some(found);
        let everyone = pod.sandbox.iter().chain(&pod.containers);
        let interfaces = everyone
            .filter_map(|c| c.used.usage.first_pid)
            .find_map(|pid| usage::interfaces(Some(pid)).ok());
        pod.interfaces = interfaces.unwrap_or_default();
        pod.sandbox = pod
            .sandbox
            .take()
            .filter(|sandbox| sandbox.used.usage.read_at != 0);
    }
}

/// PURE. The root cgroup has no memory counter on v2, where the machine's own numbers stand in, and nowhere a limit.
pub(super) fn machine_use(mut root: CgroupUse, machine: &MachineUse) -> CgroupUse {
    if root.memory.usage.is_none() {
        root.memory.usage = Some(machine.memory_total.saturating_sub(machine.memory_free));
        root.memory.swap = machine.swap_total.saturating_sub(machine.swap_free);
    }
    root.limits.memory = Some(machine.memory_total);
    root.created = machine.booted;
    if root.limits.cpu_shares == 0 {
        root.limits.cpu_shares = 1024;
    }
    root
}

/// PURE. The runtime's numbers, where there was no cgroup.
fn fill(pods: &mut [PodUse], stats: &[v1::PodSandboxStats]) {
    for stat in stats {
        let (Some(attributes), Some(linux)) = (&stat.attributes, &stat.linux) else {
            continue;
        };
        let uid = attributes.metadata.as_ref().map_or("", |meta| &meta.uid);
        let Some(pod) = pods.iter_mut().find(|pod| pod.uid == uid) else {
            continue;
        };
        if pod.used.is_none() {
            let usage = from_cri(linux.cpu.as_ref(), linux.memory.as_ref(), None);
            pod.used = (usage.read_at != 0).then(|| Used::new(format!("/{}", attributes.id), usage));
        }
        for container in pod.containers.iter_mut().filter(|c| c.used.usage.read_at == 0) {
            let found = linux
                .containers
                .iter()
                .find(|c| c.attributes.as_ref().is_some_and(|a| a.id == container.id));
            let Some(found) = found else { continue };
            let swap = found
                .swap
                .as_ref()
                .and_then(|s| s.swap_usage_bytes.as_ref())
                .map(|v| v.value);
            let usage = from_cri(found.cpu.as_ref(), found.memory.as_ref(), swap);
            container.used = Used::new(format!("/{}/{}", attributes.id, container.id), usage);
        }
        if pod.interfaces.is_empty() {
            pod.interfaces = interfaces(linux.network.as_ref());
        }
    }
}

/// PURE.
fn interfaces(network: Option<&v1::NetworkUsage>) -> Vec<crate::model::usage::Interface> {
    use crate::model::usage::{Interface, Traffic};
    let value = |v: &Option<v1::UInt64Value>| v.as_ref().map_or(0, |v| v.value);
    let traffic = |bytes, errors| Traffic {
        bytes: value(bytes),
        errors: value(errors),
        ..Traffic::default()
    };
    let all = network.into_iter().flat_map(|n| &n.interfaces);
    all.map(|i| Interface {
        name: (&*i.name).into(),
        rx: traffic(&i.rx_bytes, &i.rx_errors),
        tx: traffic(&i.tx_bytes, &i.tx_errors),
    })
    .collect()
}

#[cfg(test)]
mod tests;
