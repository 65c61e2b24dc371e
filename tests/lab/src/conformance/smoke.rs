//! The smoke set: tests that touch every path from the API server to a container, quick enough for every change.

use anyhow::{Result, bail};

use super::report::{Test, escaped};

/// Parts of the tests' names, without the group and the labels; each names one test.
const SMOKE: &[&str] = &[
    "ConfigMap should be consumable via the environment",
    "ConfigMap should be consumable from pods in volume as non-root [",
    "Containers should be able to override the image's default command and arguments",
    "DNS should provide DNS for services",
    "DNS should provide /etc/hosts entries for the cluster",
    "Deployment RollingUpdateDeployment should delete old pods and create new ones",
    "Downward API should provide pod name, namespace and IP address as env vars",
    "Downward API volume should provide podname only",
    "Downward API volume should provide container's memory limit",
    "EmptyDir volumes pod should support shared volumes between containers",
    "EmptyDir volumes should support (non-root,0644,tmpfs)",
    "InitContainer [NodeConformance] should invoke init containers on a RestartNever pod",
    "Job should create pods for an Indexed job with completion indexes and specified hostname",
    "Kubectl client Kubectl describe should check if kubectl describe prints relevant information",
    "Kubectl client Kubectl run pod should create a pod from an image when restart is Never",
    "Kubectl client Update Demo should create and stop a replication controller",
    "Kubectl logs logs should be able to retrieve and filter logs",
    "KubeletManagedEtcHosts should test kubelet managed /etc/hosts file",
    "Kubelet when scheduling a busybox command in a pod should print the output to logs",
    "Networking Granular Checks: Pods should function for intra-pod communication: http",
    "Networking Granular Checks: Pods should function for intra-pod communication: udp",
    "Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits",
    "Pods should be submitted and removed",
    "Pods should support remote command execution over websockets",
    "Pods should support retrieving logs from the container over websockets",
    "PreStop should call prestop when killing a pod",
    "Probing container should be restarted with a /healthz http liveness probe",
    "Projected combined should project all components that make up the projection API",
    "Proxy version v1 A set of valid responses are returned for both pod and service Proxy ",
    "Secrets should be consumable from pods in volume with mappings [",
    "Services should be able to create a functioning NodePort service",
    "Services should serve multiport endpoints from pods",
    "ServiceAccounts should mount an API token into pods",
];

/// The regular expression that selects them.
pub(super) fn focus() -> String {
    let parts: Vec<String> = SMOKE.iter().map(|part| escaped(part)).collect();
    format!(r"\] ({})", parts.join("|"))
}

/// Fails when a part does not name exactly one test: a renamed test must not leave the set silently.
pub(super) fn check(tests: &[Test]) -> Result<()> {
    for part in SMOKE {
        let count = tests
            .iter()
            .filter(|test| test.name.contains(&format!("] {part}")))
            .count();
        if count != 1 {
            bail!("the smoke set's {part:?} names {count} tests of the suite");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(part: &str) -> Test {
        Test {
            sig: "sig-node".to_owned(),
            area: "common/node/pods".to_owned(),
            name: format!("[sig-node] {part} [Conformance]"),
        }
    }

    #[test]
    fn a_test_that_is_gone_or_doubled_is_noticed() {
        let mut tests: Vec<Test> = SMOKE.iter().map(|part| test(part)).collect();
        check(&tests).unwrap();
        let gone = tests.remove(3);
        assert!(check(&tests).unwrap_err().to_string().contains("names 0 tests"));
        tests.extend([gone.clone(), gone]);
        assert!(check(&tests).unwrap_err().to_string().contains("names 2 tests"));
    }
}
