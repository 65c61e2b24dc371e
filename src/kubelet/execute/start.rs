//! From an image reference to a running container.

use super::environment::environment;
use super::{credentials, files, hooks, sandbox_config};
use crate::api::EventType;
use crate::cri::v1;
use crate::kubelet::context::Context;
use crate::kubelet::dirs::Dirs;
use crate::kubelet::images::ImageRequest;
use crate::kubelet::images::keyring::Keyring;
use crate::kubelet::translate::{self, ContainerInput, ImageUser};
use crate::kubelet::volume::{Paths, mounts};
use crate::model::pod::{Container, Pod, PullPolicy};
use crate::model::{ContainerId, SandboxId};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Image volumes by name, pulled.
type Images = BTreeMap<Box<str>, v1::ImageSpec>;

/// One container attempt to start.
#[derive(Clone, Debug)]
pub struct Start {
    /// The Pod.
    pub pod: Arc<Pod>,
    /// Name in the spec.
    pub name: Box<str>,
    /// Attempt number.
    pub attempt: u32,
    /// Seconds the next instance waits for when this one crashes soon.
    pub crash_backoff: i64,
    /// The sandbox.
    pub sandbox: SandboxId,
    /// The sandbox's attempt number.
    pub sandbox_attempt: u32,
    /// The instance of the target container, if there is a target and it was ever created.
    pub target: Option<ContainerId>,
    /// The Pod's addresses.
    pub ips: Vec<IpAddr>,
    /// Volumes, set up.
    pub volumes: Paths,
    /// When this agent first saw the Pod.
    pub seen: Timestamp,
}

/// Why it does not run: the waiting reason and message of its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    /// kubelet's reason.
    pub reason: &'static str,
    /// Words for people, with the runtime's own.
    pub message: String,
    /// Pause before the next try.
    pub retry_after: Duration,
}

/// Pause after a failure that is not a pull's.
const RETRY: Duration = Duration::from_secs(10);

pub(super) fn config_error(message: impl ToString) -> StartError {
    StartError {
        reason: "CreateContainerConfigError",
        message: message.to_string(),
        retry_after: RETRY,
    }
}

/// Pulls the image if the policy says so, creates the container and starts it. `Ok(false)` when `cancel` came before
/// that: the Pod is going away. Calls that create are never cut off, so nothing is lost sight of.
pub async fn start_container(
    context: &Context,
    start: &Start,
    cancel: &CancellationToken,
) -> Result<bool, StartError> {
    let Some((spec, _)) = start.pod.container(&start.name) else {
        return Err(config_error(format!(
            "container {} is not in the pod's spec",
            start.name
        )));
    };
    let (sandbox, users, _) = sandbox_config(context, &start.pod, start.sandbox_attempt, start.seen)
        .await
        .map_err(config_error)?;
    let pulled = async {
        let keyring = credentials::of(context, &start.pod).await;
        let with = (&sandbox, &keyring);
        let image = pull(context, start, (&spec.image, spec.image_pull_policy), with).await?;
        Ok((image, image_volumes(context, start, spec, with).await?))
    };
    let (image, images) = tokio::select! {
        pulled = pulled => pulled?,
        () = cancel.cancelled() => return Ok(false),
    };
    let turn = context
        .starts
        .acquire()
        .await
        .expect("the semaphore is never closed");
    if cancel.is_cancelled() {
        return Ok(false);
    }
    let config = configure(context, start, (spec, &users), (&image, &images)).await;
    let config = config.map_err(|error| fail(context, start, None, error))?;
    if cancel.is_cancelled() {
        return Ok(false);
    }
    let id = create(context, start, &config, &sandbox)
        .await
        .map_err(|error| fail(context, start, None, error))?;
    tell(context, start, "Created", "Container created".into());
    if cancel.is_cancelled() {
        return Ok(false);
    }
    if let Err(error) = context.runtime.start_container(&id).await {
        let error = StartError {
            reason: "RunContainerError",
            message: error.message,
            retry_after: RETRY,
        };
        return Err(fail(context, start, Some(&id), error));
    }
    tell(context, start, "Started", "Container started".into());
    let meta = &start.pod.metadata;
    tracing::info!(pod.uid = %meta.uid, ns = %meta.namespace, name = %meta.name, container = %start.name, attempt = start.attempt, "container started");
    let log = Dirs::container_log(&start.name, start.attempt);
    files::link_logs(context, &start.pod, &start.name, &log, &id).await;
    // A hook may take its time, which is nobody else's.
    drop(turn);
    tokio::select! {
        hook = post_start(context, start, spec, &id) => hook?,
        () = cancel.cancelled() => {}
    }
    Ok(true)
}

fn tell(context: &Context, start: &Start, reason: &'static str, message: String) {
    context.tell_container(&start.pod, &start.name, EventType::Normal, (reason, message));
}

/// Emits the `Failed` event of an error. The id differs at every try and would keep events from being counted up.
fn fail(context: &Context, start: &Start, id: Option<&ContainerId>, error: StartError) -> StartError {
    let mut message = format!("Error: {}", error.message);
    if let Some(id) = id {
        message = message.replace(id.as_str(), &start.name);
    }
    context.tell_container(&start.pod, &start.name, EventType::Warning, ("Failed", message));
    error
}

/// Makes sure the image is there; its events are told as they happen.
async fn pull(
    context: &Context,
    start: &Start,
    (image, policy): (&str, PullPolicy),
    (sandbox, keyring): (&v1::PodSandboxConfig, &Keyring),
) -> Result<String, StartError> {
    let request = ImageRequest {
        pod: &start.pod,
        image,
        policy,
        keyring,
        sandbox_config: Some(sandbox),
    };
    let on_event = |event: crate::kubelet::images::ImageEvent| {
        context.tell_container(&start.pod, &start.name, event.kind, (event.reason, event.message));
    };
    let begin = tokio::time::Instant::now();
    let ensured = context.images.ensure(request, &on_event).await;
    context.metrics.pulled(&start.pod.metadata.uid, begin.elapsed());
    match ensured {
        Ok(image) => Ok(image.0.into()),
        Err(error) => Err(StartError {
            reason: error.reason,
            message: error.message,
            retry_after: error.retry_after,
        }),
    }
}

/// Pulls the images whose files the container mounts as volumes.
async fn image_volumes(
    context: &Context,
    start: &Start,
    spec: &Container,
    with: (&v1::PodSandboxConfig, &Keyring),
) -> Result<Images, StartError> {
    let mut images = Images::new();
    for volume in &start.pod.spec.volumes {
        let mounted = spec.volume_mounts.iter().any(|m| m.name == volume.name);
        let Some(source) = volume.image.as_ref().filter(|_| mounted) else {
            continue;
        };
        let image = pull(context, start, (&source.reference, source.pull_policy), with).await?;
        let image = v1::ImageSpec {
            image,
            user_specified_image: source.reference.to_string(),
            ..v1::ImageSpec::default()
        };
        images.insert(volume.name.clone(), image);
    }
    Ok(images)
}

/// Everything the container is created from: environment, hosts file, mounts, user.
async fn configure(
    context: &Context,
    start: &Start,
    (spec, users): (&Container, &v1::UserNamespace),
    (image, images): (&str, &Images),
) -> Result<v1::ContainerConfig, StartError> {
    let pod = &*start.pod;
    let target = spec.target_container_name.as_deref().unwrap_or_default();
    if !target.is_empty() && start.target.is_none() {
        return Err(config_error(format!("unable to find target container {target}")));
    }
    let env = environment(context, start, spec).await?;
    let hosts = files::write_hosts(context, pod, &start.ips)
        .await
        .map_err(config_error)?;
    let input = mounts::Input {
        dirs: &context.dirs,
        pod,
        container: spec,
        volumes: &start.volumes,
        images,
        attempt: start.attempt,
    };
    let variable = |name: &str| {
        env.iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    let mounts = mounts::container(input, hosts, &variable)
        .await
        .map_err(|error| {
            tracing::warn!(pod.uid = %pod.metadata.uid, container = %spec.name, error = ?error, "mounts");
            config_error(error)
        })?;
    let user = image_user(context, pod, spec, image).await?;
    files::make_container_log_dir(context, pod, &spec.name)
        .await
        .map_err(config_error)?;
    translate::container(&ContainerInput {
        pod,
        container: spec,
        attempt: start.attempt,
        crash_backoff: start.crash_backoff,
        pid_target: start.target.as_ref(),
        image_ref: image,
        image_user: ImageUser {
            uid: user.0,
            name: &user.1,
        },
        env: &env,
        mounts: &mounts,
        node: &context.limits,
        seccomp_root: &context.config.root_dir.join("seccomp"),
        seccomp_default: context.config.seccomp_default,
        users,
        masked: &context.confinement.masked,
    })
    .map_err(config_error)
}

/// The user the image runs as, root when it names none; only asked for where it decides something: `runAsNonRoot`, or a
/// group, without a user.
async fn image_user(
    context: &Context,
    pod: &Pod,
    spec: &Container,
    image: &str,
) -> Result<(Option<i64>, String), StartError> {
    let (own, all) = (&spec.security_context, &pod.spec.security_context);
    let non_root = own.run_as_non_root.or(all.run_as_non_root) == Some(true);
    let group = own.run_as_group.or(all.run_as_group).is_some();
    if !(non_root || group) || own.run_as_user.or(all.run_as_user).is_some() {
        return Ok((None, String::new()));
    }
    let status = context
        .image_service
        .image_status(image)
        .await
        .map_err(|e| config_error(e.message))?;
    let user = status.map(|image| (image.uid.map(|uid| uid.value), image.username));
    Ok(match user.unwrap_or_default() {
        (None, name) if name.is_empty() => (Some(0), name),
        user => user,
    })
}

async fn create(
    context: &Context,
    start: &Start,
    config: &v1::ContainerConfig,
    sandbox: &v1::PodSandboxConfig,
) -> Result<ContainerId, StartError> {
    let error = match context
        .runtime
        .create_container(&start.sandbox, config, sandbox)
        .await
    {
        Ok(id) => return Ok(id),
        Err(error) => error,
    };
    // A creation that timed out may hold our name although nobody lists the container (containerd#4604).
    if let Some(holder) = reserved_for(&error.message) {
        tracing::warn!(pod.uid = %start.pod.metadata.uid, container = %start.name, %holder, "removing the container that holds our name");
        if let Err(error) = context.runtime.remove_container(&holder).await {
            tracing::debug!(%holder, %error, "the holder of our name stays");
        }
    }
    Err(StartError {
        reason: "CreateContainerError",
        message: error.message,
        retry_after: RETRY,
    })
}

/// PURE. The id in `name "…" is reserved for "<id>"`.
fn reserved_for(message: &str) -> Option<ContainerId> {
    let (_, rest) = message.split_once("is reserved for \"")?;
    rest.split_once('"').map(|(id, _)| ContainerId::from(id))
}

/// A container whose postStart hook fails is stopped; its restart policy decides what is next.
async fn post_start(
    context: &Context,
    start: &Start,
    spec: &Container,
    id: &ContainerId,
) -> Result<(), StartError> {
    let Some(hook) = spec.lifecycle.as_ref().and_then(|l| l.post_start.as_ref()) else {
        return Ok(());
    };
    let target = hooks::Target {
        context,
        pod: &start.pod,
        container: spec,
        id,
    };
    let Err(why) = hooks::run(hook, &target).await else {
        return Ok(());
    };
    tracing::warn!(pod.uid = %start.pod.metadata.uid, container = %start.name, %why, "postStart hook failed");
    let told = ("FailedPostStartHook", "PostStartHook failed".to_owned());
    context.tell_container(&start.pod, &start.name, EventType::Warning, told);
    let stop = super::Stop {
        id: id.clone(),
        name: start.name.clone(),
        message: "FailedPostStartHook".into(),
    };
    let orders = super::Orders::fixed(start.pod.spec.termination_grace_period_seconds);
    super::stop_container(context, &start.pod, &stop, orders)
        .await
        .ok();
    Err(StartError {
        reason: "PostStartHookError",
        message: why,
        retry_after: RETRY,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_name_is_read_from_the_runtimes_words() {
        let words =
            r#"failed to reserve container name "web_p_n_u_0": name "web_p_n_u_0" is reserved for "abc123""#;
        assert_eq!(reserved_for(words), Some("abc123".into()));
        assert_eq!(reserved_for("no such thing"), None);
    }
}
