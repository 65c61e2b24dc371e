use super::*;

fn ip(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    IpAddr::from([10, 0, high, low])
}

fn is_evicted(slot: &Slot) -> bool {
    slot.evicted.is_cancelled()
}

#[test]
fn strangers_of_an_address_make_room_for_its_next_one() {
    let limits = Arc::new(Limits::default());
    let held: Vec<Slot> = (0..MOST_FRESH_PER_PEER)
        .map(|_| limits.admit(ip(1)).unwrap())
        .collect();
    let other = limits.admit(ip(2)).unwrap();
    assert!(held.iter().all(|slot| !is_evicted(slot)));
    let good = limits.admit(ip(1)).unwrap();
    assert!(is_evicted(&held[0]) && !is_evicted(&held[1]) && !is_evicted(&other) && !is_evicted(&good));
}

#[test]
fn a_trusted_connection_is_never_evicted() {
    let limits = Arc::new(Limits::default());
    let good = limits.admit(ip(1)).unwrap();
    good.trust();
    good.trust();
    let flood: Vec<Slot> = (0..MOST_PER_PEER - 1)
        .map(|_| limits.admit(ip(1)).unwrap())
        .collect();
    assert!(!is_evicted(&good) && good.trusted());
    assert!(limits.admit(ip(1)).is_none(), "an address has its limit");
    assert!(limits.admit(ip(2)).is_some(), "which is no other's");
    drop(flood);
    assert!(limits.admit(ip(1)).is_some());
}

#[test]
fn many_addresses_together_have_a_limit_too() {
    let limits = Arc::new(Limits::default());
    let lone = limits.admit(ip(60_000)).unwrap();
    let mut held = Vec::new();
    for n in 0..u16::try_from(MOST_FRESH).unwrap() {
        held.push(limits.admit(ip(n % 100)).unwrap());
    }
    assert_eq!(limits.lock().fresh, MOST_FRESH);
    assert!(!is_evicted(&lone), "the address with most makes room");
    assert_eq!(held.iter().filter(|slot| is_evicted(slot)).count(), 1);
    held.push(lone);
    for n in 0..u16::try_from(MOST_CONNECTIONS).unwrap() {
        held.extend(limits.admit(ip(1000 + n)));
    }
    assert_eq!(limits.lock().all, MOST_CONNECTIONS);
    drop(held);
    let counts = limits.lock();
    assert_eq!((counts.all, counts.fresh, counts.peers.len()), (0, 0, 0));
}

#[test]
fn a_stranger_is_judged_a_few_times_at_once() {
    use futures::FutureExt;
    let slot = Arc::new(Limits::default())
        .admit(IpAddr::from([10, 0, 0, 1]))
        .unwrap();
    let mut turns: Vec<_> = (0..MOST_JUDGED)
        .map(|_| slot.turn().now_or_never().unwrap())
        .collect();
    assert!(slot.turn().now_or_never().is_none(), "one too many");
    turns.pop();
    assert!(slot.turn().now_or_never().unwrap().is_some());
    turns.clear();
    slot.trust();
    let free = (0..100).filter_map(|_| slot.turn().now_or_never());
    assert_eq!(free.count(), 100);
}
