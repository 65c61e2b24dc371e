//! The smaller doors of the node's API: status pages in every form, health as metrics, the machine's log files, knobs
//! for debugging, checkpoints.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use rustlet_lab::kube::{Seen, eventually};
use serde_json::{Value, json};

use crate::caller::{Answer, Caller};
use crate::support::{Case, LIMIT, Lab, pod, shell};

/// A request to the node, not through the API server: it would make an `Accept` header of its own.
fn ask(caller: &Caller<'_>, method: &str, target: &str, headers: &str) -> Result<Answer> {
    caller
        .fetch(method, target, headers)
        .with_context(|| format!("{method} {target} {headers:?}"))
}

/// `/statusz` and `/flagz` as text, as objects, and not at all.
pub(crate) fn status_pages(lab: &Lab) -> Result<()> {
    let admin = Caller::admin(lab)?;
    for (page, kind, field) in [
        ("statusz", "Statusz", "binaryVersion"),
        ("flagz", "Flagz", "flags"),
    ] {
        let path = format!("/{page}");
        for accepted in [
            "",
            "Accept: */*\r\n",
            "Accept: text/plain\r\n",
            "Accept: text/*;q=0.1\r\n",
        ] {
            let found = ask(&admin, "GET", &path, accepted)?;
            let head =
                format!("\nkubelet {page}\nWarning: This endpoint is not meant to be machine parseable");
            ensure!(
                found.code == 200 && found.body.starts_with(&head),
                "{accepted:?} gives {found:?}"
            );
        }
        for version in ["v1alpha1", "v1beta1"] {
            let form = format!("v={version};g=config.k8s.io;as={kind}");
            let accepted = format!("Accept: text/plain;q=0.5, application/json;{form};q=0.9\r\n");
            let found = ask(&admin, "GET", &path, &accepted)?;
            let object: Value = serde_json::from_str(&found.body).with_context(|| format!("{found:?}"))?;
            ensure!(
                object["kind"] == kind && object["apiVersion"] == format!("config.k8s.io/{version}"),
                "{object}"
            );
            ensure!(
                object["metadata"]["name"] == "kubelet" && !object[field].is_null(),
                "{object}"
            );
            let warned = found.head.to_ascii_lowercase().contains("\r\nwarning: 299 ");
            ensure!(warned == (version == "v1alpha1"), "{}", found.head);
            let found = ask(
                &admin,
                "GET",
                &path,
                &format!("Accept: application/yaml;{form}\r\n"),
            )?;
            ensure!(
                found.code == 200 && found.body.contains(&format!("kind: {kind}\n")),
                "{found:?}"
            );
        }
        for accepted in [
            "application/json",
            "text/html",
            "application/json;v=v2;g=config.k8s.io;as=Statusz",
            "application/cbor;v=v1beta1;g=config.k8s.io;as=Statusz",
        ] {
            let found = ask(&admin, "GET", &path, &format!("Accept: {accepted}\r\n"))?;
            let status: Value = serde_json::from_str(&found.body).with_context(|| format!("{found:?}"))?;
            ensure!(
                found.code == 406 && status["reason"] == "NotAcceptable",
                "{accepted} gives {found:?}"
            );
        }
    }
    Ok(())
}

/// Checks of health are counted at `/metrics/slis` when they are made all together; one by its name is not.
pub(crate) fn health_metrics(lab: &Lab) -> Result<()> {
    let admin = Caller::admin(lab)?;
    let count = || -> Result<u32> {
        let text = ask(&admin, "GET", "/metrics/slis", "")?.body;
        let name = "kubernetes_healthchecks_total{name=\"log\",status=\"success\",type=\"healthz\"} ";
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.map_or(0, |count| count.parse().unwrap_or(0)))
    };
    let before = count()?;
    for path in [
        "/healthz",
        "/healthz/log",
        "/healthz?exclude=log",
        "/healthz/ping",
    ] {
        ensure!(ask(&admin, "GET", path, "")?.code == 200, "{path}");
    }
    let after = count()?;
    ensure!(after == before + 1, "{before} checks, then {after}");
    let text = ask(&admin, "GET", "/metrics/slis", "")?.body;
    let gauge = "kubernetes_healthcheck{name=\"syncloop\",type=\"healthz\"} 1";
    ensure!(text.lines().any(|line| line == gauge), "{text}");
    Ok(())
}

/// Files of the node's `/var/log`, a part of one, and what is none.
pub(crate) fn node_logs(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "views-node-logs")?;
    let web = case.run(pod(
        "web",
        Some(lab.node_name(0)),
        json!([shell("echo here I am; sleep 1000")]),
    ))?;
    let admin = Caller::admin(lab)?;
    let get = |path: &str, headers: &str| ask(&admin, "GET", path, headers);
    let page = get("/logs/", "")?;
    ensure!(
        page.code == 200 && page.body.contains("<a href=\"pods/\">pods/</a>\n"),
        "{page:?}"
    );
    let uid = web["metadata"]["uid"].as_str().unwrap_or_default();
    let log = format!("/logs/pods/{}_web_{uid}/main/0.log", case.ns);
    eventually("the pod's log as a file of the node", LIMIT, || {
        let found = get(&log, "")?;
        Ok(if found.body.ends_with(" stdout F here I am\n") {
            Seen::Yes(())
        } else {
            Seen::No(format!("{found:?}"))
        })
    })?;
    // `2026-…`
    let part = get(&log, "Range: bytes=0-1\r\n")?;
    ensure!(part.code == 206 && part.body == "20", "{part:?}");
    ensure!(get(&log, "Range: bytes=99999-\r\n")?.code == 416);
    // `/var/log/containers` has links to it.
    let links = get("/logs/containers/", "")?.body;
    let link = links
        .lines()
        .find(|line| line.contains(&format!("web_{}_main", case.ns)));
    let link = link
        .and_then(|line| line.split('"').nth(1))
        .context("no link to the log")?;
    let linked = get(&format!("/logs/containers/{link}"), "")?;
    ensure!(linked.body.ends_with(" stdout F here I am\n"), "{linked:?}");

    let node = &lab.nodes()[0];
    node.exec(&["ln", "-sfn", "/etc/hostname", "/var/log/leads-out"])?;
    let out = get("/logs/leads-out", "")?;
    node.exec(&["rm", "/var/log/leads-out"])?;
    // Upstream follows every link.
    let expected = if lab.upstream { 200 } else { 403 };
    ensure!(out.code == expected, "a link out of /var/log: {out:?}");
    let directory = get(&log.replace("/0.log", ""), "")?;
    ensure!(
        directory.code == 301
            && directory
                .head
                .to_ascii_lowercase()
                .contains("\r\nlocation: main/\r\n"),
        "{directory:?}"
    );
    for (path, code) in [("/logs/nope", 404), ("/logs/?query=kubelet", 200)] {
        let found = get(path, "")?;
        ensure!(found.code == code, "{path}: {found:?}");
    }
    Ok(())
}

/// The verbosity of the log can be changed, by a number that is put; there is a command line to see.
pub(crate) fn debugging(lab: &Lab) -> Result<()> {
    let admin = Caller::admin(lab)?;
    let put = |body: &str| {
        let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        ask(&admin, "PUT", "/debug/flags/v", &length)
    };
    for level in ["5", "2"] {
        let found = put(level)?;
        let words = format!("successfully set klog.logging.verbosity to {level}\n");
        ensure!(found.code == 200 && found.body == words, "{found:?}");
    }
    for level in ["x", "-1"] {
        ensure!(put(level)?.code == 400, "{level}");
    }
    ensure!(ask(&admin, "POST", "/debug/flags/v", "")?.code == 406);
    let line = ask(&admin, "GET", "/debug/pprof/cmdline", "")?;
    ensure!(line.code == 200 && line.body.contains("--kubeconfig"), "{line:?}");
    Ok(())
}

/// Whether containers can be checkpointed on this machine: CRIU must fit the kernel.
pub(crate) fn cannot_checkpoint() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the runtime would call it as well")]
    let output = Command::new("criu").arg("check").output();
    match output {
        Err(error) => Some(format!("criu (a Debian package): {error}")),
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let first = said.lines().find(|line| line.contains("Error"));
            Some(format!("criu check fails here: {}", first.unwrap_or(&said)))
        }
    }
}

fn checkpoint(lab: &Lab, node: &str, path: &str) -> Result<(u16, Value)> {
    let path = format!("/api/v1/nodes/{node}/proxy/checkpoint/{path}");
    lab.kube.ask("POST", &path)
}

/// A checkpoint of a running container is an archive on the node, and the container runs on.
pub(crate) fn checkpoint_archive(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "views-checkpoint")?;
    let web = case.run(pod("web", None, json!([shell("exec sleep 1000")])))?;
    let (code, answer) = checkpoint(lab, case.node_name(&web), &format!("{}/web/main", case.ns))?;
    let path = answer["items"][0]
        .as_str()
        .with_context(|| format!("{code}: {answer}"))?;
    let prefix = format!("/var/lib/kubelet/checkpoints/checkpoint-web_{}-main-", case.ns);
    ensure!(path.starts_with(&prefix) && path.ends_with(".tar"), "{path}");
    let node = lab.node_of(&web)?;
    let files = node.exec(&["tar", "-tf", path])?;
    ensure!(
        files.contains("spec.dump") && files.contains("config.dump"),
        "{files}"
    );
    let mode = node.exec(&["stat", "-c", "%a", "/var/lib/kubelet/checkpoints"])?;
    ensure!(mode.trim() == "700", "{mode}");
    node.exec(&["rm", path])?;
    let after = case.pod("web")?;
    ensure!(crate::support::restarts(&after) == 0, "{}", after["status"]);
    Ok(())
}

/// Nobody's checkpoint is not found; one the runtime cannot make is an error in its words.
pub(crate) fn checkpoint_refused(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "views-no-checkpoint")?;
    let broken = json!({"name": "main", "image": "registry.invalid/none:1"});
    case.create("pods", &pod("web", Some(lab.node_name(0)), json!([broken])))?;
    let node = lab.node_name(0);
    let base = case.ns.clone();
    eventually("the node knows the pod", LIMIT, || {
        let (code, said) = checkpoint(lab, node, &format!("{base}/web/main"))?;
        Ok(match code {
            500 => Seen::Yes(said),
            404 => Seen::No(said.to_string()),
            _ => bail!("{code}: {said}"),
        })
    })
    .and_then(|said| {
        let words = format!("checkpointing of {base}/web/main failed (");
        ensure!(said.to_string().contains(&words), "{said}");
        Ok(())
    })?;
    for (path, words) in [
        ("nobody/main", "pod does not exist"),
        ("web/other", "container other does not exist"),
        ("web/main?timeout=x", "cannot parse value of timeout parameter"),
    ] {
        let (code, said) = checkpoint(lab, node, &format!("{base}/{path}"))?;
        ensure!(
            code == 404 && said.to_string().contains(words),
            "{path}: {code} {said}"
        );
    }
    Ok(())
}
