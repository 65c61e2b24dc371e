//! `kubeadm join` makes a fresh machine a worker, `kubeadm reset` gives it back: kubeadm itself, on our unit file, with
//! a stand-in for systemd.

use anyhow::{Context, Result, ensure};
use rustlet_lab::kube::{Seen, eventually};
use rustlet_lab::kubeadm::{IGNORED_CHECKS, Kubeadm};
use rustlet_lab::node::{KUBECONFIG, Node};
use rustlet_lab::proc::tail;
use serde_json::json;

use crate::support::{Case, LIMIT, Lab, pod, shell, status};

const BOOTSTRAP: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
const SOCKET: &str = "unix:///run/containerd/containerd.sock";

/// From a machine with containerd and no credentials to a worker, and back.
pub(crate) fn join(lab: &Lab) -> Result<()> {
    let kubeadm = Kubeadm::prepare(lab.cluster())?;
    let node = kubeadm.machine()?;
    let result = life(lab, &kubeadm, &node);
    // In any case it is gone for the cases after this one.
    let _ = lab.kube.delete(&format!("/api/v1/nodes/{}", node.name()));
    let words = tail(&node.agent_log(), 20);
    result.with_context(|| format!("the agent's last words:\n{words}"))
}

fn life(lab: &Lab, kubeadm: &Kubeadm<'_>, node: &Node) -> Result<()> {
    let before = node.residue()?;
    let mut command = kubeadm.join_command()?;
    command.push(format!("--ignore-preflight-errors={IGNORED_CHECKS}"));
    let said = kubeadm.on(node, &command)?;
    ensure!(said.contains("This node has joined the cluster"), "{said}");
    lab.cluster().adopt(node)?;
    lab.cluster().wait_ready(node)?;
    credentials(lab, node)?;

    let case = Case::new(lab, "join-kubeadm")?;
    let hello = shell("echo hello from a joined node; exec sleep 3600");
    let ran = case.run(pod("hello", Some(node.name()), json!([hello])))?;
    eventually("kubectl logs", LIMIT, || {
        let logs = lab.cluster().kubectl(&["-n", &case.ns, "logs", "hello"])?;
        let right = logs == "hello from a joined node\n";
        Ok(if right { Seen::Yes(()) } else { Seen::No(logs) })
    })?;
    // Only the configuration file that kubeadm wrote says where the cluster's DNS is.
    let resolv =
        lab.cluster()
            .kubectl(&["-n", &case.ns, "exec", "hello", "--", "cat", "/etc/resolv.conf"])?;
    ensure!(resolv.contains("nameserver 10.96.0.10"), "{resolv}");

    // The token is gone, and nothing of the node's life depends on it.
    node.exec(&["systemctl", "restart", "kubelet"])?;
    eventually("a healthy agent", LIMIT, || {
        let answer = node.exec(&["curl", "-s", "--max-time", "5", "http://127.0.0.1:10248/healthz"])?;
        Ok(if answer == "ok" {
            Seen::Yes(())
        } else {
            Seen::No(answer)
        })
    })?;
    lab.cluster().wait_ready(node)?;
    let again = case.pod("hello")?;
    ensure!(
        status(&again)["containerID"] == status(&ran)["containerID"],
        "{again}"
    );

    reset(lab, kubeadm, node)?;
    eventually("a machine as it was", LIMIT, || {
        let mut left = node.residue()?.since(&before);
        // kubeadm says itself that it leaves rules alone; and the pod's logs and empty cgroups stay, with kubelet's too.
        left.retain(|item| {
            !["chain ", "log ", "log-link ", "cgroup "]
                .iter()
                .any(|kind| item.starts_with(kind))
        });
        Ok(if left.is_empty() {
            Seen::Yes(())
        } else {
            Seen::No(left.join("\n"))
        })
    })?;
    if lab.upstream {
        return Ok(());
    }
    // What kubeadm leaves is ours to take away.
    node.exec(&["/usr/local/bin/rustlet", "clean"])?;
    let left = node.residue()?;
    ensure!(left.count("chain") == 0, "{left:?}");
    Ok(())
}

/// The files are where kubeadm's users look for them, and the certificate came by the cluster's own approval.
fn credentials(lab: &Lab, node: &Node) -> Result<()> {
    let stat = node.exec(&["stat", "-c", "%a %U %F", KUBECONFIG])?;
    ensure!(stat.trim() == "600 root regular file", "{KUBECONFIG}: {stat}");
    ensure!(node.read(BOOTSTRAP).is_err(), "{BOOTSTRAP} is still there");
    node.exec(&["test", "-s", "/var/lib/kubelet/pki/kubelet-client-current.pem"])?;
    let requests = lab
        .kube
        .list("/apis/certificates.k8s.io/v1/certificatesigningrequests")?;
    let ours = requests.iter().find(|request| {
        let by = request["spec"]["username"].as_str().unwrap_or_default();
        by.starts_with("system:bootstrap:")
    });
    let ours = ours.context("no certificate was asked for with a bootstrap token")?;
    ensure!(
        ours["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client-kubelet"
            && ours["status"]["certificate"].is_string(),
        "{ours}"
    );
    Ok(())
}

/// The Node leaves the cluster first, as upstream's guide has it: its pods are deleted where they run.
fn reset(lab: &Lab, kubeadm: &Kubeadm<'_>, node: &Node) -> Result<()> {
    let args = ["reset", "--force", "--cri-socket", SOCKET].map(str::to_owned);
    let said = kubeadm.on(node, &args)?;
    ensure!(said.contains("Unmounting mounted directories"), "{said}");
    ensure!(node.read(KUBECONFIG).is_err(), "{KUBECONFIG} is still there");
    let active = node.exec(&["sh", "-c", "systemctl is-active kubelet || true"])?;
    ensure!(active.trim() == "inactive", "{active}");
    lab.kube.delete(&format!("/api/v1/nodes/{}", node.name()))?;
    Ok(())
}
