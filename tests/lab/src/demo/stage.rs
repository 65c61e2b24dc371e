//! The scenes of the demo: each waits until one thing is true of the real cluster and returns what to show for it.
//!
//! They are questions to the world (API server, kernel, pods' own output) and know nothing of how it is displayed.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::inside::Residue;
use crate::kube::{self, Kube, Seen, condition, describe_pods, eventually};
use crate::net;
use crate::node::Node;
use crate::rules::{self, ServiceRules};

/// CoreDNS and the Service kube-dns.
pub const COREDNS: &str = include_str!("../../manifests/coredns.yaml");
/// The Deployment my-app.
pub const MY_APP: &str = include_str!("../../manifests/my-app.yaml");
/// The Service my-app-service.
pub const MY_APP_SERVICE: &str = include_str!("../../manifests/my-app-service.yaml");
/// A pod that asks my-app-service all the time.
pub const CLIENT: &str = include_str!("../../manifests/client.yaml");
/// Redis, its Service, the frontend and its Service.
pub const REDIS: &str = include_str!("../../manifests/redis.yaml");
/// A pod that asks frontend-service all the time.
pub const VISITOR: &str = include_str!("../../manifests/visitor.yaml");

/// How long a scene may take before it counts as failed.
const LIMIT: Duration = Duration::from_secs(120);

/// What a scene shows: a phrase beside its title, and lines below it.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Beside the title.
    pub detail: String,
    /// Below it.
    pub lines: Vec<String>,
}

impl Shown {
    /// Only what is beside the title.
    pub fn brief(self) -> Shown {
        Shown {
            lines: Vec::new(),
            ..self
        }
    }

    fn detail(detail: impl Into<String>) -> Shown {
        Shown {
            detail: detail.into(),
            lines: Vec::new(),
        }
    }
}

/// The world the scenes look at.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The API server.
    pub kube: &'a Kube,
    /// The nodes.
    pub nodes: &'a [Node],
    /// kube-proxy leaves unused chains for some later sync; rustlet does not.
    pub lazy_chains: bool,
}

impl Stage<'_> {
    /// CoreDNS runs with two ready replicas.
    pub fn coredns(&self) -> Result<Shown> {
        self.kube.apply("kube-system", COREDNS)?;
        let pods = self.ready("kube-system", "k8s-app=kube-dns", 2)?;
        // Ready pods are in the rules a moment later; a baseline taken before that would miss kube-dns's own chains.
        for (node, protocol) in self.nodes.iter().flat_map(|node| [(node, "udp"), (node, "tcp")]) {
            self.leads_to(node, (protocol, net::CLUSTER_DNS, 53), pods.len())?;
        }
        Ok(Shown::detail(format!(
            "kube-dns at 10.96.0.10, on {}",
            nodes_of(&pods)
        )))
    }

    /// What is on the nodes now.
    pub fn residue(&self) -> Result<Vec<Residue>> {
        self.nodes.iter().map(Node::residue).collect()
    }

    /// my-app exists and three of three replicas are ready.
    pub fn my_app(&self) -> Result<Shown> {
        self.kube.apply("default", MY_APP)?;
        let pods = self.ready("default", "app=my-app", 3)?;
        let lines = pods.iter().map(|pod| {
            let (node, ip) = (&pod["spec"]["nodeName"], &pod["status"]["podIP"]);
            format!(
                "{}  {}  {}",
                kube::name(pod),
                ip.as_str().unwrap_or("?"),
                node.as_str().unwrap_or("?")
            )
        });
        Ok(Shown {
            detail: format!("on {}", nodes_of(&pods)),
            lines: lines.collect(),
        })
    }

    /// my-app-service has an address, and its EndpointSlice three ready endpoints.
    pub fn cluster_ip(&self) -> Result<Shown> {
        self.kube.apply("default", MY_APP_SERVICE)?;
        let address = self.service_address("my-app-service")?;
        eventually("three ready endpoints of my-app-service", LIMIT, || {
            let ready = self.ready_endpoints("default", "my-app-service")?;
            Ok(Seen::equal(ready.len(), 3))
        })?;
        Ok(Shown::detail(format!("{address}:80, three endpoints")))
    }

    /// Every node sends my-app-service to exactly `count` pods.
    pub fn rules(&self, count: usize) -> Result<Shown> {
        let address = self.service_address("my-app-service")?;
        let mut shown = Shown::detail("");
        for node in self.nodes {
            let found = self.leads_to(node, ("tcp", address, 80), count)?;
            if shown.lines.is_empty() {
                shown.detail = format!("{} with {count} endpoints on every node", found.chain);
                let rules = std::iter::once(&found.entry).chain(&found.balance);
                shown.lines = rules.map(|rule| rules::brief(rule)).collect();
            }
        }
        Ok(shown)
    }

    /// The node's rules for one Service port, once they lead to `count` pods.
    fn leads_to(
        &self,
        node: &Node,
        (protocol, address, port): (&str, Ipv4Addr, u16),
        count: usize,
    ) -> Result<ServiceRules> {
        let what = format!(
            "{}: {protocol} {address}:{port} leads to {count} pods",
            node.name()
        );
        eventually(&what, LIMIT, || {
            Ok(
                match rules::service(&node.nat_rules()?, protocol, address, port) {
                    Some(found) if found.endpoints.len() == count => Seen::Yes(found),
                    Some(found) => Seen::No(format!("{} leads to {:?}", found.chain, found.endpoints)),
                    None => Seen::No("no KUBE-SVC chain for it".to_owned()),
                },
            )
        })
    }

    /// The client pod, asking by name, has been answered by every one of the `count` pods of my-app.
    pub fn client_reaches(&self, count: usize) -> Result<Shown> {
        self.kube.apply("default", CLIENT)?;
        self.ready("default", "app=client", 1)?;
        let pods = self.ready("default", "app=my-app", count)?;
        let wanted: BTreeSet<String> = pods.iter().map(|pod| kube::name(pod).to_owned()).collect();
        let client = self.kube.pod("default", "client")?;
        let asked_before = self.log(&client, "client")?.lines().count();
        let mut asked = 0;
        eventually(&format!("answers of {}", join(&wanted)), LIMIT, || {
            let log = self.log(&client, "client")?;
            let answers: Vec<&str> = log.lines().skip(asked_before).collect();
            asked = answers.len();
            let answered: BTreeSet<String> = answers
                .iter()
                .filter_map(|line| line.strip_prefix("pod: "))
                .map(str::to_owned)
                .collect();
            Ok(match wanted.is_subset(&answered) {
                true => Seen::Yes(()),
                false => Seen::No(format!("{asked} requests, answered by {}", join(&answered))),
            })
        })?;
        let lines = wanted
            .iter()
            .map(|name| format!("http://my-app-service -> pod: {name}"))
            .collect();
        Ok(Shown {
            detail: format!("all {count} answered within {asked} requests"),
            lines,
        })
    }

    /// Redis and the frontend are ready, on different nodes.
    pub fn redis_and_frontend(&self) -> Result<Shown> {
        self.kube.apply("default", REDIS)?;
        let redis = self.ready("default", "app=redis", 1)?;
        let frontend = self.ready("default", "app=frontend", 1)?;
        let (one, other) = (nodes_of(&redis), nodes_of(&frontend));
        if one == other {
            bail!("expected: Redis and the frontend on different nodes\n     saw: both on {one}");
        }
        Ok(Shown::detail(format!("Redis on {one}, frontend on {other}")))
    }

    /// A visitor sees the frontend count, so name, Service and Redis work across nodes.
    pub fn visits_are_counted(&self) -> Result<Shown> {
        self.kube.apply("default", VISITOR)?;
        let visitor = self.ready("default", "app=visitor", 1)?.remove(0);
        let lines = eventually("three visits counted in Redis", LIMIT, || {
            let log = self.log(&visitor, "visitor")?;
            let visits: Vec<String> = log
                .lines()
                .filter(|line| line.starts_with("visit "))
                .map(str::to_owned)
                .collect();
            Ok(match visits.len() >= 3 {
                true => Seen::Yes(visits),
                false => Seen::No(format!(
                    "the visitor saw: {}",
                    log.lines().next_back().unwrap_or("nothing yet")
                )),
            })
        })?;
        Ok(Shown {
            detail: "redis-service:6379 by name".to_owned(),
            lines: lines.into_iter().take(3).collect(),
        })
    }

    /// my-app has been scaled to `count`, and exactly so many pods are left.
    pub fn scale(&self, count: u32) -> Result<Shown> {
        self.kube.scale("default", "my-app", count)?;
        let pods = self.ready("default", "app=my-app", count as usize)?;
        Ok(Shown::detail(format!("{count}/{count} on {}", nodes_of(&pods))))
    }

    /// Deletes the stories and waits until the nodes look as they did `before`.
    pub fn delete(&self, before: &[Residue]) -> Result<Shown> {
        for manifest in [CLIENT, VISITOR, REDIS, MY_APP_SERVICE, MY_APP] {
            self.kube.delete_manifest("default", manifest)?;
        }
        eventually("no pods in namespace default", LIMIT, || {
            let pods = self.kube.pods("default", "")?;
            Ok(if pods.is_empty() {
                Seen::Yes(())
            } else {
                Seen::No(describe_pods(&pods))
            })
        })?;
        for (node, before) in self.nodes.iter().zip(before) {
            eventually(
                &format!("{}: nothing left of the deleted pods and Services", node.name()),
                LIMIT,
                || {
                    let mut left = node.residue()?.since(before);
                    left.retain(|item| !(self.lazy_chains && item.starts_with("chain ")));
                    Ok(if left.is_empty() {
                        Seen::Yes(())
                    } else {
                        Seen::No(left.join(", "))
                    })
                },
            )?;
        }
        Ok(Shown::detail("no sandbox, veth, address, rule, mount, cgroup"))
    }

    /// The last warnings and errors of every node's agent: a first hint at why something is not true.
    pub fn complaints(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for node in self.nodes {
            let log = std::fs::read_to_string(node.agent_log()).unwrap_or_default();
            let loud = |line: &&str| line.contains(" WARN ") || line.contains("ERROR ");
            let last: Vec<&str> = log.lines().rev().filter(loud).take(3).collect();
            lines.extend(
                last.iter()
                    .rev()
                    .map(|line| format!("{} said: {line}", node.name())),
            );
        }
        lines
    }

    /// Waits for exactly `count` pods, all of them ready and none on its way out.
    pub fn ready(&self, namespace: &str, selector: &str, count: usize) -> Result<Vec<Value>> {
        eventually(
            &format!("{count} ready pods {selector} in {namespace}"),
            LIMIT,
            || {
                let pods = self.kube.pods(namespace, selector)?;
                let ready = pods.iter().filter(|pod| {
                    condition(pod, "Ready") == "True" && pod["metadata"]["deletionTimestamp"].is_null()
                });
                Ok(match ready.count() == count && pods.len() == count {
                    true => Seen::Yes(pods),
                    false => Seen::No(describe_pods(&pods)),
                })
            },
        )
    }

    fn service_address(&self, name: &str) -> Result<Ipv4Addr> {
        let service = self
            .kube
            .get(&format!("/api/v1/namespaces/default/services/{name}"))?;
        let address = service["spec"]["clusterIP"].as_str().unwrap_or_default();
        address
            .parse()
            .with_context(|| format!("Service {name} has clusterIP {address:?}"))
    }

    /// Addresses of the ready endpoints of a Service.
    pub fn ready_endpoints(&self, namespace: &str, service: &str) -> Result<Vec<String>> {
        let path = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io/service-name%3D{service}"
        );
        let mut addresses = Vec::new();
        for slice in self.kube.list(&path)? {
            for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
                if endpoint["conditions"]["ready"] == true {
                    addresses.extend(endpoint["addresses"][0].as_str().map(str::to_owned));
                }
            }
        }
        Ok(addresses)
    }

    fn log(&self, pod: &Value, container: &str) -> Result<String> {
        self.node_of(pod)?.pod_logs(pod, container)
    }

    /// The node a pod runs on.
    pub fn node_of(&self, pod: &Value) -> Result<&Node> {
        let name = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let node = self.nodes.iter().find(|node| node.name() == name);
        node.with_context(|| {
            format!(
                "pod {} is on {name:?}, which is no node of the lab",
                kube::name(pod)
            )
        })
    }
}

/// The nodes of some pods, each once.
fn nodes_of(pods: &[Value]) -> String {
    let nodes: BTreeSet<String> = pods
        .iter()
        .filter_map(|pod| pod["spec"]["nodeName"].as_str())
        .map(str::to_owned)
        .collect();
    join(&nodes)
}

fn join(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "nobody".to_owned();
    }
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
