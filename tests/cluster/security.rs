//! Who a container is, and what it is called.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::support::{Case, Lab, pod, shell};

/// A group without a user goes with the image's user; an image of root is refused where root may not run, at every start.
pub(crate) fn users(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "users")?;
    let mut grouped = pod("grouped", None, json!([shell("id; sleep 3600")]));
    // The runtime refuses a group of the whole pod without a user: its sandbox has no image to take one from.
    grouped["spec"]["containers"][0]["securityContext"] = json!({"runAsGroup": 1234});
    let grouped = case.run(grouped)?;
    let id = lab.exec(&grouped, &["sh", "-c", "echo $(id -u) $(id -g)"])?;
    ensure!(id.trim() == "0 1234", "{id}");

    let mut refused = pod("refused", None, json!([shell("sleep 3600")]));
    refused["spec"]["securityContext"] = json!({"runAsNonRoot": true});
    case.create("pods", &refused)?;
    let waiting = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"].clone();
    let refused = case.until("refused", "refused", |pod| {
        waiting(pod)["reason"] == "CreateContainerConfigError"
    })?;
    let uid = refused["metadata"]["uid"].as_str().unwrap_or_default();
    let words = format!(
        "container has runAsNonRoot and image will run as root (pod: \"refused_{}({uid})\", container: main)",
        case.ns
    );
    ensure!(waiting(&refused)["message"] == words, "{refused}");
    Ok(())
}

/// A pod with a user namespace is root inside and nobody outside, and shares its ids with no other pod. Where the runtime
/// cannot do that, it says so and runs nothing.
pub(crate) fn user_namespaces(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "user-namespaces")?;
    let node = lab.kube.get(&format!("/api/v1/nodes/{}", lab.node_name(0)))?;
    let handlers = node["status"]["runtimeHandlers"].as_array();
    let default = handlers.and_then(|all| {
        all.iter()
            .find(|h| h["name"].as_str().unwrap_or_default().is_empty())
    });
    let able = default.is_some_and(|handler| handler["features"]["userNamespaces"] == true);
    let apart = |name: &str| {
        let mut container = shell("echo kept > /data/file; sleep 3600");
        container["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
        let mut pod = pod(name, Some(lab.node_name(0)), json!([container]));
        pod["spec"]["hostUsers"] = json!(false);
        pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
        pod
    };
    if !able {
        case.create("pods", &apart("refused"))?;
        case.expect_events("refused", &["FailedCreatePodSandBox"])?;
        let events = case.events("refused")?;
        let words = "can't set `spec.hostUsers: false`, runtime does not support user namespaces";
        ensure!(
            events.iter().any(|(_, message)| message.contains(words)),
            "{events:?}"
        );
        return Ok(());
    }
    let mut firsts = Vec::new();
    for name in ["one", "two"] {
        let pod = case.run(apart(name))?;
        let map = lab.exec(&pod, &["cat", "/proc/self/uid_map"])?;
        let numbers: Vec<u64> = map.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let [inside, outside, count] = numbers[..] else {
            anyhow::bail!("{map}");
        };
        ensure!(inside == 0 && count == 65536, "{map}");
        ensure!(outside >= 65536 && outside % 65536 == 0, "{map}");
        firsts.push(outside);
        let owner = lab.exec(&pod, &["stat", "-c", "%u", "/data/file"])?;
        ensure!(owner.trim() == "0", "the file is root's inside: {owner}");
        let uid = pod["metadata"]["uid"].as_str().context("uid")?;
        let file = format!("/var/lib/kubelet/pods/{uid}/userns");
        let known: Value = serde_json::from_str(&lab.nodes()[0].read(&file)?)?;
        ensure!(known["uidMappings"][0]["hostId"] == outside, "{known}");
    }
    ensure!(firsts[0] != firsts[1], "{firsts:?}");
    Ok(())
}

/// What a pod calls itself, and names that are too long.
pub(crate) fn names(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "names")?;
    let mut called = pod("called", None, json!([shell("sleep 3600")]));
    called["spec"]["hostnameOverride"] = json!("db.example.com");
    let called = case.run(called)?;
    ensure!(lab.exec(&called, &["hostname"])?.trim() == "db.example.com");
    let hosts = lab.exec(&called, &["cat", "/etc/hosts"])?;
    let ip = called["status"]["podIP"].as_str().unwrap_or_default();
    ensure!(hosts.contains(&format!("{ip}\tdb.example.com\n")), "{hosts}");

    let mut long = pod("long", None, json!([shell("sleep 3600")]));
    let host = "h".repeat(40);
    long["spec"]["hostname"] = json!(host);
    long["spec"]["subdomain"] = json!("sub");
    long["spec"]["setHostnameAsFQDN"] = json!(true);
    case.create("pods", &long)?;
    case.expect_events("long", &["FailedCreatePodSandBox"])?;
    let full = format!("{host}.sub.{}.svc.cluster.local", case.ns);
    let words = format!(
        "Failed to create pod sandbox: failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too \
         long (64 characters is the max, {} characters requested)",
        full.len()
    );
    let events = case.events("long")?;
    ensure!(events.iter().any(|(_, message)| *message == words), "{events:?}");
    Ok(())
}
