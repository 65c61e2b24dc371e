//! How pods end: deadlines, last words, and pods that never started.

use anyhow::{Result, ensure};
use rustlet_lab::images;
use rustlet_lab::kube::{Seen, condition, eventually};
use serde_json::json;

use crate::support::{Case, LIMIT, Lab, pod, shell, status};

/// A pod may be active for so long; the limit may change meanwhile.
pub(crate) fn deadline(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "deadline")?;
    let stubborn = "trap '' TERM; while true; do sleep 0.5; done";
    let mut short = pod("short", None, json!([shell(stubborn)]));
    short["spec"]["activeDeadlineSeconds"] = json!(3);
    case.create("pods", &short)?;
    let changed = case.run(pod("changed", None, json!([shell("sleep 1000")])))?;
    ensure!(changed["status"]["phase"] == "Running", "{}", changed["status"]);
    lab.kube.merge(
        &case.path("pods", "changed"),
        &json!({"spec": {"activeDeadlineSeconds": 1}}),
    )?;
    for name in ["short", "changed"] {
        let end = case.until(name, "Failed", |pod| pod["status"]["phase"] == "Failed")?;
        ensure!(end["status"]["reason"] == "DeadlineExceeded", "{}", end["status"]);
        let words = "Pod was active on the node longer than the specified deadline";
        ensure!(end["status"]["message"] == words, "{}", end["status"]);
        ensure!(
            status(&end)["state"]["terminated"]["exitCode"] == 137,
            "{}",
            end["status"]
        );
        ensure!(condition(&end, "Ready") == "False", "{}", end["status"]);
        case.expect_events(name, &["DeadlineExceeded", "Killing"])?;
    }
    Ok(())
}

/// Last words come from the file, cut to their end, or from the log of a container that failed.
pub(crate) fn last_words(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "last-words")?;
    let long = "i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done";
    let many = format!("{long}; exit 1");
    let file = "printf '%05000d' 7 > /tmp/words; exit 1";
    for (name, policy, script) in [
        ("file", "File", file),
        ("log", "FallbackToLogsOnError", many.as_str()),
        ("success", "FallbackToLogsOnError", long),
    ] {
        let mut container = shell(script);
        container["terminationMessagePath"] = json!("/tmp/words");
        container["terminationMessagePolicy"] = json!(policy);
        let mut object = pod(name, None, json!([container]));
        object["spec"]["restartPolicy"] = json!("Never");
        case.create("pods", &object)?;
    }
    let words = |name: &str| -> Result<String> {
        let end = case.until(name, "ended", |pod| !status(pod)["state"]["terminated"].is_null())?;
        let message = &status(&end)["state"]["terminated"]["message"];
        Ok(message.as_str().unwrap_or_default().to_owned())
    };
    let file = words("file")?;
    ensure!(file.len() == 4096 && file.ends_with('7'), "{} bytes", file.len());
    let log = words("log")?;
    let lines: Vec<_> = log.lines().collect();
    ensure!(
        lines.len() == 80 && log.ends_with("line 998\nline 999\n"),
        "{} lines: {log}",
        lines.len()
    );
    ensure!(words("success")?.is_empty(), "who succeeds has said nothing");
    Ok(())
}

/// Pods that never started are gone soon after their deletion: no image, no volume, no sandbox yet.
pub(crate) fn never_started(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "never-started")?;
    let mut nameless = pod(
        "image",
        None,
        json!([{"name": "main", "image": "registry.test/none:1"}]),
    );
    nameless["spec"]["terminationGracePeriodSeconds"] = json!(30);
    let mut volume = pod("volume", None, json!([shell("sleep 1000")]));
    volume["spec"]["volumes"] = json!([{"name": "none", "configMap": {"name": "none"}}]);
    volume["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "none", "mountPath": "/none"}]);
    let mut init = pod("init", None, json!([shell("sleep 1000")]));
    init["spec"]["initContainers"] =
        json!([{"name": "never", "image": images::BUSYBOX, "command": ["sh", "-c", "exit 1"]}]);
    for object in [nameless, volume, init] {
        case.create("pods", &object)?;
    }
    for name in ["image", "volume", "init"] {
        case.until(name, "seen by its node", |pod| {
            !pod["status"]["startTime"].is_null()
        })?;
        lab.kube.delete(&case.path("pods", name))?;
    }
    case.create(
        "pods",
        &pod("brief", Some(lab.node_name(0)), json!([shell("sleep 1000")])),
    )?;
    lab.kube.delete(&case.path("pods", "brief"))?;
    eventually("all pods gone", LIMIT, || {
        let left = lab.kube.pods(&case.ns, "")?;
        Ok(if left.is_empty() {
            Seen::Yes(())
        } else {
            Seen::No(rustlet_lab::kube::describe_pods(&left))
        })
    })
}
