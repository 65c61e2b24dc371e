//! What probes say: gRPC and commands, in kubelet's words.

use anyhow::{Result, ensure};
use rustlet_lab::images;
use rustlet_lab::kube::{Seen, condition, eventually};
use serde_json::{Value, json};

use crate::support::{Case, LIMIT, Lab, address, pod, restarts, shell};

const HEALTH: &str = include_str!("grpc_health.py");

/// Waits for an event with this reason and message about a pod.
fn told(case: &Case<'_>, name: &str, reason: &str, message: &str) -> Result<()> {
    eventually(&format!("{name} is told: {message}"), LIMIT, || {
        let events = case.events(name)?;
        let found = events.iter().any(|(r, m)| r == reason && m == message);
        Ok(if found {
            Seen::Yes(())
        } else {
            Seen::No(format!("{events:#?}"))
        })
    })
}

/// A gRPC health server decides by its answers whether it is ready.
pub(crate) fn grpc(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "probes-grpc")?;
    let probe = json!({"grpc": {"port": 9000, "service": "any"}, "periodSeconds": 1});
    let mut server = json!({"name": "main", "image": images::PYTHON, "command": ["python3", "-c", HEALTH]});
    server["readinessProbe"] = probe;
    case.create("pods", &pod("server", None, json!([server])))?;
    let mut absent = shell("sleep 1000");
    absent["startupProbe"] = json!({"grpc": {"port": 9000}, "periodSeconds": 1, "failureThreshold": 100});
    case.create("pods", &pod("absent", None, json!([absent])))?;

    let running = case.until("server", "started", |pod| {
        !pod["status"]["containerStatuses"][0]["state"]["running"].is_null()
    })?;
    let say = |answer: &str| {
        let script = format!("open('/tmp/answer', 'w').write({answer:?})");
        lab.exec(&running, &["python3", "-c", &script])
    };
    let failed = |words: &str| {
        told(
            &case,
            "server",
            "Unhealthy",
            &format!("Readiness probe failed: {words}"),
        )
    };
    failed(r#"service unhealthy (responded with "NOT_SERVING")"#)?;
    say("0 1")?;
    case.until("server", "ready", |pod| condition(pod, "Ready") == "True")?;
    say("5 unknown service")?;
    failed("error: health rpc probe failed: rpc error: code = NotFound desc = unknown service")?;
    case.until("server", "not ready", |pod| condition(pod, "Ready") == "False")?;
    say("12 what?")?;
    failed("error: this server does not implement the grpc health protocol (grpc.health.v1.Health): what?")?;
    say("hang on")?;
    failed("timeout: health rpc did not complete within 1s")?;
    ensure!(restarts(&case.pod("server")?) == 0, "it was not to be restarted");

    let words = format!(
        "Startup probe failed: timeout: failed to connect service \"{}:9000\" within 1s: context deadline exceeded",
        address(&case.until("absent", "started", |pod| !address(pod).is_empty())?)
    );
    told(&case, "absent", "Unhealthy", &words)
}

/// Commands: variables in them, time limits, long output, and ones that cannot be run at all.
pub(crate) fn exec(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "probes-exec")?;
    let probe = |command: Value| json!({"exec": {"command": command}, "periodSeconds": 2, "failureThreshold": 1, "timeoutSeconds": 1});
    let probed = |name: &str, kind: &str, command: Value| -> Result<()> {
        let mut container = shell("sleep 1000");
        container["env"] = json!([{"name": "WHO", "value": "world"}]);
        container[kind] = probe(command);
        case.create("pods", &pod(name, None, json!([container])))
            .map(drop)
    };
    probed("slow", "livenessProbe", json!(["sleep", "30"]))?;
    let greet = json!(["sh", "-c", "echo hello $(WHO) $(NOBODY 2>/dev/null) >&2; exit 3"]);
    probed("words", "readinessProbe", greet)?;
    probed("none", "livenessProbe", json!(["/no/such/command"]))?;
    let told = |name: &str, reason: &str, words: &str| told(&case, name, reason, words);
    told(
        "slow",
        "Unhealthy",
        r#"Liveness probe failed: command timed out: "sleep 30" timed out after 1s"#,
    )?;
    told(
        "slow",
        "Killing",
        "Container main failed liveness probe, will be restarted",
    )?;
    case.until("slow", "restarted", |pod| restarts(pod) > 0)?;
    told("words", "Unhealthy", "Readiness probe failed: hello world\n")?;
    let errored = "Liveness probe errored and resulted in unknown state: rpc error: code = Unknown desc = failed to exec in container: ";
    eventually("a command that is not there", LIMIT, || {
        let events = case.events("none")?;
        let found = events
            .iter()
            .any(|(r, m)| r == "Unhealthy" && m.starts_with(errored));
        Ok(if found {
            Seen::Yes(())
        } else {
            Seen::No(format!("{events:#?}"))
        })
    })?;
    ensure!(restarts(&case.pod("none")?) == 0, "nothing is known of it");
    Ok(())
}
