//! Stand-ins for systemd and logind on a real bus: what the agent calls, with what it does to them written down.

use crate::sys::dbus::message::{Kind, Message};
use crate::sys::dbus::value::Value;
use crate::sys::dbus::{self, Bus};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What logind waits unless it is told otherwise.
const DEFAULT_DELAY: Duration = Duration::from_secs(5);
/// Where its configuration is.
const DROP_IN: &str = "etc/systemd/logind.conf.d/99-kubelet.conf";

/// A configuration of dbus-daemon that lets everybody do everything on this socket.
pub fn bus_config(socket: &str) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"#
    )
}

/// A message bus of its own in a directory; ends when dropped.
#[derive(Debug)]
pub struct PrivateBus {
    process: Child,
    address: String,
}

impl PrivateBus {
    /// Starts dbus-daemon (of the Debian package `dbus`) and waits until it listens.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(dir: &Path) -> Self {
        let (socket, config) = (dir.join("bus"), dir.join("bus.conf"));
        std::fs::write(&config, bus_config(&socket.to_string_lossy())).expect("write the configuration");
        #[expect(clippy::disallowed_methods, reason = "it lives as long as the test")]
        let mut process = Command::new("dbus-daemon")
            .arg("--nofork")
            .arg("--print-address=1")
            .arg(format!("--config-file={}", config.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start dbus-daemon: is the package dbus installed?");
        // It prints the address once it listens.
        let mut said = [0];
        let output = process.stdout.as_mut().expect("it is piped");
        output
            .read_exact(&mut said)
            .expect("dbus-daemon says where it is");
        Self {
            process,
            address: format!("unix:path={}", socket.display()),
        }
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A lock logind has given.
#[derive(Debug)]
struct Given {
    /// What, who, why, mode.
    words: Vec<String>,
    end: UnixStream,
}

/// A unit somebody has started: its properties, the latest of each.
pub type Unit = BTreeMap<String, Value>;

/// What the stand-ins know.
#[derive(Debug, Default)]
struct State {
    delay: Duration,
    down: bool,
    locks: Vec<Given>,
    units: BTreeMap<String, Unit>,
}

/// systemd and logind. They leave the bus when this is dropped.
#[derive(Debug)]
pub struct FakeSystemd {
    state: Arc<Mutex<State>>,
    shutdowns: mpsc::UnboundedSender<bool>,
    task: JoinHandle<()>,
}

impl Drop for FakeSystemd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeSystemd {
    /// Takes both names on a bus. `root` is the root of the file tree their configuration is in.
    pub async fn start(address: &str, root: PathBuf) -> dbus::Result<Self> {
        let mut bus = Bus::connect(address).await?;
        bus.take_name("org.freedesktop.login1").await?;
        bus.take_name("org.freedesktop.systemd1").await?;
        let state = Arc::new(Mutex::new(State {
            delay: DEFAULT_DELAY,
            ..State::default()
        }));
        let (shutdowns, mut orders) = mpsc::unbounded_channel();
        let server = Server {
            state: state.clone(),
            root,
        };
        let task = tokio::spawn(async move {
            loop {
                let served = tokio::select! {
                    message = bus.receive() => match message {
                        Ok((call, _)) => server.answer(&mut bus, &call).await,
                        Err(error) => Err(error),
                    },
                    Some(down) = orders.recv() => bus.send(shutdown_signal(down), &[]).await.map(drop),
                };
                if served.is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            state,
            shutdowns,
            task,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a shutdown begins, or is called off.
    pub fn prepare(&self, down: bool) {
        self.lock().down = down;
        // Without the task there is nobody to hear it.
        let _ = self.shutdowns.send(down);
    }

    /// What, who, why and mode of the locks that are held.
    pub fn locks(&self) -> Vec<Vec<String>> {
        let mut state = self.lock();
        let held = |given: &mut Given| {
            given
                .end
                .read(&mut [0])
                .is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
        };
        state.locks.retain_mut(held);
        state.locks.iter().map(|given| given.words.clone()).collect()
    }

    /// How long logind waits.
    pub fn delay(&self) -> Duration {
        self.lock().delay
    }

    /// The units that have been started and not stopped.
    pub fn units(&self) -> BTreeMap<String, Unit> {
        self.lock().units.clone()
    }
}

struct Server {
    state: Arc<Mutex<State>>,
    root: PathBuf,
}

impl Server {
    async fn answer(&self, bus: &mut Bus, call: &Message) -> dbus::Result<()> {
        if call.kind != Kind::Call {
            return Ok(());
        }
        let mut file = None;
        let mut reply = Message {
            kind: Kind::Return,
            reply_to: call.serial,
            destination: call.sender.clone(),
            ..Message::default()
        };
        match self.act(call, &mut file) {
            Ok(body) => reply.body = body,
            Err(name) => {
                reply.kind = Kind::Error;
                reply.error = name.to_owned();
                reply.body = vec![format!("{} {:?}", call.member, call.body).as_str().into()];
            }
        }
        let fds: Vec<_> = file.iter().map(AsRawFd::as_raw_fd).collect();
        bus.send(reply, &fds).await?;
        if let "StartTransientUnit" | "StopUnit" = &*call.member {
            bus.send(job_removed(call), &[]).await?;
        }
        Ok(())
    }

    fn act(&self, call: &Message, file: &mut Option<OwnedFd>) -> Result<Vec<Value>, &'static str> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let job = || vec![Value::Path(JOB.to_owned())];
        match (&*call.member, &*call.body) {
            ("Get", [_, Value::Text(name)]) => {
                let micros = u64::try_from(state.delay.as_micros()).unwrap_or(u64::MAX);
                match &**name {
                    "InhibitDelayMaxUSec" => Ok(vec![Value::variant(micros)]),
                    "PreparingForShutdown" => Ok(vec![Value::variant(state.down)]),
                    _ => Err("org.freedesktop.DBus.Error.UnknownProperty"),
                }
            }
            ("Inhibit", _) if state.down => Err("org.freedesktop.login1.OperationInProgress"),
            ("Inhibit", words) => {
                let (end, theirs) = UnixStream::pair().map_err(|_| "org.freedesktop.DBus.Error.IOError")?;
                end.set_nonblocking(true)
                    .map_err(|_| "org.freedesktop.DBus.Error.IOError")?;
                let words = words.iter().filter_map(text).collect();
                state.locks.push(Given { words, end });
                *file = Some(theirs.into());
                Ok(vec![Value::Fd(0)])
            }
            ("KillUnit", [Value::Text(unit), _, Value::I32(1)]) if unit == "systemd-logind.service" => {
                state.delay = self.configured().unwrap_or(DEFAULT_DELAY);
                Ok(Vec::new())
            }
            ("StartTransientUnit", [Value::Text(name), _, properties, _]) => {
                if state.units.contains_key(name) {
                    return Err("org.freedesktop.systemd1.UnitExists");
                }
                state.units.insert(name.clone(), pairs(properties).collect());
                Ok(job())
            }
            ("SetUnitProperties", [Value::Text(name), Value::Bool(true), properties]) => {
                let unit = state.units.get_mut(name);
                let unit = unit.ok_or("org.freedesktop.systemd1.NoSuchUnit")?;
                unit.extend(pairs(properties));
                Ok(Vec::new())
            }
            ("StopUnit", [Value::Text(name), _]) => match state.units.remove(name) {
                Some(_) => Ok(job()),
                None => Err("org.freedesktop.systemd1.NoSuchUnit"),
            },
            ("Subscribe" | "ResetFailedUnit", _) => Ok(Vec::new()),
            _ => Err("org.freedesktop.DBus.Error.UnknownMethod"),
        }
    }

    /// What the agent's drop-in says.
    fn configured(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(self.root.join(DROP_IN)).ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("InhibitDelayMaxSec="))?;
        line.parse().ok().map(Duration::from_secs)
    }
}

const JOB: &str = "/org/freedesktop/systemd1/job/1";

fn shutdown_signal(down: bool) -> Message {
    Message {
        kind: Kind::Signal,
        path: "/org/freedesktop/login1".to_owned(),
        interface: "org.freedesktop.login1.Manager".to_owned(),
        member: "PrepareForShutdown".to_owned(),
        body: vec![down.into()],
        ..Message::default()
    }
}

fn job_removed(call: &Message) -> Message {
    let unit = call.body.first().and_then(text).unwrap_or_default();
    Message {
        kind: Kind::Signal,
        path: "/org/freedesktop/systemd1".to_owned(),
        interface: "org.freedesktop.systemd1.Manager".to_owned(),
        member: "JobRemoved".to_owned(),
        body: vec![
            Value::U32(1),
            Value::Path(JOB.to_owned()),
            Value::Text(unit),
            "done".into(),
        ],
        ..Message::default()
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// `a(sv)`.
fn pairs(properties: &Value) -> impl Iterator<Item = (String, Value)> {
    let all = match properties {
        Value::Array(_, all) => &all[..],
        _ => &[],
    };
    all.iter().filter_map(|pair| match pair {
        Value::Struct(fields) => match &fields[..] {
            [Value::Text(name), Value::Variant(value)] => Some((name.clone(), (**value).clone())),
            _ => None,
        },
        _ => None,
    })
}
