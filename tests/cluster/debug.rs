//! `kubectl debug`: a container added to a running pod, a copy of a pod, a pod that looks at a node.

use anyhow::{Context, Result, ensure};
use rustlet_lab::images;
use rustlet_lab::kube::{self, Seen, condition, eventually};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

use crate::client::{Protocol, Running};
use crate::support::{Case, LIMIT, Lab, address, echo_container, pod, restarts, shell};

/// What the pod to look into runs; `ps` shows it.
const WORK: &str = "sleep 4242";

fn debug(case: &Case<'_>, args: &[&str], input: &str) -> Result<String> {
    let cluster = case.lab.cluster();
    cluster.kubectl_stdin(&[&["debug", "-n", &case.ns], args].concat(), input)
}

/// The status of an ephemeral container.
fn ephemeral<'v>(pod: &'v Value, name: &str) -> &'v Value {
    let all = pod["status"]["ephemeralContainerStatuses"].as_array();
    all.into_iter()
        .flatten()
        .find(|s| s["name"] == name)
        .unwrap_or(&Value::Null)
}

fn ended(pod: &Value, name: &str) -> bool {
    !ephemeral(pod, name)["state"]["terminated"].is_null()
}

/// A debugger sees the processes of its target, runs once, and the pod is none the worse for it.
pub(crate) fn target(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "debug-target")?;
    let app = case.run(pod("app", None, json!([shell(&format!("exec {WORK}"))])))?;
    let look = "ps; echo seen from $(hostname); exit 3";
    let args = [
        "app",
        "--image",
        images::BUSYBOX,
        "--target=main",
        "-c",
        "debugger",
        "--",
        "sh",
        "-c",
        look,
    ];
    debug(&case, &args, "")?;
    let after = case.until("app", "looked into", |pod| ended(pod, "debugger"))?;
    let said = case.logs(&after, "debugger")?;
    ensure!(
        said.contains(WORK),
        "the target's processes are not there:\n{said}"
    );
    ensure!(said.contains("seen from app"), "not the pod's host name:\n{said}");

    let status = ephemeral(&after, "debugger");
    let end = &status["state"]["terminated"];
    ensure!(end["exitCode"] == 3 && end["reason"] == "Error", "{status}");
    ensure!(
        status["ready"] == false && status["restartCount"] == 0,
        "{status}"
    );
    ensure!(
        status["started"].is_null() && status["lastState"] == json!({}),
        "{status}"
    );
    ensure!(
        condition(&after, "Ready") == "True"
            && after["status"]["phase"] == "Running"
            && restarts(&after) == 0,
        "{}",
        after["status"]
    );
    ensure!(address(&after) == address(&app));
    let path = format!("/api/v1/namespaces/{}/events", case.ns);
    eventually("events about the debugger", LIMIT, || {
        let events = lab.kube.list(&path)?;
        let about = events
            .iter()
            .filter(|e| e["involvedObject"]["fieldPath"] == "spec.ephemeralContainers{debugger}");
        let reasons: Vec<_> = about.filter_map(|e| e["reason"].as_str()).collect();
        let all = ["Pulled", "Created", "Started"]
            .iter()
            .all(|r| reasons.contains(r));
        Ok(if all {
            Seen::Yes(())
        } else {
            Seen::No(format!("{reasons:?}"))
        })
    })?;

    // A second one comes; the first one is left as it is. What cannot be pulled harms nobody.
    let args = [
        "app",
        "--image=registry.invalid/none:1",
        "-c",
        "broken",
        "--",
        "true",
    ];
    debug(&case, &args, "")?;
    let args = [
        "app",
        "--image",
        images::BUSYBOX,
        "-c",
        "alone",
        "--",
        "sh",
        "-c",
        "ps; exec sleep 1000",
    ];
    debug(&case, &args, "")?;
    let after = case.until("app", "with three debuggers", |pod| {
        !ephemeral(pod, "alone")["state"]["running"].is_null()
            && ephemeral(pod, "broken")["state"]["waiting"]["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("Pull"))
    })?;
    ensure!(ephemeral(&after, "debugger") == status, "{after}");
    ensure!(condition(&after, "Ready") == "True", "{}", after["status"]);
    eventually("processes of its own alone", LIMIT, || {
        let said = case.logs(&after, "alone")?;
        ensure!(!said.contains(WORK), "processes of another container:\n{said}");
        Ok(if said.contains("sleep 1000") || said.contains("ps") {
            Seen::Yes(())
        } else {
            Seen::No(said)
        })
    })?;

    lab.kube.delete(&case.path("pods", "app"))?;
    eventually("the pod gone, running debugger and all", LIMIT, || {
        let pods = lab.kube.pods(&case.ns, "")?;
        Ok(if pods.is_empty() {
            Seen::Yes(())
        } else {
            Seen::No(kube::describe_pods(&pods))
        })
    })
}

/// Asks until somebody answers: what is said before one is attached is not repeated.
const ASK: &str = "until read -t 1 line; do echo who is there; done; echo heard $line";

/// Answers, hears the session out to its `last` word, and returns all that was said. The input stays open until then:
/// what a container says after its end may be lost, on upstream's nodes too.
fn answer(mut session: Running, last: &str) -> Result<String> {
    session.until("who is there")?;
    session.write(b"ahoy\n")?;
    session.until(last)?;
    Ok(session.end(LIMIT)?.text())
}

/// `kubectl debug -it` as a person uses it: what is typed arrives, what is said comes back; for a pod and for a node.
/// And a running debugger can be attached to, executed in, and read.
pub(crate) fn interactive(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "debug-interactive")?;
    case.run(pod("app", None, json!([shell(&format!("exec {WORK}"))])))?;
    let look = format!("{ASK}; ps; test -t 0 && echo terminal; echo seen it all");
    for (how, name) in [("-it", "terminal"), ("-i", "pipe")] {
        let kubectl = lab.cluster().client();
        // util-linux' script gives kubectl a terminal.
        let line = format!(
            "exec {} --kubeconfig {} debug -n {} app {how} --image {} --target=main -c {name} -- sh -c '{look}'",
            kubectl.program().display(),
            kubectl.kubeconfig().display(),
            case.ns,
            images::BUSYBOX,
        );
        let (program, args) = if how == "-it" {
            ("script", vec!["-qec", &line, "/dev/null"])
        } else {
            ("sh", vec!["-c", &line])
        };
        #[expect(clippy::disallowed_methods, reason = "a client that talks while it runs")]
        let mut command = Command::new(program);
        let said = answer(
            Running::start(command.args(args).stdin(Stdio::piped()))?,
            "seen it all",
        )?;
        ensure!(said.contains(WORK), "{how}:\n{said}");
        ensure!(said.contains("\nterminal") == (how == "-it"), "{how}:\n{said}");
    }
    let open = |args: &[&str]| Running::open(&case, Protocol::WebSocket, args);
    let node = format!("node/{}", lab.node_name(0));
    let (image, look) = (images::BUSYBOX, format!("{ASK}; ls /host; echo seen it all"));
    let debugger = open(&["debug", &node, "-i", "--image", image, "--", "sh", "-c", &look])?;
    let said = answer(debugger, "seen it all")?;
    ensure!(said.contains("etc"), "{said}");

    let stays = ["app", "-i", "--attach=false", "--image", image, "-c", "stays"];
    debug(&case, &[&stays[..], &["--", "sh", "-c", ASK]].concat(), "")?;
    case.until("app", "debugged", |pod| {
        !ephemeral(pod, "stays")["state"]["running"].is_null()
    })?;
    let inside = |verb, rest: &[&str]| {
        let args = [&[verb, "-n", &case.ns, "app", "-c", "stays"], rest].concat();
        lab.cluster().kubectl(&args)
    };
    let said = inside("exec", &["--", "echo", "also here"])?;
    ensure!(said == "also here\n", "{said}");
    answer(open(&["attach", "app", "-c", "stays", "-i"])?, "heard ahoy")?;
    case.until("app", "looked into", |pod| ended(pod, "stays"))?;
    let said = inside("logs", &[])?;
    ensure!(said.contains("heard ahoy"), "{said}");
    Ok(())
}

/// A debugger comes to a container that keeps failing, before any of it runs, and to a pod still initializing; a
/// pod's end does not wait for it.
pub(crate) fn any_state(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "debug-any-state")?;
    let mut stuck = pod("stuck", None, json!([shell(WORK)]));
    stuck["spec"]["initContainers"] = json!([{
        "name": "init", "image": images::BUSYBOX, "command": ["sh", "-c", "exec sleep 4243"]}]);
    case.create("pods", &stuck)?;
    case.create("pods", &pod("crash", None, json!([shell("exit 7")])))?;
    let mut once = pod(
        "once",
        None,
        json!([shell("until test -f /go/on; do sleep 0.2; done")]),
    );
    once["spec"]["restartPolicy"] = json!("Never");
    once["spec"]["volumes"] = json!([{"name": "go", "emptyDir": {}}]);
    once["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "go", "mountPath": "/go"}]);
    case.run(once)?;
    case.until("stuck", "initializing", |pod| {
        !pod["status"]["initContainerStatuses"][0]["state"]["running"].is_null()
    })?;
    case.until("crash", "failing", |pod| restarts(pod) >= 1)?;
    for name in ["stuck", "crash"] {
        let args = [
            name,
            "--image",
            images::BUSYBOX,
            "-c",
            "debugger",
            "--",
            "echo",
            "here",
        ];
        debug(&case, &args, "")?;
        let after = case.until(name, "looked into", |pod| ended(pod, "debugger"))?;
        ensure!(
            ephemeral(&after, "debugger")["state"]["terminated"]["exitCode"] == 0,
            "{after}"
        );
        ensure!(condition(&after, "Ready") == "False", "{}", after["status"]);
        ensure!(case.logs(&after, "debugger")? == "here\n");
    }
    // This one uses a volume of the pod.
    let debugger = json!({
        "name": "debugger", "image": images::BUSYBOX, "command": ["sh", "-c", "touch /go/on; sleep 1000"],
        "imagePullPolicy": "IfNotPresent", "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": "go", "mountPath": "/go"}]});
    let path = case.path("pods", "once") + "/ephemeralcontainers";
    lab.kube
        .merge(&path, &json!({"spec": {"ephemeralContainers": [debugger]}}))?;
    let over = case.until("once", "over", |pod| pod["status"]["phase"] == "Succeeded")?;
    ensure!(
        ephemeral(&over, "debugger")["state"]["terminated"]["exitCode"] == 137,
        "{}",
        over["status"]
    );
    Ok(())
}

/// A copy of a pod with a debugger that shares its processes.
pub(crate) fn copy(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "debug-copy")?;
    let first = case.run(pod("app", None, json!([shell(&format!("exec {WORK}"))])))?;
    let args = [
        "app",
        "--copy-to=copy",
        "--share-processes",
        "--image",
        images::BUSYBOX,
        "-c",
        "debugger",
        "--",
        "sleep",
        "1000",
    ];
    debug(&case, &args, "")?;
    let copy = case.until("copy", "ready", |pod| condition(pod, "Ready") == "True")?;
    let seen = lab.node_of(&copy)?.pod_exec(&copy, "debugger", &["ps"])?;
    ensure!(seen.contains(WORK) && seen.contains("pause"), "{seen}");
    ensure!(address(&copy) != address(&first));
    Ok(())
}

/// A pod that looks at a node: its processes, its network, its files below `/host`.
pub(crate) fn node(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "debug-node")?;
    let node = &lab.nodes()[0];
    let look = "ls /host; echo comm: $(cat /proc/1/comm); ip addr; chroot /host ls /var/log/pods";
    let args = [
        &format!("node/{}", node.name()),
        "--image",
        images::BUSYBOX,
        "--",
        "sh",
        "-c",
        look,
    ];
    let said = debug(&case, &args, "")?;
    let name = said
        .split_whitespace()
        .find(|word| word.starts_with("node-debugger-"))
        .with_context(|| format!("kubectl names no pod: {said}"))?;
    let over = case.until(name, "over", |pod| pod["status"]["phase"] == "Succeeded")?;
    let (seen, container) = (&over["spec"], "debugger");
    ensure!(seen["hostPID"] == true && seen["hostNetwork"] == true, "{seen}");
    let said = case.logs(&over, container)?;
    ensure!(said.lines().any(|line| line == "etc"), "no /host/etc:\n{said}");
    ensure!(
        !said.contains("comm: sh\n"),
        "the container's own processes:\n{said}"
    );
    ensure!(
        said.contains(&format!("inet {}/", node.address())),
        "not the node's network:\n{said}"
    );
    let own = format!("{}_{name}_", case.ns);
    ensure!(
        said.lines().any(|line| line.starts_with(&own)),
        "not the node's /var/log/pods:\n{said}"
    );
    Ok(())
}

/// With a volume nobody else of the pod mounts.
pub(crate) fn new_volume(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "debug-volume")?;
    case.create(
        "configmaps",
        &json!({"metadata": {"name": "notes"}, "data": {"note": "read me\n"}}),
    )?;
    let mut app = pod("app", None, json!([echo_container()]));
    app["spec"]["volumes"] = json!([{"name": "notes", "configMap": {"name": "notes"}}]);
    case.run(app)?;
    let debugger = json!({
        "name": "debugger", "image": images::BUSYBOX, "command": ["cat", "/notes/note"],
        "imagePullPolicy": "IfNotPresent", "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": "notes", "mountPath": "/notes"}]});
    let path = case.path("pods", "app") + "/ephemeralcontainers";
    lab.kube
        .merge(&path, &json!({"spec": {"ephemeralContainers": [debugger]}}))?;
    let after = case.until("app", "looked into", |pod| ended(pod, "debugger"))?;
    ensure!(case.logs(&after, "debugger")? == "read me\n");
    Ok(())
}
