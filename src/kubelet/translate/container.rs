//! PURE. `ContainerConfig`.

use super::sandbox::pod_labels;
use super::{Error, NodeLimits, field, keys, security};
use crate::cri::v1;
use crate::kubelet::dirs::Dirs;
use crate::kubelet::{env, hash};
use crate::model::ContainerId;
use crate::model::pod::{Container, Pod, TerminationMessagePolicy};
use std::collections::BTreeMap;
use std::path::Path;

/// The user an image runs as when nothing else is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageUser<'a> {
    /// As a number.
    pub uid: Option<i64>,
    /// As a name; empty when it is a number or not set.
    pub name: &'a str,
}

/// Everything a container config is made from.
#[derive(Clone, Copy, Debug)]
pub struct ContainerInput<'a> {
    /// The Pod.
    pub pod: &'a Pod,
    /// The container, of any kind.
    pub container: &'a Container,
    /// Attempt number (= restart count).
    pub attempt: u32,
    /// Seconds the next instance waits for when this one crashes soon. Kept with the instance, so that it is known for as
    /// long as that is.
    pub crash_backoff: i64,
    /// The container whose processes this one shares, when it has a target.
    pub pid_target: Option<&'a ContainerId>,
    /// The runtime's reference to the pulled image.
    pub image_ref: &'a str,
    /// The user the image runs as.
    pub image_user: ImageUser<'a>,
    /// From [`crate::kubelet::env::resolve`].
    pub env: &'a [(String, String)],
    /// Volumes, `/etc/hosts` and the termination message file, ready to be mounted.
    pub mounts: &'a [v1::Mount],
    /// What the node does about resources.
    pub node: &'a NodeLimits,
    /// Directory of local seccomp profiles.
    pub seccomp_root: &'a Path,
    /// Use the runtime's seccomp profile where the Pod names none.
    pub seccomp_default: bool,
    /// The Pod's user namespace, from [`crate::kubelet::userns`].
    pub users: &'a v1::UserNamespace,
    /// Paths of this machine that containers must not see, beside those of all.
    pub masked: &'a [String],
}

/// The config of one attempt of a container.
pub fn container(input: &ContainerInput<'_>) -> Result<v1::ContainerConfig, Error> {
    let (pod, spec) = (input.pod, input.container);
    if let Some(device) = spec.volume_devices.first() {
        let at = format!("spec.containers[{}].volumeDevices[{}]", spec.name, device.name);
        return Err(field(at, "block volumes are not supported by this build"));
    }
    let variables: BTreeMap<_, _> = input.env.iter().map(|(k, v)| (&**k, v)).collect();
    let expand = |words: &[Box<str>]| -> Vec<String> {
        words
            .iter()
            .map(|word| env::expand(word, |name| variables.get(name).map(ToString::to_string)))
            .collect()
    };
    let mut labels = pod_labels(pod);
    labels.insert(keys::CONTAINER_NAME.into(), spec.name.to_string());
    Ok(v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata {
            name: spec.name.to_string(),
            attempt: input.attempt,
        }),
        image: Some(v1::ImageSpec {
            image: input.image_ref.to_owned(),
            user_specified_image: spec.image.to_string(),
            ..v1::ImageSpec::default()
        }),
        command: expand(&spec.command),
        args: expand(&spec.args),
        working_dir: spec.working_dir.to_string(),
        envs: input
            .env
            .iter()
            .map(|(key, value)| v1::KeyValue {
                key: key.clone(),
                value: value.clone().into_bytes(),
            })
            .collect(),
        mounts: input
            .mounts
            .iter()
            .map(|mount| mapped(mount, input.users))
            .collect(),
        labels,
        annotations: annotations(input),
        log_path: Dirs::container_log(&spec.name, input.attempt)
            .to_string_lossy()
            .into_owned(),
        stdin: spec.stdin,
        stdin_once: spec.stdin_once,
        tty: spec.tty,
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(input.node.container(pod, spec)),
            security_context: Some(security::container(input)?),
        }),
        ..v1::ContainerConfig::default()
    })
}

/// A mount whose files belong to the Pod's users.
fn mapped(mount: &v1::Mount, users: &v1::UserNamespace) -> v1::Mount {
    v1::Mount {
        uid_mappings: users.uids.clone(),
        gid_mappings: users.gids.clone(),
        ..mount.clone()
    }
}

fn annotations(input: &ContainerInput<'_>) -> BTreeMap<String, String> {
    let (pod, spec) = (input.pod, input.container);
    let policy = match spec.termination_message_policy {
        TerminationMessagePolicy::File => "File",
        TerminationMessagePolicy::FallbackToLogsOnError => "FallbackToLogsOnError",
    };
    let mut out: BTreeMap<String, String> = [
        (keys::HASH, hash::container(spec)),
        (keys::RESTART_COUNT, input.attempt.to_string()),
        (keys::TERMINATION_PATH, spec.termination_message_path.to_string()),
        (keys::TERMINATION_POLICY, policy.to_owned()),
        (
            keys::TERMINATION_GRACE,
            pod.spec.termination_grace_period_seconds.to_string(),
        ),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    if let Some(seconds) = pod.metadata.deletion_grace_period_seconds {
        out.insert(keys::DELETION_GRACE.into(), seconds.to_string());
    }
    if input.attempt > 0 {
        out.insert(keys::CRASH_BACKOFF.into(), input.crash_backoff.to_string());
    }
    if let Some(hook) = spec.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref()) {
        out.insert(keys::PRE_STOP.into(), compact_json(hook));
    }
    if !spec.ports.is_empty() {
        out.insert(keys::PORTS.into(), compact_json(&spec.ports));
    }
    out
}

/// JSON without unset fields, as upstream writes these annotations.
fn compact_json(value: &impl serde::Serialize) -> String {
    let mut json = serde_json::to_value(value).unwrap_or_default();
    prune(&mut json);
    json.to_string()
}

fn prune(json: &mut serde_json::Value) {
    use serde_json::Value;
    let unset = |v: &Value| match v {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    match json {
        Value::Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|_, v| !unset(v));
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}
