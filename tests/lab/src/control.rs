//! The control plane: etcd, API server, controller manager and scheduler in the control machine.

mod flags;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::sys::signal::Signal;

use crate::binaries::Binaries;
use crate::certs::Pki;
use crate::forward::Forward;
use crate::kubectl::{Kubectl, wait};
use crate::net;
use crate::ns::{Machine, Scope};
use crate::proc::Proc;
use crate::progress::Reporter;
use crate::site::Site;

/// Port of the API server in the control machine.
pub const API_PORT: u16 = 6443;

/// The running control plane.
#[derive(Debug)]
pub struct Control {
    machine: Arc<Machine>,
    pki: Pki,
    kubectl: Kubectl,
    forward: Forward,
    dir: PathBuf,
    logs: PathBuf,
    binaries: Binaries,
    processes: Mutex<Vec<(&'static str, Proc)>>,
}

impl Control {
    /// Makes machine, network, certificates and the way in from the host; nothing runs yet.
    pub(crate) fn prepare(site: &Site, binaries: &Binaries) -> Result<Self> {
        let machine = site.machine("control")?;
        net::make_bridge(&machine)?;
        let pki = Pki::create(&site.dir().join("pki"))?;
        let target = SocketAddr::from((net::CONTROL, API_PORT));
        let forward = Forward::start(&machine, target)?;
        let kubeconfig = site.dir().join("admin.kubeconfig");
        let text = pki.kubeconfig("admin", &format!("https://{}", forward.address()))?;
        fs::write(&kubeconfig, text).with_context(|| format!("write {}", kubeconfig.display()))?;
        let kubectl = Kubectl::new(binaries.path("kubectl")?, &kubeconfig);
        let (dir, logs) = (site.dir().join("control"), site.logs("control")?);
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let binaries = binaries.clone();
        Ok(Self {
            machine,
            pki,
            kubectl,
            forward,
            dir,
            logs,
            binaries,
            processes: Mutex::default(),
        })
    }

    /// Starts all four; returns when the API server is ready.
    pub(crate) fn start(&self, report: &Reporter) -> Result<()> {
        let begin = Instant::now();
        report.doing("starting etcd and the API server");
        for client in ["controller-manager", "scheduler"] {
            self.write_kubeconfig(client)?;
        }
        self.start_component("etcd")?;
        self.start_component("kube-apiserver")?;
        self.wait_ready(Duration::from_secs(120))?;
        report.done("API server ready", begin);
        self.start_component("kube-controller-manager")?;
        self.start_component("kube-scheduler")?;
        report.done("control plane started", begin);
        Ok(())
    }

    /// The machine it runs in.
    pub fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// Keys and certificates.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// kubectl as cluster admin, from the host.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Where the host reaches the API server.
    pub fn host_address(&self) -> SocketAddr {
        self.forward.address()
    }

    /// The API server's URL for nodes.
    pub fn server(&self) -> String {
        format!("https://{}:{API_PORT}", net::CONTROL)
    }

    /// Sends a signal to a component and waits for its end.
    pub fn kill_component(&self, name: &str, signal: Signal) -> Result<()> {
        let mut processes = self.lock();
        let index = processes.iter().position(|(known, _)| *known == name);
        let (_, process) = processes.remove(index.with_context(|| format!("{name} does not run"))?);
        process.signal(signal)?;
        process
            .wait(Duration::from_secs(60))
            .with_context(|| format!("{name} did not end after {signal}"))?;
        Ok(())
    }

    /// Starts a component: `etcd`, `kube-apiserver`, `kube-controller-manager` or `kube-scheduler`.
    pub fn start_component(&self, name: &'static str) -> Result<()> {
        let args = flags::of(name, &self.dir, &self.pki)?;
        let mut command = Command::new(self.binaries.path(name)?);
        let process = self
            .machine
            .spawn(command.args(args), &self.logs.join(format!("{name}.log")))?;
        self.lock().push((name, process));
        Ok(())
    }

    /// Kills the API server, starts it again and waits until it is ready. The controller manager and the scheduler give
    /// up when it goes away at a bad moment; those that did are started again too, as a supervisor would.
    pub fn restart_api_server(&self, signal: Signal) -> Result<()> {
        self.kill_component("kube-apiserver", signal)?;
        self.revive_api_server()
    }

    /// The second half of [`Control::restart_api_server`].
    pub fn revive_api_server(&self) -> Result<()> {
        self.start_component("kube-apiserver")?;
        self.wait_ready(Duration::from_secs(60))?;
        for name in ["kube-controller-manager", "kube-scheduler"] {
            if self.ended(&[name]).is_some() {
                self.lock().retain(|(known, _)| *known != name);
                self.start_component(name)?;
            }
        }
        Ok(())
    }

    /// Runs something else in the control machine, as a component: it is named when it ends early.
    pub(crate) fn run_component(&self, name: &'static str, command: &mut Command) -> Result<()> {
        let process = self
            .machine
            .spawn(command, &self.logs.join(format!("{name}.log")))?;
        self.lock().push((name, process));
        Ok(())
    }

    /// Waits until the API server says that it is ready.
    pub fn wait_ready(&self, limit: Duration) -> Result<()> {
        let address = SocketAddr::from((net::CONTROL, API_PORT));
        let listens = || {
            let dial = || TcpStream::connect_timeout(&address, Duration::from_secs(1)).context("connect");
            self.machine.enter(Scope::NetOnly, dial)
        };
        let end = Instant::now() + limit;
        wait("API server ready", limit, || {
            if let Some(error) = self.ended(&["etcd", "kube-apiserver"]) {
                return Ok(Some(Err(error)));
            }
            // The port is open seconds before it is ready, and asking with kubectl takes CPU time from the start-up.
            listens()?;
            std::thread::sleep(Duration::from_millis(150).min(end.saturating_duration_since(Instant::now())));
            self.kubectl.run(&["get", "--raw", "/readyz"])?;
            Ok(Some(Ok(())))
        })?
    }

    /// An error with the last log lines when a component has ended that should run.
    pub fn check_alive(&self) -> Result<()> {
        let names: Vec<_> = self.lock().iter().map(|(name, _)| *name).collect();
        self.ended(&names).map_or(Ok(()), Err)
    }

    /// Why the first of these components that has ended did.
    fn ended(&self, names: &[&str]) -> Option<anyhow::Error> {
        let processes = self.lock();
        processes
            .iter()
            .filter(|(name, _)| names.contains(name))
            .find_map(|(name, process)| {
                let status = process.ended()?;
                Some(anyhow!(
                    "{name} has ended ({status}):\n{}",
                    process.last_words(15)
                ))
            })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(&'static str, Proc)>> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Directory of its data and configuration.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Directory of its logs.
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    fn write_kubeconfig(&self, client: &str) -> Result<()> {
        let path = flags::kubeconfig(&self.dir, client);
        let text = self.pki.kubeconfig(client, &self.server())?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }
}
