#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::testing::builders::at;

fn image(id: &str, size: u64) -> v1::Image {
    v1::Image {
        id: id.into(),
        size,
        pinned: id == "pause",
        ..v1::Image::default()
    }
}

fn ids(unused: &[Unused]) -> Vec<&str> {
    unused.iter().map(|image| &*image.id).collect()
}

fn used(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(ToString::to_string).collect()
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let mut records = Records::default();
    let all = ["pause", "a", "b", "c"].map(|id| image(id, 10));
    assert_eq!(ids(&records.look(&all[..2], &used(&["a"]), at(0))), [""; 0]);
    // `b` and `c` come later and are never used; `a` was.
    assert_eq!(ids(&records.look(&all[..3], &used(&["a"]), at(10))), ["b"]);
    assert_eq!(ids(&records.look(&all, &used(&[]), at(20))), ["b", "c", "a"]);
    assert_eq!(ids(&records.look(&all, &used(&["b"]), at(30))), ["c", "a"]);
    assert_eq!(ids(&records.look(&all, &used(&[]), at(40))), ["c", "a", "b"]);
    // One that went and comes again is new.
    records.forget("c");
    assert_eq!(ids(&records.look(&all, &used(&[]), at(50))), ["c", "a", "b"]);
    assert_eq!(
        to_free(
            &records.look(&all, &used(&[]), at(60)),
            1,
            Duration::from_secs(30),
            at(60)
        )[0]
        .id,
        "a".into()
    );
    assert_eq!(ids(&records.look(&all[..2], &used(&[]), at(70))), ["a"]);
}

#[test]
fn as_many_go_as_are_needed_and_are_old_enough() {
    let mut records = Records::default();
    records.look(&[image("a", 10), image("b", 20)], &used(&[]), at(0));
    let unused = records.look(
        &[image("a", 10), image("b", 20), image("new", 99)],
        &used(&[]),
        at(100),
    );
    let chosen = |bytes| {
        let chosen = to_free(&unused, bytes, Duration::from_secs(60), at(100));
        chosen.iter().map(|i| i.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(chosen(0), [""; 0]);
    assert_eq!(chosen(10), ["a"]);
    assert_eq!(chosen(11), ["a", "b"]);
    assert_eq!(chosen(u64::MAX), ["a", "b"]);
}

#[test]
fn images_nobody_uses_for_long_are_old() {
    let config = ImageGcConfig {
        max_age: Duration::from_secs(100),
        ..ImageGcConfig::default()
    };
    let mut records = Records::default();
    let images = ["a", "b"].map(|id| image(id, 1));
    records.look(&images, &used(&["b"]), at(0));
    let unused = records.look(&images, &used(&[]), at(50));
    let old = |config: &ImageGcConfig, now| -> Vec<String> {
        old(&unused, config, (at(0), at(now)))
            .map(|i| i.id.to_string())
            .collect()
    };
    assert_eq!(old(&config, 100), [""; 0], "not known that soon");
    assert_eq!(old(&config, 101), ["a", "b"]);
    assert_eq!(old(&ImageGcConfig::default(), 1000), [""; 0]);
}

#[test]
fn a_full_disk() {
    let config = |high, low| ImageGcConfig {
        high,
        low,
        ..ImageGcConfig::default()
    };
    for (capacity, available, high, low, wanted) in [
        (1000, 160, 85, 80, None),
        (1000, 151, 85, 80, Some((49, 85))),
        (1000, 150, 85, 80, Some((50, 85))),
        (1000, 0, 85, 80, Some((200, 100))),
        (1000, 2000, 1, 0, None),
        (0, 0, 85, 80, None),
        (u64::MAX, 0, 85, 50, Some((u64::MAX / 2, 100))),
    ] {
        let told = excess(capacity, available, &config(high, low)).map(|e| (e.bytes, e.percent));
        assert_eq!(told, wanted, "{capacity} {available} {high} {low}");
    }
    let told = not_enough(
        Excess {
            bytes: 9,
            percent: 91,
        },
        270_582_939_648,
        5,
    );
    assert!(told.starts_with("Insufficient free disk space on the node's image filesystem (91% of 252.0 GiB used). Failed to free sufficient space by deleting unused images (freed 5 bytes). Investigate"), "{told}");
    assert_eq!([size(1023), size(1536)], ["1023 B", "1.5 KiB"]);
}
