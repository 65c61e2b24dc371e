//! What a node tells of itself: metrics that dashboards read, `/stats/summary`, and `kubectl top` by metrics-server.
//!
//! Everything is read as Prometheus and metrics-server do, through the API server's way to the node.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustlet_lab::binaries::{self, Group};
use rustlet_lab::kube::{Seen, eventually};
use serde_json::{Value, json};

use crate::support::{Case, LIMIT, Lab, address, echo_container, pod, shell};

/// A sample: its labels, and its value.
type Sample = (BTreeMap<String, String>, f64);

/// A scrape: kinds by family, and samples by name.
struct Scrape {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<String, Vec<Sample>>,
}

fn raw(lab: &Lab, node: &str, path: &str) -> Result<String> {
    lab.cluster()
        .kubectl(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/{path}")])
}

/// Parses the text format; a line that does not fit is an error.
fn parse(text: &str) -> Result<Scrape> {
    let mut scrape = Scrape {
        kinds: BTreeMap::new(),
        samples: BTreeMap::new(),
    };
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let before = scrape.kinds.insert(name.to_owned(), kind.to_owned());
            ensure!(before.is_none(), "two heads of {name}");
        } else if !line.starts_with('#') {
            let (name, labels, rest) = match line.split_once('{') {
                Some((name, rest)) => {
                    let (labels, rest) = rest
                        .rsplit_once("} ")
                        .with_context(|| format!("no end of labels: {line}"))?;
                    (name, labels, rest)
                }
                None => {
                    let (name, rest) = line
                        .split_once(' ')
                        .with_context(|| format!("no value: {line}"))?;
                    (name, "", rest)
                }
            };
            let value = rest.split(' ').next().unwrap_or_default();
            let value: f64 = value.parse().with_context(|| format!("no number: {line}"))?;
            let labels = labels.split("\",").filter_map(|pair| pair.split_once("=\""));
            let labels = labels.map(|(key, value)| (key.to_owned(), value.trim_end_matches('"').to_owned()));
            let samples = scrape.samples.entry(name.to_owned()).or_default();
            samples.push((labels.collect(), value));
        }
    }
    Ok(scrape)
}

fn scrape(lab: &Lab, node: &str, path: &str) -> Result<Scrape> {
    parse(&raw(lab, node, path)?).with_context(|| path.to_owned())
}

impl Scrape {
    /// The first sample with these labels.
    fn find(&self, name: &str, wanted: &[(&str, &str)]) -> Option<&Sample> {
        let fits = |(labels, _): &&Sample| {
            wanted
                .iter()
                .all(|(key, value)| labels.get(*key).is_some_and(|found| found == value))
        };
        self.samples.get(name)?.iter().find(fits)
    }

    fn value(&self, name: &str, wanted: &[(&str, &str)]) -> Result<f64> {
        let (_, value) = self
            .find(name, wanted)
            .with_context(|| format!("no {name} with {wanted:?}"))?;
        Ok(*value)
    }
}

const OWNER: &str = "container id image name namespace pod";
const MACHINE: &str = "boot_id machine_id system_uuid";

/// Families of `/metrics/cadvisor` that dashboards read, their kinds and labels: of a container with a CPU limit, of a
/// Pod's network, of the node's disk, of the machine.
const CONTAINER: &[(&str, &str, &str)] = &[
    (
        "container_cpu_usage_seconds_total",
        "counter",
        "container cpu id image name namespace pod",
    ),
    ("container_cpu_user_seconds_total", "counter", OWNER),
    ("container_cpu_system_seconds_total", "counter", OWNER),
    ("container_cpu_cfs_periods_total", "counter", OWNER),
    ("container_cpu_cfs_throttled_periods_total", "counter", OWNER),
    ("container_cpu_cfs_throttled_seconds_total", "counter", OWNER),
    ("container_memory_working_set_bytes", "gauge", OWNER),
    ("container_memory_usage_bytes", "gauge", OWNER),
    ("container_memory_max_usage_bytes", "gauge", OWNER),
    ("container_memory_rss", "gauge", OWNER),
    ("container_memory_cache", "gauge", OWNER),
    ("container_memory_swap", "gauge", OWNER),
    ("container_memory_mapped_file", "gauge", OWNER),
    ("container_memory_failcnt", "counter", OWNER),
    (
        "container_memory_failures_total",
        "counter",
        "container failure_type id image name namespace pod scope",
    ),
    ("container_oom_events_total", "counter", OWNER),
    ("container_spec_cpu_period", "gauge", OWNER),
    ("container_spec_cpu_quota", "gauge", OWNER),
    ("container_spec_cpu_shares", "gauge", OWNER),
    ("container_spec_memory_limit_bytes", "gauge", OWNER),
    ("container_spec_memory_reservation_limit_bytes", "gauge", OWNER),
    ("container_spec_memory_swap_limit_bytes", "gauge", OWNER),
    ("container_start_time_seconds", "gauge", OWNER),
    ("container_last_seen", "gauge", OWNER),
    ("container_processes", "gauge", OWNER),
    ("container_threads", "gauge", OWNER),
];
const NETWORK: &[&str] = &[
    "container_network_receive_bytes_total",
    "container_network_receive_packets_total",
    "container_network_receive_packets_dropped_total",
    "container_network_receive_errors_total",
    "container_network_transmit_bytes_total",
    "container_network_transmit_packets_total",
    "container_network_transmit_packets_dropped_total",
    "container_network_transmit_errors_total",
];
const DISK: &[(&str, &str)] = &[
    ("container_fs_usage_bytes", "gauge"),
    ("container_fs_limit_bytes", "gauge"),
    ("container_fs_reads_total", "counter"),
    ("container_fs_writes_total", "counter"),
];
const RESOURCE: &[(&str, &str, &str)] = &[
    (
        "container_cpu_usage_seconds_total",
        "counter",
        "container namespace pod",
    ),
    (
        "container_memory_working_set_bytes",
        "gauge",
        "container namespace pod",
    ),
    ("container_start_time_seconds", "gauge", "container namespace pod"),
    ("container_swap_usage_bytes", "gauge", "container namespace pod"),
    ("pod_cpu_usage_seconds_total", "counter", "namespace pod"),
    ("pod_memory_working_set_bytes", "gauge", "namespace pod"),
    ("pod_swap_usage_bytes", "gauge", "namespace pod"),
    ("node_cpu_usage_seconds_total", "counter", ""),
    ("node_memory_working_set_bytes", "gauge", ""),
    ("node_swap_usage_bytes", "gauge", ""),
    ("resource_scrape_error", "gauge", ""),
];
/// Of the kubelet itself: what kubernetes-mixin's kubelet dashboard and alerts read, and more.
const KUBELET: &[(&str, &str, &str)] = &[
    ("kubelet_node_name", "gauge", "node"),
    ("kubelet_running_pods", "gauge", ""),
    ("kubelet_running_containers", "gauge", "container_state"),
    ("kubelet_desired_pods", "gauge", "static"),
    ("kubelet_active_pods", "gauge", "static"),
    ("kubelet_mirror_pods", "gauge", ""),
    ("kubelet_runtime_operations_total", "counter", "operation_type"),
    (
        "kubelet_runtime_operations_duration_seconds",
        "histogram",
        "operation_type",
    ),
    (
        "kubelet_run_podsandbox_duration_seconds",
        "histogram",
        "runtime_handler",
    ),
    ("kubelet_pod_start_duration_seconds", "histogram", ""),
    ("kubelet_pod_start_sli_duration_seconds", "histogram", ""),
    ("kubelet_pod_start_total_duration_seconds", "histogram", ""),
    (
        "kubelet_pod_worker_duration_seconds",
        "histogram",
        "operation_type",
    ),
    ("kubelet_pod_worker_start_duration_seconds", "histogram", ""),
    ("kubelet_pleg_relist_duration_seconds", "histogram", ""),
    ("kubelet_pleg_relist_interval_seconds", "histogram", ""),
    ("kubelet_pleg_last_seen_seconds", "gauge", ""),
    (
        "kubelet_cgroup_manager_duration_seconds",
        "histogram",
        "operation_type",
    ),
    ("kubelet_started_pods_total", "counter", ""),
    ("kubelet_started_pods_errors_total", "counter", ""),
    ("kubelet_started_containers_total", "counter", "container_type"),
    (
        "kubelet_http_requests_total",
        "counter",
        "long_running method path server_type",
    ),
    (
        "kubelet_http_inflight_requests",
        "gauge",
        "long_running method path server_type",
    ),
    (
        "kubelet_container_log_filesystem_used_bytes",
        "gauge",
        "container namespace pod uid",
    ),
    ("rest_client_requests_total", "counter", "code host method"),
    ("rest_client_request_duration_seconds", "histogram", "host verb"),
    ("kubelet_node_startup_duration_seconds", "gauge", ""),
    ("kubelet_node_startup_pre_kubelet_duration_seconds", "gauge", ""),
    (
        "kubelet_node_startup_pre_registration_duration_seconds",
        "gauge",
        "",
    ),
    ("kubelet_node_startup_registration_duration_seconds", "gauge", ""),
    (
        "kubelet_node_startup_post_registration_duration_seconds",
        "gauge",
        "",
    ),
    ("kubelet_pod_status_sync_duration_seconds", "histogram", ""),
    ("kubelet_pod_in_progress_resizes", "gauge", ""),
    (
        "kubelet_image_manager_ensure_image_requests_total",
        "counter",
        "present_locally pull_policy pull_required",
    ),
    (
        "kubelet_imagemanager_image_mustpull_checks_total",
        "counter",
        "result",
    ),
    ("kubelet_containers_per_pod_count", "histogram", ""),
    ("kubelet_managed_ephemeral_containers", "gauge", ""),
    (
        "storage_operation_duration_seconds",
        "histogram",
        "migrated operation_name status volume_plugin",
    ),
    ("volume_manager_total_volumes", "gauge", "plugin_name state"),
    ("process_network_receive_bytes_total", "counter", ""),
    ("process_network_transmit_bytes_total", "counter", ""),
    ("process_virtual_memory_bytes", "gauge", ""),
    ("process_virtual_memory_max_bytes", "gauge", ""),
    ("process_cpu_seconds_total", "counter", ""),
    ("process_resident_memory_bytes", "gauge", ""),
    ("process_open_fds", "gauge", ""),
    ("process_start_time_seconds", "gauge", ""),
    (
        "kubernetes_build_info",
        "gauge",
        "build_date compiler git_commit git_tree_state git_version go_version major minor platform",
    ),
];
const PROBES: &[(&str, &str, &str)] = &[
    (
        "prober_probe_total",
        "counter",
        "container namespace pod pod_uid probe_type result",
    ),
    (
        "prober_probe_duration_seconds",
        "histogram",
        "container namespace pod probe_type",
    ),
];

/// The family is there, of this kind, with a sample of these labels (those of `of`) and no others.
fn check(
    scrape: &Scrape,
    (name, kind, labels): (&str, &str, &str),
    of: &[(&str, &str)],
) -> Result<(), String> {
    match scrape.kinds.get(name) {
        None => return Err(format!("{name} is missing")),
        Some(found) if found != kind => return Err(format!("{name} is a {found}, not a {kind}")),
        Some(_) => {}
    }
    let sample = if kind == "histogram" {
        format!("{name}_count")
    } else {
        name.to_owned()
    };
    let Some((found, _)) = scrape.find(&sample, of) else {
        return Err(format!("no {sample} with {of:?}"));
    };
    let found: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    let wanted: BTreeSet<&str> = labels.split_whitespace().collect();
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{name} has labels {found:?}, not {wanted:?}"))
    }
}

/// Every family that dashboards read is there, by its kind and its labels.
pub(crate) fn families(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "metric-families")?;
    let mut container = echo_container();
    container["resources"] = json!({"limits": {"cpu": "500m", "memory": "64Mi"}});
    let web = case.run(pod("web", None, json!([container])))?;
    let node = case.node_name(&web).to_owned();
    let of_pod = [("namespace", &*case.ns), ("pod", "web")];
    let of = [("container", "echo"), ("namespace", &*case.ns), ("pod", "web")];
    eventually("all families of the pod", LIMIT, || {
        let mut wrong = Vec::new();
        let all = scrape(lab, &node, "metrics/cadvisor")?;
        wrong.extend(CONTAINER.iter().filter_map(|row| check(&all, *row, &of).err()));
        let network = "container id image interface name namespace pod";
        let row = |name: &&'static str| (*name, "counter", network);
        wrong.extend(
            NETWORK
                .iter()
                .filter_map(|name| check(&all, row(name), &of_pod).err()),
        );
        let disk = "container device id image name namespace pod";
        let on_disk = |(name, kind): &(&'static str, &'static str)| {
            check(&all, (*name, *kind, disk), &[("id", "/")]).err()
        };
        wrong.extend(DISK.iter().filter_map(on_disk));
        for name in ["machine_cpu_cores", "machine_memory_bytes", "machine_cpu_sockets"] {
            wrong.extend(check(&all, (name, "gauge", MACHINE), &[]).err());
        }
        let version = "cadvisorRevision cadvisorVersion dockerVersion kernelVersion osVersion";
        wrong.extend(check(&all, ("cadvisor_version_info", "gauge", version), &[]).err());
        for (path, rows) in [
            ("metrics/resource", RESOURCE),
            ("metrics", KUBELET),
            ("metrics/probes", PROBES),
        ] {
            let all = scrape(lab, &node, path)?;
            for row in rows {
                let ours = row.2.contains("namespace");
                wrong.extend(check(&all, *row, if ours { &of_pod } else { &[] }).err());
            }
        }
        Ok(if wrong.is_empty() {
            Seen::Yes(())
        } else {
            Seen::No(wrong.join("\n"))
        })
    })?;
    lab.kube.delete(&case.path("pods", "web"))?;
    eventually("a deleted pod's probes are counted no more", LIMIT, || {
        let all = scrape(lab, &node, "metrics/probes")?;
        Ok(match all.find("prober_probe_total", &of_pod) {
            None => Seen::Yes(()),
            Some((labels, _)) => Seen::No(format!("{labels:?}")),
        })
    })
}

/// Asks for other requests and limits of a pod's only container.
fn resize(case: &Case<'_>, name: &str, resources: &Value) -> Result<()> {
    let patch = json!({"spec": {"containers": [{"name": "main", "resources": resources}]}});
    let args = [
        "-n",
        &case.ns,
        "patch",
        "pod",
        name,
        "--subresource=resize",
        "--patch",
    ];
    let patch = patch.to_string();
    case.lab
        .cluster()
        .kubectl(&[&args[..], &[&*patch]].concat())
        .map(drop)
}

/// What is asked for is counted amount by amount, and what is given by the time it took.
pub(crate) fn resizes(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "metric-resizes")?;
    let amounts = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"cpu": "1"}});
    let mut asked = pod("grows", None, json!([shell("exec sleep 1000")]));
    asked["spec"]["containers"][0]["resources"] = amounts("50m");
    let node = case.node_name(&case.run(asked)?).to_owned();
    let value = |name: &str, labels: &[(&str, &str)]| -> Result<f64> {
        let all = scrape(lab, &node, "metrics")?;
        Ok(all.find(name, labels).map_or(0.0, |(_, value)| *value))
    };
    let more = |name: &'static str, labels: &'static [(&str, &str)], before: f64| {
        eventually(&format!("more of {name} {labels:?}"), LIMIT, || {
            let found = value(name, labels)?;
            Ok(if found > before {
                Seen::Yes(())
            } else {
                Seen::No(format!("{found}, and {before} before"))
            })
        })
    };
    let requested: &[_] = &[
        ("operation", "increase"),
        ("requirement", "requests"),
        ("resource", "cpu"),
    ];
    let took: &[_] = &[("success", "true")];
    let names = [
        ("kubelet_container_requested_resizes_total", requested),
        ("kubelet_pod_resize_duration_milliseconds_count", took),
    ];
    let before = names.map(|(name, labels)| value(name, labels));
    resize(&case, "grows", &amounts("70m"))?;
    for ((name, labels), before) in names.into_iter().zip(before) {
        more(name, labels, before?)?;
    }
    lab.kube.delete(&case.path("pods", "grows"))
}

/// Paths of all leaves of a JSON value.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| leaves(value, &format!("{path}.{key}"), found)),
        Value::Array(list) => list
            .iter()
            .for_each(|value| leaves(value, &format!("{path}[]"), found)),
        _ => drop(found.insert(path.trim_start_matches('.').to_owned())),
    }
}

/// Keys below an object that are there on every node, in the short summary too.
const CPU_AND_MEMORY: &[&str] = &[
    "cpu.time",
    "cpu.usageNanoCores",
    "cpu.usageCoreNanoSeconds",
    "memory.time",
    "memory.usageBytes",
    "memory.workingSetBytes",
    "memory.rssBytes",
    "memory.pageFaults",
    "memory.majorPageFaults",
    "swap.time",
    "swap.swapUsageBytes",
    "startTime",
];
const FS: &[&str] = &[
    "time",
    "availableBytes",
    "capacityBytes",
    "usedBytes",
    "inodesFree",
    "inodes",
    "inodesUsed",
];
const NETWORK_KEYS: &[&str] = &["name", "rxBytes", "rxErrors", "txBytes", "txErrors"];

/// The summary's keys, for a pod with an emptyDir, whole and short.
pub(crate) fn summary(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "summary")?;
    let mut container = shell(
        "dd if=/dev/zero of=/scratch/x bs=1M count=5; dd if=/dev/zero of=/root.bin bs=1M count=2; sleep 1000",
    );
    container["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    let mut writer = pod("writer", None, json!([container]));
    writer["spec"]["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    let writer = case.run(writer)?;
    let node = case.node_name(&writer).to_owned();
    let mut wanted: BTreeSet<String> = CPU_AND_MEMORY.iter().map(|key| (*key).to_owned()).collect();
    for place in [
        "containers[]",
        "containers[].rootfs",
        "containers[].logs",
        "volume[]",
        "ephemeral-storage",
        "network",
    ] {
        let keys = match place {
            "containers[]" => CPU_AND_MEMORY,
            "network" => NETWORK_KEYS,
            _ => FS,
        };
        wanted.extend(keys.iter().map(|key| format!("{place}.{key}")));
    }
    wanted.extend(
        NETWORK_KEYS
            .iter()
            .map(|key| format!("network.interfaces[].{key}")),
    );
    let more = [
        "podRef.name",
        "podRef.namespace",
        "podRef.uid",
        "containers[].name",
        "volume[].name",
        "process_stats.process_count",
        "network.time",
        "io.time",
    ];
    wanted.extend(more.map(str::to_owned));
    let of_pod = |path: &str| -> Result<Option<Value>> {
        let all: Value = serde_json::from_str(&raw(lab, &node, path)?)?;
        let pods = all["pods"].as_array().cloned().unwrap_or_default();
        Ok(pods
            .into_iter()
            .find(|pod| pod["podRef"]["uid"] == writer["metadata"]["uid"]))
    };
    // Upstream looks at volumes once a minute.
    eventually(
        "the pod's summary with all its keys and 5 MiB of emptyDir",
        2 * LIMIT,
        || {
            let Some(found) = of_pod("stats/summary")? else {
                return Ok(Seen::No("the pod is not there".to_owned()));
            };
            let mut keys = BTreeSet::new();
            leaves(&found, "", &mut keys);
            let missing: Vec<&String> = wanted.difference(&keys).collect();
            let extra: Vec<&String> = keys
                .difference(&wanted)
                .filter(|key| !key.contains("psi") && !key.contains("io.time"))
                .collect();
            let sizes = [("volume", 5 << 20), ("ephemeral-storage", 7 << 20)].map(|(key, least)| {
                let place = if key == "volume" {
                    found[key]
                        .as_array()
                        .and_then(|all| all.iter().find(|v| v["name"] == "scratch"))
                        .cloned()
                } else {
                    Some(found[key].clone())
                };
                place
                    .and_then(|place| place["usedBytes"].as_u64())
                    .is_some_and(|used| used >= least)
            });
            Ok(
                if missing.is_empty() && extra.is_empty() && sizes == [true, true] {
                    Seen::Yes(())
                } else {
                    Seen::No(format!(
                        "missing {missing:?}, extra {extra:?}, large enough {sizes:?}"
                    ))
                },
            )
        },
    )?;
    let short = of_pod("stats/summary?only_cpu_and_memory=true")?.context("the pod in the short summary")?;
    for gone in ["network", "volume", "ephemeral-storage"] {
        ensure!(short[gone].is_null(), "{gone} in the short summary");
    }
    let all: Value = serde_json::from_str(&raw(lab, &node, "stats/summary")?)?;
    let mut keys = BTreeSet::new();
    leaves(&all["node"], "", &mut keys);
    let mut on_node: Vec<String> = CPU_AND_MEMORY.iter().map(|key| (*key).to_owned()).collect();
    on_node.extend(FS.iter().flat_map(|key| {
        ["fs", "runtime.imageFs", "runtime.containerFs"].map(|place| format!("{place}.{key}"))
    }));
    on_node.extend(NETWORK_KEYS.iter().map(|key| format!("network.{key}")));
    on_node.extend(
        [
            "nodeName",
            "rlimit.maxpid",
            "rlimit.curproc",
            "memory.availableBytes",
            "systemContainers[].name",
        ]
        .map(str::to_owned),
    );
    let missing: Vec<&String> = on_node.iter().filter(|key| !keys.contains(*key)).collect();
    ensure!(missing.is_empty(), "the node lacks {missing:?}");
    let names: Vec<&str> = all["node"]["systemContainers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|c| c["name"].as_str())
        .collect();
    ensure!(names.contains(&"pods"), "system containers: {names:?}");
    Ok(())
}

/// A busy container shows what it uses, one that holds 50 MB shows them, and bytes that were sent to a pod arrive.
pub(crate) fn plausible_numbers(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "plausible")?;
    let mut busy = shell("while true; do :; done");
    busy["name"] = json!("busy");
    busy["resources"] = json!({"limits": {"cpu": "200m"}});
    let script = "import time\nheld = bytearray(b'x' * (50 << 20))\nwhile True: time.sleep(1)";
    let heavy =
        json!({"name": "heavy", "image": rustlet_lab::images::PYTHON, "command": ["python3", "-c", script]});
    let both = case.run(pod("both", None, json!([busy, heavy])))?;
    let node = case.node_name(&both).to_owned();
    let of = |container: &'static str| {
        vec![
            ("namespace", case.ns.clone()),
            ("pod", "both".to_owned()),
            ("container", container.to_owned()),
        ]
    };
    let value = |path: &str, name: &str, labels: &[(&str, String)]| {
        let labels: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (*k, v.as_str())).collect();
        scrape(lab, &node, path)?.value(name, &labels)
    };
    eventually("50 MB of memory", LIMIT, || {
        let held = value(
            "metrics/resource",
            "container_memory_working_set_bytes",
            &of("heavy"),
        )?;
        let held_too = value("metrics/cadvisor", "container_memory_rss", &of("heavy"))?;
        let fits = |bytes: f64| (50e6..120e6).contains(&bytes);
        Ok(if fits(held) && fits(held_too) {
            Seen::Yes(())
        } else {
            Seen::No(format!("{held} and {held_too} bytes"))
        })
    })?;
    // A fifth of a core by its limit; much less on a machine that is busy, never more.
    eventually("a busy container's CPU rate", LIMIT, || {
        let all: Value = serde_json::from_str(&raw(lab, &node, "stats/summary?only_cpu_and_memory=true")?)?;
        let pods = all["pods"].as_array().into_iter().flatten();
        let mut containers = pods
            .filter(|p| p["podRef"]["uid"] == both["metadata"]["uid"])
            .flat_map(|p| p["containers"].as_array().into_iter().flatten());
        let rate = containers
            .find(|c| c["name"] == "busy")
            .and_then(|c| c["cpu"]["usageNanoCores"].as_u64());
        Ok(match rate {
            Some(rate) if (20_000_000..260_000_000).contains(&rate) => Seen::Yes(()),
            other => Seen::No(format!("{other:?} nanocores")),
        })
    })?;
    let network: Vec<(&str, String)> = vec![
        ("namespace", case.ns.clone()),
        ("pod", "both".to_owned()),
        ("interface", "eth0".to_owned()),
    ];
    let name = "container_network_receive_bytes_total";
    let mut before = None;
    eventually("the network's bytes before the transfer", LIMIT, || {
        before = value("metrics/cadvisor", name, &network).ok();
        Ok(before.map_or_else(|| Seen::No("not there".to_owned()), |_| Seen::Yes(())))
    })?;
    let send = "import socket,sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nfor _ in range(1000): s.sendto(b'x' * 1000, (sys.argv[1], 9))";
    lab.exec(lab.tool(0)?, &["python3", "-c", send, address(&both)])?;
    eventually("a megabyte more", LIMIT, || {
        let grown = value("metrics/cadvisor", name, &network)? - before.unwrap_or(0.0);
        // A few datagrams may be lost.
        Ok(if grown > 900e3 {
            Seen::Yes(())
        } else {
            Seen::No(format!("{grown} bytes more"))
        })
    })
}

/// metrics-server v0.9.0 reads our nodes, and `kubectl top` answers.
pub(crate) fn kubectl_top(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "top")?;
    let found = binaries::ensure(&[Group::MetricsServer], &mut |step| eprintln!("{step}"))?;
    let control = lab.cluster().control();
    let dir = lab.cluster().dir().join("metrics-server");
    std::fs::create_dir_all(&dir)?;
    let kubeconfig = dir.join("kubeconfig");
    std::fs::write(&kubeconfig, control.pki().kubeconfig("admin", &control.server())?)?;
    let file = |flag: &str| format!("--{flag}={}", kubeconfig.display());
    #[expect(clippy::disallowed_methods, reason = "the lab runs it in the control machine")]
    let mut command = Command::new(found.path("metrics-server")?);
    command.args([
        file("kubeconfig"),
        file("authentication-kubeconfig"),
        file("authorization-kubeconfig"),
    ]);
    command.arg(format!("--cert-dir={}", dir.display()));
    command.args([
        "--secure-port=4443",
        "--kubelet-insecure-tls",
        "--kubelet-preferred-address-types=InternalIP",
        "--metric-resolution=10s",
        "--kubelet-request-timeout=5s",
    ]);
    let log = control.logs().join("metrics-server.log");
    let server = control.machine().spawn(&mut command, &log)?;
    // The API server asks the endpoints themselves: its machine has no Service proxy.
    let address = control.server();
    let address = address
        .trim_start_matches("https://")
        .split(':')
        .next()
        .unwrap_or_default();
    let ports = json!([{"name": "https", "port": 443, "targetPort": 4443}]);
    case.create(
        "services",
        &json!({"metadata": {"name": "metrics-server"}, "spec": {"ports": ports}}),
    )?;
    let slice = json!({
        "metadata": {"name": "metrics-server", "labels": {"kubernetes.io/service-name": "metrics-server"}},
        "addressType": "IPv4", "ports": [{"name": "https", "port": 4443}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
    });
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", case.ns);
    lab.kube.create(&slices, &slice)?;
    let api = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"name": "metrics-server", "namespace": case.ns, "port": 443}},
    });
    let path = "/apis/apiregistration.k8s.io/v1/apiservices";
    lab.kube.create(path, &api)?;
    let mut busy = shell("while true; do :; done");
    busy["resources"] = json!({"limits": {"cpu": "200m", "memory": "64Mi"}});
    case.create("pods", &pod("busy", None, json!([busy])))?;
    let top = || -> Result<()> {
        eventually("kubectl top pod", 2 * LIMIT, || {
            let said =
                lab.cluster()
                    .kubectl(&["top", "pod", "--containers", "--no-headers", "-n", &case.ns])?;
            // busy main 200m 0Mi
            let words: Vec<&str> = said.split_whitespace().collect();
            let cores = words
                .get(2)
                .and_then(|word| word.strip_suffix('m'))
                .and_then(|m| m.parse::<u32>().ok());
            Ok(match (words.first(), words.get(1), cores) {
                (Some(&"busy"), Some(&"main"), Some(20..=260)) => Seen::Yes(()),
                _ => Seen::No(format!("{said}{}", server.last_words(5))),
            })
        })?;
        eventually("kubectl top node", LIMIT, || {
            let said = lab.cluster().kubectl(&["top", "node", "--no-headers"])?;
            let good = |line: &str| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let number = |at: usize, unit: &str| {
                    words
                        .get(at)
                        .and_then(|w| w.strip_suffix(unit))
                        .and_then(|n| n.parse::<u64>().ok())
                };
                number(1, "m").is_some_and(|cores| cores > 0)
                    && number(3, "Mi").is_some_and(|bytes| bytes > 50)
            };
            let rows = said.lines().filter(|line| good(line)).count();
            Ok(if rows == lab.nodes().len() {
                Seen::Yes(())
            } else {
                Seen::No(said)
            })
        })
    };
    let result = top();
    // A group nobody answers for would hold up the end of every namespace.
    lab.kube.delete(&format!("{path}/v1beta1.metrics.k8s.io"))?;
    server.stop(Duration::from_secs(5));
    result
}
