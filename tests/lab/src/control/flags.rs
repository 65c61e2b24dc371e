//! Command lines of the control plane's components.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::API_PORT;
use crate::certs::Pki;
use crate::net;

/// The flags of a component. `dir` holds its data and kubeconfigs.
pub(super) fn of(component: &str, dir: &Path, pki: &Pki) -> Result<Vec<String>> {
    Ok(match component {
        "etcd" => etcd(dir),
        "kube-apiserver" => apiserver(pki),
        "kube-controller-manager" => controller_manager(dir, pki),
        "kube-scheduler" => scheduler(dir),
        _ => bail!("{component} is not part of the control plane"),
    })
}

/// Where a component's kubeconfig is.
pub(super) fn kubeconfig(dir: &Path, client: &str) -> PathBuf {
    dir.join(format!("{client}.kubeconfig"))
}

fn etcd(dir: &Path) -> Vec<String> {
    vec![
        "--name=lab".to_owned(),
        format!("--data-dir={}", dir.join("etcd").display()),
        "--listen-client-urls=http://127.0.0.1:2379".to_owned(),
        "--advertise-client-urls=http://127.0.0.1:2379".to_owned(),
        "--listen-peer-urls=http://127.0.0.1:2380".to_owned(),
        "--initial-advertise-peer-urls=http://127.0.0.1:2380".to_owned(),
        "--initial-cluster=lab=http://127.0.0.1:2380".to_owned(),
        // The data dies with the lab: syncing it to disk only costs time.
        "--unsafe-no-fsync".to_owned(),
    ]
}

fn apiserver(pki: &Pki) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.path(name).display());
    vec![
        "--etcd-servers=http://127.0.0.1:2379".to_owned(),
        format!("--advertise-address={}", net::CONTROL),
        format!("--secure-port={API_PORT}"),
        format!("--service-cluster-ip-range={}", net::SERVICE_CIDR),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--enable-bootstrap-token-auth".to_owned(),
        "--allow-privileged".to_owned(),
        file("tls-cert-file", "apiserver.crt"),
        file("tls-private-key-file", "apiserver.key"),
        file("client-ca-file", "ca.crt"),
        file("kubelet-client-certificate", "kubelet-client.crt"),
        file("kubelet-client-key", "kubelet-client.key"),
        "--kubelet-preferred-address-types=InternalIP,Hostname".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        file("service-account-key-file", "sa.pub"),
        file("service-account-signing-key-file", "sa.key"),
        // No kube-proxy runs beside it, so it goes to the endpoints of webhooks and aggregated APIs itself.
        "--enable-aggregator-routing".to_owned(),
        file("proxy-client-cert-file", "front-proxy-client.crt"),
        file("proxy-client-key-file", "front-proxy-client.key"),
        file("requestheader-client-ca-file", "front-proxy-ca.crt"),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
    ]
}

fn controller_manager(dir: &Path, pki: &Pki) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.path(name).display());
    let mut flags = vec![
        "--allocate-node-cidrs".to_owned(),
        format!("--cluster-cidr={}", net::POD_CIDR),
        "--node-cidr-mask-size=24".to_owned(),
        format!("--service-cluster-ip-range={}", net::SERVICE_CIDR),
        file("cluster-signing-cert-file", "ca.crt"),
        file("cluster-signing-key-file", "ca.key"),
        file("service-account-private-key-file", "sa.key"),
        file("root-ca-file", "ca.crt"),
        "--use-service-account-credentials".to_owned(),
        "--controllers=*,bootstrap-signer-controller,token-cleaner-controller".to_owned(),
    ];
    flags.extend(client(dir, "controller-manager"));
    flags
}

fn scheduler(dir: &Path) -> Vec<String> {
    client(dir, "scheduler")
}

/// What the two clients of the API server have in common.
fn client(dir: &Path, name: &str) -> Vec<String> {
    let kubeconfig = kubeconfig(dir, name);
    let mut flags: Vec<String> = [
        "kubeconfig",
        "authentication-kubeconfig",
        "authorization-kubeconfig",
    ]
    .map(|flag| format!("--{flag}={}", kubeconfig.display()))
    .to_vec();
    flags.extend([
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=false".to_owned(),
    ]);
    flags
}
