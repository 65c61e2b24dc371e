//! The machine's login service, which tells of shutdowns before they happen and waits for those who ask it to.

use super::dbus::{self, Bus, Object, value::Value};
use async_trait::async_trait;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

const LOGIND: Object = Object {
    service: "org.freedesktop.login1",
    path: "/org/freedesktop/login1",
    interface: "org.freedesktop.login1.Manager",
};

const SYSTEMD: Object = Object {
    service: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

/// Shutdowns that begin or are called off.
const SHUTDOWNS: &str = "type='signal',path='/org/freedesktop/login1',interface='org.freedesktop.login1.Manager',\
                         member='PrepareForShutdown'";
/// logind itself comes or goes.
const OWNER: &str =
    "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.freedesktop.login1'";

/// How long a shutdown waits at most, microseconds.
const DELAY: &str = "InhibitDelayMaxUSec";
/// Where our part of its configuration goes: directory, file.
const DROP_IN: (&str, &str) = ("/etc/systemd/logind.conf.d", "99-kubelet.conf");

/// What went wrong between us and logind.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus, or who is behind it.
    #[error(transparent)]
    Bus(#[from] dbus::Error),
    /// Its configuration.
    #[error("{file}: {source}")]
    DropIn {
        /// Which file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// It does not wait as long as it was told.
    #[error("logind's InhibitDelayMaxSec stays {delay:?}, and shutdownGracePeriod needs {wanted:?}")]
    Delay {
        /// How long it waits.
        delay: Duration,
        /// How long it should.
        wanted: Duration,
    },
}

/// A result of logind.
pub type Result<T> = std::result::Result<T, Error>;

/// The machine waits for us while this is there.
#[derive(Debug)]
pub struct Lock {
    _file: OwnedFd,
}

impl Lock {
    /// A lock lives as long as its file is open.
    pub fn new(file: OwnedFd) -> Self {
        Self { _file: file }
    }
}

/// logind as a test can stand in for it.
#[async_trait]
pub trait Logind: Send + Sync {
    /// Connects, and listens from then on.
    async fn attach(&self) -> Result<Box<dyn Session>>;
}

/// A connection to logind.
#[async_trait]
pub trait Session: Send {
    /// How long a shutdown waits at most.
    async fn longest_delay(&mut self) -> Result<Duration>;
    /// Has it wait longer. It takes a moment until that holds.
    async fn lengthen_delay(&mut self, to: Duration) -> Result<()>;
    /// A shutdown is under way.
    async fn going_down(&mut self) -> Result<bool>;
    /// Takes a lock.
    async fn inhibit(&mut self) -> Result<Lock>;
    /// Waits until a shutdown begins (true) or is called off (false); `None` when the connection is of no use any more.
    async fn next(&mut self) -> Option<bool>;
}

/// logind on the system bus.
#[derive(Clone, Copy, Debug)]
pub struct SystemBus;

#[async_trait]
impl Logind for SystemBus {
    async fn attach(&self) -> Result<Box<dyn Session>> {
        Ok(Box::new(Connection::new(Bus::system().await?).await?))
    }
}

struct Connection {
    bus: Bus,
    /// The name the bus has given logind. Anybody may send us anything.
    logind: String,
}

impl Connection {
    async fn new(mut bus: Bus) -> Result<Self> {
        // A bus that starts logind when it is called does so before we listen for a new one.
        bus.property(LOGIND, DELAY).await?;
        bus.subscribe(SHUTDOWNS).await?;
        bus.subscribe(OWNER).await?;
        let logind = bus.owner(LOGIND.service).await?;
        Ok(Self { bus, logind })
    }
}

#[async_trait]
impl Session for Connection {
    async fn longest_delay(&mut self) -> Result<Duration> {
        match self.bus.property(LOGIND, DELAY).await? {
            Value::U64(micros) => Ok(Duration::from_micros(micros)),
            other => Err(unexpected(DELAY, &other)),
        }
    }

    async fn lengthen_delay(&mut self, to: Duration) -> Result<()> {
        write_drop_in(Path::new(DROP_IN.0), DROP_IN.1, to)?;
        let hangup = Value::I32(1);
        let unit = vec!["systemd-logind.service".into(), "all".into(), hangup];
        self.bus.call(SYSTEMD, "KillUnit", unit).await?;
        Ok(())
    }

    async fn going_down(&mut self) -> Result<bool> {
        let name = "PreparingForShutdown";
        match self.bus.property(LOGIND, name).await? {
            Value::Bool(down) => Ok(down),
            other => Err(unexpected(name, &other)),
        }
    }

    async fn inhibit(&mut self) -> Result<Lock> {
        let why = "Kubelet needs time to handle node shutdown";
        let what = ["shutdown", "kubelet", why, "delay"].map(Value::from);
        let file = self.bus.call_for_fd(LOGIND, "Inhibit", what.into()).await?;
        Ok(Lock::new(file))
    }

    async fn next(&mut self) -> Option<bool> {
        loop {
            let (message, _) = self
                .bus
                .receive()
                .await
                .inspect_err(|error| tracing::debug!(%error, "logind"))
                .ok()?;
            match (&*message.member, &*message.body) {
                ("PrepareForShutdown", [Value::Bool(down)]) if message.sender == self.logind => {
                    return Some(*down);
                }
                // Another logind knows nothing of us.
                ("NameOwnerChanged", _) if message.sender == dbus::BUS => return None,
                _ => {}
            }
        }
    }
}

fn unexpected(name: &str, found: &Value) -> Error {
    Error::Bus(dbus::Error::Answer {
        method: name.to_owned(),
        found: found.signature(),
    })
}

fn write_drop_in(dir: &Path, name: &str, delay: Duration) -> Result<()> {
    let file = dir.join(name);
    let text = format!(
        "# The node's Pods need this long to end.\n[Login]\nInhibitDelayMaxSec={}\n",
        delay.as_secs()
    );
    fs::create_dir_all(dir)
        .and_then(|()| super::fs::write_atomic(&file, text.as_bytes(), 0o644))
        .map_err(|source| Error::DropIn {
            file: file.display().to_string(),
            source,
        })
}

#[cfg(test)]
mod tests;
