//! The node's credentials: TLS bootstrap, rotation, expiry, the serving certificate. Each case has a machine of its own
//! that joins as a third node and goes again; nothing is scheduled there but what the case puts there.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use rustlet_lab::certs::{Authority, Subject, token_kubeconfig};
use rustlet_lab::kube::{self, Seen, eventually, throughout};
use rustlet_lab::node::{Guest, KUBECONFIG};
use serde_json::{Value, json};

use crate::join::Said;
use crate::support::{Case, LIMIT, Lab, pod, shell};

const BOOTSTRAP: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
const BOOTSTRAP_FLAG: &str = "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf";
const ROTATE: &str = "--rotate-certificates=true";
const TAINT: &str = "--register-with-taints=lab-test=identity:NoSchedule";
const CURRENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING: &str = "kubernetes.io/kubelet-serving";

/// A third node while a test runs, with what the cluster needs to let it in.
struct Joining<'a> {
    lab: &'a Lab,
    node: Guest,
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        if self.node.agent_pid().is_some() {
            let _ = self.node.kill_agent(Signal::SIGKILL);
        }
        let kube = &self.lab.kube;
        let _ = kube.delete(&format!("/api/v1/nodes/{}", self.node.name()));
        for request in kube.list(REQUESTS).unwrap_or_default() {
            let _ = kube.delete(&format!("{REQUESTS}/{}", kube::name(&request)));
        }
        for name in ["lab-bootstrapper", "lab-approve-first", "lab-approve-renewal"] {
            let _ = kube.delete(&format!("{ROLES}/{name}"));
        }
    }
}

impl<'a> Joining<'a> {
    /// A machine with containerd, without any credentials but a bootstrap token's.
    fn new(lab: &'a Lab) -> Result<Self> {
        let node = lab.cluster().guest()?;
        node.exec(&["rm", KUBECONFIG])?;
        let secret = json!({
            "metadata": {"name": "bootstrap-token-abcdef"},
            "type": "bootstrap.kubernetes.io/token",
            "stringData": {
                "token-id": "abcdef", "token-secret": "0123456789abcdef",
                "usage-bootstrap-authentication": "true",
            },
        });
        let secrets = "/api/v1/namespaces/kube-system/secrets";
        lab.kube.delete(&format!("{secrets}/bootstrap-token-abcdef"))?;
        lab.kube.create(secrets, &secret)?;
        let control = lab.cluster().control();
        let token = "abcdef.0123456789abcdef";
        let ca = control.pki().authority.certificate();
        node.write(BOOTSTRAP, &token_kubeconfig(&control.server(), ca, token))?;
        let joining = Self { lab, node };
        joining.bind(
            "lab-bootstrapper",
            "system:node-bootstrapper",
            "system:bootstrappers",
        )?;
        Ok(joining)
    }

    fn bind(&self, name: &str, role: &str, group: &str) -> Result<()> {
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
        });
        self.lab.kube.delete(&format!("{ROLES}/{name}"))?;
        self.lab.kube.create(ROLES, &binding).map(drop)
    }

    /// The controller manager approves nodes' first certificates, and renewals, by itself, as kubeadm sets it up.
    fn approve_by_itself(&self) -> Result<()> {
        let role = |name: &str| format!("system:certificates.k8s.io:certificatesigningrequests:{name}");
        self.bind("lab-approve-first", &role("nodeclient"), "system:bootstrappers")?;
        self.bind("lab-approve-renewal", &role("selfnodeclient"), "system:nodes")
    }

    fn start(&self, more: &[&str]) -> Result<()> {
        let mut flags = vec![TAINT, ROTATE];
        flags.extend(more);
        self.node.start_agent_with(&flags)
    }

    fn requests(&self, signer: &str) -> Result<Vec<Value>> {
        let mut all = self.lab.kube.list(REQUESTS)?;
        all.retain(|request| request["spec"]["signerName"] == signer);
        Ok(all)
    }

    /// Waits for a request in this state (`None`: pending) other than those known; returns it.
    fn request(&self, signer: &str, state: Option<&str>, known: &[&str]) -> Result<Value> {
        eventually(&format!("a request for {signer}, {state:?}"), LIMIT, || {
            let all = self.requests(signer)?;
            let condition = |request: &Value| {
                request["status"]["conditions"][0]["type"]
                    .as_str()
                    .map(str::to_owned)
            };
            let found = all.iter().find(|request| {
                condition(request).as_deref() == state && !known.contains(&kube::name(request))
            });
            Ok(match found {
                Some(request) => Seen::Yes(request.clone()),
                None => Seen::No(format!("{all:?}")),
            })
        })
    }

    fn decide(&self, verb: &str, request: &Value) -> Result<()> {
        self.lab
            .cluster()
            .kubectl(&["certificate", verb, kube::name(request)])
            .map(drop)
    }

    /// When the node's Lease was last renewed, in seconds since 1970; 0 without one.
    fn renewed(&self) -> Result<i64> {
        let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
        let lease = self.lab.kube.find(&format!("{path}/{}", self.node.name()))?;
        let text = lease.map(|lease| lease["spec"]["renewTime"].as_str().unwrap_or_default().to_owned());
        Ok(text.and_then(|text| seconds(&text)).unwrap_or(0))
    }

    /// Waits until the node renews its Lease after that moment: the API server accepts what it shows.
    fn lives_after(&self, moment: i64) -> Result<()> {
        eventually("the node renews its lease", LIMIT, || {
            let renewed = self.renewed()?;
            Ok(if renewed > moment {
                Seen::Yes(())
            } else {
                Seen::No(format!("{renewed}, not after {moment}"))
            })
        })
    }

    /// Replaces what `kubelet-client-current.pem` leads to by a certificate that ends so soon.
    fn certificate_for(&self, left: time::Duration) -> Result<()> {
        self.certificate_by(&self.lab.cluster().control().pki().authority, left)
    }

    /// As [`Joining::certificate_for`], signed by any authority.
    fn certificate_by(&self, authority: &Authority, left: time::Duration) -> Result<()> {
        let name = format!("system:node:{}", self.node.name());
        let pair = authority.issue(&Subject {
            name: &name,
            group: Some("system:nodes"),
            lifetime: Some(left),
            ..Subject::default()
        })?;
        let file = self.node.exec(&["readlink", "-f", CURRENT])?;
        self.node.write(file.trim(), &(pair.certificate + &pair.key))
    }

    /// End of the certificate in use on disk, as OpenSSL prints it.
    fn end_on_disk(&self) -> Result<String> {
        self.node
            .exec(&["openssl", "x509", "-noout", "-enddate", "-in", CURRENT])
    }

    fn mode(&self, path: &str) -> Result<String> {
        Ok(self
            .node
            .exec(&["stat", "-L", "-c", "%a", path])?
            .trim()
            .to_owned())
    }

    /// Local ports of the open connections to the API server.
    fn connections(&self) -> Result<BTreeSet<String>> {
        let lines = self
            .node
            .exec(&["ss", "-Htn", "state", "established", "dport", "=", ":6443"])?;
        let port = |line: &str| Some(line.split_whitespace().nth(2)?.rsplit(':').next()?.to_owned());
        Ok(lines.lines().filter_map(port).collect())
    }

    /// How an HTTPS client that trusts the cluster's CA fares on :10250: HTTP status, or curl's complaint.
    fn https(&self) -> Result<String> {
        let url = format!("https://{}:10250/healthz", self.node.address());
        let ca = self.lab.cluster().control().pki().path("ca.crt");
        let ca = ca.display().to_string();
        let mut curl = vec![
            "curl",
            "-sS",
            "--max-time",
            "5",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ];
        curl.extend(["--cacert", &ca, &url]);
        let said = self.lab.cluster().control().machine().exec(&curl);
        Ok(said.unwrap_or_else(|error| format!("{error:#}")))
    }
}

fn seconds(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_second)
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A fresh machine joins with a bootstrap token: its request waits, is denied once, approved by the controller manager
/// in the end; then it has its files where kubeadm expects them, and starts again without the bootstrap kubeconfig.
pub(crate) fn bootstrap(lab: &Lab) -> Result<()> {
    let joining = Joining::new(lab)?;
    let node = &joining.node;
    let said = Said::since_now(node);
    joining.start(&[BOOTSTRAP_FLAG])?;
    let first = joining.request(CLIENT, None, &[])?;
    ensure!(
        first["spec"]["username"] == "system:bootstrap:abcdef",
        "{}",
        first["spec"]
    );
    ensure!(
        first["spec"]["usages"] == json!(["digital signature", "client auth"]),
        "{}",
        first["spec"]
    );
    ensure!(first["spec"]["expirationSeconds"].is_null(), "{}", first["spec"]);
    if !lab.upstream {
        said.eventually(
            "a request that waits",
            &["kubectl certificate approve", kube::name(&first)],
        )?;
        // A restart takes up the same request.
        node.kill_agent(Signal::SIGKILL)?;
        joining.start(&[BOOTSTRAP_FLAG])?;
        throughout("one request", Duration::from_secs(4), || {
            let count = joining.requests(CLIENT)?.len();
            Ok(Seen::equal(count, 1))
        })?;
        ensure!(joining.mode("/var/lib/kubelet/pki/kubelet-client.key.tmp")? == "600");
    }
    joining.decide("deny", &first)?;
    let second = joining.request(CLIENT, None, &[kube::name(&first)])?;
    if !lab.upstream {
        said.eventually("a denied request", &["denied", kube::name(&first)])?;
    }
    joining.approve_by_itself()?;
    joining.request(CLIENT, Some("Approved"), &[kube::name(&first)])?;
    ensure!(kube::name(&second) != kube::name(&first));
    joining.lives_after(0)?;
    if !lab.upstream {
        lab.cluster().wait_ready(node)?;
    }
    let kubeconfig = node.read(KUBECONFIG)?;
    for line in [
        format!("client-certificate: {CURRENT}"),
        format!("client-key: {CURRENT}"),
        format!("server: {}", lab.cluster().control().server()),
        "current-context: default-context".to_owned(),
        "certificate-authority-data: ".to_owned(),
    ] {
        ensure!(kubeconfig.contains(&line), "no {line:?} in {kubeconfig}");
    }
    for path in [KUBECONFIG, CURRENT] {
        let mode = joining.mode(path)?;
        ensure!(mode == "600", "{path}: {mode}");
    }
    let pki = node.exec(&["ls", "/var/lib/kubelet/pki"])?;
    ensure!(!pki.contains(".tmp") && !pki.contains("updated"), "{pki}");
    let link = node.exec(&["readlink", CURRENT])?;
    let date = link
        .trim()
        .strip_prefix("/var/lib/kubelet/pki/kubelet-client-")
        .and_then(|rest| rest.strip_suffix(".pem"))
        .with_context(|| link.clone())?;
    ensure!(date.len() == "2026-01-02-03-04-05".len(), "{link}");
    node.kill_agent(Signal::SIGTERM)?;
    node.exec(&["rm", BOOTSTRAP])?;
    let before = now();
    joining.start(&[])?;
    joining.lives_after(before)
}

/// A certificate near its end appears under a running agent (so it is read without a restart), is renewed, and the node
/// lives on after its end; the connection of the watches is the one from before, and a Pod that is made now arrives.
pub(crate) fn rotation(lab: &Lab) -> Result<()> {
    let joining = Joining::new(lab)?;
    let node = &joining.node;
    joining.approve_by_itself()?;
    joining.start(&[BOOTSTRAP_FLAG])?;
    joining.lives_after(0)?;
    if lab.upstream {
        // Upstream reads its certificate at the start only.
        node.kill_agent(Signal::SIGTERM)?;
    } else {
        lab.cluster().wait_ready(node)?;
    }
    let connected = joining.connections()?;
    let said = Said::since_now(node);
    let end = now() + 40;
    joining.certificate_for(time::Duration::seconds(40))?;
    let short = joining.end_on_disk()?;
    if lab.upstream {
        joining.start(&[BOOTSTRAP_FLAG])?;
    }
    eventually("a request of the node itself", LIMIT, || {
        let user = format!("system:node:{}", node.name());
        let all = joining.requests(CLIENT)?;
        let own = all.iter().find(|request| request["spec"]["username"] == *user);
        Ok(own.map_or_else(|| Seen::No(format!("{all:?}")), |_| Seen::Yes(())))
    })?;
    eventually("another certificate on disk", LIMIT, || {
        let now = joining.end_on_disk()?;
        Ok(if now == short {
            Seen::No(now)
        } else {
            Seen::Yes(())
        })
    })?;
    joining.lives_after(end)?;
    if lab.upstream {
        return Ok(());
    }
    let text = said.text()?;
    ensure!(!text.contains("trying again"), "something failed: {text}");
    ensure!(
        text.matches("new client certificate").count() == 2,
        "taken up, then renewed: {text}"
    );
    let still = joining.connections()?;
    ensure!(
        still.intersection(&connected).next().is_some(),
        "no connection from before is left: {connected:?}, {still:?}"
    );
    ensure!(
        still.difference(&connected).next().is_some(),
        "nothing new: {connected:?}, {still:?}"
    );
    let case = Case::new(lab, "identity-rotation")?;
    let mut sleeper = pod("sleeper", Some(node.name()), json!([shell("sleep 1000")]));
    sleeper["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    case.run(sleeper)?;
    lab.kube.delete(&case.path("pods", "sleeper"))?;
    eventually("the pod is gone", LIMIT, || {
        let left = lab.kube.find(&case.path("pods", "sleeper"))?;
        Ok(left.map_or(Seen::Yes(()), |pod| Seen::No(kube::describe_pod(&pod))))
    })
}

/// An expired or refused certificate: without a bootstrap kubeconfig the agent says so and waits for better files; with one it
/// joins again by itself.
pub(crate) fn expired(lab: &Lab) -> Result<()> {
    let joining = Joining::new(lab)?;
    let node = &joining.node;
    joining.approve_by_itself()?;
    joining.start(&[BOOTSTRAP_FLAG])?;
    joining.lives_after(0)?;
    node.kill_agent(Signal::SIGTERM)?;
    joining.certificate_for(time::Duration::hours(-2))?;
    if !lab.upstream {
        let bad = node.exec(&["cat", CURRENT])?;
        let said = Said::since_now(node);
        joining.start(&[])?;
        said.eventually(
            "an expired certificate",
            &[KUBECONFIG, "client-certificate", CURRENT, "expired on"],
        )?;
        throughout("the agent waits, quietly", Duration::from_secs(6), || {
            let lines = said
                .text()?
                .lines()
                .filter(|line| line.contains("expired on"))
                .count();
            Ok(match (node.agent_pid(), lines) {
                (Some(_), 1) => Seen::Yes(()),
                (pid, lines) => Seen::No(format!("process {pid:?}, {lines} lines about it")),
            })
        })?;
        ensure!(node.exec(&["cat", CURRENT])? == bad, "nothing is deleted");
        let before = now();
        joining.certificate_for(time::Duration::days(30))?;
        joining.lives_after(before)?;
        node.kill_agent(Signal::SIGTERM)?;
        joining.certificate_for(time::Duration::hours(-2))?;
    }
    let known = joining.requests(CLIENT)?;
    let known: Vec<&str> = known.iter().map(kube::name).collect();
    let before = now();
    joining.start(&[BOOTSTRAP_FLAG])?;
    let request = joining.request(CLIENT, Some("Approved"), &known)?;
    ensure!(
        request["spec"]["username"] == "system:bootstrap:abcdef",
        "{}",
        request["spec"]
    );
    joining.lives_after(before)?;
    if lab.upstream {
        // It keeps what the API server refuses until somebody mends it.
        return Ok(());
    }
    let known = joining.requests(CLIENT)?;
    let known: Vec<&str> = known.iter().map(kube::name).collect();
    let said = Said::since_now(node);
    let stranger = Authority::new("somebody else")?;
    joining.certificate_by(&stranger, time::Duration::days(30))?;
    said.eventually(
        "refused credentials",
        &["does not accept the credentials", KUBECONFIG],
    )?;
    joining.request(CLIENT, Some("Approved"), &known)?;
    joining.lives_after(now())?;
    let complaints = said.text()?.matches("does not accept the credentials").count();
    // Once a minute from each that meets the refusal: the watches, the Lease, the Node, the credentials themselves.
    ensure!(
        complaints <= 4,
        "{complaints} lines about refused credentials: {}",
        said.text()?
    );
    Ok(())
}

/// `serverTLSBootstrap`: nobody can connect until the request is approved; then the certificate is the cluster's.
pub(crate) fn serving(lab: &Lab) -> Result<()> {
    let joining = Joining::new(lab)?;
    joining.approve_by_itself()?;
    joining.start(&[BOOTSTRAP_FLAG, "--rotate-server-certificates=true"])?;
    joining.lives_after(0)?;
    let request = joining.request(SERVING, None, &[])?;
    let spec = &request["spec"];
    ensure!(
        spec["username"] == format!("system:node:{}", joining.node.name()),
        "{spec}"
    );
    ensure!(
        spec["usages"] == json!(["digital signature", "server auth"]),
        "{spec}"
    );
    eventually("handshakes fail", LIMIT, || {
        let said = joining.https()?;
        Ok(if said.contains("alert") {
            Seen::Yes(())
        } else {
            Seen::No(said)
        })
    })?;
    joining.decide("approve", &request)?;
    eventually("the cluster's certificate is served", LIMIT, || {
        Ok(Seen::equal(joining.https()?, "401".to_owned()))
    })?;
    let current = "/var/lib/kubelet/pki/kubelet-server-current.pem";
    let mode = joining.mode(current)?;
    ensure!(mode == "600", "{current}: {mode}");
    let names = joining.node.exec(&[
        "openssl",
        "x509",
        "-noout",
        "-ext",
        "subjectAltName",
        "-in",
        current,
    ])?;
    let (dns, ip) = (
        format!("DNS:{}", joining.node.name()),
        format!("IP Address:{}", joining.node.address()),
    );
    ensure!(names.contains(&dns) && names.contains(&ip), "{names}");
    Ok(())
}
