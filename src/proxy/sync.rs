//! Brings the kernel to what the [`ServiceMap`] says: one transaction per family, then the connection table.
//!
//! Holds one digest per chain of what was last committed. While that is known only differences are written; after a
//! failure, or when the audit finds something else in the kernel, it is forgotten and everything is written anew.

use super::conntrack::UdpServices;
use super::iptables::existing::Existing;
use super::iptables::render::{self, Committed, Transaction};
use super::metrics::ProxyMetrics;
use super::quarantine::Quarantine;
use super::ruleset::{Inputs, Ruleset};
use super::service_map::{ServiceMap, ServicePortName};
use super::{Error, NodeFacts};
use crate::model::net::IpFamily;
use crate::sys::conntrack::Conntrack;
use crate::sys::iptables::{self, Restore, Table, parse_save};
use crate::sys::sysctl;
use std::sync::Arc;
use tokio::time::Instant;

/// How many Service ports the kernel may refuse before a sync gives up.
const MAX_REFUSED: usize = 16;

/// What a sync did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Synced {
    /// Rules in the kernel, all families.
    pub(super) rules: usize,
    /// Service ports the kernel refuses since this sync, with its words.
    pub(super) refused: Vec<(ServicePortName, String)>,
}

/// The kernel's side of one family.
#[derive(Debug)]
struct FamilyState {
    family: IpFamily,
    /// `None` until a full sync succeeded, and again after anything went wrong.
    committed: Option<Committed>,
    udp: UdpServices,
    quarantine: Quarantine,
}

/// Writes rules. One instance programs one network namespace.
pub(super) struct Syncer {
    tables: Arc<dyn Restore>,
    conntrack: Arc<dyn Conntrack>,
    families: [FamilyState; 2],
    metrics: ProxyMetrics,
}

impl Syncer {
    pub(super) fn new(
        tables: Arc<dyn Restore>,
        conntrack: Arc<dyn Conntrack>,
        metrics: ProxyMetrics,
    ) -> Self {
        let families = IpFamily::ALL.map(|family| FamilyState {
            family,
            committed: None,
            udp: UdpServices::default(),
            quarantine: Quarantine::default(),
        });
        Self {
            tables,
            conntrack,
            families,
            metrics,
        }
    }

    /// The next sync writes everything.
    pub(super) fn forget(&mut self) {
        for family in &mut self.families {
            family.committed = None;
            family.quarantine.clear();
        }
    }

    /// Syncs every family in use. One family's failure does not keep the other from being synced.
    pub(super) async fn sync(
        &mut self,
        services: &ServiceMap,
        facts: &NodeFacts,
    ) -> (Synced, Result<(), Error>) {
        let mut synced = Synced::default();
        let mut result = Ok(());
        for state in &mut self.families {
            let used =
                state.committed.is_some() || services.values().any(|p| p.cluster_ip(state.family).is_some());
            // An IPv4 node has its chains from the start; IPv6 waits for its first Service.
            if !used && state.family == IpFamily::V6 {
                continue;
            }
            let shell = Shell {
                tables: &*self.tables,
                conntrack: &*self.conntrack,
                metrics: &self.metrics,
            };
            let family_result = shell.sync_family(state, services, facts, &mut synced).await;
            if family_result.is_err() {
                self.metrics.failed(state.family);
                state.committed = None;
                result = result.and(family_result);
            }
        }
        (synced, result)
    }

    /// Compares the kernel with what was committed, and returns the differences in words. After any, the next sync
    /// writes everything.
    pub(super) async fn audit(&mut self) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        for state in &mut self.families {
            let Some(committed) = &state.committed else {
                continue;
            };
            let saved = self.tables.save(state.family, None).await;
            let saved = saved.map_err(|source| Error::Iptables {
                family: state.family,
                source,
            })?;
            let differences = Existing::read(&parse_save(&saved)).differences(committed);
            if !differences.is_empty() {
                state.committed = None;
            }
            all.extend(differences);
        }
        Ok(all)
    }
}

/// Removes all our chains and jumps of both families, and nothing else. A family whose tools are missing has nothing.
pub(super) async fn clean(tables: &dyn Restore) -> Result<(), Error> {
    for family in IpFamily::ALL {
        let wrap = |source| Error::Iptables { family, source };
        let saved = match tables.save(family, None).await {
            Err(iptables::Error::Missing { .. }) => continue,
            other => other.map_err(wrap)?,
        };
        let existing = Existing::read(&parse_save(&saved));
        if !existing.is_empty() {
            tables
                .restore(family, &render::clean(&existing))
                .await
                .map_err(wrap)?;
        }
    }
    Ok(())
}

/// The kernel, for the time of one sync.
struct Shell<'a> {
    tables: &'a dyn Restore,
    conntrack: &'a dyn Conntrack,
    metrics: &'a ProxyMetrics,
}

impl Shell<'_> {
    async fn sync_family(
        &self,
        state: &mut FamilyState,
        services: &ServiceMap,
        facts: &NodeFacts,
        synced: &mut Synced,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let family = state.family;
        let inputs = inputs(family, facts);
        let full = state.committed.is_none();
        state.quarantine.release_changed(services);
        for _ in 0..=MAX_REFUSED {
            let ruleset = state
                .quarantine
                .without_refused(services, |allowed| Ruleset::build(allowed, &inputs));
            let transaction = self.transaction(state, &ruleset).await?;
            match self.restore(family, &transaction.text).await {
                Ok(()) => {
                    self.commit(state, transaction.committed, &ruleset, synced);
                    self.metrics.synced(family, full, started.elapsed().as_secs_f64());
                    let bytes = transaction.text.len();
                    tracing::debug!(%family, full, bytes, elapsed = ?started.elapsed(), "service rules synced");
                    self.clean_conntrack(state, services, facts).await;
                    return Ok(());
                }
                Err(error) => {
                    // After a refusal nobody knows which tables were committed before it.
                    state.committed = None;
                    let Some((name, words)) = state.quarantine.refuse(services, &error) else {
                        return Err(Error::Iptables {
                            family,
                            source: error,
                        });
                    };
                    synced.refused.push((name, words));
                }
            }
        }
        Err(Error::ManyRefused {
            family,
            count: MAX_REFUSED,
        })
    }

    /// The difference to what is committed, or everything when that is not known.
    async fn transaction(&self, state: &FamilyState, ruleset: &Ruleset) -> Result<Transaction, Error> {
        if let Some(committed) = &state.committed {
            return Ok(render::diff(ruleset, committed));
        }
        let saved = self.tables.save(state.family, None).await;
        let saved = saved.map_err(|source| Error::Iptables {
            family: state.family,
            source,
        })?;
        let existing = Existing::read(&parse_save(&saved));
        let chains: usize = existing.chains.values().map(|chains| chains.len()).sum();
        if chains > 0 {
            tracing::info!(family = %state.family, chains, "taking over the KUBE-* chains that are there");
        }
        Ok(render::full(ruleset, &existing))
    }

    async fn restore(&self, family: IpFamily, text: &str) -> Result<(), iptables::Error> {
        if text.is_empty() {
            Ok(())
        } else {
            self.tables.restore(family, text).await
        }
    }

    fn commit(&self, state: &mut FamilyState, committed: Committed, ruleset: &Ruleset, synced: &mut Synced) {
        state.committed = Some(committed);
        for table in [Table::Filter, Table::Nat] {
            let count = ruleset.rule_count(table);
            synced.rules += count;
            self.metrics.rules(state.family, table, count);
        }
    }

    /// Deletes the UDP entries that the new rules would not make. Failing that is no reason to write rules again:
    /// entries end by themselves when their client pauses.
    async fn clean_conntrack(&self, state: &mut FamilyState, services: &ServiceMap, facts: &NodeFacts) {
        let family = state.family;
        let now = UdpServices::of(services, family);
        if now == state.udp {
            return;
        }
        let all = now.with_removed(&state.udp);
        let node_ips = facts.node_ips.clone();
        let stale = Box::new(move |flow: &_| all.is_stale(flow, &node_ips));
        match self.conntrack.delete_udp(family, stale).await {
            Ok(count) => {
                self.metrics.flows_deleted(family, count);
                if count > 0 {
                    tracing::debug!(%family, count, "deleted stale UDP connections");
                }
                state.udp = now;
            }
            Err(error) => {
                let error = super::chain(&error);
                tracing::warn!(%family, error, "cannot clear stale UDP connections");
            }
        }
    }
}

fn inputs(family: IpFamily, facts: &NodeFacts) -> Inputs {
    // Where conntrack is liberal it calls nothing INVALID that a client sent in good faith. An unreadable setting
    // counts as its default, 0.
    let liberal = sysctl::get("net/netfilter/nf_conntrack_tcp_be_liberal");
    Inputs {
        family,
        pod_cidr: facts
            .pod_cidrs
            .iter()
            .copied()
            .find(|net| IpFamily::of(net.addr()) == family),
        node_ip: facts
            .node_ips
            .iter()
            .copied()
            .find(|ip| IpFamily::of(*ip) == family),
        drop_invalid: !matches!(liberal, Ok(Some(value)) if value.trim() != "0"),
    }
}
