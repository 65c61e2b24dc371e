//! PURE. What the API server would refuse of a Pod before a node sees it, where a node depends on it; nobody else looks
//! at a static Pod.

use crate::kubelet::quantity;
use crate::model::pod::{Container, Pod, Probe, Quantity, Volume};
use std::collections::{BTreeMap, BTreeSet};

/// The first thing that is wrong, with its field.
pub fn check(pod: &Pod) -> Result<(), String> {
    let (meta, spec) = (&pod.metadata, &pod.spec);
    must(subdomain(&meta.name), "metadata.name", &meta.name, SUBDOMAIN)?;
    must(
        label(&meta.namespace),
        "metadata.namespace",
        &meta.namespace,
        LABEL,
    )?;
    if spec.containers.is_empty() {
        return Err("spec.containers: a Pod has at least one container".to_owned());
    }
    if !spec.ephemeral_containers.is_empty() {
        return Err("spec.ephemeralContainers: a Pod is not created with any".to_owned());
    }
    if spec.termination_grace_period_seconds < 0 {
        return Err(format!(
            "spec.terminationGracePeriodSeconds: {} is less than nothing",
            spec.termination_grace_period_seconds
        ));
    }
    if spec.active_deadline_seconds.is_some_and(|seconds| seconds < 1) {
        return Err("spec.activeDeadlineSeconds: it is at least 1".to_owned());
    }
    let volumes = volumes(&spec.volumes)?;
    let mut names = BTreeSet::new();
    let mut host_ports = BTreeSet::new();
    for (list, containers) in [
        ("initContainers", &spec.init_containers),
        ("containers", &spec.containers),
    ] {
        for (at, container) in containers.iter().enumerate() {
            let path = format!("spec.{list}[{at}]");
            if !names.insert(&container.name) {
                return Err(format!(
                    "{path}.name: two containers are called {:?}",
                    container.name
                ));
            }
            self::container(container, &path, &volumes)?;
            let ports = container.ports.iter().enumerate();
            for (at, port) in ports.filter(|(_, port)| port.host_port != 0) {
                let path = format!("{path}.ports[{at}].hostPort");
                if spec.host_network && port.host_port != port.container_port {
                    return Err(format!("{path}: with hostNetwork it is the containerPort"));
                }
                // Init containers are gone when the others start.
                let taken = !host_ports.insert((list, port.host_port, port.protocol, &port.host_ip));
                if taken {
                    return Err(format!("{path}: {} is there twice", port.host_port));
                }
            }
        }
    }
    Ok(())
}

fn volumes(all: &[Volume]) -> Result<BTreeSet<&str>, String> {
    let mut names = BTreeSet::new();
    for (at, volume) in all.iter().enumerate() {
        let path = format!("spec.volumes[{at}]");
        must(label(&volume.name), &format!("{path}.name"), &volume.name, LABEL)?;
        if !names.insert(&*volume.name) {
            return Err(format!("{path}.name: two volumes are called {:?}", volume.name));
        }
        let sources = [
            volume.empty_dir.is_some(),
            volume.host_path.is_some(),
            volume.config_map.is_some(),
            volume.secret.is_some(),
            volume.downward_api.is_some(),
            volume.projected.is_some(),
            volume.image.is_some(),
        ];
        let sources = sources.iter().filter(|given| **given).count() + volume.unknown.len();
        if sources != 1 {
            return Err(format!("{path}: a volume has one source, not {sources}"));
        }
        if volume.host_path.as_ref().is_some_and(|host| host.path.is_empty()) {
            return Err(format!("{path}.hostPath.path: it is missing"));
        }
        if let Some(limit) = volume.empty_dir.as_ref().and_then(|dir| dir.size_limit.as_ref()) {
            amount(limit, &format!("{path}.emptyDir.sizeLimit"))?;
        }
    }
    Ok(names)
}

fn container(container: &Container, path: &str, volumes: &BTreeSet<&str>) -> Result<(), String> {
    must(
        label(&container.name),
        &format!("{path}.name"),
        &container.name,
        LABEL,
    )?;
    if container.image.trim().is_empty() {
        return Err(format!("{path}.image: it is missing"));
    }
    for (at, port) in container.ports.iter().enumerate() {
        let path = format!("{path}.ports[{at}]");
        for (field, number, least) in [
            ("containerPort", port.container_port, 1),
            ("hostPort", port.host_port, 0),
        ] {
            if !(least..=65535).contains(&number) {
                return Err(format!("{path}.{field}: {number} is not a port"));
            }
        }
    }
    for (at, env) in container.env.iter().enumerate() {
        let path = format!("{path}.env[{at}]");
        if env.name.is_empty() || env.name.contains('=') {
            return Err(format!("{path}.name: {:?} is not a variable's name", env.name));
        }
        if env.value_from.is_some() && !env.value.is_empty() {
            return Err(format!("{path}: it has value and valueFrom"));
        }
    }
    let mut paths = BTreeSet::new();
    for (at, mount) in container.volume_mounts.iter().enumerate() {
        let path = format!("{path}.volumeMounts[{at}]");
        if !volumes.contains(&*mount.name) {
            return Err(format!("{path}.name: there is no volume {:?}", mount.name));
        }
        if mount.mount_path.is_empty() {
            return Err(format!("{path}.mountPath: it is missing"));
        }
        if !paths.insert(&mount.mount_path) {
            return Err(format!("{path}.mountPath: {:?} is there twice", mount.mount_path));
        }
    }
    resources(&container.resources.requests, &container.resources.limits, path)?;
    for (name, probe) in [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ] {
        if let Some(probe) = probe {
            self::probe(probe, &format!("{path}.{name}"))?;
        }
    }
    Ok(())
}

fn resources(
    requests: &BTreeMap<Box<str>, Quantity>,
    limits: &BTreeMap<Box<str>, Quantity>,
    path: &str,
) -> Result<(), String> {
    for (name, limit) in limits {
        amount(limit, &format!("{path}.resources.limits.{name}"))?;
    }
    for (name, request) in requests {
        let path = format!("{path}.resources.requests.{name}");
        amount(request, &path)?;
        if limits.contains_key(name) && quantity::of(requests, name) > quantity::of(limits, name) {
            return Err(format!("{path}: {} is more than the limit", request.0));
        }
    }
    Ok(())
}

fn amount(text: &Quantity, path: &str) -> Result<(), String> {
    match quantity::parse(text) {
        Ok(amount) if amount.is_positive() || amount.is_zero() => Ok(()),
        Ok(_) => Err(format!("{path}: {} is less than nothing", text.0)),
        Err(_) => Err(format!("{path}: {:?} is not a quantity, as 100m or 1Gi", text.0)),
    }
}

fn probe(probe: &Probe, path: &str) -> Result<(), String> {
    let ways = [
        probe.http_get.is_some(),
        probe.tcp_socket.is_some(),
        probe.exec.is_some(),
        probe.grpc.is_some(),
    ];
    match ways.iter().filter(|given| **given).count() {
        1 => Ok(()),
        many => Err(format!(
            "{path}: a probe has one of httpGet, tcpSocket, exec and grpc, not {many}"
        )),
    }
}

const LABEL: &str = "up to 63 lower-case letters, digits and '-', with a letter or digit at both ends";
const SUBDOMAIN: &str =
    "up to 253 lower-case letters, digits, '-' and '.', with a letter or digit at both ends of each part";

fn must(good: bool, path: &str, value: &str, rule: &str) -> Result<(), String> {
    if good {
        return Ok(());
    }
    Err(format!("{path}: {value:?} is not {rule}"))
}

fn label(text: &str) -> bool {
    text.len() <= 63 && part(text)
}

fn subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(part)
}

fn part(text: &str) -> bool {
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !text.is_empty() && text.bytes().all(good) && !text.starts_with('-') && !text.ends_with('-')
}
