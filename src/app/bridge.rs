//! Turns what one component or watch says into what another one reads. Components do not know each other's types; here
//! is where they are translated.

use crate::api::Change;
use crate::kubelet::env::{ServiceEnv, ServicePort};
use crate::model::net::Node;
use crate::model::service::Service;
use crate::model::{NamespacedName, Object};
use crate::proxy::NodeFacts;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Tells Services as Pods' environment names them. Returns once the first list is told: a Pod that started before would
/// miss them for its whole life. False when the changes end before that.
pub async fn service_envs(
    mut changes: mpsc::Receiver<Change<Service>>,
    tell: watch::Sender<Arc<Vec<ServiceEnv>>>,
) -> bool {
    let Some(first) = changes.recv().await else {
        return false;
    };
    let mut services = BTreeMap::new();
    take(&mut services, first);
    tell.send_replace(all(&services));
    tokio::spawn(async move {
        while let Some(change) = changes.recv().await {
            take(&mut services, change);
            // A burst of changes is one new value.
            while let Ok(change) = changes.try_recv() {
                take(&mut services, change);
            }
            if tell.send(all(&services)).is_err() {
                return;
            }
        }
    });
    true
}

/// Passes changes on to a reader that was there before their source was.
pub fn pass_on<T: Object>(mut changes: mpsc::Receiver<Change<T>>, to: mpsc::Sender<Change<T>>) {
    tokio::spawn(async move {
        while let Some(change) = changes.recv().await {
            if to.send(change).await.is_err() {
                return;
            }
        }
    });
}

fn all(services: &BTreeMap<NamespacedName, ServiceEnv>) -> Arc<Vec<ServiceEnv>> {
    Arc::new(services.values().cloned().collect())
}

fn take(services: &mut BTreeMap<NamespacedName, ServiceEnv>, change: Change<Service>) {
    match change {
        Change::Replaced(all) => {
            services.clear();
            services.extend(
                all.iter()
                    .filter_map(|service| Some((service.metadata.key(), service_env(service)?))),
            );
        }
        Change::Applied(service) => {
            match service_env(&service) {
                Some(env) => services.insert(service.metadata.key(), env),
                None => services.remove(&service.metadata.key()),
            };
        }
        Change::Deleted(service) => {
            services.remove(&service.metadata.key());
        }
    }
}

/// Tells our Node, from when it exists.
pub fn own_node(mut changes: mpsc::Receiver<Change<Node>>, tell: watch::Sender<Option<Arc<Node>>>) {
    tokio::spawn(async move {
        while let Some(change) = changes.recv().await {
            if let Some(node) = told(change) {
                tell.send_replace(Some(node));
            }
        }
    });
}

/// A Node that is deleted is registered again; until then what it said still holds.
fn told(change: Change<Node>) -> Option<Arc<Node>> {
    match change {
        Change::Replaced(nodes) => nodes.into_iter().next(),
        Change::Applied(node) => Some(node),
        Change::Deleted(_) => None,
    }
}

/// What the proxy must know of our Node, as the Node says it; empty until it exists.
pub fn node_facts(mut changes: mpsc::Receiver<Change<Node>>) -> watch::Receiver<NodeFacts> {
    let (sender, receiver) = watch::channel(NodeFacts::default());
    tokio::spawn(async move {
        while let Some(change) = changes.recv().await {
            let Some(node) = told(change) else { continue };
            let facts = NodeFacts {
                pod_cidrs: node.pod_cidrs().0,
                node_ips: node.internal_ips(),
            };
            sender.send_if_modified(|now| {
                let changed = *now != facts;
                *now = facts;
                changed
            });
        }
    });
    receiver
}

/// A Service as environment variables see it; `None` for one without cluster IP or ports.
fn service_env(service: &Service) -> Option<ServiceEnv> {
    let cluster_ip = service.spec.cluster_ip.parse().ok()?;
    let port = |port: &crate::model::service::ServicePort| {
        Some(ServicePort {
            name: (&*port.name).into(),
            port: u16::try_from(port.port).ok()?,
            protocol: port.protocol,
        })
    };
    let ports: Vec<ServicePort> = service.spec.ports.iter().filter_map(port).collect();
    if ports.is_empty() {
        return None;
    }
    let meta = &service.metadata;
    Some(ServiceEnv {
        namespace: (&*meta.namespace).into(),
        name: (&*meta.name).into(),
        cluster_ip,
        ports,
    })
}

#[cfg(test)]
mod tests;
