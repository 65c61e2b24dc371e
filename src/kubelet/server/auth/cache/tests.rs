use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_answer_holds_for_its_time_and_no_longer() {
    let mut cache = Cache::new(10);
    cache.put("a", 1, s(100), s(30));
    assert_eq!(cache.get(&"a", s(100)), Some(1));
    assert_eq!(cache.get(&"a", s(129)), Some(1));
    assert_eq!(cache.get(&"a", s(130)), None);
    assert_eq!(cache.get(&"b", s(100)), None);
}

#[test]
fn a_later_answer_replaces_an_earlier_one() {
    let mut cache = Cache::new(10);
    cache.put("a", 1, s(0), s(300));
    cache.put("a", 2, s(1), s(10));
    assert_eq!(cache.get(&"a", s(2)), Some(2));
    assert_eq!(cache.get(&"a", s(11)), None, "the earlier answer is not back");
    cache.put("a", 3, s(12), s(0));
    assert_eq!((cache.get(&"a", s(12)), cache.len()), (None, 0));
}

#[test]
fn it_is_bounded_and_gives_up_what_ends_first() {
    let mut cache = Cache::new(3);
    for (key, ttl) in [("long", 50), ("short", 5), ("middle", 20)] {
        cache.put(key, key, s(0), s(ttl));
    }
    cache.put("new", "new", s(1), s(30));
    assert_eq!(cache.len(), 3);
    assert_eq!(cache.get(&"short", s(1)), None);
    for key in ["long", "middle", "new"] {
        assert_eq!(cache.get(&key, s(1)), Some(key));
    }
}

#[test]
fn what_has_ended_takes_no_room() {
    let mut cache = Cache::new(2);
    cache.put(1, (), s(0), s(1));
    cache.put(2, (), s(0), s(100));
    cache.put(3, (), s(5), s(100));
    assert!(cache.get(&2, s(6)).is_some() && cache.get(&3, s(6)).is_some());
    for key in 0..1000 {
        cache.put(key, (), s(key), s(1_000_000));
    }
    assert_eq!(cache.len(), 2);
}
