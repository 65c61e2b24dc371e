//! One builder per component: what it watches, what it may call, what it shows.

use super::addresses;
use super::bridge::node_facts;
use super::supervise::Supervisor;
use crate::api::informer::{self, Query};
use crate::api::{Change, Client, ConfigReader, Recorder, events};
use crate::config::Config;
use crate::cri::grpc::GrpcCri;
use crate::kubelet::env::ServiceEnv;
use crate::kubelet::metrics::KubeletMetrics;
use crate::kubelet::server::stream::Streams;
use crate::kubelet::{Kubelet, KubeletDeps, host};
use crate::model::Object;
use crate::model::net::Node;
use crate::model::pod::Pod;
use crate::model::service::{EndpointSlice, Service};
use crate::network::Network;
use crate::proxy::{self, Proxy};
use crate::sys::iptables;
use crate::telemetry::server::Admin;
use rustls::server::ResolvesServerCert;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

const NODES: &str = "/api/v1/nodes";
/// Changes of Pods that may wait.
const PODS_QUEUE: usize = 64;

/// What components are built from.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// Settings; each component gets its section.
    pub config: &'a Config,
    /// Runs what is built.
    pub supervisor: &'a Supervisor,
    /// Shows it.
    pub admin: &'a Admin,
    /// The API server.
    pub client: &'a Client,
    /// The certificate of the node's HTTPS API.
    pub serving: &'a Arc<dyn ResolvesServerCert>,
}

/// Where the pod side is told what it follows.
#[derive(Debug)]
pub struct Feeds {
    /// Pods bound to this node.
    pub pods: mpsc::Sender<Change<Pod>>,
    /// Services with a cluster IP.
    pub services: watch::Sender<Arc<Vec<ServiceEnv>>>,
    /// Our Node.
    pub own_node: watch::Sender<Option<Arc<Node>>>,
}

/// The pod side's ends of [`Feeds`].
#[derive(Debug)]
pub struct Inlets {
    pods: mpsc::Receiver<Change<Pod>>,
    services: watch::Receiver<Arc<Vec<ServiceEnv>>>,
    own_node: watch::Receiver<Option<Arc<Node>>>,
}

/// Both ends. Nothing is known yet.
pub fn feeds() -> (Feeds, Inlets) {
    let (pods, pods_out) = mpsc::channel(PODS_QUEUE);
    let (services, services_out) = watch::channel(Arc::default());
    let (own_node, own_node_out) = watch::channel(None);
    let feeds = Feeds {
        pods,
        services,
        own_node,
    };
    let inlets = Inlets {
        pods: pods_out,
        services: services_out,
        own_node: own_node_out,
    };
    (feeds, inlets)
}

impl Build<'_> {
    /// Pods bound to this node.
    pub fn our_pods(&self) -> mpsc::Receiver<Change<Pod>> {
        let ours = format!("spec.nodeName={}", self.config.node);
        self.watch("pods", Query::with_fields("/api/v1/pods", ours))
    }

    /// All Services.
    pub fn services(&self) -> mpsc::Receiver<Change<Service>> {
        self.watch("services", Query::all("/api/v1/services"))
    }

    /// Our Node.
    pub fn own_node(&self) -> mpsc::Receiver<Change<Node>> {
        let own = Query::with_fields(NODES, format!("metadata.name={}", self.config.node));
        self.watch("own node", own)
    }

    /// A watch; the agent is not ready before its first list.
    fn watch<T: Object>(&self, name: &'static str, query: Query) -> mpsc::Receiver<Change<T>> {
        let listed = self.admin.ready.wait_for(name);
        informer::watch(self.client.clone(), query, self.supervisor.signal(), listed)
    }

    /// Pod network: conflist, routes to the other nodes, masquerade.
    pub fn network(&self) {
        let nodes = self.watch::<Node>("nodes", Query::all(NODES));
        let network = Network::new(self.config.network.clone(), nodes, Arc::new(iptables::Process));
        let state = network.state();
        self.admin.state.register(
            "network",
            move || json!({"state": format!("{:?}", *state.borrow())}),
        );
        self.supervisor
            .component("network", network.run(self.supervisor.signal().token()));
    }

    /// Addresses that a reboot left reserved are given back.
    pub fn addresses(&self) -> anyhow::Result<()> {
        let reconcile = addresses::reconcile(Arc::new(self.runtime()?), self.supervisor.signal());
        self.supervisor.component("address reservations", reconcile);
        Ok(())
    }

    /// Services as rules of this node.
    pub fn proxy(&self, services: mpsc::Receiver<Change<Service>>, own: mpsc::Receiver<Change<Node>>) {
        let slices = Query::all("/apis/discovery.k8s.io/v1/endpointslices");
        let slices = self.watch::<EndpointSlice>("endpoint slices", slices);
        let facts = node_facts(own);
        let settings = proxy::Settings::new(&self.config.proxy.node);
        let proxy = Proxy::new(&settings, services, slices, facts)
            .with_events(Arc::new(self.recorder("kube-proxy")))
            .with_metrics(&self.admin.metrics);
        let status = proxy.status();
        self.admin.state.register("proxy", move || {
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
        let drain = self.supervisor.signal();
        self.supervisor
            .component("proxy", proxy.run(async move { drain.wait().await }));
    }

    /// The pod side, with the runtime behind it.
    pub fn kubelet(&self, inlets: Inlets) -> anyhow::Result<()> {
        let Inlets {
            pods,
            services,
            own_node,
        } = inlets;
        let config = &self.config.kubelet;
        let metrics = KubeletMetrics::default();
        let cri = self.runtime()?.observed(metrics.of_runtime());
        let images = match &config.image_socket {
            None => cri.clone(),
            Some(socket) => self.cri(socket)?.observed(metrics.of_runtime()),
        };
        self.client.observe(metrics.of_api());
        let deps = KubeletDeps {
            runtime: Arc::new(cri.clone()),
            images: Arc::new(images),
            pods: Arc::new(self.client.clone()),
            config_data: Arc::new(ConfigReader::new(self.client.clone())),
            nodes: Arc::new(self.client.clone()),
            events: Arc::new(self.recorder("kubelet")),
            config: Arc::new(config.clone()),
            server: Arc::new(self.config.server.clone()),
            serving: self.serving.clone(),
            streams: self.streams(),
            reviews: Arc::new(self.client.clone()),
            metrics,
            services,
            own_node,
            host: host::prepare(config)?,
        };
        let kubelet = Kubelet::new(deps, pods)?;
        self.supervisor
            .component("kubelet", kubelet.run(self.supervisor.signal()));
        Ok(())
    }

    /// The sessions of the node's API.
    fn streams(&self) -> Arc<Streams> {
        let streams: Arc<Streams> = Arc::default();
        let shown = streams.clone();
        self.admin
            .state
            .register("streams", move || json!({"open": shown.open()}));
        streams
    }

    /// The runtime; connects when it is first called.
    fn runtime(&self) -> anyhow::Result<GrpcCri> {
        self.cri(&self.config.kubelet.runtime_socket)
    }

    fn cri(&self, socket: &Path) -> anyhow::Result<GrpcCri> {
        Ok(GrpcCri::lazy(
            &socket.to_string_lossy(),
            self.config.kubelet.runtime_timeout,
        )?)
    }

    /// Events in the name of a component.
    fn recorder(&self, component: &'static str) -> Recorder {
        let source = events::Source {
            component,
            host: self.config.node.clone(),
        };
        let (recorder, poster) = Recorder::new(self.client.clone(), source, self.supervisor.signal());
        self.supervisor.component("events", poster);
        let (name, dropped) = (
            format!("{}_events_dropped", component.replace('-', "_")),
            recorder.dropped(),
        );
        self.admin
            .metrics
            .register(|registry| registry.register(name, "Events that did not fit the queue", dropped));
        recorder
    }
}
