//! The node agent: built from its parts, started, and ended in order.

use super::bridge::{own_node, pass_on, service_envs};
use super::build::{Build, Feeds, feeds};
use super::credentials::{self, Credentials};
use super::fanout::fan_out;
use super::supervise::Supervisor;
use crate::config::{Config, NetworkMode, ProxyMode};
use crate::sys::heap;
use crate::task::{Drain, DrainSignal, Ready};
use crate::telemetry::server::{self, Admin};
use crate::telemetry::{DebugState, Metrics};
use anyhow::{Context, bail};
use sd_notify::NotifyState;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// tokio workers: a node agent waits, it does not compute.
const WORKERS: usize = 2;
/// How long components have to put down what they do after a SIGTERM. Nothing waits for containers.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs the agent until SIGTERM or SIGINT (success) or until it cannot go on (failure). Containers run on either way.
pub fn main(config: Arc<Config>) -> anyhow::Result<()> {
    heap::share();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(config));
    // Blocking calls to a runtime or kernel that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn run(config: Arc<Config>) -> anyhow::Result<()> {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), node = %config.node, ?config, "starting");
    if let Some(warning) = &config.warning {
        tracing::warn!("{warning}");
    }
    log_panics();
    let supervisor = Supervisor::new(Drain::new());
    let drain = supervisor.signal();
    supervisor.component(
        "signals",
        end_on_signals(supervisor.drain_starter(), drain.clone())?,
    );
    let admin = build_admin(&config, &supervisor);
    let result = work(&config, &supervisor, &admin).await;
    notify(&[NotifyState::Stopping]);
    let late = supervisor.into_drain().finish(DRAIN).await;
    if !late.is_empty() {
        tracing::warn!(components = late.join(" "), "ended by force");
    }
    if result.is_ok() {
        tracing::info!("agent ended; containers run on");
    }
    result
}

/// Everything between start and drain.
async fn work(config: &Config, supervisor: &Supervisor, admin: &Admin) -> anyhow::Result<()> {
    let drain = supervisor.signal();
    notify(&[NotifyState::Status("waiting for credentials")]);
    let found = credentials::keep(config, supervisor, admin, &drain).await?;
    let Some(Credentials { client, serving }) = found else {
        return Ok(());
    };
    let build = Build {
        config,
        supervisor,
        admin,
        client: &client,
        serving: &serving,
    };
    if config.network.mode == NetworkMode::Bridge {
        build.addresses()?;
    }
    let (feeds, inlets) = feeds();
    // Before the API server answers: it may be a static Pod of this node.
    build.kubelet(inlets)?;
    let failure = tokio::select! {
        failure = supervisor.wait() => failure,
        joined = join(&build, feeds, &drain) => {
            joined?;
            supervisor.wait().await
        }
    };
    match failure {
        None => Ok(()),
        Some(failure) => bail!("{failure}: the agent cannot go on without it"),
    }
}

/// Waits for the API server, then starts what lives by it, and feeds the pod side.
async fn join(build: &Build<'_>, feeds: Feeds, drain: &DrainSignal) -> anyhow::Result<()> {
    let Build {
        config, supervisor, ..
    } = build;
    if !reach_api(build, drain).await? {
        return Ok(());
    }
    let pods = build.our_pods();
    if config.network.mode == NetworkMode::Bridge {
        build.network();
    }
    let (services, own) = match config.proxy.mode {
        ProxyMode::None => (build.services(), build.own_node()),
        ProxyMode::Iptables => {
            let [for_proxy, services] = fan_out(build.services());
            let [own_for_proxy, own] = fan_out(build.own_node());
            build.proxy(for_proxy, own_for_proxy);
            (services, own)
        }
    };
    own_node(own, feeds.own_node);
    supervisor.component("readiness", say_ready(build.admin.ready.clone(), drain.clone()));
    if service_envs(services, feeds.services).await {
        pass_on(pods, feeds.pods);
    }
    Ok(())
}

/// Logs, metrics, state and health, where the configuration wants them.
fn build_admin(config: &Config, supervisor: &Supervisor) -> Admin {
    let admin = Admin {
        metrics: Metrics::new(),
        state: DebugState::new(),
        ready: Ready::new(),
    };
    if let Some(address) = config.telemetry.address {
        let serve = server::serve(address, admin.clone(), supervisor.signal());
        let drain = supervisor.signal();
        supervisor.component("admin server", async move {
            serve.await;
            drain.wait().await;
        });
    }
    admin
}

/// Waits until the API server answers; false when the drain began before it did.
async fn reach_api(build: &Build<'_>, drain: &DrainSignal) -> anyhow::Result<bool> {
    notify(&[NotifyState::Status("waiting for the API server")]);
    let config = build.config;
    match build.client.wait_until_reachable(&config.node, drain).await {
        None => Ok(false),
        Some(result) => {
            result.with_context(|| format!("the API server of {}", config.api.kubeconfig.display()))?;
            tracing::info!("API server reached");
            Ok(true)
        }
    }
}

/// Tells systemd once every first list is in.
async fn say_ready(ready: Ready, drain: DrainSignal) {
    if drain.unless_draining(ready.wait()).await.is_some() {
        tracing::info!("agent is ready");
        notify(&[NotifyState::Ready, NotifyState::Status("running")]);
    }
    drain.wait().await;
}

/// Without systemd there is nobody to tell, which is fine.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// SIGTERM and SIGINT begin the drain.
fn end_on_signals(
    start: impl Fn() + Send + 'static,
    drain: DrainSignal,
) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM handler")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT handler")?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = drain.wait() => return,
        };
        tracing::info!(signal = name, "ending; containers run on");
        start();
    })
}

/// Panics belong into the log like everything else.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(thread = thread.name().unwrap_or("?"), %backtrace, "panic: {info}");
    }));
}
