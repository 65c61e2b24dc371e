//! RuntimeClasses: the handler they name is the one that makes the sandbox.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::{Case, Lab, echo_container, pod};

const CLASSES: &str = "/apis/node.k8s.io/v1/runtimeclasses";

/// A handler containerd has runs the pod; one it does not have is refused in its words, and a pod of the class that
/// can be run is not harmed.
pub(crate) fn handlers(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "runtime-class")?;
    for (name, handler) in [("lab-runc", "runc"), ("lab-absent", "absent")] {
        lab.kube.delete(&format!("{CLASSES}/{name}"))?;
        lab.kube
            .create(CLASSES, &json!({"metadata": {"name": name}, "handler": handler}))?;
    }
    let of = |name: &str, class: &str| {
        let mut pod = pod(name, Some(lab.node_name(0)), json!([echo_container()]));
        pod["spec"]["runtimeClassName"] = json!(class);
        pod
    };
    case.create("pods", &of("absent", "lab-absent"))?;
    case.run(of("known", "lab-runc"))?;
    case.expect_events("absent", &["FailedCreatePodSandBox"])?;
    let events = case.events("absent")?;
    let words = r#"no runtime for "absent" is configured"#;
    ensure!(
        events
            .iter()
            .any(|(reason, text)| reason == "FailedCreatePodSandBox" && text.contains(words)),
        "{events:?}"
    );
    ensure!(case.pod("absent")?["status"]["phase"] == "Pending");
    for name in ["lab-runc", "lab-absent"] {
        lab.kube.delete(&format!("{CLASSES}/{name}"))?;
    }
    Ok(())
}
