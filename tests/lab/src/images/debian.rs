//! The Debian base: a minimal system made by debootstrap, without documentation, translations and caches.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Progress, find_program};

/// What the richer images hold besides Debian's minimal base.
pub(super) const PACKAGES: &[&str] = &[
    "ca-certificates",
    "curl",
    "dnsutils",
    "iproute2",
    "iputils-ping",
    "netcat-openbsd",
    "python3-minimal",
    "python3",
    "redis-server",
];

/// Directories whose content no container needs. The directories themselves stay.
const EMPTIED: &[&str] = &[
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "var/cache",
    "var/lib/apt/lists",
    "var/lib/dpkg/info",
    "var/log",
];

/// A Debian archive and the release of it that this machine uses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mirror {
    /// The archive's base address.
    pub(super) uri: String,
    /// The release, `bookworm`.
    pub(super) suite: String,
}

/// True for the files that belong into the layer, by their path inside the tree.
pub(super) fn keep(path: &Path) -> bool {
    !EMPTIED
        .iter()
        .any(|dir| path != Path::new(dir) && path.starts_with(dir))
        && path != Path::new("etc/machine-id")
}

/// Makes the system at `root`, which must not exist yet. Takes about 40 seconds.
///
/// debootstrap mounts things; it does so in a mount namespace of its own, so that nothing is left behind even when
/// it is killed.
pub(super) fn bootstrap(root: &Path, log: &Path, progress: Progress<'_>) -> Result<()> {
    let debootstrap = find_program("debootstrap", "debootstrap")?;
    let mirror = mirror()?;
    progress(&format!(
        "installing a minimal Debian {} from {}",
        mirror.suite, mirror.uri
    ));
    let sink = std::fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "--"])
        .arg(debootstrap);
    command
        .arg("--variant=minbase")
        .arg(format!("--include={}", PACKAGES.join(",")));
    command.arg(&mirror.suite).arg(root).arg(&mirror.uri);
    if let Some(proxy) = apt_proxy() {
        command.env("http_proxy", proxy);
    }
    let status = command
        .stdout(sink.try_clone()?)
        .stderr(sink)
        .status()
        .context("run unshare debootstrap")?;
    if !status.success() {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let last: Vec<&str> = text.lines().rev().take(5).collect();
        let said = last.into_iter().rev().collect::<Vec<_>>().join("\n  ");
        bail!(
            "debootstrap {} from {} ended with {status}; whole output in {}; last lines:\n  {said}",
            mirror.suite,
            mirror.uri,
            log.display()
        );
    }
    Ok(())
}

/// The archive this machine itself installs from, out of apt's configuration.
fn mirror() -> Result<Mirror> {
    let release = std::fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
    let codename =
        codename(&release).context("/etc/os-release has no VERSION_CODENAME: not a Debian release")?;
    let listing = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"])
        .output()
        .context("run apt-get indextargets: the Debian base image needs a Debian machine")?;
    choose_mirror(&String::from_utf8_lossy(&listing.stdout), codename)
}

fn codename(os_release: &str) -> Option<&str> {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?
        .trim_matches('"');
    (!value.is_empty()).then_some(value)
}

/// The first http archive in apt's listing that carries component main of the release.
pub(super) fn choose_mirror(listing: &str, codename: &str) -> Result<Mirror> {
    let found = listing
        .lines()
        .find_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [uri, release, "main"] if release == codename && uri.starts_with("http") => Some(uri),
            _ => None,
        });
    let uri = found.with_context(|| {
        format!("apt has no http source for Debian {codename} main (see /etc/apt/sources.list*): cannot make the base image")
    })?;
    Ok(Mirror {
        uri: uri.to_owned(),
        suite: codename.to_owned(),
    })
}

/// The proxy apt uses, which debootstrap's wget would not know of.
fn apt_proxy() -> Option<String> {
    let output = Command::new("apt-config")
        .args(["shell", "PROXY", "Acquire::http::Proxy"])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = text
        .trim()
        .strip_prefix("PROXY='")?
        .strip_suffix('\'')?
        .to_owned();
    (!value.is_empty()).then_some(value)
}

/// Where debootstrap works: beside the layers, because `/tmp` may forbid device nodes.
pub(super) fn work_dir(images: &Path) -> Result<(tempfile::TempDir, PathBuf)> {
    let dir = tempfile::Builder::new()
        .prefix("debootstrap-")
        .tempdir_in(images)?;
    let root = dir.path().join("root");
    Ok((dir, root))
}
