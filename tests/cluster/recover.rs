//! Agent, runtime, API server and whole node go down in the middle of everything. Whoever comes back goes on where things
//! were: no container is started anew that need not be, and nothing is left twice.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use rustlet_lab::images;
use rustlet_lab::inside::{Residue, container_id};
use rustlet_lab::kube::{self, Seen, condition, eventually, throughout};
use rustlet_lab::node::Node;
use serde_json::{Value, json};

use crate::agent::back;
use crate::life::{code, of, shared, sidecar, step};
use crate::support::{Case, LIMIT, Lab, Third, echo_container, pod, restarts, status};

const NOT_YET: &str = "sleep 1000";

/// Until this file of the volume `shared` is there.
fn until(file: &str) -> String {
    format!("until test -f /shared/{file}; do sleep 0.1; done")
}

fn has(file: &str) -> Value {
    json!({"exec": {"command": ["test", "-f", format!("/shared/{file}")]}, "periodSeconds": 1, "failureThreshold": 1000})
}

fn running(pod: &Value, name: &str) -> bool {
    !of(pod, name)["state"]["running"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready") == "True"
}

/// Since when a pod has been ready or not: it changes with every flip.
fn ready_since(pod: &Value) -> Value {
    let conditions = pod["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let ready = conditions.iter().find(|c| c["type"] == "Ready");
    ready.map_or(Value::Null, |c| json!([c["status"], c["lastTransitionTime"]]))
}

/// The containers of a pod: who they are, and how often they were restarted.
fn instances(pod: &Value) -> Vec<(Value, Value)> {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let all = lists
        .iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten();
    all.map(|s| (s["containerID"].clone(), s["restartCount"].clone()))
        .collect()
}

/// One case's pods on one node.
struct Here<'a> {
    case: Case<'a>,
    node: &'a Node,
}

impl<'a> Here<'a> {
    fn create(&self, mut pod: Value) -> Result<()> {
        pod["spec"]["nodeName"] = json!(self.node.name());
        pod["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        self.case.create("pods", &pod).map(drop)
    }

    /// A pod of one container with a script, and what else the container has.
    fn script(&self, name: &str, script: &str, more: Value) -> Result<()> {
        self.create(scripted(name, script, more))
    }

    fn touch(&self, name: &str, container: &str, file: &str) -> Result<()> {
        let path = format!("/shared/{file}");
        let pod = self.case.pod(name)?;
        self.node.pod_exec(&pod, container, &["touch", &path]).map(drop)
    }

    fn ready(&self, name: &str) -> Result<Value> {
        self.case.until(name, "ready", is_ready)
    }

    fn path(&self, name: &str) -> String {
        self.case.path("pods", name)
    }

    /// Deletes a pod as if its node were lost.
    fn force_delete(&self, name: &str) -> Result<()> {
        let path = format!("{}?gracePeriodSeconds=0", self.path(name));
        self.case.lab.kube.delete(&path)
    }

    /// The same containers as before, none restarted, and ready ever since.
    fn untouched(&self, before: &Value) -> Result<()> {
        let now = self.case.pod(kube::name(before))?;
        ensure!(
            instances(&now) == instances(before),
            "before: {}\nnow: {}",
            kube::describe_pod(before),
            kube::describe_pod(&now)
        );
        ensure!(
            ready_since(&now) == ready_since(before),
            "{}: {} became {}",
            kube::name(before),
            ready_since(before),
            ready_since(&now)
        );
        Ok(())
    }

    /// Everything of the case is deleted, and the node has nothing of it.
    fn nothing_left(self, before: &Residue) -> Result<()> {
        let (lab, node) = (self.case.lab, self.node);
        drop(self.case);
        eventually(&format!("{}: nothing left", node.name()), LIMIT, || {
            let mut left = node.residue()?.since(before);
            // kube-proxy deletes unused chains at some later sync.
            left.retain(|item| !(lab.upstream && item.starts_with("chain ")));
            Ok(if left.is_empty() {
                Seen::Yes(())
            } else {
                Seen::No(left.join(", "))
            })
        })
    }
}

fn scripted(name: &str, script: &str, more: Value) -> Value {
    let mut main = step("main", script);
    for (key, value) in more.as_object().into_iter().flatten() {
        main[key] = value.clone();
    }
    shared(name, json!([]), json!([main]))
}

/// SIGKILL of the agent: while an image is pulled, while init containers, a sidecar, a postStart hook, a startup probe and
/// a preStop hook are under way, with pods that are not ready or crash; and what happens while nobody looks.
pub(crate) fn killed(lab: &Lab) -> Result<()> {
    let node = &lab.nodes()[0];
    let residue = node.residue()?;
    let here = Here {
        case: Case::new(lab, "recover-killed")?,
        node,
    };
    let case = &here.case;
    // Another case may have pulled it; that it never was is fine.
    let _ = node.ctr(&["images", "rm", "--sync", images::REDIS]);
    let mut steady = echo_container();
    steady["livenessProbe"] = json!({"httpGet": {"path": "/live", "port": 8000}, "periodSeconds": 1});
    here.create(pod("steady", None, json!([steady])))?;
    here.create(shared(
        "init",
        json!([step("first", &until("go"))]),
        json!([step("main", NOT_YET)]),
    ))?;
    let mut helper = sidecar("helper", NOT_YET);
    helper["startupProbe"] = has("up");
    here.create(shared("sidecar", json!([helper]), json!([step("main", NOT_YET)])))?;
    let hook = json!({"postStart": {"exec": {"command": ["sh", "-c", until("hooked")]}}});
    here.script("hook", NOT_YET, json!({"lifecycle": hook}))?;
    here.script("starting", NOT_YET, json!({"startupProbe": has("up")}))?;
    let up = "touch /shared/up; sleep 1000";
    here.script("started", up, json!({"startupProbe": has("up")}))?;
    here.script("unready", NOT_YET, json!({"readinessProbe": has("ready")}))?;
    here.script("crash", "exit 3", json!({}))?;
    let hook = json!({"preStop": {"exec": {"command": ["sh", "-c", "touch /shared/hook; sleep 1000"]}}});
    let mut ending = scripted("ending", NOT_YET, json!({"lifecycle": hook}));
    ending["spec"]["terminationGracePeriodSeconds"] = json!(15);
    here.create(ending)?;
    for name in ["doomed", "again", "sandbox", "image"] {
        here.script(name, NOT_YET, json!({}))?;
    }
    let once = format!(
        "test -f /shared/die && sleep 1000; {}; echo last words > /dev/termination-log; exit 7",
        until("die")
    );
    here.script("dies", &once, json!({}))?;
    let mut job = scripted("job", &until("die"), json!({}));
    job["spec"]["restartPolicy"] = json!("Never");
    here.create(job)?;

    let steady = here.ready("steady")?;
    let started = here.ready("started")?;
    for name in ["doomed", "dies", "job", "image", "ending"] {
        here.ready(name)?;
    }
    let (again, sandbox) = (here.ready("again")?, here.ready("sandbox")?);
    let init = case.until("init", "initializes", |pod| running(pod, "first"))?;
    let sidecar = case.until("sidecar", "has begun", |pod| running(pod, "helper"))?;
    case.expect_events("hook", &["Started"])?;
    let starting = case.until("starting", "runs", |pod| running(pod, "main"))?;
    let unready = case.until("unready", "runs", |pod| {
        of(pod, "main")["started"] == true && condition(pod, "Ready") == "False"
    })?;
    node.pod_exec(&started, "main", &["rm", "/shared/up"])?;
    let crash = case.until("crash", "in a crash loop", |pod| {
        restarts(pod) >= 2 && status(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    })?;
    let ending = case.pod("ending")?;
    lab.kube.delete(&here.path("ending"))?;
    eventually("the preStop hook runs", LIMIT, || {
        Ok(
            match node.pod_exec(&ending, "main", &["test", "-f", "/shared/hook"]) {
                Ok(_) => Seen::Yes(()),
                Err(error) => Seen::No(format!("{error:#}")),
            },
        )
    })?;
    here.create(pod(
        "pulling",
        None,
        json!([{"name": "main", "image": images::REDIS}]),
    ))?;
    case.expect_events("pulling", &["Pulling"])?;

    node.kill_agent(Signal::SIGKILL)?;
    here.force_delete("doomed")?;
    here.force_delete("again")?;
    eventually("the name is free", LIMIT, || {
        Ok(lab
            .kube
            .find(&here.path("again"))?
            .map_or(Seen::Yes(()), |_| Seen::No("still there".into())))
    })?;
    here.script("again", NOT_YET, json!({}))?;
    here.touch("dies", "main", "die")?;
    here.touch("job", "main", "die")?;
    let mut containers = case.pod("image")?["spec"]["containers"].clone();
    containers[0]["image"] = json!(images::PYTHON);
    lab.kube
        .merge(&here.path("image"), &json!({"spec": {"containers": containers}}))?;
    let uid = sandbox["metadata"]["uid"].as_str().context("no uid")?;
    let filter =
        format!("labels.\"io.kubernetes.pod.uid\"=={uid},labels.\"io.cri-containerd.kind\"==sandbox");
    let pause = node.ctr(&["containers", "ls", "-q", &filter])?;
    node.ctr(&["tasks", "kill", "-s", "SIGKILL", pause.trim()])?;
    node.start_agent()?;
    back(lab, node)?;

    for name in ["pulling", "hook", "again"] {
        let pod = here.ready(name)?;
        // The pull may be over when the agent dies, and the start under way: the runtime then tells of an instance that
        // failed to start.
        let most = u64::from(name == "pulling");
        ensure!(restarts(&pod) <= most, "{}", kube::describe_pod(&pod));
    }
    ensure!(case.pod("again")?["metadata"]["uid"] != again["metadata"]["uid"]);
    let looped = case.pod("crash")?;
    if !lab.upstream {
        // Upstream tries at once, and begins anew with ten seconds.
        let known = |pod: &Value| (restarts(pod), status(pod)["state"]["waiting"]["message"].clone());
        ensure!(
            restarts(&looped) > restarts(&crash) || known(&looped) == known(&crash),
            "{:?} became {:?}",
            known(&crash),
            known(&looped)
        );
    }
    case.until("crash", "tried again", |pod| restarts(pod) > restarts(&crash))?;
    for (name, code, words) in [("dies", 7, "last words\n"), ("sandbox", 137, "")] {
        let again = case.until(name, "restarted", |pod| is_ready(pod) && restarts(pod) > 0)?;
        let end = &status(&again)["lastState"]["terminated"];
        ensure!(
            restarts(&again) == 1 && end["exitCode"] == code,
            "{}",
            again["status"]
        );
        ensure!(end["message"].as_str().unwrap_or_default() == words, "{end}");
    }
    let job = case.until("job", "over", |pod| pod["status"]["phase"] == "Succeeded")?;
    ensure!(
        code(&job, "main") == Some(0) && restarts(&job) == 0,
        "{}",
        job["status"]
    );
    let image = case.until("image", "replaced", |pod| is_ready(pod) && restarts(pod) == 1)?;
    ensure!(status(&image)["image"] == images::PYTHON, "{}", image["status"]);
    here.untouched(&steady)?;
    here.untouched(&started)?;
    here.untouched(&unready)?;
    for (before, container, file) in [
        (&init, "first", "go"),
        (&sidecar, "helper", "up"),
        (&starting, "main", "up"),
        (&unready, "main", "ready"),
    ] {
        let name = kube::name(before);
        if lab.upstream && ["sidecar", "starting"].contains(&name) {
            // Upstream takes a container for started when it meets it before its startup probe has been set up.
            continue;
        }
        let now = case.pod(name)?;
        ensure!(!is_ready(&now), "{name} is ready too soon: {}", now["status"]);
        here.touch(name, container, file)?;
        let now = here.ready(name)?;
        ensure!(
            container_id(&now, container) == container_id(before, container)
                && instances(&now).iter().all(|(_, count)| *count == 0),
            "{name}: {}",
            now["status"]
        );
    }
    here.untouched(&started)?;
    here.nothing_left(&residue)
}

/// The runtime is killed and started again: containers live on, probes that cannot be made say nothing, and what ended or
/// was deleted meanwhile is seen to.
pub(crate) fn runtime_restarted(lab: &Lab) -> Result<()> {
    let node = &lab.nodes()[0];
    let residue = node.residue()?;
    let here = Here {
        case: Case::new(lab, "recover-runtime")?,
        node,
    };
    let case = &here.case;
    let up = "touch /shared/up; sleep 1000";
    let mut strict = has("up");
    strict["failureThreshold"] = json!(1);
    here.create(pod("steady", None, json!([echo_container()])))?;
    here.script(
        "asked",
        up,
        json!({"startupProbe": has("up"), "readinessProbe": has("up"), "livenessProbe": strict}),
    )?;
    let once = format!("test -f /shared/die && sleep 1000; {}; exit 7", until("die"));
    here.script("dies", &once, json!({}))?;
    here.create(shared(
        "init",
        json!([step("first", &until("go"))]),
        json!([step("main", NOT_YET)]),
    ))?;
    let mut leaving = scripted(
        "leaving",
        "trap 'exit 0' TERM; while true; do sleep 0.1; done",
        json!({}),
    );
    leaving["spec"]["terminationGracePeriodSeconds"] = json!(30);
    here.create(leaving)?;
    let (steady, asked, dies) = (here.ready("steady")?, here.ready("asked")?, here.ready("dies")?);
    here.ready("leaving")?;
    let init = case.until("init", "initializes", |pod| running(pod, "first"))?;

    node.kill_containerd(Signal::SIGKILL)?;
    let uid = dies["metadata"]["uid"].as_str().unwrap_or_default();
    let die = format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/shared/die");
    let down = || {
        node.write(&die, "")?;
        lab.kube.delete(&here.path("leaving"))?;
        throughout("pods without a runtime", Duration::from_secs(12), || {
            here.untouched(&steady)?;
            here.untouched(&asked)?;
            Ok(Seen::Yes(()))
        })
    };
    let said = down();
    node.start_containerd()?;
    said?;
    lab.cluster().wait_ready(node)?;

    let again = case.until("dies", "restarted", |pod| is_ready(pod) && restarts(pod) > 0)?;
    // How it ended the runtime does not know either.
    ensure!(
        restarts(&again) == 1 && status(&again)["lastState"]["terminated"]["exitCode"].is_number(),
        "{}",
        again["status"]
    );
    here.touch("init", "first", "go")?;
    let done = here.ready("init")?;
    ensure!(
        container_id(&done, "first") == container_id(&init, "first"),
        "{}",
        done["status"]
    );
    ensure!(
        instances(&done).iter().all(|(_, count)| *count == 0),
        "{}",
        done["status"]
    );
    eventually("the deleted pod is gone", LIMIT, || {
        Ok(lab
            .kube
            .find(&here.path("leaving"))?
            .map_or(Seen::Yes(()), |pod| Seen::No(kube::describe_pod(&pod))))
    })?;
    here.script("fresh", up, json!({"startupProbe": has("up")}))?;
    let fresh = here.ready("fresh")?;
    ensure!(restarts(&fresh) == 0, "{}", fresh["status"]);
    here.untouched(&steady)?;
    here.untouched(&asked)?;
    here.nothing_left(&residue)
}

/// The API server is away for a while: probes act on what they see, what crashes is started again, and all of it is told
/// when the API server is back.
pub(crate) fn api_server_down(lab: &Lab) -> Result<()> {
    let node = &lab.nodes()[0];
    let here = Here {
        case: Case::new(lab, "recover-api-server")?,
        node,
    };
    let case = &here.case;
    here.create(pod("steady", None, json!([echo_container()])))?;
    let ready = "touch /shared/ready; sleep 1000";
    let mut probe = has("ready");
    probe["failureThreshold"] = json!(1);
    here.script("flips", ready, json!({"readinessProbe": probe}))?;
    here.script("sick", ready, json!({"livenessProbe": probe}))?;
    let mut job = scripted("job", &until("die"), json!({}));
    job["spec"]["restartPolicy"] = json!("Never");
    here.create(job)?;
    let (steady, flips, sick) = (here.ready("steady")?, here.ready("flips")?, here.ready("sick")?);
    here.ready("job")?;

    let control = lab.cluster().control();
    let job = case.pod("job")?;
    control.kill_component("kube-apiserver", Signal::SIGKILL)?;
    let down = || {
        for pod in [&flips, &sick] {
            node.pod_exec(pod, "main", &["rm", "/shared/ready"])?;
        }
        node.pod_exec(&job, "main", &["touch", "/shared/die"])?;
        let uid = sick["metadata"]["uid"].as_str().unwrap_or_default();
        let old = container_id(&sick, "main").unwrap_or_default();
        let filter =
            format!("labels.\"io.kubernetes.pod.uid\"=={uid},labels.\"io.cri-containerd.kind\"==container");
        eventually("the sick container is replaced", LIMIT, || {
            let ids = node.ctr(&["containers", "ls", "-q", &filter])?;
            let tasks = node.ctr(&["tasks", "ls"])?;
            let new = ids.lines().filter(|id| *id != old);
            let runs = new
                .clone()
                .any(|id| tasks.lines().any(|t| t.starts_with(id) && t.ends_with("RUNNING")));
            Ok(if runs {
                Seen::Yes(())
            } else {
                Seen::No(format!("{ids} {tasks}"))
            })
        })?;
        let known: Vec<&str> = [&steady, &flips]
            .into_iter()
            .filter_map(|pod| container_id(pod, kube_container(pod)))
            .collect();
        throughout("the others run on", Duration::from_secs(15), || {
            ensure!(node.agent_pid().is_some(), "the agent has ended");
            let tasks = node.ctr(&["tasks", "ls"])?;
            let runs = |id: &&&str| {
                !tasks
                    .lines()
                    .any(|t| t.starts_with(**id) && t.ends_with("RUNNING"))
            };
            let gone: Vec<_> = known.iter().filter(runs).collect();
            Ok(if gone.is_empty() {
                Seen::Yes(())
            } else {
                Seen::No(format!("{gone:?}"))
            })
        })
    };
    let said = down();
    control.revive_api_server()?;
    said?;
    lab.cluster().wait_ready(node)?;

    let now = case.until("flips", "not ready", |pod| condition(pod, "Ready") == "False")?;
    ensure!(instances(&now) == instances(&flips), "{}", now["status"]);
    let again = case.until("sick", "restarted", |pod| is_ready(pod) && restarts(pod) > 0)?;
    ensure!(restarts(&again) == 1, "{}", again["status"]);
    case.until("job", "over", |pod| pod["status"]["phase"] == "Succeeded")?;
    let now = here.ready("steady")?;
    ensure!(
        instances(&now) == instances(&steady) && now["metadata"]["uid"] == steady["metadata"]["uid"],
        "{}",
        now["status"]
    );
    let told = case.events("steady")?;
    ensure!(
        !told
            .iter()
            .any(|(reason, _)| reason == "Killing" || reason == "Evicted"),
        "{told:?}"
    );
    Ok(())
}

/// The name of a pod's first container.
fn kube_container(pod: &Value) -> &str {
    pod["spec"]["containers"][0]["name"].as_str().unwrap_or_default()
}

/// The power fails. What should run runs again after it, in a new sandbox, counted as a restart; what was over is over; the
/// Node says that it was rebooted.
pub(crate) fn power_cut(lab: &Lab) -> Result<()> {
    let third = Third::new(lab)?;
    let node: &Node = &third;
    let taint = &["--register-with-taints=lab-test=recover:NoSchedule"];
    node.start_agent_with(taint)?;
    lab.cluster().adopt(node)?;
    lab.cluster().wait_ready(node)?;
    let residue = node.residue()?;
    let here = Here {
        case: Case::new(lab, "recover-power")?,
        node,
    };
    let case = &here.case;
    let up = "touch /shared/up; sleep 1000";
    here.create(shared(
        "web",
        json!([step("first", "echo once >> /shared/log"), sidecar("helper", up)]),
        json!([step("main", up)]),
    ))?;
    for (name, script) in [("over", "exit 0"), ("cut", NOT_YET)] {
        let mut job = scripted(name, script, json!({}));
        job["spec"]["restartPolicy"] = json!("Never");
        here.create(job)?;
    }
    let mut leaving = scripted("leaving", NOT_YET, json!({}));
    leaving["spec"]["terminationGracePeriodSeconds"] = json!(600);
    here.create(leaving)?;
    let web = here.ready("web")?;
    here.ready("cut")?;
    here.ready("leaving")?;
    let over = case.until("over", "over", |pod| pod["status"]["phase"] == "Succeeded")?;
    lab.kube.delete(&here.path("leaving"))?;
    let path = format!("/api/v1/nodes/{}", node.name());
    let first = lab.kube.get(&path)?["status"]["nodeInfo"]["bootID"].clone();

    let boot = "0e5ce5a5-7d5b-4d39-8f3c-2b9a0a6b1c3d";
    node.power_cut(boot)?;
    node.start_containerd()?;
    node.start_agent_with(taint)?;
    back(lab, node)?;

    eventually("the Node has another boot id", LIMIT, || {
        let now = lab.kube.get(&path)?["status"]["nodeInfo"]["bootID"].clone();
        Ok(if now == boot && now != first {
            Seen::Yes(())
        } else {
            Seen::No(now.to_string())
        })
    })?;
    let words = format!("Node {} has been rebooted, boot id: {boot}", node.name());
    eventually("the event Rebooted", LIMIT, || {
        let events = lab.kube.list("/api/v1/namespaces/default/events")?;
        let about = events
            .iter()
            .filter(|e| e["involvedObject"]["name"] == node.name());
        let told = about
            .clone()
            .any(|e| e["reason"] == "Rebooted" && e["type"] == "Warning" && e["message"] == words.as_str());
        Ok(if told {
            Seen::Yes(())
        } else {
            Seen::No(format!(
                "{:?}",
                about.map(|e| e["message"].clone()).collect::<Vec<_>>()
            ))
        })
    })?;
    let again = case.until("web", "restarted", |pod| is_ready(pod) && restarts(pod) > 0)?;
    ensure!(again["metadata"]["uid"] == web["metadata"]["uid"]);
    for name in ["first", "helper", "main"] {
        let s = of(&again, name);
        ensure!(s["restartCount"] == 1, "{name}: {s}");
    }
    let log = node.pod_exec(&again, "main", &["cat", "/shared/log"])?;
    ensure!(log == "once\nonce\n", "init ran again, on the same volume: {log}");
    let cut = case.until("cut", "failed", |pod| pod["status"]["phase"] == "Failed")?;
    ensure!(restarts(&cut) == 0, "{}", cut["status"]);
    let still = case.pod("over")?;
    ensure!(
        still["status"]["phase"] == "Succeeded" && instances(&still) == instances(&over),
        "{}",
        still["status"]
    );
    eventually("the deleted pod is gone", LIMIT, || {
        Ok(lab
            .kube
            .find(&here.path("leaving"))?
            .map_or(Seen::Yes(()), |pod| Seen::No(kube::describe_pod(&pod))))
    })?;
    here.nothing_left(&residue)
}
