//! The API server as tests and the demo use it: JSON in and out, and waiting for things to become true.
//!
//! Reading goes through one `kubectl proxy` in the control machine, so that polling costs a request and not a process;
//! manifests go through `kubectl apply`, as a person would.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::control::Control;
use crate::http::{self, Request};
use crate::kubectl::Kubectl;
use crate::ns::{Machine, Scope};

/// Nothing else listens there: the control machine has a network of its own.
const PROXY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8001);

/// A way to the API server as administrator.
#[derive(Clone, Debug)]
pub struct Kube {
    kubectl: Kubectl,
    /// Where `kubectl proxy` listens, on its own 127.0.0.1.
    machine: Arc<Machine>,
}

/// What a look at the world found: the wanted thing, or what was there instead.
#[derive(Debug)]
pub enum Seen<T> {
    /// It is true now.
    Yes(T),
    /// Not yet; the text says what was seen, for the message when time runs out.
    No(String),
}

impl Seen<()> {
    /// Yes if `found == wanted`.
    pub fn equal<V: PartialEq + Display>(found: V, wanted: V) -> Seen<()> {
        if found == wanted {
            Seen::Yes(())
        } else {
            Seen::No(format!("{found}, not {wanted}"))
        }
    }
}

/// Looks again and again until it is so, at most for `limit`. The error says what was expected and what was seen.
/// An error of a look counts as "not yet": the world may be in the middle of a change.
pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Seen<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let saw = match look() {
            Ok(Seen::Yes(found)) => return Ok(found),
            Ok(Seen::No(saw)) => saw,
            Err(error) => format!("{error:#}"),
        };
        if start.elapsed() > limit {
            bail!(
                "expected: {what}\n     saw: {saw}\n  (waited {} s)",
                start.elapsed().as_secs()
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Checks again and again that something stays so for the whole of `time`.
pub fn throughout(what: &str, time: Duration, mut look: impl FnMut() -> Result<Seen<()>>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < time {
        match look()? {
            Seen::Yes(()) => std::thread::sleep(Duration::from_millis(200)),
            Seen::No(saw) => bail!("expected to stay: {what}\n     saw: {saw}"),
        }
    }
    Ok(())
}

impl Kube {
    /// Starts the proxy beside the control plane; it ends with it.
    pub fn connect(control: &Control) -> Result<Kube> {
        let kubectl = control.kubectl().clone();
        // The administrator's own file leads through the host; the proxy runs where the API server is.
        let kubeconfig = control.dir().join("proxy.kubeconfig");
        let text = control.pki().kubeconfig("admin", &control.server())?;
        std::fs::write(&kubeconfig, text).with_context(|| format!("write {}", kubeconfig.display()))?;
        let mut command = Command::new(kubectl.program());
        command
            .arg("proxy")
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .arg("--port")
            .arg(PROXY.port().to_string());
        control.run_component("kubectl-proxy", &mut command)?;
        let kube = Kube {
            kubectl,
            machine: Arc::clone(control.machine()),
        };
        eventually("kubectl proxy answers", Duration::from_secs(30), || {
            kube.get("/version").map(Seen::Yes)
        })?;
        Ok(kube)
    }

    /// GETs a path; anything but 200 is an error that quotes the server.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.find(path)?.with_context(|| format!("GET {path}: not found"))
    }

    /// GETs a path; `None` when there is no such object.
    pub fn find(&self, path: &str) -> Result<Option<Value>> {
        match self.request("GET", path, "application/json", None)? {
            (404, _) => Ok(None),
            (200, body) => Ok(Some(body)),
            (status, body) => bail!("GET {path}: {status}: {}", message(&body)),
        }
    }

    /// The items of a collection.
    pub fn list(&self, path: &str) -> Result<Vec<Value>> {
        match self.get(path)?["items"].take() {
            Value::Array(items) => Ok(items),
            _ => bail!("GET {path}: not a list"),
        }
    }

    /// POSTs an object into a collection and returns what was stored.
    pub fn create(&self, collection: &str, object: &Value) -> Result<Value> {
        self.change("POST", collection, "application/json", Some(object))
    }

    /// Merges a patch into an object.
    pub fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        self.change("PATCH", path, "application/merge-patch+json", Some(patch))
    }

    /// Deletes an object; it is fine when there is none.
    pub fn delete(&self, path: &str) -> Result<()> {
        match self.request("DELETE", path, "application/json", None)? {
            (200 | 202 | 404, _) => Ok(()),
            (status, body) => bail!("DELETE {path}: {status}: {}", message(&body)),
        }
    }

    /// Sets `spec.replicas` of a Deployment.
    pub fn scale(&self, namespace: &str, deployment: &str, replicas: u32) -> Result<()> {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}");
        self.merge(&path, &json!({"spec": {"replicas": replicas}}))?;
        Ok(())
    }

    /// The pods of a namespace that carry the labels of `selector` (`app=my-app`; empty for all).
    pub fn pods(&self, namespace: &str, selector: &str) -> Result<Vec<Value>> {
        let selector = selector.replace('=', "%3D").replace(',', "%2C");
        self.list(&format!(
            "/api/v1/namespaces/{namespace}/pods?labelSelector={selector}"
        ))
    }

    /// One pod.
    pub fn pod(&self, namespace: &str, name: &str) -> Result<Value> {
        self.get(&format!("/api/v1/namespaces/{namespace}/pods/{name}"))
    }

    /// `kubectl apply -f -` in a namespace.
    pub fn apply(&self, namespace: &str, yaml: &str) -> Result<String> {
        self.kubectl
            .run_with(&["apply", "-n", namespace, "-f", "-"], yaml)
    }

    /// `kubectl delete --wait=false -f -` in a namespace; it is fine when something is gone already.
    pub fn delete_manifest(&self, namespace: &str, yaml: &str) -> Result<String> {
        let args = [
            "delete",
            "--ignore-not-found",
            "--wait=false",
            "-n",
            namespace,
            "-f",
            "-",
        ];
        self.kubectl.run_with(&args, yaml)
    }

    /// Sends a request without a body and returns whatever comes back: JSON, or the text as a string.
    pub fn ask(&self, method: &str, path: &str) -> Result<(u16, Value)> {
        self.request(method, path, "application/json", None)
    }

    fn change(&self, method: &str, path: &str, content_type: &str, body: Option<&Value>) -> Result<Value> {
        match self.request(method, path, content_type, body)? {
            (200..=202, body) => Ok(body),
            (status, body) => bail!("{method} {path}: {status}: {}", message(&body)),
        }
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let dial = || TcpStream::connect(PROXY).context("connect to kubectl proxy in the control machine");
        let stream = self.machine.enter(Scope::NetOnly, dial)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let text = body.map(Value::to_string).unwrap_or_default();
        let length = text.len() as u64;
        let request = Request {
            content_type,
            length,
            ..Request::new(method, path, "localhost")
        };
        let reply = http::send(&stream, &request, &mut text.as_bytes())?;
        Ok((
            reply.status,
            serde_json::from_str(&reply.body).unwrap_or(Value::String(reply.body)),
        ))
    }
}

/// What the server says about a refused request.
fn message(body: &Value) -> String {
    body["message"]
        .as_str()
        .map_or_else(|| body.to_string(), str::to_owned)
}

/// The status of a condition of an object, `Unknown` when it has none of that type.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = object["status"]["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    conditions
        .iter()
        .find(|c| c["type"] == kind)
        .and_then(|c| c["status"].as_str())
        .unwrap_or("Unknown")
}

/// `metadata.name`.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// One line about a pod, for messages: name, node, phase, and why containers wait.
pub fn describe_pod(pod: &Value) -> String {
    let mut text = format!(
        "{} on {}: {}, ready {}",
        name(pod),
        pod["spec"]["nodeName"].as_str().unwrap_or("no node"),
        pod["status"]["phase"].as_str().unwrap_or("no phase"),
        condition(pod, "Ready"),
    );
    for status in pod["status"]["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten()
    {
        for state in ["waiting", "terminated"] {
            let reason = &status["state"][state];
            if let Some(why) = reason["reason"].as_str() {
                text += &format!(
                    ", {} {state}: {why} {}",
                    name_of(status),
                    reason["message"].as_str().unwrap_or("")
                );
            }
        }
    }
    text
}

fn name_of(status: &Value) -> &str {
    status["name"].as_str().unwrap_or_default()
}

/// One line about several pods.
pub fn describe_pods(pods: &[Value]) -> String {
    if pods.is_empty() {
        return "no pods".to_owned();
    }
    pods.iter().map(describe_pod).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests;
