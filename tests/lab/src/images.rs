//! The images the lab's nodes run, made on this machine from Debian packages and a few small sources of our own.
//!
//! Every image is a list of layers plus a configuration. Layers are the unit of caching: each is one uncompressed tar
//! under `<lab>/images`, named by a stamp over its recipe, and is built again only when the recipe changes. Layers,
//! configurations and manifests are reproducible (sorted, no times), so a rebuilt image keeps its digest unless its
//! content changed. [`crate::registry`] serves them under the upstream names.

pub mod conformance;
mod debian;
mod layer;
mod recipes;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

pub use layer::Blob;

use crate::dirs;
use layer::hex_sha256;

/// The pod sandbox's image, under the name nodes are configured with.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10";
/// Shell, wget, nslookup, nc, ping, ip and 250 more applets.
pub const BUSYBOX: &str = "docker.io/library/busybox:1.37";
/// Answers its pod's name, the caller's address and the request, HTTP and UDP on port 8000 (`images/echo.rs`).
pub const ECHO: &str = "docker.io/rustlet/echo:1";
/// Python 3 on Debian, with curl, dig, nc, ip and ping.
pub const PYTHON: &str = "docker.io/library/python:3";
/// Debian's redis-server, listening on every address without a password; `redis-cli` is inside too.
pub const REDIS: &str = "docker.io/library/redis:7";
/// The visit counter of story D: Python web server in front of Redis, port 8000 (`images/frontend.py`).
pub const FRONTEND: &str = "docker.io/rustlet/frontend:1";
/// CoreDNS as built by the lab.
pub const COREDNS: &str = "registry.k8s.io/coredns/coredns:v1.15.0";

/// The search path of every image with a shell.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Tells the person who waits what is being done; one line each.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// An image's name taken apart, as a registry addresses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The upstream host the name belongs to, `registry.k8s.io`.
    pub host: String,
    /// The repository below the host, `coredns/coredns`.
    pub repository: String,
    /// The tag, `v1.15.0`.
    pub tag: String,
}

impl Reference {
    /// Splits a full name `host/repository:tag`.
    pub fn parse(name: &str) -> Result<Reference> {
        let parts = name
            .split_once('/')
            .and_then(|(host, rest)| Some((host, rest.rsplit_once(':')?)));
        let (host, (repository, tag)) =
            parts.with_context(|| format!("image name {name} is not host/repository:tag"))?;
        Ok(Reference {
            host: host.to_owned(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        })
    }
}

/// One image, ready to be pushed.
#[derive(Clone, Debug)]
pub struct Image {
    /// The full upstream name.
    pub name: &'static str,
    /// The same name taken apart.
    pub reference: Reference,
    /// The layers, lowest first.
    pub layers: Vec<Blob>,
    /// The OCI image configuration, JSON.
    pub config: Vec<u8>,
    /// The OCI image manifest, JSON.
    pub manifest: Vec<u8>,
}

impl Image {
    /// `sha256:…` of the manifest: what `imageID` shows for a pulled image.
    pub fn digest(&self) -> String {
        format!("sha256:{}", hex_sha256(&self.manifest))
    }

    /// `sha256:…` of the configuration.
    pub fn config_digest(&self) -> String {
        format!("sha256:{}", hex_sha256(&self.config))
    }

    fn new(name: &'static str, layers: Vec<Blob>, run: &Value) -> Result<Image> {
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
        let config = serde_json::to_vec(&json!({
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": run,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        }))?;
        let descriptors: Vec<Value> = layers
            .iter()
            .map(|layer| {
                json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer.digest, "size": layer.size})
            })
            .collect();
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": format!("sha256:{}", hex_sha256(&config)),
                "size": config.len(),
            },
            "layers": descriptors,
        }))?;
        Ok(Image {
            name,
            reference: Reference::parse(name)?,
            layers,
            config,
            manifest,
        })
    }
}

/// Media type of the manifests we write.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Every image of the lab.
#[derive(Clone, Debug)]
pub struct ImageSet {
    /// In no particular order.
    pub images: Vec<Image>,
}

/// Builds what is missing below `lab_dir/images` and returns the whole set. `coredns` is the CoreDNS binary.
///
/// Needs root (debootstrap) and, for the first build only, a Debian mirror. Two processes may call it at once: the
/// second waits for the first and finds its work done.
pub fn ensure(lab_dir: &Path, coredns: &Path, progress: Progress<'_>) -> Result<ImageSet> {
    let dir = lab_dir.join("images");
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let _lock = dirs::lock(&dir.join(".lock"))?;
    let layers = recipes::layers(&dir, coredns, progress)?;
    Ok(ImageSet {
        images: recipes::images(&layers)?,
    })
}

/// Go's name for the machine's architecture, which is what image configurations use.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Where a program is on `PATH`, or an error that says how to get it.
pub(crate) fn find_program(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    let found = std::env::split_paths(&path)
        .chain(system)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file());
    found.with_context(|| format!("{name} is not installed: apt-get install {package}"))
}

#[cfg(test)]
mod tests;
