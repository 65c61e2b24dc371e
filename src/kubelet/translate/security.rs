//! PURE. Security contexts: what the Pod says, what the container overrides, and what the runtime is told.

use super::container::{ContainerInput, ImageUser};
use super::sandbox::SandboxInput;
use super::{Error, field};
use crate::cri::v1;
use crate::cri::v1::security_profile::ProfileType;
use crate::model::pod::{Container, Pod, SeLinuxOptions, SecurityProfile};
use std::borrow::Cow;
use std::path::{Component, Path};

/// Paths hidden from containers that are not privileged.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// Paths such containers may only read.
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Largest user id.
const MAX_UID: i64 = i32::MAX as i64;
/// Annotation with the AppArmor profile of the container whose name follows, from before there was a field.
const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Namespaces of a Pod.
fn namespaces(pod: &Pod, users: &v1::UserNamespace) -> v1::NamespaceOption {
    use v1::NamespaceMode::{Container, Node, Pod};
    let spec = &pod.spec;
    let node_or_pod = |host: bool| if host { Node } else { Pod };
    let pid = match (spec.host_pid, spec.share_process_namespace) {
        (true, _) => Node,
        (false, Some(true)) => Pod,
        _ => Container,
    };
    v1::NamespaceOption {
        network: node_or_pod(spec.host_network).into(),
        pid: pid.into(),
        ipc: node_or_pod(spec.host_ipc).into(),
        target_id: String::new(),
        userns_options: Some(users.clone()),
    }
}

/// Security context of the sandbox. It always has the runtime's own seccomp profile: nothing but `pause` runs in it.
pub(super) fn sandbox(input: &SandboxInput<'_>) -> Result<v1::LinuxSandboxSecurityContext, Error> {
    let pod = input.pod;
    let sc = &pod.spec.security_context;
    let mut all = pod.spec.every_container();
    Ok(v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod, input.users)),
        selinux_options: sc.se_linux_options.as_ref().map(selinux),
        run_as_user: sc.run_as_user.map(number),
        run_as_group: sc.run_as_group.map(number),
        readonly_rootfs: false,
        supplemental_groups: groups(pod),
        supplemental_groups_policy: groups_policy(pod)?,
        privileged: all.any(|c| c.security_context.privileged == Some(true)),
        seccomp: Some(profile(ProfileType::RuntimeDefault, String::new())),
        apparmor: None,
    })
}

/// Security context of a container.
pub(super) fn container(input: &ContainerInput<'_>) -> Result<v1::LinuxContainerSecurityContext, Error> {
    let (pod, spec) = (input.pod, input.container);
    let (pod_sc, sc) = (&pod.spec.security_context, &spec.security_context);
    check_non_root(input)?;
    if sc.privileged == Some(true) && sc.allow_privilege_escalation == Some(false) {
        let at = at(spec, "allowPrivilegeEscalation");
        return Err(field(at, "cannot be false for a privileged container"));
    }
    let user = sc.run_as_user.or(pod_sc.run_as_user);
    let image_user = input.image_user.uid.filter(|_| user.is_none());
    let unmasked = sc.proc_mount.as_deref() == Some("Unmasked");
    if unmasked && input.users.uids.is_empty() && sc.privileged != Some(true) {
        let why = "Unmasked needs a user namespace (hostUsers: false)";
        return Err(field(at(spec, "procMount"), why));
    }
    let paths = |list: &[&str], more: &[String]| -> Vec<String> {
        let all = list.iter().map(ToString::to_string).chain(more.iter().cloned());
        all.filter(|_| !unmasked).collect()
    };
    let list = |names: &[Box<str>]| names.iter().map(ToString::to_string).collect();
    let mut namespaces = namespaces(pod, input.users);
    if let Some(target) = input
        .pid_target
        .filter(|_| namespaces.pid() == v1::NamespaceMode::Container)
    {
        namespaces.pid = v1::NamespaceMode::Target.into();
        namespaces.target_id = target.to_string();
    }
    Ok(v1::LinuxContainerSecurityContext {
        capabilities: sc.capabilities.as_ref().map(|c| v1::Capability {
            add_capabilities: list(&c.add),
            drop_capabilities: list(&c.drop),
            add_ambient_capabilities: Vec::new(),
        }),
        privileged: sc.privileged == Some(true),
        namespace_options: Some(namespaces),
        selinux_options: sc
            .se_linux_options
            .as_ref()
            .or(pod_sc.se_linux_options.as_ref())
            .map(selinux),
        run_as_user: user.or(image_user).map(number),
        run_as_group: sc.run_as_group.or(pod_sc.run_as_group).map(number),
        run_as_username: if user.is_none() {
            input.image_user.name.to_owned()
        } else {
            String::new()
        },
        readonly_rootfs: sc.read_only_root_filesystem == Some(true),
        supplemental_groups: groups(pod),
        supplemental_groups_policy: groups_policy(pod)?,
        no_new_privs: sc.allow_privilege_escalation == Some(false),
        masked_paths: paths(&MASKED, input.masked),
        readonly_paths: paths(&READ_ONLY, &[]),
        seccomp: Some(seccomp(input)?),
        apparmor: apparmor(pod, spec)?,
    })
}

/// Checked at every start: the image may have changed its user since the last one.
fn check_non_root(input: &ContainerInput<'_>) -> Result<(), Error> {
    let (pod_sc, sc) = (
        &input.pod.spec.security_context,
        &input.container.security_context,
    );
    if sc.run_as_non_root.or(pod_sc.run_as_non_root) != Some(true) {
        return Ok(());
    }
    let ImageUser { uid, name } = input.image_user;
    let cause = match (sc.run_as_user.or(pod_sc.run_as_user), uid) {
        (Some(0), _) => "container's runAsUser breaks non-root policy".to_owned(),
        (Some(_), _) => return Ok(()),
        (None, None) if !name.is_empty() => {
            format!(
                "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
            )
        }
        (None, None | Some(0)) => "container has runAsNonRoot and image will run as root".to_owned(),
        (None, Some(uid)) if !(0..=MAX_UID).contains(&uid) => {
            format!(
                "container has runAsNonRoot and image has an invalid user id ({uid}). (Must be 1-({MAX_UID})): must be \
                 between 0 and {MAX_UID}, inclusive"
            )
        }
        (None, Some(_)) => return Ok(()),
    };
    let meta = &input.pod.metadata;
    Err(Error::NonRoot {
        cause,
        pod: format!("{}_{}({})", meta.name, meta.namespace, meta.uid),
        container: input.container.name.clone(),
    })
}

fn seccomp(input: &ContainerInput<'_>) -> Result<v1::SecurityProfile, Error> {
    let (pod, spec) = (input.pod, input.container);
    let (wanted, at) = match &spec.security_context.seccomp_profile {
        Some(profile) => (Some(profile), at(spec, "seccompProfile")),
        None => (
            pod.spec.security_context.seccomp_profile.as_ref(),
            "spec.securityContext.seccompProfile".into(),
        ),
    };
    let Some(wanted) = wanted else {
        let kind = if input.seccomp_default {
            ProfileType::RuntimeDefault
        } else {
            ProfileType::Unconfined
        };
        return Ok(profile(kind, String::new()));
    };
    match &*wanted.kind {
        "RuntimeDefault" => Ok(profile(ProfileType::RuntimeDefault, String::new())),
        "Unconfined" => Ok(profile(ProfileType::Unconfined, String::new())),
        "Localhost" => {
            let file = local_name(wanted, &at)?;
            if !Path::new(file)
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
            {
                return Err(field(
                    format!("{at}.localhostProfile"),
                    "must stay below the node's seccomp directory",
                ));
            }
            let path = input.seccomp_root.join(file).to_string_lossy().into_owned();
            Ok(profile(ProfileType::Localhost, path))
        }
        other => Err(field(format!("{at}.type"), format!("{other:?} is not known"))),
    }
}

/// The AppArmor profile a container asks for: its own, that of its annotation, the Pod's.
pub fn apparmor_profile<'a>(pod: &'a Pod, spec: &'a Container) -> Option<Cow<'a, SecurityProfile>> {
    let annotated = || {
        let text = pod
            .metadata
            .annotations
            .get(&*format!("{APPARMOR_ANNOTATION}{}", spec.name))?;
        let (kind, name) = match &**text {
            "runtime/default" => ("RuntimeDefault", None),
            "unconfined" => ("Unconfined", None),
            other => ("Localhost", Some(other.strip_prefix("localhost/")?)),
        };
        Some(Cow::Owned(SecurityProfile {
            kind: kind.into(),
            localhost_profile: name.map(Into::into),
        }))
    };
    let own = spec
        .security_context
        .app_armor_profile
        .as_ref()
        .map(Cow::Borrowed);
    let pods = || {
        pod.spec
            .security_context
            .app_armor_profile
            .as_ref()
            .map(Cow::Borrowed)
    };
    own.or_else(annotated).or_else(pods)
}

fn apparmor(pod: &Pod, spec: &Container) -> Result<Option<v1::SecurityProfile>, Error> {
    let at = at(spec, "appArmorProfile");
    let Some(wanted) = apparmor_profile(pod, spec) else {
        return Ok(None);
    };
    let (kind, reference) = match &*wanted.kind {
        "RuntimeDefault" => (ProfileType::RuntimeDefault, String::new()),
        "Unconfined" => (ProfileType::Unconfined, String::new()),
        "Localhost" => (ProfileType::Localhost, local_name(&wanted, &at)?.to_owned()),
        other => return Err(field(format!("{at}.type"), format!("{other:?} is not known"))),
    };
    Ok(Some(profile(kind, reference)))
}

/// The name of a local profile. An empty one would mean no confinement at all (CVE-2023-2431).
fn local_name<'a>(wanted: &'a SecurityProfile, at: &str) -> Result<&'a str, Error> {
    let name = wanted
        .localhost_profile
        .as_deref()
        .filter(|name| !name.is_empty());
    name.ok_or_else(|| field(format!("{at}.localhostProfile"), "must be set for type Localhost"))
}

fn at(spec: &Container, name: &str) -> String {
    format!("spec.containers[{}].securityContext.{name}", spec.name)
}

fn groups(pod: &Pod) -> Vec<i64> {
    let sc = &pod.spec.security_context;
    sc.fs_group
        .iter()
        .chain(&sc.supplemental_groups)
        .copied()
        .collect()
}

fn groups_policy(pod: &Pod) -> Result<i32, Error> {
    match pod.spec.security_context.supplemental_groups_policy.as_deref() {
        None | Some("Merge") => Ok(v1::SupplementalGroupsPolicy::Merge.into()),
        Some("Strict") => Ok(v1::SupplementalGroupsPolicy::Strict.into()),
        Some(other) => Err(field(
            "spec.securityContext.supplementalGroupsPolicy",
            format!("{other:?} is not known"),
        )),
    }
}

fn profile(kind: ProfileType, localhost_ref: String) -> v1::SecurityProfile {
    v1::SecurityProfile {
        profile_type: kind.into(),
        localhost_ref,
    }
}

fn selinux(options: &SeLinuxOptions) -> v1::SeLinuxOption {
    v1::SeLinuxOption {
        user: options.user.to_string(),
        role: options.role.to_string(),
        r#type: options.kind.to_string(),
        level: options.level.to_string(),
    }
}

fn number(value: i64) -> v1::Int64Value {
    v1::Int64Value { value }
}
