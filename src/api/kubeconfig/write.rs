//! PURE. The kubeconfig a node has after its bootstrap: the bootstrap's cluster, its own certificate.

use super::{Ca, ClientConfig, credentials};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

impl ClientConfig {
    /// The kubeconfig, as YAML, that reaches the same cluster with certificate and key in the file `pair`. Entries have
    /// the names and the order upstream's kubelet gives them.
    pub fn with_client_pair(&self, pair: &Path) -> String {
        let cluster: BTreeMap<String, Value> = self.cluster_fields().into_iter().collect();
        let fields: Vec<String> = cluster
            .iter()
            .map(|(name, value)| format!("    {name}: {}\n", scalar(value)))
            .collect();
        let pair = scalar(&json!(pair));
        format!(
            "apiVersion: v1
clusters:
- cluster:
{}  name: default-cluster
contexts:
- context:
    cluster: default-cluster
    namespace: default
    user: default-auth
  name: default-context
current-context: default-context
kind: Config
users:
- name: default-auth
  user:
    client-certificate: {pair}
    client-key: {pair}
",
            fields.concat()
        )
    }

    fn cluster_fields(&self) -> Vec<(String, Value)> {
        let text = self.server.to_string();
        let server = text.strip_suffix('/').unwrap_or(&text);
        let mut fields = vec![("server".to_owned(), json!(server))];
        match &self.ca {
            Some(Ca::File(file)) => fields.push(("certificate-authority".to_owned(), json!(file))),
            Some(Ca::Data(pem)) => {
                let data = credentials::to_base64(pem.clone());
                fields.push(("certificate-authority-data".to_owned(), data));
            }
            None => {}
        }
        if self.kube.accept_invalid_certs {
            fields.push(("insecure-skip-tls-verify".to_owned(), json!(true)));
        }
        if let Some(name) = &self.kube.tls_server_name {
            fields.push(("tls-server-name".to_owned(), json!(name)));
        }
        fields
    }
}

/// A YAML scalar: plain where that cannot be misread, else as JSON, which YAML contains.
fn scalar(value: &Value) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.:+=_-".contains(c);
    match value {
        Value::String(text)
            if text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && text.chars().all(plain) =>
        {
            text.clone()
        }
        other => other.to_string(),
    }
}
