//! From a kubeconfig file to a checked [`ClientConfig`], before the first connection is made.
//!
//! Every refusal names the file, the field and the remedy: this is the first thing a new node gets wrong, and the
//! words of a TLS library do not help. Files are read through a function, so all rules are tested without a disk.

mod credentials;
mod select;
mod write;

pub use credentials::{Identity, check_key, identity as identity_of};

use jiff::Timestamp;
use kube::config::AuthInfo;
use select::{Selected, read_yaml, select};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// How to reach the API server, and as whom; checked as far as that goes without connecting.
#[derive(Clone)]
pub struct ClientConfig {
    /// The kubeconfig.
    pub file: PathBuf,
    /// `clusters[].cluster.server`.
    pub server: http::Uri,
    /// Name of the cluster entry.
    pub cluster: Box<str>,
    /// Name of the user entry.
    pub user: Box<str>,
    /// What the client certificate says, when there is one.
    pub identity: Option<Identity>,
    /// What is allowed but probably not meant; to be logged once.
    pub warnings: Vec<String>,
    /// Hash of all files it was made from: changes when one of them does.
    pub fingerprint: [u8; 32],
    /// The cluster's CA, where it was given.
    ca: Option<Ca>,
    /// What kube's layers and TLS setup are built from.
    pub(super) kube: kube::Config,
}

/// Where the cluster's CA is.
#[derive(Clone)]
enum Ca {
    File(PathBuf),
    Data(Vec<u8>),
}

impl fmt::Debug for ClientConfig {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("file", &self.file)
            .field("server", &self.server)
            .field("user", &self.user)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// A kubeconfig that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {field}{problem}; {remedy}", file.display())]
pub struct Error {
    /// The kubeconfig.
    pub file: PathBuf,
    /// As `users[worker-1].user.client-certificate: `; empty when the file as a whole is meant.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
    /// What kind of problem it is, for those who know another way.
    pub kind: Kind,
}

/// What kind of problem a kubeconfig has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such file.
    Missing,
    /// Its client certificate is missing, broken, or not valid now; everything before that is right.
    Certificate,
    /// Something else.
    Other,
}

impl Error {
    pub(super) fn unusable(file: &Path, problem: String, remedy: &str) -> Self {
        Self {
            file: file.to_owned(),
            field: String::new(),
            problem,
            remedy: remedy.to_owned(),
            kind: Kind::Other,
        }
    }

    fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
}

/// What a kubeconfig is read against.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The kubeconfig's path: for messages, and the base of relative paths in it.
    pub file: &'a Path,
    /// The node's name, which the client certificate should carry.
    pub node: &'a str,
    /// For validity of certificates.
    pub now: Timestamp,
    /// Client certificate and key in one file, to be used instead of the user's own.
    pub certificate: Option<&'a Path>,
    /// Reads the files it refers to.
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("file", &self.file)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Context<'_> {
    fn error(&self, field: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
        let field = if field.is_empty() {
            String::new()
        } else {
            format!("{field}: ")
        };
        Error {
            file: self.file.to_owned(),
            field,
            problem: problem.into(),
            remedy: remedy.into(),
            kind: Kind::Other,
        }
    }

    /// Content of a `…-data` field (base64) or of the file the plain field names. `None` when neither is set.
    fn material(
        &self,
        entry: &str,
        name: &str,
        data: Option<&str>,
        path: Option<&str>,
    ) -> Result<Option<Material>, Error> {
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            let field = format!("{entry}.{name}-data");
            let bytes = credentials::base64(data).ok_or_else(|| {
                self.error(&field, "is not base64", "encode the PEM file with base64 -w0, or check that the kubeconfig was written completely")
            })?;
            return Ok(Some(Material {
                field,
                origin: None,
                bytes,
            }));
        }
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let path = self.file.parent().unwrap_or(Path::new("")).join(path);
        let field = format!("{entry}.{name}");
        let bytes = (self.read)(&path).map_err(|e| {
            self.error(
                &field,
                format!("{}: {e}", path.display()),
                "put the file there, or correct the path",
            )
        })?;
        Ok(Some(Material {
            field,
            origin: Some(path),
            bytes,
        }))
    }
}

/// PEM text with the place it came from.
struct Material {
    field: String,
    origin: Option<PathBuf>,
    bytes: Vec<u8>,
}

impl Material {
    /// For messages: the field, and the file it names.
    fn place(&self) -> String {
        match &self.origin {
            Some(path) => format!("{} ({})", self.field, path.display()),
            None => self.field.clone(),
        }
    }
}

/// Reads and checks the kubeconfig of this node.
pub fn load(file: &Path, node: &str, now: Timestamp) -> Result<ClientConfig, Error> {
    load_with(file, None, node, now)
}

/// As [`load`], with the client certificate and key of the file `certificate` instead of the user's own.
pub fn load_with(
    file: &Path,
    certificate: Option<&Path>,
    node: &str,
    now: Timestamp,
) -> Result<ClientConfig, Error> {
    let hash = RefCell::new(Sha256::new());
    let read = |path: &Path| {
        let bytes = std::fs::read(path)?;
        hash.borrow_mut().update(&bytes);
        Ok(bytes)
    };
    let context = Context {
        file,
        node,
        now,
        certificate,
        read: &read,
    };
    let bytes = read(file).map_err(|e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => context.error(
            "",
            "there is no such file",
            "give --kubeconfig FILE, or join the node to a cluster first (kubeadm join writes /etc/kubernetes/kubelet.conf)",
        )
        .kind(Kind::Missing),
        io::ErrorKind::PermissionDenied => context.error("", "may not be read", "run as root, or allow reading it"),
        _ => context.error("", e.to_string(), "give --kubeconfig the path of a kubeconfig file"),
    })?;
    let mut config = parse(&bytes, &context)?;
    config.fingerprint = hash.into_inner().finalize().into();
    Ok(config)
}

/// Checks the content of a kubeconfig.
pub fn parse(bytes: &[u8], context: &Context<'_>) -> Result<ClientConfig, Error> {
    let kubeconfig = read_yaml(bytes, context)?;
    let selected = select(&kubeconfig, context)?;
    let mut warnings = Vec::new();
    let server = server_url(&selected, context)?;
    let mut config = kube::Config::new(server.clone());
    config.default_retry = false;
    config.tls_server_name = selected
        .cluster
        .tls_server_name
        .clone()
        .filter(|name| !name.is_empty());
    let ca = trust(&selected, context, &mut config, &mut warnings)?;
    let identity = authenticate(&selected, context, &mut config, &mut warnings)
        .map_err(|error| error.kind(Kind::Certificate))?;
    Ok(ClientConfig {
        file: context.file.to_owned(),
        server,
        cluster: selected.cluster_name.into(),
        user: selected.user_name.into(),
        identity,
        warnings,
        fingerprint: Sha256::digest(bytes).into(),
        ca,
        kube: config,
    })
}

fn server_url(selected: &Selected<'_>, context: &Context<'_>) -> Result<http::Uri, Error> {
    let field = format!("clusters[{}].cluster.server", selected.cluster_name);
    let remedy = "write it as https://HOST:6443";
    let text = selected.cluster.server.as_deref().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| context.error(&field, "is not set", remedy))?;
    let url: http::Uri = text
        .parse()
        .map_err(|e| context.error(&field, format!("{text:?} is not a URL ({e})"), remedy))?;
    if !matches!(url.scheme_str(), Some("https" | "http")) || url.host().is_none_or(str::is_empty) {
        return Err(context.error(
            &field,
            format!("{text:?} is not a URL with scheme and host"),
            remedy,
        ));
    }
    if selected
        .cluster
        .proxy_url
        .as_deref()
        .is_some_and(|proxy| !proxy.is_empty())
    {
        let field = format!("clusters[{}].cluster.proxy-url", selected.cluster_name);
        return Err(context.error(
            &field,
            "proxies are not supported",
            "remove it and give the node a direct way",
        ));
    }
    Ok(url)
}

/// How the server's certificate is checked.
fn trust(
    selected: &Selected<'_>,
    context: &Context<'_>,
    config: &mut kube::Config,
    warnings: &mut Vec<String>,
) -> Result<Option<Ca>, Error> {
    let entry = format!("clusters[{}].cluster", selected.cluster_name);
    let cluster = selected.cluster;
    if cluster.insecure_skip_tls_verify == Some(true) {
        config.accept_invalid_certs = true;
        warnings.push(format!(
            "{entry}.insecure-skip-tls-verify: anyone on the way can pretend to be the API server"
        ));
        return Ok(None);
    }
    let ca = context.material(
        &entry,
        "certificate-authority",
        cluster.certificate_authority_data.as_deref(),
        cluster.certificate_authority.as_deref(),
    )?;
    match &ca {
        Some(ca) => {
            let roots = credentials::roots(&ca.bytes).map_err(|problem| {
                context.error(
                    &ca.place(),
                    problem,
                    "put the cluster's CA certificate there, as PEM (kubeadm: /etc/kubernetes/pki/ca.crt)",
                )
            })?;
            config.root_cert = Some(roots);
        }
        None if config.cluster_url.scheme_str() == Some("https") => warnings.push(format!(
            "{entry}.certificate-authority: is not set, so only the machine's own CAs are trusted"
        )),
        None => warnings.push(format!("{entry}.server: is http, so nothing is encrypted")),
    }
    Ok(ca.map(|ca| match ca.origin {
        Some(file) => Ca::File(file),
        None => Ca::Data(ca.bytes),
    }))
}

/// Who we are: a client certificate, a token, or a file with a token.
fn authenticate(
    selected: &Selected<'_>,
    context: &Context<'_>,
    config: &mut kube::Config,
    warnings: &mut Vec<String>,
) -> Result<Option<Identity>, Error> {
    let entry = format!("users[{}].user", selected.user_name);
    let user = selected.user;
    for (field, set) in [
        ("exec", user.exec.is_some()),
        ("auth-provider", user.auth_provider.is_some()),
    ] {
        if set {
            let remedy = "use client-certificate and client-key, token or tokenFile";
            return Err(context.error(
                &format!("{entry}.{field}"),
                "credential plugins are not supported",
                remedy,
            ));
        }
    }
    let identity = client_certificate(&entry, user, context, config, warnings)?;
    config.auth_info.token.clone_from(&user.token);
    if user.token.is_none()
        && let Some(file) = user.token_file.as_deref().filter(|file| !file.is_empty())
    {
        let token = context
            .material(&entry, "tokenFile", None, Some(file))?
            .expect("the path is not empty");
        if token.bytes.trim_ascii().is_empty() {
            return Err(context.error(&token.place(), "is empty", "put a bearer token there"));
        }
        config.auth_info.token_file = token.origin.map(|path| path.to_string_lossy().into_owned());
    }
    if identity.is_none() && config.auth_info.token.is_none() && config.auth_info.token_file.is_none() {
        let remedy = "give it client-certificate and client-key, token or tokenFile";
        return Err(context.error(&entry, "has no credentials", remedy));
    }
    Ok(identity)
}

fn client_certificate(
    entry: &str,
    user: &AuthInfo,
    context: &Context<'_>,
    config: &mut kube::Config,
    warnings: &mut Vec<String>,
) -> Result<Option<Identity>, Error> {
    let (certificate, key) = match context.certificate {
        Some(path) => {
            let path = path.to_str();
            (
                context.material(entry, "client-certificate", None, path)?,
                context.material(entry, "client-key", None, path)?,
            )
        }
        None => certificate_and_key(entry, user, context)?,
    };
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return Ok(None),
        (Some(_), None) => {
            let remedy = "give the private key of the client certificate";
            return Err(context.error(&format!("{entry}.client-key"), "is not set", remedy));
        }
        (None, Some(_)) => {
            let remedy = "give the certificate that belongs to the client key";
            return Err(context.error(&format!("{entry}.client-certificate"), "is not set", remedy));
        }
    };
    let renew = "renew it (kubeadm certs renew, or delete it and join again)";
    let identity = credentials::identity(&certificate.bytes).map_err(|problem| {
        context.error(
            &certificate.place(),
            problem,
            "put the node's client certificate there, as PEM",
        )
    })?;
    if identity.not_after < context.now {
        return Err(context.error(
            &certificate.place(),
            format!("expired on {}", identity.not_after),
            renew,
        ));
    }
    if identity.not_before > context.now {
        let remedy = "correct the machine's clock, or wait";
        return Err(context.error(
            &certificate.place(),
            format!("is not valid before {}", identity.not_before),
            remedy,
        ));
    }
    credentials::check_key(&certificate.bytes, &key.bytes).map_err(|problem| {
        context.error(
            &key.place(),
            problem,
            "put the key there that the certificate was made for",
        )
    })?;
    warnings.extend(
        identity
            .warning(context.node)
            .map(|warning| format!("{}: {warning}", certificate.place())),
    );
    // kube builds its TLS setup from an AuthInfo, which takes base64 and has no other way in for the key.
    let wanted = serde_json::json!({
        "client-certificate-data": credentials::to_base64(certificate.bytes),
        "client-key-data": credentials::to_base64(key.bytes),
    });
    config.auth_info = serde_json::from_value(wanted).expect("two strings are an AuthInfo");
    Ok(Some(identity))
}

/// What the user's entry names.
fn certificate_and_key(
    entry: &str,
    user: &AuthInfo,
    context: &Context<'_>,
) -> Result<(Option<Material>, Option<Material>), Error> {
    // The key's text is a secret type that only serialization opens.
    let secrets = serde_json::to_value(user).unwrap_or_default();
    let key_data = secrets.get("client-key-data").and_then(|v| v.as_str());
    let certificate = context.material(
        entry,
        "client-certificate",
        user.client_certificate_data.as_deref(),
        user.client_certificate.as_deref(),
    )?;
    let key = context.material(entry, "client-key", key_data, user.client_key.as_deref())?;
    Ok((certificate, key))
}

#[cfg(test)]
mod tests;
