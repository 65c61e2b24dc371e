//! The node agent: built from its parts, started, and ended in order.

use super::bridge::{node_facts, service_envs};
use super::fanout::fan_out;
use super::supervise::Supervisor;
use crate::api::informer::{self, Query};
use crate::api::{Change, Client, ConfigReader, Recorder, events, kubeconfig};
use crate::config::{Config, NetworkMode, ProxyMode};
use crate::cri::{self, grpc::GrpcCri};
use crate::kubelet::env::ServiceEnv;
use crate::kubelet::{Kubelet, KubeletDeps};
use crate::model::Object;
use crate::model::net::Node;
use crate::model::pod::Pod;
use crate::model::service::{EndpointSlice, Service};
use crate::network::Network;
use crate::proxy::{self, Proxy};
use crate::sys::iptables;
use crate::task::{Drain, DrainSignal, Ready};
use crate::telemetry::server::{self, Admin};
use crate::telemetry::{DebugState, Metrics};
use anyhow::{Context, bail};
use jiff::Timestamp;
use sd_notify::NotifyState;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// tokio workers: a node agent waits, it does not compute.
const WORKERS: usize = 2;
/// How long components have to put down what they do after a SIGTERM. Nothing waits for containers.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs the agent until SIGTERM or SIGINT (success) or until it cannot go on (failure). Containers run on either way.
pub fn main(config: Arc<Config>) -> anyhow::Result<()> {
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
    log_panics();
    let mut supervisor = Supervisor::new(Drain::new());
    let drain = supervisor.signal();
    supervisor.component(
        "signals",
        end_on_signals(supervisor.drain_starter(), drain.clone())?,
    );
    let admin = build_admin(&config, &supervisor);
    let result = work(&config, &mut supervisor, &admin).await;
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
async fn work(config: &Arc<Config>, supervisor: &mut Supervisor, admin: &Admin) -> anyhow::Result<()> {
    let drain = supervisor.signal();
    let Some(client) = build_client(config, &drain).await? else {
        return Ok(());
    };
    let watches = Watches {
        client: &client,
        ready: &admin.ready,
        drain: &drain,
    };
    let ours = Query::with_fields("/api/v1/pods", format!("spec.nodeName={}", config.node));
    let pods = watches.of::<Pod>("pods", ours);
    if config.network.mode == NetworkMode::Bridge {
        build_network(config, supervisor, admin, &watches);
    }
    let services = watches.of::<Service>("services", Query::all("/api/v1/services"));
    let services = match config.proxy.mode {
        ProxyMode::None => services,
        ProxyMode::Iptables => {
            let [for_proxy, services] = fan_out(services);
            build_proxy(config, supervisor, admin, &watches, for_proxy);
            services
        }
    };
    supervisor.component("readiness", say_ready(admin.ready.clone(), drain.clone()));
    // Failures are looked at while the first list is waited for, too.
    let failure = tokio::select! {
        failure = supervisor.wait() => failure,
        envs = service_envs(services) => {
            let Some(envs) = envs else { return Ok(()) };
            build_kubelet(config, supervisor, &client, pods, envs)?;
            supervisor.wait().await
        }
    };
    match failure {
        None => Ok(()),
        Some(failure) => bail!("{failure}: the agent cannot go on without it"),
    }
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

/// A client the API server has answered; `None` when the drain began before it did.
async fn build_client(config: &Config, drain: &DrainSignal) -> anyhow::Result<Option<Client>> {
    let file = &config.api.kubeconfig;
    let found = kubeconfig::load(file, &config.node, Timestamp::now())?;
    for warning in &found.warnings {
        tracing::warn!("{}: {warning}", file.display());
    }
    if let Some(identity) = &found.identity {
        tracing::info!(user = %identity.common_name, expires = %identity.not_after, "client certificate");
    }
    let client = Client::new(&found)?;
    notify(&[NotifyState::Status("waiting for the API server")]);
    match client.wait_until_reachable(&config.node, drain).await {
        None => Ok(None),
        Some(result) => {
            result.with_context(|| format!("the API server of {}", file.display()))?;
            tracing::info!(server = %found.server, "API server reached");
            Ok(Some(client))
        }
    }
}

/// What the API server tells us, each watch counted in before the agent is ready.
struct Watches<'a> {
    client: &'a Client,
    ready: &'a Ready,
    drain: &'a DrainSignal,
}

impl Watches<'_> {
    fn of<T: Object>(&self, name: &'static str, query: Query) -> mpsc::Receiver<Change<T>> {
        informer::watch(
            self.client.clone(),
            query,
            self.drain.clone(),
            self.ready.wait_for(name),
        )
    }
}

/// Pod network: conflist, routes to the other nodes, masquerade.
fn build_network(config: &Config, supervisor: &Supervisor, admin: &Admin, watches: &Watches<'_>) {
    let nodes = watches.of::<Node>("nodes", Query::all("/api/v1/nodes"));
    let network = Network::new(config.network.clone(), nodes, Arc::new(iptables::Process));
    let state = network.state();
    admin.state.register(
        "network",
        move || json!({"state": format!("{:?}", *state.borrow())}),
    );
    supervisor.component("network", network.run(supervisor.signal().token()));
}

/// Services as rules of this node.
fn build_proxy(
    config: &Config,
    supervisor: &Supervisor,
    admin: &Admin,
    watches: &Watches<'_>,
    services: mpsc::Receiver<Change<Service>>,
) {
    let slices = watches.of::<EndpointSlice>(
        "endpoint slices",
        Query::all("/apis/discovery.k8s.io/v1/endpointslices"),
    );
    let own = Query::with_fields("/api/v1/nodes", format!("metadata.name={}", config.node));
    let facts = node_facts(watches.of::<Node>("own node", own));
    let recorder = build_recorder(config, supervisor, watches.client, "kube-proxy");
    let proxy = Proxy::new(&proxy::Settings::new(&config.proxy.node), services, slices, facts)
        .with_events(Arc::new(recorder))
        .with_metrics(&admin.metrics);
    let status = proxy.status();
    admin.state.register("proxy", move || {
        let status = status.borrow();
        json!({
            "ready": status.ready,
            "servicePorts": status.service_ports,
            "endpoints": status.endpoints,
            "rules": status.rules,
            "lastSync": status.last_sync.map(|at| at.to_string()),
            "lastError": status.last_error,
        })
    });
    let drain = supervisor.signal();
    supervisor.component("proxy", proxy.run(async move { drain.wait().await }));
}

/// The pod side, with the runtime behind it.
fn build_kubelet(
    config: &Config,
    supervisor: &Supervisor,
    client: &Client,
    pods: mpsc::Receiver<Change<Pod>>,
    services: watch::Receiver<Arc<Vec<ServiceEnv>>>,
) -> anyhow::Result<()> {
    let cri = GrpcCri::lazy(
        &config.kubelet.runtime_socket.to_string_lossy(),
        cri::grpc::REQUEST_TIMEOUT,
    )?;
    let deps = KubeletDeps {
        runtime: Arc::new(cri.clone()),
        images: Arc::new(cri),
        pods: Arc::new(client.clone()),
        config_data: Arc::new(ConfigReader::new(client.clone())),
        nodes: Arc::new(client.clone()),
        events: Arc::new(build_recorder(config, supervisor, client, "kubelet")),
        config: Arc::new(config.kubelet.clone()),
        services,
    };
    let kubelet = Kubelet::new(deps, pods)?;
    supervisor.component("kubelet", kubelet.run(supervisor.signal()));
    Ok(())
}

fn build_recorder(
    config: &Config,
    supervisor: &Supervisor,
    client: &Client,
    component: &'static str,
) -> Recorder {
    let source = events::Source {
        component,
        host: config.node.clone(),
    };
    let (recorder, poster) = Recorder::new(client.clone(), source, supervisor.signal());
    supervisor.component("events", poster);
    recorder
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
