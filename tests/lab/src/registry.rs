//! The lab's registry: Debian's `docker-registry` over storage that is kept between runs.
//!
//! Images are pushed before a cluster needs them, through a registry that lives only for the push
//! ([`push`]); the cluster's own registry ([`config`]) serves the same storage read-only. Nodes reach it under the
//! upstream host names, by the mirror files of [`write_mirrors`].

mod client;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::dirs;
use crate::images::{Image, ImageSet, Progress, find_program};
use client::Client;

/// The port nodes find the registry at.
pub const PORT: u16 = 5000;

/// Makes sure the storage below `lab_dir/registry` holds every image of the set; pushes only what changed.
///
/// Runs a registry of its own on a free port of 127.0.0.1 while it pushes, so it needs no cluster and can run beside
/// a control plane that starts.
pub fn push(lab_dir: &Path, set: &ImageSet, progress: Progress<'_>) -> Result<()> {
    let dir = lab_dir.join("registry");
    let storage = storage(&dir);
    fs::create_dir_all(&storage).with_context(|| format!("create {}", storage.display()))?;
    // One push at a time: a second lab would give the first one's registry another address.
    let _lock = dirs::lock(&dir.join(".lock"))?;
    let missing: Vec<&Image> = set
        .images
        .iter()
        .filter(|image| !holds(&storage, image))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    progress(&format!("pushing {} images to the lab's registry", missing.len()));
    let address = free_address()?;
    let temporary = Temporary::start(&dir, address)?;
    let client = Client::new(address);
    temporary.wait_until_ready(&client)?;
    for image in missing {
        client
            .push(image)
            .with_context(|| format!("push {}", image.name))?;
    }
    Ok(())
}

/// The program and arguments that serve the storage below `lab_dir/registry` at `address`, read-only, for the
/// cluster's own registry; with `users`, a file of `user:bcrypt` lines, to these only. Writes the configuration it
/// names to `config_file`.
pub fn config(
    lab_dir: &Path,
    address: SocketAddr,
    users: Option<&Path>,
    config_file: &Path,
) -> Result<(PathBuf, Vec<String>)> {
    let program = find_program("docker-registry", "docker-registry")?;
    let mut text = config_text(&storage(&lab_dir.join("registry")), address, true);
    if let Some(users) = users {
        let path = users.display().to_string();
        text += &format!("auth: {{htpasswd: {{realm: lab, path: {path:?}}}}}\n");
    }
    fs::write(config_file, text).with_context(|| format!("write {}", config_file.display()))?;
    Ok((
        program,
        vec!["serve".to_owned(), config_file.display().to_string()],
    ))
}

/// Writes containerd's `hosts.toml` files to `config_path`, so that every image name is looked for in the registry at
/// `address` over plain HTTP, and nowhere else.
pub fn write_mirrors(config_path: &Path, address: SocketAddr) -> Result<()> {
    ["_default", "docker.io", "registry.k8s.io"]
        .iter()
        .try_for_each(|host| write_mirror(config_path, host, address))
}

/// As [`write_mirrors`], for one host; without credentials of its own, so that those of a pull are used.
pub(crate) fn write_mirror(config_path: &Path, host: &str, address: SocketAddr) -> Result<()> {
    let dir = config_path.join(host);
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let file = dir.join("hosts.toml");
    fs::write(&file, mirror_text(address)).with_context(|| format!("write {}", file.display()))
}

fn mirror_text(address: SocketAddr) -> String {
    // `server` is where containerd goes when every mirror fails; naming the registry again keeps it off the internet.
    format!(
        "server = \"http://{address}\"\n\n[host.\"http://{address}\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
    )
}

fn storage(registry_dir: &Path) -> PathBuf {
    registry_dir.join("storage")
}

fn config_text(storage: &Path, address: SocketAddr, read_only: bool) -> String {
    format!(
        "version: 0.1\n\
         log: {{level: warn, accesslog: {{disabled: true}}}}\n\
         storage:\n  \
           filesystem: {{rootdirectory: {storage:?}}}\n  \
           maintenance: {{readonly: {{enabled: {read_only}}}, uploadpurging: {{enabled: false}}}}\n\
         http: {{addr: \"{address}\", secret: rustlet-lab}}\n",
        storage = storage.display().to_string(),
    )
}

/// True if the tag of the image points to its manifest and the manifest's content is there, by the registry's own
/// files. Layers are written before the manifest that names them, so they are there too.
fn holds(storage: &Path, image: &Image) -> bool {
    let root = storage.join("docker/registry/v2");
    let link = root
        .join("repositories")
        .join(&image.reference.repository)
        .join("_manifests/tags")
        .join(&image.reference.tag)
        .join("current/link");
    let digest = image.digest();
    let Some(hex) = digest.strip_prefix("sha256:") else {
        return false;
    };
    let data = root.join("blobs/sha256").join(&hex[..2]).join(hex).join("data");
    fs::read_to_string(link).is_ok_and(|found| found.trim() == digest) && data.is_file()
}

fn free_address() -> Result<SocketAddr> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port on 127.0.0.1")?;
    Ok(probe.local_addr()?)
}

/// A registry that ends with this value.
struct Temporary {
    child: std::cell::RefCell<Child>,
    log: PathBuf,
}

impl Temporary {
    fn start(dir: &Path, address: SocketAddr) -> Result<Temporary> {
        let program = find_program("docker-registry", "docker-registry")?;
        let config = dir.join("push.yml");
        fs::write(&config, config_text(&storage(dir), address, false))?;
        let log = dir.join("push.log");
        let sink = fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let child = Command::new(&program)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(sink.try_clone()?)
            .stderr(sink)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Temporary {
            child: child.into(),
            log,
        })
    }

    fn wait_until_ready(&self, client: &Client) -> Result<()> {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !client.answers() {
            let ended = self.child.borrow_mut().try_wait()?;
            if ended.is_some() || std::time::Instant::now() > deadline {
                let said = fs::read_to_string(&self.log).unwrap_or_default();
                bail!(
                    "docker-registry does not answer ({}): {}",
                    self.log.display(),
                    said.trim()
                );
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        // Both fail only when it has already gone.
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests;
