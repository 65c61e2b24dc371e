use super::*;
use proptest::prelude::*;

#[test]
fn durations_as_go_writes_them() {
    let table = [
        ("0", Some(0)),
        ("0s", Some(0)),
        ("1h2m3.5s", Some(3_723_500_000_000)),
        ("1.5h", Some(5_400_000_000_000)),
        ("300ms", Some(300_000_000)),
        ("-1m", Some(-60_000_000_000)),
        ("+2us", Some(2_000)),
        ("2µs", Some(2_000)),
        (".5s", Some(500_000_000)),
        ("1.s", Some(1_000_000_000)),
        ("2x", None),
        ("1", None),
        ("", None),
        ("-", None),
        (".s", None),
        ("1..2s", None),
        ("s", None),
        ("1h ", None),
        ("9999999999h", None),
    ];
    for (text, nanos) in table {
        assert_eq!(duration_nanos(text), nanos, "{text:?}");
    }
    assert_eq!(duration("-1s"), None);
}

#[test]
fn quantities_as_kubernetes_writes_them() {
    let table = [
        ("10Mi", Some(10 << 20)),
        ("1.5Gi", Some(3 << 29)),
        ("1k", Some(1000)),
        ("1500m", Some(2)),
        ("1e3", Some(1000)),
        ("5E", Some(5_000_000_000_000_000_000)),
        ("20E", None),
        ("0", Some(0)),
        ("-1", None),
        ("10MB", None),
        ("", None),
        (".", None),
        ("1e99", None),
    ];
    for (text, whole) in table {
        assert_eq!(quantity(text), whole, "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*", numbers in "[-+0-9.eEnuµmskMGTPKih]{0,50}") {
        for text in [text, numbers] {
            let _ = (duration_nanos(&text), duration(&text), quantity(&text), boolean(&text));
        }
    }

    #[test]
    fn whole_durations_add_up(h in 0_u32..1000, m in 0_u32..1000, s in 0_u32..1000) {
        let nanos = (i64::from(h) * 3600 + i64::from(m) * 60 + i64::from(s)) * 1_000_000_000;
        prop_assert_eq!(duration_nanos(&format!("{h}h{m}m{s}s")), Some(nanos));
    }
}
