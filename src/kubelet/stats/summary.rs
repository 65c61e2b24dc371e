//! PURE. `/stats/summary`: upstream's `stats.k8s.io/v1alpha1`.

use super::snapshot::{ContainerUse, Disks, PodDisk, PodUse, Snapshot, Used, VolumeUse};
use crate::model::usage::{FsUse, Interface, Pressure, Pressures, Stall, TreeUse};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The whole answer. Without `disks` it has CPU and memory only, as `?only_cpu_and_memory=true` asks for.
pub fn summary(node: &str, snapshot: &Snapshot, disks: Option<&Disks>) -> Value {
    let whole = disks.is_some();
    let mut systems: Vec<Value> = Vec::new();
    for (name, used) in &snapshot.system {
        systems.push(system(name, used, None, whole));
    }
    if let Some(pods) = snapshot.groups.first() {
        systems.push(system("pods", pods, Some(snapshot.machine.memory_total), whole));
    }
    let mut about = Map::new();
    about.insert("nodeName".into(), json!(node));
    about.insert("systemContainers".into(), Value::Array(systems));
    about.insert("startTime".into(), json!(seconds(snapshot.machine.booted)));
    usage(
        &mut about,
        &snapshot.root,
        snapshot.root.usage.limits.memory,
        whole,
    );
    about["swap"]["swapAvailableBytes"] = json!(snapshot.machine.swap_free);
    if let Some(disks) = disks {
        about.insert(
            "network".into(),
            network(snapshot.root.usage.read_at, &snapshot.machine.interfaces),
        );
        let inodes = disks.node.inodes.saturating_sub(disks.node.inodes_free);
        about.insert("fs".into(), fs(disks.at, &disks.node, disks.node.used, inodes));
        let store = |store: Option<(i64, FsUse, TreeUse)>| {
            store
                .map(|(at, on, used)| fs(at, &on, used.bytes, used.inodes))
                .unwrap_or(Value::Null)
        };
        about.insert(
            "runtime".into(),
            json!({"imageFs": store(disks.images), "containerFs": store(disks.layers)}),
        );
        about.insert(
            "rlimit".into(),
            json!({"time": time(snapshot.at), "maxpid": snapshot.machine.max_pid, "curproc": snapshot.machine.threads}),
        );
    }
    let pods: Vec<Value> = snapshot.pods.iter().map(|one| pod(one, disks)).collect();
    json!({"node": about, "pods": pods})
}

fn system(name: &str, used: &Used, capacity: Option<u64>, whole: bool) -> Value {
    let mut about = Map::new();
    about.insert("name".into(), json!(name));
    about.insert("startTime".into(), json!(seconds(used.usage.created)));
    usage(&mut about, used, used.usage.limits.memory.or(capacity), whole);
    Value::Object(about)
}

fn pod(pod: &PodUse, disks: Option<&Disks>) -> Value {
    let mut about = Map::new();
    let reference = json!({"name": pod.name, "namespace": pod.namespace, "uid": pod.uid});
    about.insert("podRef".into(), reference);
    about.insert("startTime".into(), json!(time(pod.created)));
    let containers: Vec<Value> = pod.containers.iter().map(|one| container(one, disks)).collect();
    about.insert("containers".into(), Value::Array(containers));
    if let Some(used) = &pod.used {
        usage(&mut about, used, used.usage.limits.memory, disks.is_some());
    }
    let Some(disks) = disks else {
        return Value::Object(about);
    };
    let at = pod.used.as_ref().map_or(disks.at, |used| used.usage.read_at);
    if !pod.interfaces.is_empty() {
        about.insert("network".into(), network(at, &pod.interfaces));
    }
    let disk = disks.pods.get(&pod.uid);
    let volumes: Vec<Value> = disk
        .iter()
        .flat_map(|disk| disk.volumes.iter().map(|v| volume(disk, v)))
        .collect();
    if !volumes.is_empty() {
        about.insert("volume".into(), Value::Array(volumes));
    }
    let taken = ephemeral(pod, disks, disk.map(AsRef::as_ref));
    about.insert(
        "ephemeral-storage".into(),
        fs(disks.at, &disks.node, taken.bytes, taken.inodes),
    );
    about.insert("process_stats".into(), json!({"process_count": processes(pod)}));
    Value::Object(about)
}

/// Processes of a Pod's containers.
pub fn processes(pod: &PodUse) -> u64 {
    pod.containers.iter().map(|c| c.used.usage.processes).sum()
}

/// Writable layers, logs, the Pod's own files and the volumes that lie on the node's disk.
pub fn ephemeral(pod: &PodUse, disks: &Disks, disk: Option<&PodDisk>) -> TreeUse {
    let mut all = disk.map(|disk| disk.files).unwrap_or_default();
    let mut add = |tree: TreeUse| {
        all.bytes = all.bytes.saturating_add(tree.bytes);
        all.inodes = all.inodes.saturating_add(tree.inodes);
    };
    for container in pod.containers.iter().filter_map(|c| disks.containers.get(&c.id)) {
        add(container.layer.map(|(_, tree)| tree).unwrap_or_default());
        add(container.logs);
    }
    let volumes = disk.into_iter().flat_map(|disk| &disk.volumes);
    volumes
        .filter(|volume| volume.ephemeral)
        .for_each(|volume| add(volume.used));
    all
}

fn container(container: &ContainerUse, disks: Option<&Disks>) -> Value {
    let mut about = Map::new();
    about.insert("name".into(), json!(container.name));
    about.insert("startTime".into(), json!(time(container.created)));
    let limits = &container.used.usage.limits;
    usage(&mut about, &container.used, limits.memory, disks.is_some());
    if let Some(available) = limits.swap {
        let used = container.used.usage.memory.swap;
        about["swap"]["swapAvailableBytes"] = json!(available.saturating_sub(used));
    }
    if let Some(disks) = disks
        && let Some(disk) = disks.containers.get(&container.id)
    {
        if let (Some((at, layer)), Some((_, on, _))) = (disk.layer, disks.layers) {
            about.insert("rootfs".into(), fs(at, &on, layer.bytes, layer.inodes));
        }
        about.insert(
            "logs".into(),
            fs(disks.at, &disks.logs, disk.logs.bytes, disk.logs.inodes),
        );
    }
    Value::Object(about)
}

fn volume(disk: &PodDisk, volume: &VolumeUse) -> Value {
    let mut value = fs(disk.at, &volume.fs, volume.used.bytes, volume.used.inodes);
    value["name"] = json!(volume.name);
    if let Some(claim) = &volume.claim {
        value["pvcRef"] = json!({"name": claim});
    }
    value
}

/// CPU, memory, swap, and IO pressure when `whole`.
fn usage(about: &mut Map<String, Value>, used: &Used, memory_limit: Option<u64>, whole: bool) {
    let usage = &used.usage;
    let at = time(usage.read_at);
    let pressure = usage.pressure.unwrap_or_default();
    let Pressures { cpu, memory, io } = pressure;
    let mut spent = json!({"time": at});
    if let Some(rate) = used.nano_cores {
        spent["usageNanoCores"] = json!(rate);
    }
    if let Some(total) = usage.cpu.total {
        spent["usageCoreNanoSeconds"] = json!(total);
    }
    spent["psi"] = psi(&cpu);
    about.insert("cpu".into(), spent);
    let working_set = usage.memory.working_set();
    let mut held = json!({"time": at});
    if let Some(limit) = memory_limit {
        held["availableBytes"] = json!(limit.saturating_sub(working_set));
    }
    held["usageBytes"] = json!(usage.memory.usage.unwrap_or(0));
    held["workingSetBytes"] = json!(working_set);
    held["rssBytes"] = json!(usage.memory.rss);
    held["pageFaults"] = json!(usage.memory.faults.0);
    held["majorPageFaults"] = json!(usage.memory.major_faults.0);
    held["psi"] = psi(&memory);
    about.insert("memory".into(), held);
    if whole {
        about.insert("io".into(), json!({"time": at, "psi": psi(&io)}));
    }
    about.insert(
        "swap".into(),
        json!({"time": at, "swapUsageBytes": usage.memory.swap}),
    );
}

fn psi(pressure: &Pressure) -> Value {
    let stall = |stall: &Stall| {
        let [avg10, avg60, avg300] = stall.averages;
        // The kernel counts microseconds, the API nanoseconds.
        json!({"total": stall.total.saturating_mul(1000), "avg10": avg10, "avg60": avg60, "avg300": avg300})
    };
    json!({"full": stall(&pressure.full), "some": stall(&pressure.some)})
}

/// The default interface is `eth0`, or the first there is.
fn network(at: i64, interfaces: &[Interface]) -> Value {
    let one = |i: &Interface| {
        json!({
            "name": i.name, "rxBytes": i.rx.bytes, "rxErrors": i.rx.errors,
            "txBytes": i.tx.bytes, "txErrors": i.tx.errors,
        })
    };
    let default = interfaces
        .iter()
        .find(|i| &*i.name == "eth0")
        .or(interfaces.first());
    let mut value = default.map_or_else(|| json!({}), one);
    value["time"] = json!(time(at));
    value["interfaces"] = interfaces.iter().map(one).collect();
    value
}

fn fs(at: i64, on: &FsUse, bytes: u64, inodes: u64) -> Value {
    json!({
        "time": time(at), "availableBytes": on.available, "capacityBytes": on.capacity, "usedBytes": bytes,
        "inodesFree": on.inodes_free, "inodes": on.inodes, "inodesUsed": inodes,
    })
}

/// RFC 3339 with whole seconds, as upstream's `metav1.Time`.
fn time(nanos: i64) -> String {
    let at = Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn seconds(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a time; saturates")]
    let nanos = (seconds * 1e9) as i64;
    time(nanos)
}

#[cfg(test)]
mod tests;
