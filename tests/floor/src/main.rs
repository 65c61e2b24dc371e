//! The floor under every pod start: RunPodSandbox, CreateContainer and StartContainer against a real runtime, with
//! nobody deciding, watching or reporting anything; and under every report of a death: how long after a container's end
//! the runtime tells of it. What an agent takes beyond it is its own overhead.
//!
//! Prints one JSON object and removes what it has made, also when a call fails.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Parser;
use futures::StreamExt;
use futures::future::join_all;
use rustlet::cri::grpc::{GrpcCri, REQUEST_TIMEOUT};
use rustlet::cri::{Runtime, v1};
use rustlet::model::{ContainerId, SandboxId};
use serde::Serialize;
use tokio::time::Instant;

/// Start pods with bare CRI calls and say how long it took
#[derive(Debug, Parser)]
struct Args {
    /// The runtime's socket
    #[arg(long, default_value = "unix:///run/containerd/containerd.sock")]
    endpoint: String,
    /// How many pods
    #[arg(long)]
    pods: u32,
    /// All at once instead of one after the other
    #[arg(long)]
    burst: bool,
    /// Let the containers end, and measure how long after it the runtime's event comes
    #[arg(long, conflicts_with = "burst")]
    deaths: bool,
    /// Image of the container, present on the node; it must have `sleep`
    #[arg(long)]
    image: String,
    /// Parent of the pods' cgroups
    #[arg(long)]
    cgroup_parent: String,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Times {
    /// Milliseconds from the first call for a pod to the answer of its last; with `--deaths` from the end of its
    /// container to the event.
    pods_ms: Vec<f64>,
    /// Milliseconds from the very first call to the very last answer.
    all_ms: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let cri = GrpcCri::connect(&args.endpoint, REQUEST_TIMEOUT).await?;
    let begin = Instant::now();
    let measured = measure(&cri, &args).await;
    let all_ms = ms(begin);
    remove_all(&cri).await?;
    let pods_ms = measured?;
    println!("{}", serde_json::to_string(&Times { pods_ms, all_ms })?);
    Ok(())
}

async fn measure(cri: &GrpcCri, args: &Args) -> Result<Vec<f64>> {
    if args.burst {
        let starts = (0..args.pods).map(|number| start(cri, args, number));
        let started = join_all(starts).await.into_iter();
        return started.map(|pod| pod.map(|(_, took)| took)).collect();
    }
    let mut times = Vec::new();
    for number in 0..args.pods {
        times.push(if args.deaths {
            death(cri, args, number).await?
        } else {
            start(cri, args, number).await?.1
        });
    }
    Ok(times)
}

/// Milliseconds from the end of a container to the runtime's event.
async fn death(cri: &GrpcCri, args: &Args, number: u32) -> Result<f64> {
    let mut events = cri.container_events().await.context("GetContainerEvents")?;
    let (id, _) = start(cri, args, number).await?;
    loop {
        let event = events.next().await.context("the events have ended")??;
        if event.container_id == id.as_str() && event.container_event_type() == STOPPED {
            break;
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let ended = cri
        .container_status(&id)
        .await
        .context("ContainerStatus")?
        .finished_at;
    let late = now.saturating_sub(Duration::from_nanos(ended.try_into()?));
    Ok(late.as_secs_f64() * 1e3)
}

fn ms(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

/// Label by which our sandboxes are found again.
const OURS: &str = "rustlet.dev/cri-floor";
/// A container has ended.
const STOPPED: v1::ContainerEventType = v1::ContainerEventType::ContainerStoppedEvent;

async fn start(cri: &GrpcCri, args: &Args, number: u32) -> Result<(ContainerId, f64)> {
    let sandbox = sandbox(args, number);
    let container = container(args);
    let begin = Instant::now();
    let id = cri.run_pod_sandbox(&sandbox, "").await.context("RunPodSandbox")?;
    let created = cri.create_container(&id, &container, &sandbox).await;
    let created = created.context("CreateContainer")?;
    cri.start_container(&created).await.context("StartContainer")?;
    Ok((created, ms(begin)))
}

fn sandbox(args: &Args, number: u32) -> v1::PodSandboxConfig {
    let name = format!("floor-{number}");
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: name.clone(),
            uid: format!("{:08x}-floor-{number}", std::process::id()),
            namespace: "default".to_owned(),
            attempt: 0,
        }),
        hostname: name,
        labels: BTreeMap::from([(OURS.to_owned(), "yes".to_owned())]),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: args.cgroup_parent.clone(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn container(args: &Args) -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata {
            name: "main".to_owned(),
            attempt: 0,
        }),
        image: Some(v1::ImageSpec {
            image: args.image.clone(),
            ..Default::default()
        }),
        // Long enough for what its start has stirred up to be over.
        command: vec![
            "sleep".to_owned(),
            if args.deaths { "1" } else { "100000" }.to_owned(),
        ],
        linux: Some(v1::LinuxContainerConfig::default()),
        ..Default::default()
    }
}

async fn remove_all(cri: &GrpcCri) -> Result<()> {
    let listed = cri.list_pod_sandboxes(None).await?;
    let ours = listed.iter().filter(|sandbox| sandbox.labels.contains_key(OURS));
    let removals = ours.map(|sandbox| async {
        let id = SandboxId::from(&*sandbox.id);
        cri.stop_pod_sandbox(&id).await?;
        cri.remove_pod_sandbox(&id).await
    });
    join_all(removals).await.into_iter().collect::<Result<(), _>>()?;
    Ok(())
}
