//! containerd of a node.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::Node;
use crate::images;
use crate::kubectl::wait;
use crate::proc::Proc;

const CONFIG: &str = "/etc/containerd/config.toml";

pub(super) fn start(node: &Node) -> Result<Proc> {
    let binaries = &node.settings.binaries;
    let runc = binaries.path("runc")?.display().to_string();
    node.write(
        CONFIG,
        &config(&runc, &node.cni_bin().display().to_string(), may_raise_limits()),
    )?;
    let path = std::env::var("PATH").unwrap_or_default();
    let shim = binaries.dir("containerd-shim-runc-v2")?.display();
    let mut command = Command::new(binaries.path("containerd")?);
    command
        .args(["--config", CONFIG])
        .env("PATH", format!("{shim}:/usr/sbin:/usr/bin:/sbin:/bin:{path}"));
    node.machine
        .spawn(&mut command, &node.logs.join("containerd.log"))
}

pub(super) fn wait_ready(node: &Node, process: &Proc) -> Result<()> {
    let socket = node.machine.path("/run/containerd/containerd.sock");
    let answers = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
    wait(
        &format!("containerd of {}", node.name),
        Duration::from_secs(30),
        || {
            if let Some(status) = process.ended() {
                return Ok(Some(Err(status)));
            }
            Ok(answers().then_some(Ok(())))
        },
    )?
    .or_else(|status| {
        bail!(
            "containerd of {} has ended ({status}):\n{}",
            node.name,
            process.last_words(15)
        )
    })
}

/// Without CAP_SYS_RESOURCE no process may lower its own oom score, and starting a container does.
fn may_raise_limits() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    mask.is_none_or(|mask| mask & (1 << CAP_SYS_RESOURCE) != 0)
}

fn config(runc: &str, cni_bin: &str, may_raise_limits: bool) -> String {
    let (restrict, pause) = (!may_raise_limits, images::PAUSE);
    format!(
        r#"version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins.'io.containerd.internal.v1.opt']
  path = "/var/lib/containerd/opt"

[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{pause}"
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "/etc/containerd/certs.d"

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = {restrict}
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{cni_bin}"]
  conf_dir = "/etc/cni/net.d"
[plugins.'io.containerd.cri.v1.runtime'.containerd]
  default_runtime_name = "runc"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "{runc}"
  SystemdCgroup = false
# A second name for it, which the suite's tests of RuntimeClasses look for.
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.test-handler]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.test-handler.options]
  BinaryName = "{runc}"
  SystemdCgroup = false
"#
    )
}
