//! Debian packages the lab needs on the machine.
//!
//! Each package is known by a file it brings, so a machine that has the tools by other means is left alone.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Package, and the files of which any one shows that it is there.
type Package = (&'static str, &'static [&'static str]);

const PACKAGES: &[Package] = &[
    (
        "iproute2",
        &["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"],
    ),
    ("iptables", &["/usr/sbin/iptables", "/sbin/iptables"]),
    ("nftables", &["/usr/sbin/nft", "/sbin/nft"]),
    ("conntrack", &["/usr/sbin/conntrack", "/usr/bin/conntrack"]),
    ("procps", &["/usr/bin/ps", "/bin/ps"]),
    ("util-linux", &["/usr/bin/nsenter", "/bin/nsenter"]),
    ("docker-registry", &["/usr/bin/docker-registry"]),
    (
        "busybox-static",
        &["/var/lib/dpkg/info/busybox-static.list", "/bin/busybox.static"],
    ),
    ("dbus", &["/usr/bin/dbus-daemon", "/bin/dbus-daemon"]),
    ("debootstrap", &["/usr/sbin/debootstrap"]),
    ("gcc", &["/usr/bin/gcc"]),
    ("libc6-dev", &["/usr/include/stdio.h"]),
    ("pkg-config", &["/usr/bin/pkg-config"]),
    ("libseccomp-dev", &["/usr/include/seccomp.h"]),
];

/// What upstream's conformance suite needs besides.
const FOR_CONFORMANCE: &[Package] = &[("bash-static", &["/bin/bash-static"])];

/// As [`ensure`], with what the conformance suite needs.
pub fn ensure_for_conformance(say: &mut dyn FnMut(&str)) -> Result<()> {
    install(&[PACKAGES, FOR_CONFORMANCE].concat(), say)
}

/// Installs the packages that are missing, after saying which; does nothing when none is.
pub fn ensure(say: &mut dyn FnMut(&str)) -> Result<()> {
    install(PACKAGES, say)
}

fn install(wanted: &[Package], say: &mut dyn FnMut(&str)) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the lab makes namespaces, mounts and cgroups: run it as root (sudo)");
    }
    let missing = missing(wanted, &|path| Path::new(path).exists());
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "these Debian packages (or what they bring) are missing and there is no apt-get to install them: {names}"
        );
    }
    say(&format!("installing Debian packages: {names}"));
    apt(&["update", "-qq"])?;
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(&missing);
    apt(&args).with_context(|| format!("install {names}"))?;
    keep_registry_off()
}

fn missing(wanted: &[Package], exists: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
    let absent = wanted
        .iter()
        .filter(|(_, files)| !files.iter().any(|file| exists(file)));
    absent.map(|(package, _)| *package).collect()
}

fn apt(args: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Packages that bring a service must not start it: the lab runs its own copies in its own namespaces.
        .env("SYSTEMD_OFFLINE", "1")
        .output()
        .context("start apt-get")?;
    if !output.status.success() {
        bail!(
            "apt-get {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// The docker-registry package enables its service for the next boot; the machine did not ask for that.
fn keep_registry_off() -> Result<()> {
    if Path::new("/run/systemd/system").exists() {
        let status = Command::new("systemctl")
            .args(["-q", "disable", "docker-registry"])
            .status();
        status.context("disable the docker-registry service that came with its package")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_named() {
        assert!(missing(PACKAGES, &|_| true).is_empty());
        assert_eq!(missing(PACKAGES, &|path| !path.contains("nft")), ["nftables"]);
        assert_eq!(
            missing(PACKAGES, &|path| path != "/usr/sbin/ip"),
            Vec::<&str>::new(),
            "another place is as good"
        );
    }
}
