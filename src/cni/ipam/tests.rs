use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::convert::Infallible;

/// A store in memory, as exclusive as the one on disk.
#[derive(Default)]
struct Memory {
    taken: BTreeMap<IpAddr, Option<Owner>>,
    last: BTreeMap<usize, IpAddr>,
}

impl Store for Memory {
    type Error = Infallible;
    fn reservations(&mut self) -> Result<BTreeMap<IpAddr, Option<Owner>>, Infallible> {
        Ok(self.taken.clone())
    }
    fn last_reserved(&mut self, set: usize) -> Result<Option<IpAddr>, Infallible> {
        Ok(self.last.get(&set).copied())
    }
    fn reserve(&mut self, ip: IpAddr, owner: &Owner, set: usize) -> Result<bool, Infallible> {
        if self.taken.contains_key(&ip) {
            return Ok(false);
        }
        self.taken.insert(ip, Some(owner.clone()));
        self.last.insert(set, ip);
        Ok(true)
    }
    fn release(&mut self, ip: IpAddr) -> Result<(), Infallible> {
        self.taken.remove(&ip);
        Ok(())
    }
}

fn owner(id: impl ToString) -> Owner {
    Owner {
        container_id: id.to_string(),
        ifname: "eth0".into(),
    }
}

fn range(subnet: &str, start: &str, end: &str, gateway: &str) -> Range {
    Range {
        subnet: subnet.parse().unwrap(),
        start: start.parse().unwrap(),
        end: end.parse().unwrap(),
        gateway: gateway.parse().unwrap(),
    }
}

fn small() -> Vec<Vec<Range>> {
    vec![vec![range("10.1.0.0/29", "10.1.0.1", "10.1.0.6", "10.1.0.1")]]
}

fn get(store: &mut Memory, sets: &[Vec<Range>], id: impl ToString) -> Option<String> {
    let got = allocate(store, sets, &owner(id)).ok()?;
    Some(
        got.iter()
            .map(|a| a.address.to_string())
            .collect::<Vec<_>>()
            .join(" "),
    )
}

#[test]
fn round_robin_after_the_last_one() {
    let (mut store, sets) = (Memory::default(), small());
    assert_eq!(get(&mut store, &sets, 1).unwrap(), "10.1.0.2/29");
    assert_eq!(get(&mut store, &sets, 2).unwrap(), "10.1.0.3/29");
    release(&mut store, &owner(1)).unwrap();
    // A released address rests until the round comes back to it.
    for (id, expected) in [
        (3, "10.1.0.4/29"),
        (4, "10.1.0.5/29"),
        (5, "10.1.0.6/29"),
        (6, "10.1.0.2/29"),
    ] {
        assert_eq!(get(&mut store, &sets, id).unwrap(), expected);
    }
    let error = allocate(&mut store, &sets, &owner(7)).unwrap_err();
    assert_eq!(error.to_string(), "no free address in 10.1.0.0/29: 5 are taken");
}

#[test]
fn the_round_goes_over_all_ranges_of_a_set() {
    let sets = vec![vec![
        range("10.1.0.0/24", "10.1.0.10", "10.1.0.11", "10.1.0.1"),
        range("10.2.0.0/24", "10.2.0.1", "10.2.0.3", "10.2.0.2"),
    ]];
    let mut store = Memory::default();
    store.last.insert(0, "10.2.0.1".parse().unwrap());
    let got: Vec<String> = (0..4).map(|id| get(&mut store, &sets, id).unwrap()).collect();
    assert_eq!(
        got,
        ["10.2.0.3/24", "10.1.0.10/24", "10.1.0.11/24", "10.2.0.1/24"]
    );
    assert_eq!(get(&mut store, &sets, 9), None);
}

#[test]
fn a_failure_in_one_family_gives_the_other_back() {
    let mut sets = small();
    sets.push(vec![range("fd00::/126", "fd00::2", "fd00::2", "fd00::1")]);
    let mut store = Memory::default();
    assert_eq!(get(&mut store, &sets, 1).unwrap(), "10.1.0.2/29 fd00::2/126");
    assert_eq!(get(&mut store, &sets, 2), None);
    assert_eq!(store.taken.len(), 2);
}

#[test]
fn a_large_ipv6_range_is_not_walked() {
    let sets = vec![vec![range(
        "fd00::/64",
        "fd00::1",
        "fd00::ffff:ffff:ffff:ffff",
        "fd00::1",
    )]];
    let mut store = Memory::default();
    store.last.insert(0, "fd00::ffff:ffff:ffff:ffff".parse().unwrap());
    assert_eq!(get(&mut store, &sets, 1).unwrap(), "fd00::2/64");
}

#[test]
fn a_reservation_without_interface_belongs_to_the_container() {
    let mut store = Memory::default();
    let old = Owner {
        container_id: "c".into(),
        ifname: String::new(),
    };
    store.taken.insert("10.1.0.2".parse().unwrap(), Some(old));
    store.taken.insert("10.1.0.3".parse().unwrap(), None);
    assert_eq!(release(&mut store, &owner("c")).unwrap().len(), 1);
    assert_eq!(release(&mut store, &owner("c")).unwrap().len(), 0);
    assert_eq!(store.taken.len(), 1, "what names nobody stays");
}

proptest! {
    /// Whatever the order of ADDs and DELs: no address twice, none outside, never the gateway, ADD repeated gives the
    /// same, and an ADD fails only when nothing is free.
    #[test]
    fn never_the_same_address_twice(steps in proptest::collection::vec((0u8..9, any::<bool>()), 1..120)) {
        let (mut store, sets) = (Memory::default(), small());
        let mut model: BTreeMap<u8, IpAddr> = BTreeMap::new();
        for (id, add) in steps {
            if !add {
                release(&mut store, &owner(id)).unwrap();
                model.remove(&id);
                continue;
            }
            match allocate(&mut store, &sets, &owner(id)) {
                Ok(got) => {
                    let ip = got[0].address.addr();
                    prop_assert_eq!(got[0].fresh, !model.contains_key(&id));
                    prop_assert_eq!(*model.entry(id).or_insert(ip), ip);
                    prop_assert!(contains(&sets[0][0], ip) && ip != sets[0][0].gateway);
                }
                Err(_) => prop_assert_eq!(model.len(), 5),
            }
            let distinct: BTreeSet<_> = model.values().collect();
            prop_assert_eq!(distinct.len(), model.len());
            prop_assert_eq!(store.taken.len(), model.len());
        }
    }
}
