//! Images of a registry that asks who pulls them: imagePullSecrets, the node's own credentials, credential providers.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use rustlet_lab::cluster::PrivateRegistry;
use rustlet_lab::node::{Guest, Node};
use serde_json::{Value, json};

use crate::support::{Case, LIMIT, Lab, pod, shell, status};
use rustlet_lab::kube::{Seen, eventually};

/// `lab` with the password `open-sesame`.
const USERS: &str = "lab:$2y$05$rustletlabregistrysale19CXejDG2a84JJVSRcOnbQeqpcfCi1e\n";
const PASSWORD: &str = "open-sesame";
/// The registry's repository and tag.
const IMAGE: &str = "library/busybox:1.37";

/// A registry of the case's own and the node its pods run on.
struct Private<'a> {
    case: Case<'a>,
    registry: PrivateRegistry,
    node: String,
}

impl<'a> Private<'a> {
    fn new(lab: &'a Lab, name: &str, port: u16, node: &Node) -> Result<Self> {
        let registry = lab.cluster().private_registry(port, USERS)?;
        registry.show_to(node)?;
        Ok(Self {
            case: Case::new(lab, name)?,
            registry,
            node: node.name().to_owned(),
        })
    }

    fn image(&self) -> String {
        format!("{}/{IMAGE}", self.registry.host())
    }

    /// A secret with passwords by place below the registry.
    fn secret(&self, name: &str, logins: &[(&str, &str)]) -> Result<()> {
        let host = self.registry.host();
        let auths: serde_json::Map<String, Value> = logins
            .iter()
            .map(|(place, password)| {
                (
                    format!("{host}{place}"),
                    json!({"username": "lab", "password": password}),
                )
            })
            .collect();
        let secret = json!({
            "metadata": {"name": name},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": json!({"auths": auths}).to_string()},
        });
        self.case.create("secrets", &secret).map(drop)
    }

    fn pod(&self, name: &str, image: &str, policy: &str, secrets: &[&str]) -> Value {
        let mut container = shell("trap exit TERM; while :; do sleep 1; done");
        container["image"] = json!(image);
        container["imagePullPolicy"] = json!(policy);
        let mut pod = pod(name, Some(&self.node), json!([container]));
        let secrets: Vec<Value> = secrets.iter().map(|name| json!({"name": name})).collect();
        pod["spec"]["imagePullSecrets"] = json!(secrets);
        pod["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        pod
    }

    fn runs(&self, name: &str, policy: &str, secrets: &[&str]) -> Result<Value> {
        self.case.run(self.pod(name, &self.image(), policy, secrets))
    }

    /// Creates a pod and waits until its container waits for this reason; returns the message.
    fn waits(&self, pod: &Value, reason: &str) -> Result<String> {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.case.create("pods", pod)?;
        let pod = self.case.until(&name, &format!("waits for {reason}"), |pod| {
            status(pod)["state"]["waiting"]["reason"] == reason
        })?;
        let message = status(&pod)["state"]["waiting"]["message"].as_str();
        Ok(message.unwrap_or_default().to_owned())
    }

    /// As [`Private::waits`], in the registry's words for somebody it does not know.
    fn refused(&self, name: &str, secrets: &[&str], words: &str) -> Result<()> {
        let message = self.waits(
            &self.pod(name, &self.image(), "IfNotPresent", secrets),
            "ErrImagePull",
        )?;
        ensure!(
            message.contains(&self.image()) && message.contains(words),
            "{name}: {message}"
        );
        self.case.until(name, "backs off", |pod| {
            let waiting = &status(pod)["state"]["waiting"];
            let message = waiting["message"].as_str().unwrap_or_default();
            waiting["reason"] == "ImagePullBackOff" && message.contains(words)
        })?;
        self.case.expect_events(name, &["Pulling", "Failed", "BackOff"])
    }

    fn told(&self, pod: &str, reason: &str, words: &str) -> Result<()> {
        eventually(&format!("event {reason} of {pod}: {words}"), LIMIT, || {
            let events = self.case.events(pod)?;
            let found = events.iter().any(|(r, text)| r == reason && text.contains(words));
            Ok(if found {
                Seen::Yes(())
            } else {
                Seen::No(format!("{events:?}"))
            })
        })
    }
}

/// The right secret pulls, also beside wrong and missing ones; a wrong one and none do not, and the registry's words say why.
pub(crate) fn secrets(lab: &Lab) -> Result<()> {
    let private = Private::new(lab, "pull-secrets", 5001, &lab.nodes()[0])?;
    private.secret("right", &[("", PASSWORD)])?;
    private.secret("wrong", &[("", "guess")])?;
    private.secret(
        "several",
        &[
            ("/library/busybox", "guess"),
            ("/library", PASSWORD),
            ("/other", "x"),
        ],
    )?;
    private.refused("nobody", &[], "no basic auth credentials")?;
    private.refused("guesses", &["wrong"], "401 Unauthorized")?;
    private.runs("tries-all", "Always", &["wrong", "several"])?;
    private.runs("misses-one", "Always", &["absent", "right"])?;
    private.told(
        "misses-one",
        "FailedToRetrieveImagePullSecret",
        "Unable to retrieve some image pull secrets (absent); attempting to pull the image may not succeed.",
    )?;
    private.told("tries-all", "Pulled", "Successfully pulled image")
}

/// An image that is there is not there for those who could not pull it; tags, digests and names that are none.
pub(crate) fn policies(lab: &Lab) -> Result<()> {
    let private = Private::new(lab, "pull-policies", 5002, &lab.nodes()[1])?;
    private.secret("right", &[("", PASSWORD)])?;
    private.secret("copy", &[("", PASSWORD)])?;
    private.secret("wrong", &[("", "guess")])?;
    let never = "ErrImageNeverPull";
    let image = private.image();
    private.waits(&private.pod("too-early", &image, "Never", &["right"]), never)?;
    let first = private.runs("first", "IfNotPresent", &["right"])?;
    private.told("first", "Pulled", "Successfully pulled image")?;
    private.runs("again", "Never", &["right"])?;
    private.told(
        "again",
        "Pulled",
        "already present on machine and can be accessed by the pod",
    )?;
    private.runs("same-login", "Never", &["copy"])?;
    private.waits(&private.pod("stranger", &image, "Never", &[]), never)?;
    private.refused("thief", &["wrong"], "401 Unauthorized")?;

    let id = status(&first)["imageID"].as_str().unwrap_or_default();
    let (_, digest) = id.rsplit_once('@').with_context(|| format!("imageID {id:?}"))?;
    let (name, _) = image.rsplit_once(':').with_context(|| image.clone())?;
    for (pod, policy) in [("digest", "IfNotPresent"), ("digest-always", "Always")] {
        let image = format!("{name}@{digest}");
        private.case.run(private.pod(pod, &image, policy, &["right"]))?;
    }
    private.told("digest-always", "Pulled", "Successfully pulled image")?;
    let message = private.waits(
        &private.pod("no-name", "Not/A:Name:x", "Always", &[]),
        "InvalidImageName",
    )?;
    ensure!(message.contains("invalid reference format"), "{message}");
    Ok(())
}

/// What a provider is asked, and what it answers; the image of its token attributes needs a token.
const PROVIDER: &str = r#"#!/bin/sh
request=$(cat)
echo "$request" >> /var/lib/kubelet/asked
case "$1:$request" in
  token:*'"serviceAccountToken":"ey'*'"lab/role":"reader"'*) password=open-sesame ;;
  plain:*) password=open-sesame ;;
  *) password=nonsense ;;
esac
cat <<END
{"kind": "CredentialProviderResponse", "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
 "cacheKeyType": "Image", "cacheDuration": "10m0s",
 "auth": {"$LAB_HOST": {"username": "lab", "password": "$password"}}}
END
"#;

const DIR: &str = "/var/lib/kubelet/credential-providers";
const CONFIG: &str = "/etc/kubernetes/credential-providers.yaml";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1";

fn provider_config(host: &str) -> String {
    format!(
        "apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: plain
  matchImages: ['{host}/library/busybox']
  defaultCacheDuration: 1m
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  args: [plain]
  env: [{{name: LAB_HOST, value: '{host}'}}]
- name: token
  matchImages: ['{host}/library/python']
  defaultCacheDuration: 1m
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  args: [token]
  env: [{{name: LAB_HOST, value: '{host}'}}]
  tokenAttributes:
    serviceAccountTokenAudience: lab-registry
    cacheType: ServiceAccount
    requireServiceAccount: true
    requiredServiceAccountAnnotationKeys: [lab/role]
"
    )
}

/// A third node, with a clean end.
struct Third<'a>(&'a Lab, Guest);

impl Drop for Third<'_> {
    fn drop(&mut self) {
        if self.1.agent_pid().is_some() {
            let _ = self.1.kill_agent(Signal::SIGKILL);
        }
        let kube = &self.0.kube;
        let _ = kube.delete(&format!("/api/v1/nodes/{}", self.1.name()));
        for kind in ["clusterroles", "clusterrolebindings"] {
            let _ = kube.delete(&format!("{ROLES}/{kind}/lab-registry-audience"));
        }
    }
}

/// Credentials of the node: docker's file, a provider, and one that is asked in the name of the pod's account.
pub(crate) fn node_credentials(lab: &Lab) -> Result<()> {
    let third = Third(lab, lab.cluster().guest()?);
    let node = &third.1;
    let private = Private::new(lab, "pull-node", 5003, node)?;
    let host = private.registry.host();
    node.write(CONFIG, &provider_config(&host))?;
    for name in ["plain", "token"] {
        node.write(&format!("{DIR}/{name}"), PROVIDER)?;
        node.exec(&["chmod", "755", &format!("{DIR}/{name}")])?;
    }
    let file = json!({"auths": {format!("{host}/library/redis"): {"auth": "bGFiOm9wZW4tc2VzYW1l"}}});
    node.write("/var/lib/kubelet/config.json", &file.to_string())?;
    allow_audience(lab, node.name())?;
    node.start_agent_with(&[
        "--register-with-taints=lab-test=images:NoSchedule",
        &format!("--image-credential-provider-config={CONFIG}"),
        &format!("--image-credential-provider-bin-dir={DIR}"),
    ])?;
    lab.cluster().adopt(node)?;
    lab.cluster().wait_ready(node)?;

    private.runs("by-provider", "Always", &[])?;
    private.runs("by-provider-again", "Always", &[])?;
    let image = |path: &str| format!("{host}/{path}");
    private
        .case
        .run(private.pod("by-file", &image("library/redis:7"), "Always", &[]))?;
    let asked = node.read("/var/lib/kubelet/asked")?;
    ensure!(
        asked.lines().count() == 1 && asked.contains(&format!("\"image\":\"{host}/library/busybox\"")),
        "the answer is not kept, or the wrong question was asked: {asked}"
    );

    let account = |name: &str, annotations: Value| {
        let account = json!({"metadata": {"name": name, "annotations": annotations}});
        private.case.create("serviceaccounts", &account)
    };
    account("reader", json!({"lab/role": "reader", "other": "x"}))?;
    account("nobody", json!({}))?;
    let as_account = |pod: &str, account: &str| {
        let mut pod = private.pod(pod, &image("library/python:3"), "Always", &[]);
        pod["spec"]["serviceAccountName"] = json!(account);
        pod
    };
    private.case.run(as_account("by-account", "reader"))?;
    let message = private.waits(&as_account("by-no-account", "nobody"), "ErrImagePull")?;
    ensure!(message.contains("no basic auth credentials"), "{message}");
    let asked = node.read("/var/lib/kubelet/asked")?;
    ensure!(
        asked.lines().count() == 2 && !asked.contains("\"other\""),
        "the account without the annotation was asked about, or too much was told"
    );
    for pod in [
        "by-provider",
        "by-provider-again",
        "by-file",
        "by-account",
        "by-no-account",
    ] {
        lab.kube.delete(&private.case.path("pods", pod))?;
    }
    eventually("no pods on the third node", LIMIT, || {
        let left = lab.kube.pods(&private.case.ns, "")?;
        Ok(if left.is_empty() {
            Seen::Yes(())
        } else {
            Seen::No(format!("{} are left", left.len()))
        })
    })
}

/// Nodes may ask for tokens of audiences that no Pod mentions only where somebody allows it.
fn allow_audience(lab: &Lab, node: &str) -> Result<()> {
    let name = json!({"name": "lab-registry-audience"});
    let role = json!({
        "metadata": name,
        "rules": [{"apiGroups": [""], "resources": ["lab-registry"], "verbs": ["request-serviceaccounts-token-audience"]}],
    });
    let binding = json!({
        "metadata": name,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "lab-registry-audience"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": format!("system:node:{node}")}],
    });
    for (kind, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        lab.kube
            .delete(&format!("{ROLES}/{kind}/lab-registry-audience"))?;
        lab.kube.create(&format!("{ROLES}/{kind}"), &object)?;
    }
    Ok(())
}
