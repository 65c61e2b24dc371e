//! PURE. Hands out addresses: round robin after the last one reserved, as host-local does, over a [`Store`].
//!
//! Unlike host-local, an ADD that is repeated for the same container and interface gets the addresses it already has.

use super::spec::{Owner, Range};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where reservations are kept. The caller holds the store's lock for the whole of a call into this module.
pub trait Store {
    /// Why the store failed.
    type Error;
    /// Every address that is taken, with its owner where one can be made out.
    fn reservations(&mut self) -> Result<BTreeMap<IpAddr, Option<Owner>>, Self::Error>;
    /// The address handed out last from a range set.
    fn last_reserved(&mut self, set: usize) -> Result<Option<IpAddr>, Self::Error>;
    /// Takes an address; false when somebody has it already.
    fn reserve(&mut self, ip: IpAddr, owner: &Owner, set: usize) -> Result<bool, Self::Error>;
    /// Gives an address back; fine when it was not taken.
    fn release(&mut self, ip: IpAddr) -> Result<(), Self::Error>;
}

/// Why no address could be had.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// Every address of a range set is taken.
    #[error("no free address in {subnets}: {taken} are taken")]
    Exhausted {
        /// The subnets of the range set.
        subnets: String,
        /// How many reservations there are in them.
        taken: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(E),
}

/// An address for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The address, with the subnet's prefix length.
    pub address: IpNet,
    /// The subnet's gateway.
    pub gateway: IpAddr,
    /// Reserved by this call, not by an earlier one.
    pub fresh: bool,
}

/// One address of each range set for `owner`. On failure, what this call reserved is given back.
pub fn allocate<S: Store>(
    store: &mut S,
    sets: &[Vec<Range>],
    owner: &Owner,
) -> Result<Vec<Allocation>, Error<S::Error>> {
    let taken = store.reservations().map_err(Error::Store)?;
    let mut done: Vec<Allocation> = Vec::new();
    for (set, ranges) in sets.iter().enumerate() {
        let result = match held(&taken, ranges, owner) {
            Some(allocation) => Ok(allocation),
            None => fresh(store, &taken, (set, ranges), owner),
        };
        match result {
            Ok(allocation) => done.push(allocation),
            Err(e) => {
                for allocation in done.iter().filter(|a| a.fresh) {
                    store.release(allocation.address.addr()).map_err(Error::Store)?;
                }
                return Err(e);
            }
        }
    }
    Ok(done)
}

/// Gives back everything an owner has. Returns what it was; nothing is fine too.
pub fn release<S: Store>(store: &mut S, owner: &Owner) -> Result<Vec<IpAddr>, S::Error> {
    // host-local before 0.8 wrote no interface; such a reservation belongs to the container as a whole.
    let same = |of: &Owner| of.ifname == owner.ifname || of.ifname.is_empty();
    release_where(store, |_, of| {
        of.is_some_and(|of| of.container_id == owner.container_id && same(of))
    })
}

/// Gives back every reservation the test picks; the owner is `None` where the reservation names nobody.
pub fn release_where<S: Store>(
    store: &mut S,
    mut picks: impl FnMut(IpAddr, Option<&Owner>) -> bool,
) -> Result<Vec<IpAddr>, S::Error> {
    let mut released = Vec::new();
    for (ip, owner) in store.reservations()? {
        if picks(ip, owner.as_ref()) {
            store.release(ip)?;
            released.push(ip);
        }
    }
    Ok(released)
}

/// What an owner has, by range set.
pub fn held_by(
    taken: &BTreeMap<IpAddr, Option<Owner>>,
    sets: &[Vec<Range>],
    owner: &Owner,
) -> Vec<Allocation> {
    sets.iter()
        .filter_map(|ranges| held(taken, ranges, owner))
        .collect()
}

/// Addresses left in a range set, stopping to count at `enough`.
pub fn free(taken: &BTreeMap<IpAddr, Option<Owner>>, ranges: &[Range], enough: usize) -> usize {
    candidates(ranges, None)
        .filter(|(ip, _)| !taken.contains_key(ip))
        .take(enough)
        .count()
}

fn held(taken: &BTreeMap<IpAddr, Option<Owner>>, ranges: &[Range], owner: &Owner) -> Option<Allocation> {
    let mine = taken
        .iter()
        .filter(|(_, of)| of.as_ref() == Some(owner))
        .map(|(ip, _)| *ip);
    mine.into_iter().find_map(|ip| {
        let range = ranges.iter().find(|r| contains(r, ip))?;
        Some(Allocation {
            address: with_prefix(ip, range),
            gateway: range.gateway,
            fresh: false,
        })
    })
}

fn fresh<S: Store>(
    store: &mut S,
    taken: &BTreeMap<IpAddr, Option<Owner>>,
    (set, ranges): (usize, &[Range]),
    owner: &Owner,
) -> Result<Allocation, Error<S::Error>> {
    let last = store.last_reserved(set).map_err(Error::Store)?;
    for (ip, range) in candidates(ranges, last) {
        if !taken.contains_key(&ip) && store.reserve(ip, owner, set).map_err(Error::Store)? {
            return Ok(Allocation {
                address: with_prefix(ip, range),
                gateway: range.gateway,
                fresh: true,
            });
        }
    }
    let inside = taken
        .keys()
        .filter(|ip| ranges.iter().any(|r| contains(r, **ip)))
        .count();
    let subnets: Vec<String> = ranges.iter().map(|r| r.subnet.to_string()).collect();
    Err(Error::Exhausted {
        subnets: subnets.join(", "),
        taken: inside,
    })
}

/// Every address that may be handed out, each once, starting after `last`. A `last` outside the ranges (they were
/// changed) only loses the round robin this once.
fn candidates(ranges: &[Range], last: Option<IpAddr>) -> impl Iterator<Item = (IpAddr, &Range)> {
    let start = last.and_then(|last| Some((ranges.iter().position(|r| contains(r, last))?, last)));
    let (first, after) = start.map_or((0, None), |(first, last)| (first, Some(last)));
    let (before, rest) = ranges.split_at(first.min(ranges.len()));
    let whole = |r: &Range| (number(r.start), number(r.end));
    // The range of `last` is walked from behind `last` to its end first, and from its start to `last` at the end.
    let head = rest.first().map(|r| {
        (
            r,
            (
                after.map_or(number(r.start), |last| number(last) + 1),
                number(r.end),
            ),
        )
    });
    let tail = after.and_then(|last| rest.first().map(|r| (r, (number(r.start), number(last)))));
    let middle = rest.iter().skip(1).chain(before).map(move |r| (r, whole(r)));
    head.into_iter()
        .chain(middle)
        .chain(tail)
        .flat_map(|(range, (from, to))| {
            (from..=to)
                .map(move |n| (address(n, range), range))
                .filter(|(ip, range)| *ip != range.gateway)
        })
}

fn contains(range: &Range, ip: IpAddr) -> bool {
    ip.is_ipv4() == range.start.is_ipv4() && range.start <= ip && ip <= range.end
}

fn with_prefix(ip: IpAddr, range: &Range) -> IpNet {
    IpNet::new(ip, range.subnet.prefix_len()).expect("the address is of the subnet's family")
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

fn address(number: u128, range: &Range) -> IpAddr {
    match range.start {
        IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(number).expect("between two IPv4 addresses")).into(),
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

#[cfg(test)]
mod tests;
