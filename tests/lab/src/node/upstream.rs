//! Upstream's kubelet, kube-proxy and CNI plugins as a node's agent.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Context, Result};

use super::{KUBECONFIG, Node};
use crate::net;
use crate::proc::Proc;

/// Puts upstream's CNI plugins where containerd looks for them.
pub(super) fn link_plugins(node: &Node) -> Result<()> {
    let binaries = &node.settings.binaries;
    for plugin in ["bridge", "host-local", "loopback", "portmap"] {
        let link = node.cni_bin().join(plugin);
        if !link.exists() {
            symlink(fs::canonicalize(binaries.path(plugin)?)?, &link)
                .with_context(|| format!("link {plugin}"))?;
        }
    }
    Ok(())
}

pub(super) fn start(node: &Node, more: &[&str]) -> Result<Vec<Proc>> {
    link_plugins(node)?;
    let binaries = &node.settings.binaries;
    node.write("/var/lib/kubelet/config.yaml", &kubelet_config(&node.cgroup_root))?;
    let mut kubelet = Command::new(binaries.path("kubelet")?);
    kubelet.args([
        "--config=/var/lib/kubelet/config.yaml",
        &format!("--kubeconfig={KUBECONFIG}"),
    ]);
    kubelet.args([
        &format!("--hostname-override={}", node.name),
        &format!("--node-ip={}", node.address),
    ]);
    kubelet.args(&node.settings.agent_args).args(more);
    node.write("/var/lib/kube-proxy/config.yaml", &proxy_config(&node.name))?;
    let mut proxy = Command::new(binaries.path("kube-proxy")?);
    proxy.arg("--config=/var/lib/kube-proxy/config.yaml");
    Ok(vec![
        node.machine.spawn(&mut kubelet, &node.agent_log())?,
        node.machine
            .spawn(&mut proxy, &node.logs.join("kube-proxy.log"))?,
    ])
}

/// Writes the pod network's configuration and the routes to the other nodes' pods: what a network add-on does.
pub(crate) fn configure_network(
    node: &Node,
    pod_cidr: &str,
    others: &[(String, std::net::Ipv4Addr)],
) -> Result<()> {
    for (cidr, address) in others {
        node.exec(&["ip", "route", "replace", cidr, "via", &address.to_string()])?;
    }
    let masquerade = ["-s", pod_cidr, "!", "-d", net::POD_CIDR, "-j", "MASQUERADE"];
    node.exec(
        &[
            &["iptables", "-w", "-t", "nat", "-A", "POSTROUTING"],
            &masquerade[..],
        ]
        .concat(),
    )?;
    node.write("/etc/cni/net.d/10-lab.conflist", &conflist(pod_cidr))
}

fn conflist(pod_cidr: &str) -> String {
    format!(
        r#"{{
  "cniVersion": "1.0.0",
  "name": "lab",
  "plugins": [
    {{
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "hairpinMode": true,
      "ipam": {{
        "type": "host-local",
        "ranges": [[{{"subnet": "{pod_cidr}"}}]],
        "routes": [{{"dst": "0.0.0.0/0"}}]
      }}
    }},
    {{"type": "portmap", "capabilities": {{"portMappings": true}}}}
  ]
}}
"#
    )
}

fn kubelet_config(cgroup_root: &str) -> String {
    let dns = net::CLUSTER_DNS;
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: /etc/kubernetes/pki/ca.crt}}
authorization: {{mode: Webhook}}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: {cgroup_root}
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDNS: [{dns}]
clusterDomain: cluster.local
resolvConf: /etc/resolv.conf
staticPodPath: /etc/kubernetes/manifests
# The machine's disk is not this node's business.
imageGCHighThresholdPercent: 100
evictionHard: {{memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}}
"
    )
}

fn proxy_config(name: &str) -> String {
    let pods = net::POD_CIDR;
    format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: /etc/kubernetes/kube-proxy.conf}}
hostnameOverride: {name}
mode: iptables
clusterCIDR: {pods}
oomScoreAdj: 0
conntrack: {{maxPerCore: 0, min: 0}}
"
    )
}
