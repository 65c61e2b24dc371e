//! Lifecycle hooks: who waits for them, and how long.

use anyhow::{Result, ensure};
use rustlet_lab::kube::{Seen, condition, eventually};
use serde_json::{Value, json};

use crate::support::{Case, LIMIT, Lab, address, echo_container, pod, restarts, shell, status};

fn hooked(name: &str, container: Value, lifecycle: Value) -> Value {
    let mut pod = pod(name, None, json!([container]));
    pod["spec"]["containers"][0]["lifecycle"] = lifecycle;
    pod
}

fn exec(script: &str) -> Value {
    json!({"exec": {"command": ["sh", "-c", script]}})
}

/// Waits until the echo server has been asked for a path.
fn heard(case: &Case<'_>, listener: &Value, path: &str) -> Result<()> {
    eventually(&format!("a request for {path}"), LIMIT, || {
        let log = case.logs(listener, "echo")?;
        Ok(if log.contains(&format!("GET {path} ")) {
            Seen::Yes(())
        } else {
            Seen::No(log)
        })
    })
}

/// A container counts as running when its hook is done, and the hook runs beside it.
pub(crate) fn post_start(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "post-start")?;
    let listener = case.run(pod("listener", None, json!([echo_container()])))?;
    let switch = |to: &str| {
        let url = format!("http://{}:8000/live/{to}", address(&listener));
        lab.curl(lab.tool(0)?, &url)
    };
    switch("off")?;
    let wait = format!(
        "until wget -q -O /tmp/hook http://{}:8000/live; do sleep 0.1; done",
        address(&listener)
    );
    let lifecycle = json!({"postStart": exec(&wait)});
    case.create("pods", &hooked("waits", shell("exec sleep 1000"), lifecycle))?;
    case.expect_events("waits", &["Started"])?;
    let waits = case.pod("waits")?;
    ensure!(
        waits["status"]["phase"] == "Pending" && status(&waits)["state"]["running"].is_null(),
        "{}",
        waits["status"]
    );
    switch("on")?;
    let done = case.until("waits", "ready", |pod| condition(pod, "Ready") == "True")?;
    ensure!(restarts(&done) == 0, "{}", done["status"]);
    ensure!(
        lab.exec(&done, &["cat", "/tmp/hook"])? == "ok\n",
        "the hook runs in the container"
    );
    let hook = json!({"httpGet": {"host": address(&listener), "port": 8000, "path": "/post-start"}});
    case.run(hooked(
        "calls",
        shell("exec sleep 1000"),
        json!({"postStart": hook}),
    ))?;
    heard(&case, &listener, "/post-start")
}

/// A container whose hook fails is killed, and tried again after a pause.
pub(crate) fn post_start_fails(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "post-start-fails")?;
    let lifecycle = json!({"postStart": exec("echo not today >&2; exit 3")});
    case.create("pods", &hooked("fails", shell("exec sleep 1000"), lifecycle))?;
    let failed = case.until("fails", "restarted", |pod| restarts(pod) >= 1)?;
    let end = &status(&failed)["lastState"]["terminated"];
    ensure!(
        !end.is_null() && condition(&failed, "Ready") == "False",
        "{}",
        failed["status"]
    );
    case.expect_events("fails", &["FailedPostStartHook", "Killing", "BackOff"])?;
    let events = case.events("fails")?;
    let secret = events.iter().find(|(_, message)| message.contains("not today"));
    ensure!(secret.is_none(), "the hook's words may be secret: {secret:?}");
    Ok(())
}

/// A hook runs before the container is told to end: by request, by command, and by waiting.
pub(crate) fn pre_stop(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "pre-stop")?;
    let listener = case.run(pod("listener", None, json!([echo_container()])))?;
    let url = |path: &str| format!("http://{}:8000{path}", address(&listener));
    lab.curl(lab.tool(0)?, &url("/live/off"))?;
    // On SIGTERM the container itself calls too: after the hook, and while it still has its network.
    let last = |name: &str| {
        let end = format!("wget -q -O- {}; exit 0", url(&format!("/{name}-term")));
        shell(&format!("trap '{end}' TERM; while true; do sleep 0.1; done"))
    };
    for (name, hook) in [
        // Answered with 503: that it was asked is enough.
        (
            "asks",
            json!({"httpGet": {"host": address(&listener), "port": 8000, "path": "/live"}}),
        ),
        ("runs", exec(&format!("wget -q -O- {}", url("/runs-hook")))),
        ("sleeps", json!({"sleep": {"seconds": 2}})),
        ("fails", exec("exit 7")),
    ] {
        let mut pod = hooked(name, last(name), json!({"preStop": hook}));
        pod["spec"]["terminationGracePeriodSeconds"] = json!(30);
        pod["metadata"]["finalizers"] = json!(["rustlet.test/look"]);
        case.run(pod)?;
    }
    for name in ["asks", "runs", "sleeps", "fails"] {
        lab.kube.delete(&case.path("pods", name))?;
    }
    for name in ["asks", "runs", "sleeps", "fails"] {
        let over = case.until(name, "over", |pod| !status(pod)["state"]["terminated"].is_null())?;
        let end = &status(&over)["state"]["terminated"];
        ensure!(end["exitCode"] == 0, "{name} was killed: {end}");
        heard(&case, &listener, &format!("/{name}-term"))?;
    }
    case.expect_events("fails", &["Killing", "FailedPreStopHook"])?;
    let events = case.events("asks")?;
    ensure!(
        !events.iter().any(|(reason, _)| reason == "FailedPreStopHook"),
        "{events:?}"
    );
    let log = case.logs(&listener, "echo")?;
    let at = |path: &str| log.find(&format!("GET {path} "));
    ensure!(
        at("/runs-hook") < at("/runs-term") && at("/runs-hook").is_some(),
        "{log}"
    );
    ensure!(at("/live").is_some(), "{log}");
    for name in ["asks", "runs", "sleeps", "fails"] {
        lab.kube.merge(
            &case.path("pods", name),
            &json!({"metadata": {"finalizers": null}}),
        )?;
    }
    Ok(())
}

/// A hook that does not end is cut off with the grace period, and the container is killed.
pub(crate) fn pre_stop_within_grace(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "pre-stop-grace")?;
    let stubborn = shell("trap '' TERM; while true; do sleep 0.5; done");
    let mut pod = hooked("stays", stubborn, json!({"preStop": exec("sleep 10000")}));
    pod["spec"]["terminationGracePeriodSeconds"] = json!(2);
    pod["metadata"]["finalizers"] = json!(["rustlet.test/look"]);
    case.run(pod)?;
    lab.kube.delete(&case.path("pods", "stays"))?;
    let over = case.until("stays", "over", |pod| {
        !status(pod)["state"]["terminated"].is_null()
    })?;
    let end = &status(&over)["state"]["terminated"];
    ensure!(end["exitCode"] == 137, "{end}");
    lab.kube.merge(
        &case.path("pods", "stays"),
        &json!({"metadata": {"finalizers": null}}),
    )?;
    Ok(())
}
