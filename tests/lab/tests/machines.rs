//! Machines by themselves: what is in one stays in it, and goes with it. Needs root, starts no cluster.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use rustlet_lab::kubectl::wait;
use rustlet_lab::ns::{Machine, Scope};

const BRIEFLY: Duration = Duration::from_secs(10);

fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn a_machine_has_its_own_name_network_processes_and_mounts() -> Result<()> {
    let machine = Machine::start("apart")?;
    ensure!(machine.exec(&["hostname"])?.trim() == "apart");
    ensure!(machine.exec(&["ls", "/sys/class/net"])?.trim() == "lo");
    ensure!(machine.exec(&["cat", "/proc/1/comm"])?.trim() == "cat");
    machine.sh("mount -t tmpfs only-here /mnt && touch /mnt/file", &[])?;
    ensure!(machine.path("/mnt/file").exists() && !Path::new("/mnt/file").exists());
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(!table.contains("only-here"), "the mount is on the host");
    ensure!(
        machine.path("/sys/fs/cgroup").read_dir()?.next().is_some(),
        "cgroups must stay visible"
    );
    Ok(())
}

#[test]
fn a_failed_command_is_an_error_that_quotes_it() -> Result<()> {
    let machine = Machine::start("quoted")?;
    let error = machine
        .sh("echo why >&2; exit 3", &[])
        .expect_err("exit code 3")
        .to_string();
    ensure!(error.contains("why") && error.contains('3'), "{error}");
    let error = format!("{:#}", machine.exec(&["no-such-program"]).expect_err("not there"));
    ensure!(error.contains("no-such-program"), "{error}");
    Ok(())
}

#[test]
fn processes_have_host_ids_logs_and_die_with_the_machine() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let log = dir.path().join("log");
    let machine = Machine::start("mortal")?;
    let script = "echo hello; (sleep 1000 & echo $! > /dev/null); exec sleep 1000";
    let process = machine.spawn(Command::new("sh").args(["-c", script]), &log)?;
    wait("its output", BRIEFLY, || {
        Ok(process.last_words(1).contains("hello").then_some(()))
    })?;
    ensure!(alive(process.pid()));
    ensure!(fs::read_link(format!("/proc/{}/ns/net", process.pid()))? != fs::read_link("/proc/self/ns/net")?);
    let other = machine.spawn(Command::new("sleep").arg("1000"), &log)?;
    other.signal(Signal::SIGKILL)?;
    ensure!(
        other.wait(BRIEFLY).is_some() && process.is_running(),
        "exactly one process is killed"
    );
    let ids = machine.namespace_ids().to_vec();
    machine.kill();
    ensure!(!alive(process.pid()) && !alive(machine.pid()));
    ensure!(
        members(&ids).is_empty(),
        "left in the machine: {:?}",
        members(&ids)
    );
    Ok(())
}

#[test]
fn orphans_are_reaped() -> Result<()> {
    let machine = Machine::start("orphanage")?;
    machine.sh("(sleep 0.05 &) ; exit 0", &[])?;
    wait("no zombie", BRIEFLY, || {
        let states = machine.sh("ps -eo stat=,comm=", &[])?;
        Ok((!states.contains("sleep")).then_some(()))
    })
}

#[test]
fn entering_leaves_the_caller_where_it_was() -> Result<()> {
    let machine = Machine::start("visited")?;
    let own = fs::read_link("/proc/thread-self/ns/net")?;
    let inside = machine.enter(Scope::NetOnly, || Ok(fs::read_link("/proc/thread-self/ns/net")?))?;
    ensure!(inside != own && fs::read_link("/proc/thread-self/ns/net")? == own);
    Ok(())
}

/// Processes that are in one of the namespaces.
fn members(ids: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let link = fs::read_link(entry.path().join("ns/pid")).unwrap_or_default();
        if ids.iter().any(|id| *id == link.to_string_lossy()) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}
