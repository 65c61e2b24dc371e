//! Sidecars, restart rules, and what a status says of a running pod.

use anyhow::{Context, Result, ensure};
use rustlet_lab::images;
use rustlet_lab::kube::{Seen, condition, eventually};
use serde_json::{Value, json};

use crate::support::{Case, LIMIT, Lab, address, pod, restarts, shell, status};

/// A container with a script and the volume `shared`.
pub(crate) fn step(name: &str, script: &str) -> Value {
    json!({"name": name, "image": images::BUSYBOX, "command": ["sh", "-c", script],
           "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]})
}

pub(crate) fn sidecar(name: &str, script: &str) -> Value {
    let mut sidecar = step(name, script);
    sidecar["restartPolicy"] = json!("Always");
    sidecar
}

/// A pod with init containers, containers and the volume `shared`.
pub(crate) fn shared(name: &str, init: Value, containers: Value) -> Value {
    let mut pod = pod(name, None, containers);
    pod["spec"]["initContainers"] = init;
    pod["spec"]["volumes"] = json!([{"name": "shared", "emptyDir": {}}]);
    pod
}

/// The status of an init container or a container.
pub(crate) fn of<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let mut all = lists
        .iter()
        .filter_map(|list| pod["status"][list].as_array())
        .flatten();
    all.find(|s| s["name"] == name).unwrap_or(&Value::Null)
}

pub(crate) fn code(pod: &Value, name: &str) -> Option<i64> {
    of(pod, name)["state"]["terminated"]["exitCode"].as_i64()
}

/// When a container ended, in seconds; its status has whole ones.
fn ended(pod: &Value, name: &str) -> Result<jiff::Timestamp> {
    let at = of(pod, name)["state"]["terminated"]["finishedAt"].as_str();
    Ok(at.with_context(|| format!("{name} has not ended"))?.parse()?)
}

/// What a container left as its last words: a time in seconds.
fn said(pod: &Value, name: &str) -> Result<jiff::Timestamp> {
    let words = of(pod, name)["state"]["terminated"]["message"]
        .as_str()
        .unwrap_or_default();
    let seconds = words
        .trim()
        .parse()
        .with_context(|| format!("{name} said {words:?}"))?;
    Ok(jiff::Timestamp::from_second(seconds)?)
}

/// Waits for SIGTERM, then a little longer.
const LINGER: &str = "trap 'sleep 2; exit 0' TERM; while true; do sleep 0.1; done";

/// Sidecars start in order, each when the one before has started, and stop in reverse after the containers; their preStop
/// hooks run when the deletion begins.
pub(crate) fn sidecar_order(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "sidecar-order")?;
    let mut first = sidecar("first", &format!("sleep 2; echo first >> /shared/log; {LINGER}"));
    first["startupProbe"] = json!({"exec": {"command": ["test", "-f", "/shared/log"]}, "periodSeconds": 1});
    let hook = json!({"preStop": {"exec": {"command": ["sh", "-c", "date +%s > /dev/termination-log"]}}});
    first["lifecycle"] = hook;
    let init = json!([
        first,
        step("job", "echo job >> /shared/log"),
        sidecar("second", &format!("echo second >> /shared/log; {LINGER}")),
    ]);
    let main = step("main", &format!("sleep 0.5; cat /shared/log; {LINGER}"));
    let mut object = shared("order", init, json!([main]));
    object["metadata"]["finalizers"] = json!(["rustlet.test/look"]);
    object["spec"]["terminationGracePeriodSeconds"] = json!(60);
    let running = case.run(object)?;
    eventually("who had started before the container", LIMIT, || {
        let log = case.logs(&running, "main")?;
        Ok(if log == "first\njob\nsecond\n" {
            Seen::Yes(())
        } else {
            Seen::No(log)
        })
    })?;
    for name in ["first", "second"] {
        let s = of(&running, name);
        ensure!(
            s["ready"] == true && s["started"] == true && !s["state"]["running"].is_null(),
            "{s}"
        );
    }
    lab.kube.delete(&case.path("pods", "order"))?;
    let all = ["main", "second", "first"];
    let end = case.until("order", "all ended", |pod| {
        all.iter().all(|name| code(pod, name).is_some())
    })?;
    lab.kube.merge(
        &case.path("pods", "order"),
        &json!({"metadata": {"finalizers": null}}),
    )?;
    for name in all {
        ensure!(
            code(&end, name) == Some(0),
            "{name} had time to end: {}",
            of(&end, name)
        );
    }
    let [main, second, first] = [
        ended(&end, "main")?,
        ended(&end, "second")?,
        ended(&end, "first")?,
    ];
    ensure!(
        main < second && second < first,
        "ended at {main}, {second}, {first}"
    );
    ensure!(
        said(&end, "first")? < main,
        "the hook ran at {}, main ended at {main}",
        said(&end, "first")?
    );
    ensure!(end["status"]["phase"] == "Succeeded", "{}", end["status"]);
    Ok(())
}

/// A sidecar that ends is started again beside the others, and keeps no pod from its end.
pub(crate) fn sidecar_restarts(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "sidecar-restarts")?;
    let helper = sidecar(
        "helper",
        "test -f /shared/once && { touch /shared/twice; sleep 1000; }; touch /shared/once; exit 0",
    );
    let main = step("main", "until test -f /shared/twice; do sleep 0.2; done; sleep 3");
    let mut object = shared("job", json!([helper]), json!([main]));
    object["spec"]["restartPolicy"] = json!("Never");
    case.create("pods", &object)?;
    let busy = case.until("job", "beside its restarted helper", |pod| {
        of(pod, "helper")["restartCount"] == 1 && condition(pod, "Ready") == "True"
    })?;
    ensure!(
        of(&busy, "helper")["lastState"]["terminated"]["exitCode"] == 0,
        "{}",
        of(&busy, "helper")
    );
    ensure!(
        condition(&busy, "Initialized") == "True" && busy["status"]["phase"] == "Running",
        "{}",
        busy["status"]
    );
    let done = case.until("job", "Succeeded", |pod| pod["status"]["phase"] == "Succeeded")?;
    ensure!(
        code(&done, "main") == Some(0) && code(&done, "helper") == Some(137),
        "{}",
        done["status"]
    );
    ensure!(
        of(&done, "helper")["restartCount"] == 1,
        "{}",
        of(&done, "helper")
    );
    Ok(())
}

/// A sidecar that fails its liveness probe is replaced, and the containers are not.
pub(crate) fn sidecar_liveness(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "sidecar-liveness")?;
    let mut helper = sidecar("helper", "touch /tmp/well; sleep 1000");
    helper["livenessProbe"] = json!({"exec": {"command": ["test", "-f", "/tmp/well"]}, "periodSeconds": 1, "failureThreshold": 1, "initialDelaySeconds": 2});
    helper["readinessProbe"] = json!({"exec": {"command": ["test", "-f", "/tmp/well"]}, "periodSeconds": 1});
    let running = case.run(shared(
        "sick",
        json!([helper]),
        json!([step("main", "sleep 1000")]),
    ))?;
    lab.exec_in(&running, "helper", &["rm", "/tmp/well"])?;
    let again = case.until("sick", "ready again", |pod| {
        of(pod, "helper")["restartCount"] == 1 && condition(pod, "Ready") == "True"
    })?;
    ensure!(restarts(&again) == 0, "{}", again["status"]);
    case.expect_events("sick", &["Unhealthy", "Killing"])
}

/// Exit codes decide over the policy, for the one container that says so.
pub(crate) fn restart_rules(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "restart-rules")?;
    let mut main = step("main", "test -f /shared/x && exit 7; touch /shared/x; exit 42");
    main["restartPolicy"] = json!("Never");
    main["restartPolicyRules"] =
        json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
    let mut object = shared("rules", json!([]), json!([main]));
    object["spec"]["restartPolicy"] = json!("Never");
    case.create("pods", &object)?;
    let end = case.until("rules", "Failed", |pod| pod["status"]["phase"] == "Failed")?;
    ensure!(
        code(&end, "main") == Some(7) && restarts(&end) == 1,
        "{}",
        end["status"]
    );
    let last = &status(&end)["lastState"]["terminated"]["exitCode"];
    ensure!(*last == 42, "{}", end["status"]);
    Ok(())
}

/// An exit code that starts all containers over does so in the same sandbox, from the first init container on.
pub(crate) fn restart_all(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "restart-all")?;
    let script = "test -f /shared/x && sleep 1000; until test -f /shared/go; do sleep 0.2; done; touch /shared/x; exit 42";
    let mut main = step("main", script);
    main["restartPolicy"] = json!("Never");
    main["restartPolicyRules"] =
        json!([{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]);
    let init = json!([
        step("init", "echo init >> /shared/log"),
        sidecar("helper", "sleep 1000")
    ]);
    let mut object = shared("over", init, json!([main, step("other", "sleep 1000")]));
    object["spec"]["restartPolicy"] = json!("Never");
    let first = case.run(object)?;
    ensure!(
        condition(&first, "AllContainersRestarting") == "False",
        "{}",
        first["status"]
    );
    lab.exec_in(&first, "other", &["touch", "/shared/go"])?;
    let names = ["init", "helper", "main", "other"];
    let again = case.until("over", "ready again", |pod| {
        names.iter().all(|name| of(pod, name)["restartCount"] == 1) && condition(pod, "Ready") == "True"
    })?;
    for name in ["helper", "main", "other"] {
        let s = of(&again, name);
        ensure!(
            s["containerID"] != of(&first, name)["containerID"],
            "{name} is the same: {s}"
        );
        ensure!(
            s["lastState"]["terminated"]["reason"] == "RestartingAllContainers",
            "{s}"
        );
    }
    ensure!(address(&again) == address(&first), "the sandbox is the same");
    ensure!(
        condition(&again, "AllContainersRestarting") == "False",
        "{}",
        again["status"]
    );
    ensure!(
        lab.exec_in(&again, "other", &["cat", "/shared/log"])? == "init\ninit\n",
        "init ran twice"
    );
    Ok(())
}

/// User, mounts, resources and generations of a running pod.
pub(crate) fn status_fields(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "status-fields")?;
    let mut main = shell("sleep 1000");
    main["volumeMounts"] = json!([{"name": "work", "mountPath": "/work"}, {"name": "work", "mountPath": "/look", "readOnly": true}]);
    main["resources"] = json!({"requests": {"cpu": "10m", "memory": "16Mi"}});
    let mut object = pod("fields", None, json!([main]));
    object["spec"]["securityContext"] =
        json!({"runAsUser": 1000, "runAsGroup": 2000, "supplementalGroups": [3000]});
    object["spec"]["volumes"] = json!([{"name": "work", "emptyDir": {}}]);
    object["spec"]["automountServiceAccountToken"] = json!(false);
    let running = case.run(object)?;
    let s = status(&running);
    let user = json!({"linux": {"uid": 1000, "gid": 2000, "supplementalGroups": [2000, 3000]}});
    ensure!(s["user"] == user, "{}", s["user"]);
    let mounts = json!([{"name": "work", "mountPath": "/work"},
        {"name": "work", "mountPath": "/look", "readOnly": true, "recursiveReadOnly": "Disabled"}]);
    ensure!(s["volumeMounts"] == mounts, "{}", s["volumeMounts"]);
    ensure!(
        s["allocatedResources"] == json!({"cpu": "10m", "memory": "16Mi"}),
        "{s}"
    );
    ensure!(
        running["status"]["qosClass"] == "Burstable",
        "{}",
        running["status"]
    );
    let generation = &running["metadata"]["generation"];
    ensure!(
        running["status"]["observedGeneration"] == *generation,
        "{}",
        running["status"]
    );
    let kinds = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ];
    let conditions = running["status"]["conditions"]
        .as_array()
        .context("no conditions")?;
    for kind in kinds {
        let one = conditions
            .iter()
            .find(|c| c["type"] == kind)
            .with_context(|| format!("no {kind}"))?;
        ensure!(
            one["status"] == "True" && one["observedGeneration"] == *generation,
            "{one}"
        );
    }
    Ok(())
}
