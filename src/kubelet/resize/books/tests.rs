use super::*;
use crate::testing::builders::at;

fn cpus(count: i64) -> Requests {
    [Amount::whole(count), Amount::ZERO]
}

fn has(granted: i64) -> Entry {
    Entry {
        granted: cpus(granted),
        wish: None,
    }
}

fn wants(granted: i64, asked: i64, priority: i32, since: i64) -> Entry {
    let wish = Wish {
        requests: cpus(asked),
        priority,
        guaranteed: false,
        since: at(since),
        trigger: None,
    };
    Entry {
        wish: Some(wish),
        ..has(granted)
    }
}

fn books(entries: &[(&str, Entry)]) -> Books {
    let mut books = Books::default();
    for (uid, entry) in entries {
        books.set(&(*uid).into(), *entry);
    }
    books
}

fn order(books: &Books) -> String {
    books.waiting().iter().map(PodUid::as_str).collect()
}

#[test]
fn priority_goes_before_class_and_class_before_time() {
    let mut guaranteed = wants(1, 2, 0, 9);
    guaranteed.wish.as_mut().unwrap().guaranteed = true;
    let all = [
        ("a", wants(1, 2, 0, 5)),
        ("b", wants(1, 2, 7, 8)),
        ("c", guaranteed),
        ("d", wants(1, 2, 0, 3)),
        ("e", has(1)),
    ];
    assert_eq!(order(&books(&all)), "bcda");
}

#[test]
fn who_waits_is_told_what_left_room() {
    let (a, b) = (PodUid::from("a"), PodUid::from("b"));
    let mut books = books(&[("a", wants(1, 2, 0, 3)), ("b", has(1))]);
    assert_eq!(books.trigger(&a), "periodic_retry");
    assert!(books.remove(&b));
    books.freed_by("pods_removed");
    assert_eq!(
        (books.trigger(&a), books.wish(&a)),
        ("pods_removed", Some(cpus(2)))
    );
    books.set(&a, wants(1, 2, 0, 9));
    assert_eq!(books.trigger(&a), "periodic_retry", "it was looked at since");
}

#[test]
fn a_wish_waits_since_it_was_first_told() {
    let mut books = books(&[("a", wants(1, 2, 0, 3)), ("b", wants(1, 2, 0, 5))]);
    books.set(&"a".into(), wants(1, 3, 0, 9));
    assert_eq!(order(&books), "ab");
    books.set(&"a".into(), has(3));
    books.set(&"a".into(), wants(3, 4, 0, 9));
    assert_eq!(order(&books), "ba", "granted meanwhile");
}

#[test]
fn who_waits_longer_is_served_first_if_that_is_possible() {
    let others =
        |books: &Books, uid: &str, all: i64| books.others(&uid.into(), &cpus(all), &cpus(1))[0].value();
    let all = books(&[("a", wants(1, 3, 5, 1)), ("b", wants(1, 2, 0, 1)), ("c", has(2))]);
    assert_eq!(others(&all, "a", 7), 4, "c, b and what is elsewhere");
    assert_eq!(others(&all, "b", 7), 6, "and what a will have");
    assert_eq!(
        others(&all, "b", 6),
        4,
        "a cannot be served, so it holds up nobody"
    );
    assert_eq!(others(&all, "new", 7), 7);
}

#[test]
fn room_that_is_left_is_told() {
    let mut books = books(&[("a", has(2))]);
    assert!(!books.set(&"a".into(), has(3)));
    assert!(books.set(&"a".into(), has(1)));
    assert!(books.has(&"a".into()) && books.remove(&"a".into()));
    assert!(!books.remove(&"a".into()));
}
