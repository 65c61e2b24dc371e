//! Static Pods: manifests on a node that run without the API server, and the mirrors that show them there.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use rustlet_lab::kube::{Seen, condition, eventually};
use rustlet_lab::node::Node;
use serde_json::{Value, json};

use crate::agent::back;
use crate::support::{Case, LIMIT, Lab, restarts, status};

const DIR: &str = "/etc/kubernetes/manifests";

/// The manifests of one case on one node; removed with it, and then their Pods go.
struct Manifests<'a> {
    case: &'a Case<'a>,
    node: &'a Node,
}

impl Drop for Manifests<'_> {
    fn drop(&mut self) {
        // The last case finds what this could not remove.
        let all = format!("rm -rf {DIR}/{0}-* /run/{0}", self.case.ns);
        let _ = self.node.exec(&["sh", "-c", &all]);
    }
}

impl<'a> Manifests<'a> {
    fn new(case: &'a Case<'a>) -> Self {
        let node = &case.lab.nodes()[0];
        Self { case, node }
    }

    /// A Pod that says a word and stays. Two of a name cannot run at once: each holds a directory of the node from its
    /// start until a second after it was told to end, and fails when it finds it taken.
    fn write(&self, name: &str, word: &str) -> Result<()> {
        let script = format!(
            "mkdir /shared/{name} || exit 1; trap 'sleep 1; rmdir /shared/{name}; exit 0' TERM; echo {word}; \
             while :; do sleep 0.1; done"
        );
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": self.case.ns},
            "spec": {
                "hostNetwork": true,
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 10,
                "containers": [{
                    "name": "main", "image": rustlet_lab::images::BUSYBOX, "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", script],
                    "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
                }],
                "volumes": [{
                    "name": "shared",
                    "hostPath": {"path": format!("/run/{}", self.case.ns), "type": "DirectoryOrCreate"},
                }],
            },
        });
        self.text(name, &pod.to_string())
    }

    fn text(&self, name: &str, text: &str) -> Result<()> {
        self.node.write(&self.path(name), text)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.node.exec(&["rm", &self.path(name)]).map(drop)
    }

    fn path(&self, name: &str) -> String {
        format!("{DIR}/{}-{name}.yaml", self.case.ns)
    }

    fn mirror(&self, name: &str) -> String {
        format!("{name}-{}", self.node.name())
    }

    /// Waits for a mirror that is ready, that says this by `kubectl logs`, and has another UID than that one.
    fn shown(&self, name: &str, word: &str, other: Option<&Value>) -> Result<Value> {
        let path = self.case.path("pods", &self.mirror(name));
        let pod = eventually(&format!("{path} is ready and says {word}"), LIMIT, || {
            let Some(pod) = self.case.lab.kube.find(&path)? else {
                return Ok(Seen::No("there is none".to_owned()));
            };
            let new = other.is_none_or(|other| pod["metadata"]["uid"] != other["metadata"]["uid"]);
            if !new || condition(&pod, "Ready") != "True" {
                return Ok(Seen::No(pod.to_string()));
            }
            let logs = self.kubectl(&["logs", &self.mirror(name)])?;
            Ok(if logs == format!("{word}\n") {
                Seen::Yes(pod)
            } else {
                Seen::No(logs)
            })
        })?;
        ensure!(restarts(&pod) == 0, "{pod}");
        Ok(pod)
    }

    /// Waits until a mirror is gone, and what it showed has ended by itself.
    fn gone(&self, name: &str) -> Result<()> {
        let path = self.case.path("pods", &self.mirror(name));
        eventually(&format!("{path} is gone"), LIMIT, || {
            let found = self.case.lab.kube.find(&path)?;
            Ok(found.map_or(Seen::Yes(()), |pod| Seen::No(pod.to_string())))
        })?;
        ensure!(!self.holds(name)?, "{name} has not ended, or not by itself");
        Ok(())
    }

    /// The Pod runs, says the node.
    fn holds(&self, name: &str) -> Result<bool> {
        let look = format!("test -d /run/{}/{name} && echo yes || true", self.case.ns);
        Ok(self.node.exec(&["sh", "-c", &look])?.trim() == "yes")
    }

    fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.case
            .lab
            .cluster()
            .kubectl(&[&["-n", &self.case.ns], args].concat())
    }
}

fn same_container(a: &Value, b: &Value) -> Result<()> {
    ensure!(
        status(a)["containerID"] == status(b)["containerID"],
        "it was restarted: {a} became {b}"
    );
    Ok(())
}

/// From a file to a mirror with logs and exec; deleted and back; edited; beside a bad file; and gone.
pub(crate) fn life(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "static-life")?;
    let manifests = Manifests::new(&case);
    manifests.write("web", "one")?;
    let first = manifests.shown("web", "one", None)?;
    let annotations = &first["metadata"]["annotations"];
    let hash = &annotations["kubernetes.io/config.hash"];
    ensure!(
        hash.is_string()
            && *hash == annotations["kubernetes.io/config.mirror"]
            && annotations["kubernetes.io/config.source"] == "file"
            && annotations["kubernetes.io/config.seen"].is_string(),
        "{annotations}"
    );
    let node = lab
        .kube
        .get(&format!("/api/v1/nodes/{}", manifests.node.name()))?;
    let owner = json!([{
        "apiVersion": "v1", "kind": "Node", "name": manifests.node.name(),
        "uid": node["metadata"]["uid"], "controller": true,
    }]);
    ensure!(first["metadata"]["ownerReferences"] == owner, "{first}");
    ensure!(first["status"]["observedGeneration"].is_null(), "{first}");
    let said = manifests.kubectl(&["exec", &manifests.mirror("web"), "--", "echo", "by exec"])?;
    ensure!(said == "by exec\n", "{said}");

    manifests.text("bad", "apiVersion: v1\nkind: Pod\nmetadata: [")?;
    manifests.write("second", "beside")?;
    manifests.shown("second", "beside", None)?;
    let log = std::fs::read_to_string(manifests.node.agent_log())?;
    ensure!(log.contains(&manifests.path("bad")), "nobody names the bad file");

    manifests.kubectl(&["delete", "pod", &manifests.mirror("web"), "--wait=false"])?;
    let again = manifests.shown("web", "one", Some(&first))?;
    same_container(&first, &again)?;

    manifests.write("web", "two")?;
    let edited = manifests.shown("web", "two", Some(&again))?;
    let hash_of = |pod: &Value| pod["metadata"]["annotations"]["kubernetes.io/config.hash"].clone();
    ensure!(hash_of(&edited) != hash_of(&first), "{edited}");

    for name in ["web", "second"] {
        manifests.remove(name)?;
        manifests.gone(name)?;
    }
    Ok(())
}

/// What becomes of manifests while the agent is dead is seen by the next one.
pub(crate) fn agent_down(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "static-down")?;
    let manifests = Manifests::new(&case);
    for name in ["stays", "changes", "goes"] {
        manifests.write(name, "one")?;
    }
    let stays = manifests.shown("stays", "one", None)?;
    let changes = manifests.shown("changes", "one", None)?;
    manifests.shown("goes", "one", None)?;
    manifests.node.kill_agent(Signal::SIGKILL)?;
    manifests.write("changes", "two")?;
    manifests.remove("goes")?;
    // Ended by force after a second's grace, they could not give their directories back.
    manifests.node.exec(&[
        "sh",
        "-c",
        &format!("rmdir /run/{}/changes /run/{0}/goes", case.ns),
    ])?;
    manifests.node.start_agent()?;
    back(lab, manifests.node)?;
    manifests.gone("goes")?;
    manifests.shown("changes", "two", Some(&changes))?;
    same_container(&stays, &manifests.shown("stays", "one", None)?)
}

/// Without the API server static Pods run, also under a new agent; when it is back, so are their mirrors.
pub(crate) fn api_server_gone(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "static-alone")?;
    let manifests = Manifests::new(&case);
    let control = lab.cluster().control();
    control.kill_component("kube-apiserver", Signal::SIGKILL)?;
    let alone = || -> Result<()> {
        manifests.write("early", "one")?;
        eventually("it runs", LIMIT, || Ok(runs(manifests.holds("early")?)))?;
        manifests.node.kill_agent(Signal::SIGKILL)?;
        manifests.write("late", "one")?;
        manifests.node.start_agent()?;
        eventually("it runs under a new agent", LIMIT, || {
            Ok(runs(manifests.holds("late")?))
        })
    };
    let alone = alone();
    control.start_component("kube-apiserver")?;
    control.wait_ready(LIMIT)?;
    alone?;
    back(lab, manifests.node)?;
    for name in ["early", "late"] {
        manifests.shown(name, "one", None)?;
        manifests.remove(name)?;
        manifests.gone(name)?;
    }
    Ok(())
}

fn runs(yes: bool) -> Seen<()> {
    if yes {
        Seen::Yes(())
    } else {
        Seen::No("it does not".to_owned())
    }
}
