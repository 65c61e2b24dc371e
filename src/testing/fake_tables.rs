//! A kernel's tables and connections without a kernel, behind the traits of `sys`.

use super::tracer::Kernel;
use crate::model::net::{Flow, IpFamily};
use crate::sys::conntrack::{self, Conntrack, Stale};
use crate::sys::iptables::{Error, Restore, Table};
use async_trait::async_trait;
use std::sync::{Mutex, MutexGuard};

/// State of [`FakeTables`].
#[derive(Debug, Default)]
pub struct Tables {
    /// IPv4.
    pub v4: Kernel,
    /// IPv6.
    pub v6: Kernel,
    /// Input of every accepted restore.
    pub accepted: Vec<String>,
    /// How often the tables were saved.
    pub saves: usize,
    /// Lines with this text are refused, as the kernel does it: with the number of the line.
    pub refuse: Option<String>,
    /// So many restores fail without a reason that names a line.
    pub fail: usize,
    /// Restores that were tried, accepted or not.
    pub tried: usize,
}

/// `iptables-restore` and `iptables-save` over a model of the kernel.
#[derive(Debug, Default)]
pub struct FakeTables(Mutex<Tables>);

impl FakeTables {
    /// Its state, to look at or to break.
    ///
    /// # Panics
    /// When another test thread did while holding it.
    pub fn state(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().expect("no test panics while it holds this")
    }
}

#[async_trait]
impl Restore for FakeTables {
    async fn restore(&self, family: IpFamily, text: &str) -> Result<(), Error> {
        let mut state = self.state();
        state.tried += 1;
        let refused = |line: Option<(usize, &str)>, words: &str| Error::Rejected {
            binary: "fake-restore",
            line: line.map(|(number, _)| number + 1),
            rule: line.map_or("", |(_, text)| text).into(),
            message: words.into(),
        };
        if state.fail > 0 {
            state.fail -= 1;
            return Err(refused(None, "out of order"));
        }
        if let Some(bad) = &state.refuse
            && let Some(line) = text.lines().enumerate().find(|(_, line)| line.contains(bad))
        {
            return Err(refused(Some(line), "no chain/target/match by that name"));
        }
        let kernel = match family {
            IpFamily::V4 => &mut state.v4,
            IpFamily::V6 => &mut state.v6,
        };
        kernel.restore(text).map_err(|problem| refused(None, &problem))?;
        state.accepted.push(text.to_owned());
        Ok(())
    }

    async fn save(&self, family: IpFamily, _table: Option<Table>) -> Result<String, Error> {
        let mut state = self.state();
        state.saves += 1;
        Ok(match family {
            IpFamily::V4 => state.v4.save(),
            IpFamily::V6 => state.v6.save(),
        })
    }
}

/// A connection table that holds what a test puts in.
#[derive(Debug, Default)]
pub struct FakeConntrack(Mutex<Vec<Flow>>);

impl FakeConntrack {
    /// Its UDP entries.
    ///
    /// # Panics
    /// When another test thread did while holding it.
    pub fn flows(&self) -> MutexGuard<'_, Vec<Flow>> {
        self.0.lock().expect("no test panics while it holds this")
    }
}

#[async_trait]
impl Conntrack for FakeConntrack {
    async fn delete_udp(&self, family: IpFamily, stale: Stale) -> Result<usize, conntrack::Error> {
        let mut flows = self.flows();
        let before = flows.len();
        flows.retain(|flow| IpFamily::of(flow.destination.ip()) != family || !stale(flow));
        Ok(before - flows.len())
    }
}
