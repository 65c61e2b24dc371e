//! The stories a node must carry, as the demo tells them, asserted step by step.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use rustlet_lab::demo::stage::{CLIENT, MY_APP, MY_APP_SERVICE, REDIS};
use rustlet_lab::kube::{self, Seen, eventually};
use rustlet_lab::rules;
use serde_json::json;

use crate::support::{Case, LIMIT, Lab};

/// Story A: Deployment → pods → Service → rules → a client that reaches every replica by name; 5 replicas; 3 again.
pub(crate) fn story_a(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "story-a")?;
    case.apply(MY_APP)?;
    let pods = case.ready("app=my-app", 3)?;
    for pod in &pods {
        let address: Ipv4Addr = pod["status"]["podIP"].as_str().unwrap_or_default().parse()?;
        ensure!(
            pod["status"]["podIPs"] == json!([{"ip": address.to_string()}]),
            "podIPs: {}",
            pod["status"]["podIPs"]
        );
        let cidr =
            lab.kube.get(&format!("/api/v1/nodes/{}", case.node_name(pod)))?["spec"]["podCIDR"].clone();
        ensure!(
            in_cidr(address, cidr.as_str().unwrap_or_default()),
            "{address} is not in its node's {cidr}"
        );
    }

    case.apply(MY_APP_SERVICE)?;
    let address = case.cluster_ip("my-app-service")?;
    leads_to(lab, address, 3)?;
    case.apply(CLIENT)?;
    case.ready("app=client", 1)?;
    client_hears(&case, 3)?;

    lab.kube.scale(&case.ns, "my-app", 5)?;
    case.ready("app=my-app", 5)?;
    leads_to(lab, address, 5)?;
    client_hears(&case, 5)?;
    lab.kube.scale(&case.ns, "my-app", 3)?;
    case.ready("app=my-app", 3)?;
    leads_to(lab, address, 3)?;

    lab.kube.delete(&case.path("services", "my-app-service"))?;
    for node in lab.nodes() {
        eventually(
            &format!("{}: no rules for the deleted Service", node.name()),
            LIMIT,
            || {
                let rules = node.nat_rules()?;
                let left: Vec<&String> = rules
                    .iter()
                    .filter(|rule| rule.contains(&format!("{}/", case.ns)))
                    .collect();
                Ok(if left.is_empty() {
                    Seen::Yes(())
                } else {
                    Seen::No(format!("{left:?}"))
                })
            },
        )?;
    }
    Ok(())
}

/// Story D: a frontend counts in Redis on another node by name; when the Redis pod dies its successor takes over.
pub(crate) fn story_d(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "story-d")?;
    case.apply(REDIS)?;
    let redis = case.ready("app=redis", 1)?.remove(0);
    let frontend = case.ready("app=frontend", 1)?.remove(0);
    ensure!(
        case.node_name(&redis) != case.node_name(&frontend),
        "both on {}",
        case.node_name(&redis)
    );
    let url = format!("http://frontend-service.{}", case.ns);
    let visit = || -> Result<u32> {
        let page = lab.curl(lab.tool(0)?, &url)?;
        let number = page
            .strip_prefix("visit ")
            .and_then(|rest| rest.split(',').next());
        number
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| anyhow::anyhow!("the page says {page:?}"))
    };
    let first = eventually("a counted visit", LIMIT, || visit().map(Seen::Yes))?;
    ensure!(
        visit()? == first + 1 && visit()? == first + 2,
        "visits are not counted one by one"
    );

    lab.kube.delete(&case.path("pods", kube::name(&redis)))?;
    let gone = kube::name(&redis).to_owned();
    eventually("a new Redis pod", LIMIT, || {
        let pods = lab.kube.pods(&case.ns, "app=redis")?;
        let replaced =
            pods.len() == 1 && kube::name(&pods[0]) != gone && kube::condition(&pods[0], "Ready") == "True";
        Ok(if replaced {
            Seen::Yes(())
        } else {
            Seen::No(kube::describe_pods(&pods))
        })
    })?;
    let counted = eventually("visits counted by the new Redis", LIMIT, || {
        visit().map(Seen::Yes)
    })?;
    ensure!(counted <= 2, "the new Redis starts empty, but counted {counted}");
    for _ in 0..10 {
        visit()?;
    }
    Ok(())
}

/// Every node sends the address to exactly `count` pods.
fn leads_to(lab: &Lab, address: Ipv4Addr, count: usize) -> Result<()> {
    for node in lab.nodes() {
        eventually(
            &format!("{}: {address}:80 leads to {count} pods", node.name()),
            LIMIT,
            || {
                let found =
                    rules::service(&node.nat_rules()?, "tcp", address, 80).map(|found| found.endpoints);
                let seen = found.as_ref().map_or(0, Vec::len);
                Ok(if seen == count {
                    Seen::Yes(())
                } else {
                    Seen::No(format!("{found:?}"))
                })
            },
        )?;
    }
    Ok(())
}

/// From now on the client is answered by all `count` pods and by nobody else.
fn client_hears(case: &Case<'_>, count: usize) -> Result<()> {
    let pods = case.ready("app=my-app", count)?;
    let wanted: BTreeSet<String> = pods.iter().map(|pod| kube::name(pod).to_owned()).collect();
    let client = case.pod("client")?;
    let known = case.logs(&client, "client")?.lines().count();
    eventually(&format!("answers of {wanted:?}"), LIMIT, || {
        let log = case.logs(&client, "client")?;
        let heard: BTreeSet<String> = log
            .lines()
            .skip(known)
            .filter_map(|line| line.strip_prefix("pod: "))
            .map(str::to_owned)
            .collect();
        Ok(if heard == wanted {
            Seen::Yes(())
        } else {
            Seen::No(format!("{heard:?}"))
        })
    })
}

fn in_cidr(address: Ipv4Addr, cidr: &str) -> bool {
    let Some((base, length)) = cidr.split_once('/') else {
        return false;
    };
    let (Ok(base), Ok(length)) = (base.parse::<Ipv4Addr>(), length.parse::<u32>()) else {
        return false;
    };
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    address.to_bits() & mask == base.to_bits() & mask
}
