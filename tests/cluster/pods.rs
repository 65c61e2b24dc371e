//! One pod's life: probes, restarts, the end, and what its containers find inside.

use anyhow::{Result, ensure};
use rustlet_lab::images;
use rustlet_lab::kube::{self, Seen, condition, eventually};
use serde_json::json;

use crate::support::{Case, LIMIT, Lab, address, echo_container, pod, restarts, shell, status};

/// A pod that says it is not ready leaves its Service, is not restarted, and comes back.
pub(crate) fn readiness_probe(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "readiness")?;
    let server = case.run(pod("server", None, json!([echo_container()])))?;
    let ports = json!([{"port": 80, "targetPort": 8000}]);
    case.create(
        "services",
        &json!({"metadata": {"name": "server"}, "spec": {"selector": {"name": "server"}, "ports": ports}}),
    )?;
    case.endpoints("server", 1)?;
    let switch = |to: &str| {
        lab.curl(
            lab.tool(0)?,
            &format!("http://{}:8000/ready/{to}", address(&server)),
        )
    };
    switch("off")?;
    case.until("server", "not ready", |pod| condition(pod, "Ready") == "False")?;
    case.endpoints("server", 0)?;
    case.expect_events("server", &["Unhealthy"])?;
    switch("on")?;
    case.until("server", "ready again", |pod| condition(pod, "Ready") == "True")?;
    case.endpoints("server", 1)?;
    ensure!(
        restarts(&case.pod("server")?) == 0,
        "a readiness probe restarts nothing"
    );
    Ok(())
}

/// A container that fails its liveness probe is killed and started again.
pub(crate) fn liveness_probe(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "liveness")?;
    let mut container = echo_container();
    container["livenessProbe"] =
        json!({"httpGet": {"path": "/live", "port": 8000}, "periodSeconds": 1, "failureThreshold": 2});
    let server = case.run(pod("server", None, json!([container])))?;
    let first = status(&server)["containerID"].clone();
    lab.curl(
        lab.tool(0)?,
        &format!("http://{}:8000/live/off", address(&server)),
    )?;
    let again = case.until("server", "restarted and ready", |pod| {
        restarts(pod) == 1 && condition(pod, "Ready") == "True"
    })?;
    ensure!(status(&again)["containerID"] != first, "it is another container");
    ensure!(
        address(&again) == address(&server),
        "in the same sandbox, with the same address"
    );
    case.expect_events("server", &["Unhealthy", "Killing"])
}

/// Deleting a pod asks its containers to end, waits for them, and kills those that do not within the grace period.
pub(crate) fn graceful_deletion(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "graceful")?;
    let mut polite = echo_container();
    polite["env"] = json!([{"name": "LINGER_SECONDS", "value": "2"}]);
    let stubborn = shell("trap '' TERM; while true; do sleep 0.5; done");
    // A finalizer keeps the objects for us to look at after the node is done with them.
    for (name, grace, container) in [("polite", 30, polite), ("stubborn", 1, stubborn)] {
        let mut pod = pod(name, None, json!([container]));
        pod["metadata"]["finalizers"] = json!(["rustlet.test/look"]);
        pod["spec"]["terminationGracePeriodSeconds"] = json!(grace);
        case.run(pod)?;
    }
    for (name, code) in [("polite", 0), ("stubborn", 137)] {
        lab.kube.delete(&case.path("pods", name))?;
        let ended = case.until(name, "terminated", |pod| {
            !status(pod)["state"]["terminated"].is_null()
        })?;
        let found = &status(&ended)["state"]["terminated"]["exitCode"];
        ensure!(*found == code, "{name} ended with {found}, not {code}");
        case.expect_events(name, &["Killing"])?;
    }
    for name in ["polite", "stubborn"] {
        lab.kube.merge(
            &case.path("pods", name),
            &json!({"metadata": {"finalizers": null}}),
        )?;
    }
    eventually("both pods gone", LIMIT, || {
        let pods = lab.kube.pods(&case.ns, "")?;
        Ok(if pods.is_empty() {
            Seen::Yes(())
        } else {
            Seen::No(kube::describe_pods(&pods))
        })
    })
}

/// restartPolicy Never and OnFailure end where they should.
pub(crate) fn restart_policy(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "restart-policy")?;
    let once = "test -f /mark/x && exit 0; touch /mark/x; exit 1";
    for (name, policy, script) in [
        ("good", "Never", "exit 0"),
        ("bad", "Never", "exit 3"),
        ("second", "OnFailure", once),
    ] {
        let mut pod = pod(name, None, json!([shell(script)]));
        pod["spec"]["restartPolicy"] = json!(policy);
        pod["spec"]["volumes"] = json!([{"name": "mark", "emptyDir": {}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "mark", "mountPath": "/mark"}]);
        case.create("pods", &pod)?;
    }
    for (name, phase, code, count) in [
        ("good", "Succeeded", 0, 0),
        ("bad", "Failed", 3, 0),
        ("second", "Succeeded", 0, 1),
    ] {
        let ended = case.until(name, phase, |pod| pod["status"]["phase"] == phase)?;
        let found = &status(&ended)["state"]["terminated"]["exitCode"];
        ensure!(*found == code, "{name} ended with {found}, not {code}");
        ensure!(
            restarts(&ended) == count,
            "{name} was restarted {} times, not {count}",
            restarts(&ended)
        );
    }
    Ok(())
}

/// A container that keeps failing is restarted with growing pauses, and says so.
pub(crate) fn crash_loop(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "crash-loop")?;
    case.create(
        "pods",
        &pod("crash", None, json!([shell("echo one more try; exit 7")])),
    )?;
    let waiting = case.until("crash", "in CrashLoopBackOff", |pod| {
        status(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff" && restarts(pod) >= 1
    })?;
    ensure!(
        status(&waiting)["lastState"]["terminated"]["exitCode"] == 7,
        "{}",
        status(&waiting)
    );
    ensure!(
        condition(&waiting, "Ready") == "False" && waiting["status"]["phase"] == "Running",
        "{}",
        waiting["status"]
    );
    case.expect_events("crash", &["BackOff"])?;
    let count = restarts(&waiting);
    case.until("crash", "tried again after the pause", |pod| {
        restarts(pod) > count
    })?;
    Ok(())
}

/// Init containers run one after the other before the others start.
pub(crate) fn init_containers(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "init")?;
    let mount = json!([{"name": "shared", "mountPath": "/shared"}]);
    let step = |name: &str, script: &str| json!({"name": name, "image": images::BUSYBOX, "command": ["sh", "-c", script], "volumeMounts": mount});
    let mut pod = pod("init", None, json!([step("main", "cat /shared/log; sleep 1000")]));
    pod["spec"]["initContainers"] = json!([
        step("one", "echo one >> /shared/log"),
        step("two", "sleep 1; echo two >> /shared/log")
    ]);
    pod["spec"]["volumes"] = json!([{"name": "shared", "emptyDir": {}}]);
    let pod = case.run(pod)?;
    eventually("both init containers' marks, in order", LIMIT, || {
        let log = case.logs(&pod, "main")?;
        Ok(if log == "one\ntwo\n" {
            Seen::Yes(())
        } else {
            Seen::No(log)
        })
    })?;
    ensure!(
        condition(&pod, "Initialized") == "True",
        "{}",
        pod["status"]["conditions"]
    );
    Ok(())
}

/// Inside a container: token, CA and namespace of its account; configMap files; a shared emptyDir; what the downward
/// API says; names and resolver as a pod's.
pub(crate) fn inside(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "inside")?;
    case.create(
        "configmaps",
        &json!({"metadata": {"name": "settings"}, "data": {"color": "green\n", "other": "x"}}),
    )?;
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let mut first = shell("echo written by the first > /shared/note; sleep 1000");
    first["env"] = json!([
        {"name": "PLAIN", "value": "just text"}, {"name": "COMBINED", "value": "$(PLAIN), twice: $(PLAIN)"},
        field("NAME", "metadata.name"), field("NAMESPACE", "metadata.namespace"), field("UID", "metadata.uid"),
        field("IP", "status.podIP"), field("NODE", "spec.nodeName"), field("HOST", "status.hostIP"),
        field("ACCOUNT", "spec.serviceAccountName"), field("LABEL", "metadata.labels['name']"),
    ]);
    first["workingDir"] = json!("/tmp");
    first["volumeMounts"] = json!([
        {"name": "shared", "mountPath": "/shared"}, {"name": "settings", "mountPath": "/etc/settings"},
        {"name": "one", "mountPath": "/etc/one"},
    ]);
    let mut second = shell("sleep 1000");
    second["name"] = json!("second");
    second["volumeMounts"] = json!([{"name": "shared", "mountPath": "/elsewhere"}]);
    let mut pod = pod("full", None, json!([first, second]));
    pod["spec"]["volumes"] = json!([
        {"name": "shared", "emptyDir": {}}, {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "one", "configMap": {"name": "settings", "items": [{"key": "color", "path": "deep/paint"}]}},
    ]);
    let pod = case.run(pod)?;

    let account = "/var/run/secrets/kubernetes.io/serviceaccount";
    let files = [
        (format!("{account}/namespace"), case.ns.clone()),
        ("/etc/settings/color".to_owned(), "green\n".to_owned()),
        ("/etc/one/deep/paint".to_owned(), "green\n".to_owned()),
    ];
    for (path, wanted) in files {
        let found = lab.exec(&pod, &["cat", &path])?;
        ensure!(found == wanted, "{path} holds {found:?}, not {wanted:?}");
    }
    let token = lab.exec(&pod, &["cat", &format!("{account}/token")])?;
    ensure!(token.split('.').count() == 3, "not a JWT: {token:?}");
    let ca = lab.exec(&pod, &["cat", &format!("{account}/ca.crt")])?;
    ensure!(
        ca.starts_with("-----BEGIN CERTIFICATE-----"),
        "not a certificate: {ca:?}"
    );

    let node = lab.node_of(&pod)?;
    let note = node.pod_exec(&pod, "second", &["cat", "/elsewhere/note"])?;
    ensure!(
        note == "written by the first\n",
        "the shared emptyDir holds {note:?}"
    );

    let env = lab.exec(&pod, &["env"])?;
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let host = node.address().to_string();
    let wanted = [
        ("PLAIN", "just text"),
        ("COMBINED", "just text, twice: just text"),
        ("NAME", "full"),
        ("NAMESPACE", &case.ns),
        ("UID", uid),
        ("IP", address(&pod)),
        ("NODE", node.name()),
        ("HOST", &host),
        ("ACCOUNT", "default"),
        ("LABEL", "full"),
        ("KUBERNETES_SERVICE_HOST", "10.96.0.1"),
        ("HOSTNAME", "full"),
    ];
    for (name, value) in wanted {
        ensure!(
            env.lines().any(|line| line == format!("{name}={value}")),
            "no {name}={value} in:\n{env}"
        );
    }
    ensure!(lab.exec(&pod, &["pwd"])?.trim() == "/tmp", "workingDir");

    let resolver = lab.exec(&pod, &["cat", "/etc/resolv.conf"])?;
    let search = format!(
        "search {}.svc.cluster.local svc.cluster.local cluster.local",
        case.ns
    );
    for line in ["nameserver 10.96.0.10", &search, "options ndots:5"] {
        ensure!(
            resolver.lines().any(|found| found.trim() == line),
            "no {line:?} in:\n{resolver}"
        );
    }
    let hosts = lab.exec(&pod, &["cat", "/etc/hosts"])?;
    let own = |line: &str| line.split_whitespace().collect::<Vec<_>>() == [address(&pod), "full"];
    ensure!(
        hosts.lines().any(own),
        "the pod is not in its /etc/hosts:\n{hosts}"
    );
    Ok(())
}

/// The events of an ordinary life, in kubelet's words.
pub(crate) fn events(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "events")?;
    case.run(pod("plain", None, json!([echo_container()])))?;
    case.expect_events("plain", &["Scheduled", "Pulled", "Created", "Started"])?;
    lab.kube.delete(&case.path("pods", "plain"))?;
    case.expect_events("plain", &["Killing"])
}

/// A running container is given other resources without a restart; one that must be restarted for that is; what the
/// node does not have is refused, and harms nothing.
pub(crate) fn resize(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "resize")?;
    let amounts = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
    let mut app = pod("app", None, json!([shell("exec sleep 1000")]));
    app["spec"]["containers"][0]["resources"] =
        json!({"requests": amounts("20m", "32Mi"), "limits": amounts("100m", "64Mi")});
    app["spec"]["containers"][0]["resizePolicy"] =
        json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    case.run(app)?;
    let ask = |cpu: &str, memory: &str| {
        let path = case.path("pods", "app") + "/resize";
        let resources = json!({"requests": amounts("20m", "32Mi"), "limits": amounts(cpu, memory)});
        let mut asked = case.pod("app")?;
        asked["spec"]["containers"][0]["resources"] = resources;
        lab.kube.merge(
            &path,
            &json!({"spec": {"containers": asked["spec"]["containers"]}}),
        )
    };
    let done = |generation: &serde_json::Value, cpu: &str, memory: &str| {
        let (generation, wanted) = (generation.as_i64(), amounts(cpu, memory));
        case.until("app", "resized", move |pod| {
            pod["status"]["observedGeneration"].as_i64() == generation
                && condition(pod, "Ready") == "True"
                && status(pod)["resources"]["limits"] == wanted
                && condition(pod, "PodResizeInProgress") == "Unknown"
        })
    };
    let asked = ask("100m", "128Mi")?;
    let resized = done(&asked["metadata"]["generation"], "100m", "128Mi")?;
    ensure!(restarts(&resized) == 0, "{}", resized["status"]);
    let limit =
        "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes";
    let found = lab.exec(&resized, &["sh", "-c", limit])?;
    ensure!(
        found.trim() == (128 << 20).to_string(),
        "the container may use {found}"
    );

    let asked = ask("200m", "128Mi")?;
    let resized = done(&asked["metadata"]["generation"], "200m", "128Mi")?;
    ensure!(restarts(&resized) == 1, "{}", resized["status"]);
    case.expect_events("app", &["ResizeStarted", "ResizeCompleted", "Killing"])?;

    // A neighbour leaves too little; when it has gone, there is enough.
    let node = resized["spec"]["nodeName"].as_str();
    let mut neighbour = pod("neighbour", node, json!([shell("exec sleep 1000")]));
    neighbour["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "500m"}});
    case.run(neighbour)?;
    let path = case.path("pods", "app") + "/resize";
    let mut much = case.pod("app")?["spec"]["containers"].clone();
    much[0]["resources"] = json!({"requests": amounts("1600m", "32Mi"), "limits": amounts("1600m", "128Mi")});
    let asked = lab.kube.merge(&path, &json!({"spec": {"containers": much}}))?;
    let pending = case.until("app", "deferred", |pod| {
        condition(pod, "PodResizePending") == "True"
    })?;
    let conditions = pending["status"]["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let why = conditions.iter().find(|c| c["type"] == "PodResizePending");
    ensure!(why.is_some_and(|c| c["reason"] == "Deferred"), "{conditions:?}");
    ensure!(
        status(&pending)["resources"]["limits"] == amounts("200m", "128Mi") && restarts(&pending) == 1,
        "{}",
        pending["status"]
    );
    lab.kube.delete(&case.path("pods", "neighbour"))?;
    let resized = done(&asked["metadata"]["generation"], "1600m", "128Mi")?;
    ensure!(
        condition(&resized, "PodResizePending") == "Unknown" && restarts(&resized) == 2,
        "{}",
        resized["status"]
    );
    Ok(())
}
