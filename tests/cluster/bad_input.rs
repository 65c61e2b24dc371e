//! Bad input harms itself only, and is said in words that help.

use anyhow::{Result, ensure};
use rustlet_lab::kube::{Seen, condition, eventually};
use serde_json::{Value, json};

use crate::support::{Case, LIMIT, Lab, address, echo_container, pod, shell, status};

const RUSTLET: &str = env!("CARGO_BIN_EXE_rustlet");

/// An image that does not exist: ErrImagePull, ImagePullBackOff; a neighbour on the same node is not harmed.
pub(crate) fn image(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "bad-image")?;
    let mut container = echo_container();
    container["image"] = json!("docker.io/rustlet/no-such-image:1");
    case.create("pods", &pod("bad", Some(lab.node_name(0)), json!([container])))?;
    case.run(pod("good", Some(lab.node_name(0)), json!([echo_container()])))?;
    let waiting = case.until("bad", "in ImagePullBackOff", |pod| {
        waits(pod, &["ImagePullBackOff"])
    })?;
    let message = status(&waiting)["state"]["waiting"]["message"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        message.contains("no-such-image"),
        "the message does not name the image: {message:?}"
    );
    ensure!(
        waiting["status"]["phase"] == "Pending",
        "{}",
        waiting["status"]["phase"]
    );
    case.expect_events("bad", &["Pulling", "Failed", "BackOff"])
}

/// A command that does not exist: the runtime's words reach the status; the pod recovers from nothing else's fault.
pub(crate) fn command(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "bad-command")?;
    let container = |name: &str| {
        let mut container = shell("");
        container["command"] = json!([name]);
        json!([container])
    };
    case.create(
        "pods",
        &pod("bad", Some(lab.node_name(0)), container("/no/such/program")),
    )?;
    let mut never = pod("never", Some(lab.node_name(0)), container("/no/such/program"));
    never["spec"]["restartPolicy"] = json!("Never");
    case.create("pods", &never)?;
    case.run(pod("good", Some(lab.node_name(0)), json!([echo_container()])))?;

    let words = |pod: &Value| {
        let status = status(pod);
        let places = [
            &status["state"]["waiting"],
            &status["state"]["terminated"],
            &status["lastState"]["terminated"],
        ];
        places.iter().any(|place| {
            place["message"]
                .as_str()
                .is_some_and(|text| text.contains("/no/such/program"))
        })
    };
    let reasons = ["RunContainerError", "CreateContainerError", "CrashLoopBackOff"];
    case.until("bad", "waiting with the runtime's words", |pod| {
        waits(pod, &reasons) && words(pod)
    })?;
    case.expect_events("bad", &["Failed"])?;
    let ended = case.until("never", "Failed with the runtime's words", |pod| {
        pod["status"]["phase"] == "Failed"
    })?;
    let terminated = &status(&ended)["state"]["terminated"];
    ensure!(
        terminated["reason"] == "StartError" && terminated["exitCode"] == 128 && words(&ended),
        "{terminated}"
    );
    Ok(())
}

/// Kubeconfigs that are missing, no YAML, cut off, or without a server: exit code and a message that names the file.
pub(crate) fn kubeconfig(lab: &Lab) -> Result<()> {
    let node = &lab.nodes()[1];
    let whole = node.read(rustlet_lab::node::KUBECONFIG)?;
    let cut = &whole[..whole.len() * 2 / 3];
    let no_server = whole
        .lines()
        .filter(|line| !line.contains("server:"))
        .collect::<Vec<_>>()
        .join("\n");
    for (name, text) in [
        ("garbage", "\u{1}{]: not a kubeconfig"),
        ("empty", ""),
        ("cut", cut),
        ("no-server", &no_server),
    ] {
        node.write(&format!("/run/bad/{name}"), text)?;
    }
    for name in ["missing", "garbage", "empty", "cut", "no-server"] {
        let path = format!("/run/bad/{name}");
        let (code, said) = rustlet(lab, &format!("--node worker-2 --kubeconfig {path}"))?;
        ensure!(
            code != 0 && code != 124 && code < 128,
            "{name}: exit code {code}: {said}"
        );
        ensure!(
            said.contains(&path),
            "{name}: the message does not name {path}: {said}"
        );
        ensure!(!said.contains("panicked"), "{name}: {said}");
    }
    Ok(())
}

/// An unknown flag: code 2 and a message that names it.
pub(crate) fn unknown_flag(lab: &Lab) -> Result<()> {
    let (code, said) = rustlet(lab, "--node worker-2 --no-such-flag")?;
    ensure!(
        code == 2 && said.contains("--no-such-flag"),
        "exit code {code}: {said}"
    );
    Ok(())
}

/// The CNI role answers malformed calls as the specification says: an error object on stdout, exit code not 0.
pub(crate) fn cni_stdin(lab: &Lab) -> Result<()> {
    let call = "CNI_COMMAND=ADD CNI_CONTAINERID=x CNI_NETNS=/run/netns/none CNI_IFNAME=eth0 CNI_PATH=/tmp";
    let valid = r#"{"cniVersion":"1.0.0","name":"rustlet","type":"rustlet"}"#;
    let cases = [
        (call, "{\"cniVersion\": \"1.0.0\", \"na", Some(6)),
        (call, "", Some(6)),
        (
            call,
            r#"{"cniVersion":"99.0.0","name":"x","type":"rustlet"}"#,
            Some(1),
        ),
        ("CNI_COMMAND=ADD CNI_CONTAINERID=x", valid, Some(4)),
        ("CNI_COMMAND=DANCE CNI_CONTAINERID=x", valid, Some(4)),
        (call, valid, None),
    ];
    for (env, stdin, code) in cases {
        let script =
            format!("printf %s \"$1\" | env {env} {RUSTLET} 2>/dev/null && echo 'it succeeded' || true");
        let said = lab.nodes()[0].machine().sh(&script, &[stdin])?;
        let error: Value = serde_json::from_str(&said)
            .map_err(|error| anyhow::anyhow!("{env} < {stdin:?}: no error object ({error}): {said:?}"))?;
        ensure!(
            error["msg"].as_str().is_some_and(|msg| !msg.is_empty()),
            "{env} < {stdin:?}: {said}"
        );
        ensure!(
            code.is_none_or(|code| error["code"] == code),
            "{env} < {stdin:?}: {said}, not code {code:?}"
        );
    }
    Ok(())
}

/// Rubbish among the address files: pods still get addresses, and nobody's is given out twice.
pub(crate) fn ipam_garbage(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "ipam-garbage")?;
    let node = &lab.nodes()[0];
    let first = case.run(pod("first", Some(node.name()), json!([echo_container()])))?;
    let network = node.machine().sh(
        "dirname \"$(find /var/lib/cni/networks -name \"$1\" | head -n 1)\"",
        &[address(&first)],
    )?;
    let network = network.trim();
    let rubbish = [
        "not-an-address",
        "10.244.0.999",
        "10.244",
        ".hidden",
        "last_reserved_ip.7",
    ];
    for name in rubbish {
        node.write(&format!("{network}/{name}"), "\u{0}rubbish\n\n\n")?;
    }
    node.machine().sh(
        "mkdir \"$1/a-directory\"; : > \"$1/last_reserved_ip.0\"",
        &[network],
    )?;
    let mut seen = vec![address(&first).to_owned()];
    for name in ["second", "third"] {
        let pod = case.run(pod(name, Some(node.name()), json!([echo_container()])))?;
        ensure!(
            !seen.contains(&address(&pod).to_owned()),
            "{} was given out twice",
            address(&pod)
        );
        seen.push(address(&pod).to_owned());
        let page = lab.curl(lab.tool(1)?, &format!("http://{}:8000/", address(&pod)))?;
        ensure!(page.contains(&format!("pod: {name}\n")), "{page}");
    }
    for name in rubbish {
        node.machine()
            .sh("rm -f \"$1\"", &[&format!("{network}/{name}")])?;
    }
    node.machine().sh("rmdir \"$1/a-directory\"", &[network])?;
    Ok(())
}

/// Objects the node cannot do what they ask for: that pod says so, others go on.
pub(crate) fn volume_of_missing_config_map(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "missing-config")?;
    let mut container = echo_container();
    container["volumeMounts"] = json!([{"name": "c", "mountPath": "/c"}]);
    let mut bad = pod("bad", Some(lab.node_name(0)), json!([container]));
    bad["spec"]["volumes"] = json!([{"name": "c", "configMap": {"name": "late"}}]);
    case.create("pods", &bad)?;
    case.run(pod("good", Some(lab.node_name(0)), json!([echo_container()])))?;
    case.expect_events("bad", &["FailedMount"])?;
    case.create(
        "configmaps",
        &json!({"metadata": {"name": "late"}, "data": {"k": "v"}}),
    )?;
    case.until("bad", "ready once the configMap is there", |pod| {
        condition(pod, "Ready") == "True"
    })?;
    eventually("the late configMap's file", LIMIT, || {
        // The echo image has no cat; the file is looked at where the node keeps it.
        let uid = case.pod("bad")?["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let path = format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~configmap/c/k");
        let found = lab.nodes()[0].exec(&["cat", &path])?;
        Ok(if found == "v" {
            Seen::Yes(())
        } else {
            Seen::No(found)
        })
    })
}

fn waits(pod: &Value, reasons: &[&str]) -> bool {
    status(pod)["state"]["waiting"]["reason"]
        .as_str()
        .is_some_and(|reason| reasons.contains(&reason))
}

/// Runs the binary on a node with these flags: its exit code (124 when it did not end) and all it said.
fn rustlet(lab: &Lab, flags: &str) -> Result<(i32, String)> {
    let script = format!("code=0; timeout 20 {RUSTLET} {flags} 2>&1 || code=$?; echo; echo $code");
    let said = lab.nodes()[1].machine().sh(&script, &[])?;
    let (text, code) = said.trim_end().rsplit_once('\n').unwrap_or(("", &said));
    Ok((code.trim().parse()?, text.trim().to_owned()))
}
