//! Slices made, limited and removed by systemd, over D-Bus.
//!
//! Each operation has a connection of its own, so that there is nobody on the bus who does not read what systemd tells
//! of all its jobs, and nothing to mend when the bus was restarted.

pub mod unit;

use super::dbus::value::Value;
use super::dbus::{self, Bus, Error as BusError, Object};
use crate::model::cgroup::CgroupSettings;
use std::time::Duration;
use tokio::time::timeout;

const SYSTEMD: Object = Object {
    service: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};
/// A job is over.
const JOBS: &str = "type='signal',sender='org.freedesktop.systemd1',path='/org/freedesktop/systemd1',\
                    interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";
/// Longest wait for a job.
const JOB: Duration = Duration::from_secs(30);
/// A job goes before others that are queued for the same unit.
const MODE: &str = "replace";

/// Why systemd did not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus, or systemd's answer.
    #[error("unit {unit}: {source}")]
    Bus {
        /// Which unit.
        unit: String,
        /// Why.
        source: BusError,
    },
    /// The job has not come to a good end.
    #[error("unit {unit}: systemd's job ended as {result:?}")]
    Job {
        /// Which unit.
        unit: String,
        /// How.
        result: String,
    },
}

/// A result of systemd.
pub type Result<T> = std::result::Result<T, Error>;

/// The machine's systemd.
#[derive(Clone, Debug, Default)]
pub struct Systemd {
    /// Where its bus is; the machine's own when it is not said.
    address: Option<String>,
}

impl Systemd {
    /// That behind the bus of this address.
    #[cfg(any(test, feature = "testing"))]
    pub fn at(address: &str) -> Self {
        Self {
            address: Some(address.to_owned()),
        }
    }

    /// Sees to it that the slice of a cgroup is there, with these limits. `v2`: the machine has the unified hierarchy.
    pub async fn give(&self, cgroup: &str, settings: &CgroupSettings, v2: bool) -> Result<()> {
        let unit = unit::unit(cgroup);
        let name = || Value::from(&*unit.name);
        let no_others = Value::Array("(sa(sv))".to_owned(), Vec::new());
        let start = vec![name(), MODE.into(), unit::start(&unit, v2), no_others];
        let until_reboot = Value::Bool(true);
        let limits = vec![name(), until_reboot, unit::limits(settings, v2)];
        let result = async {
            let mut bus = self.connect().await?;
            let made = match job(&mut bus, "StartTransientUnit", start).await {
                Err(error) if refused(&error, ".UnitExists") => Ok("done".to_owned()),
                made => made,
            }?;
            bus.call(SYSTEMD, "SetUnitProperties", limits).await?;
            Ok(made)
        };
        finish(&unit.name, result.await)
    }

    /// Stops the slice of a cgroup. One that is not there is a success.
    pub async fn stop(&self, cgroup: &str) -> Result<()> {
        let unit = unit::unit(cgroup).name;
        let stop = vec![Value::from(&*unit), MODE.into()];
        let result = async {
            let mut bus = self.connect().await?;
            match job(&mut bus, "StopUnit", stop).await {
                Err(error) if refused(&error, ".NoSuchUnit") => Ok("done".to_owned()),
                result => result,
            }
        };
        finish(&unit, result.await)
    }

    async fn connect(&self) -> dbus::Result<Bus> {
        let mut bus = match &self.address {
            Some(address) => Bus::connect(address).await?,
            None => Bus::system().await?,
        };
        bus.subscribe(JOBS).await?;
        bus.call(SYSTEMD, "Subscribe", Vec::new()).await?;
        Ok(bus)
    }
}

fn refused(error: &BusError, end: &str) -> bool {
    matches!(error, BusError::Refused { name, .. } if name.ends_with(end))
}

/// `result`: how a job ended, if it did.
fn finish(unit: &str, result: dbus::Result<String>) -> Result<()> {
    let unit = unit.to_owned();
    match result {
        Ok(result) if result == "done" => Ok(()),
        Ok(result) => Err(Error::Job { unit, result }),
        Err(source) => Err(Error::Bus { unit, source }),
    }
}

/// Calls a method that begins a job, and waits for its end.
async fn job(bus: &mut Bus, member: &str, body: Vec<Value>) -> dbus::Result<String> {
    let answer = bus.call(SYSTEMD, member, body).await?;
    let ended = async {
        loop {
            let (message, _) = bus.receive().await?;
            if let ("JobRemoved", [_, job, _, Value::Text(result)]) = (&*message.member, &*message.body)
                && answer.first() == Some(job)
            {
                return Ok(result.clone());
            }
        }
    };
    let silent = |_| {
        Err(BusError::Silent {
            method: format!("the job of {member}"),
        })
    };
    timeout(JOB, ended).await.unwrap_or_else(silent)
}

#[cfg(test)]
mod tests;
