use super::*;

fn parsed(text: &str) -> Result<Amount, Error> {
    parse(&Quantity(text.into()))
}

#[test]
fn values_round_up() {
    for (text, value, milli) in [
        ("0", 0, 0),
        ("1", 1, 1000),
        ("100m", 1, 100),
        ("1500m", 2, 1500),
        ("0.1", 1, 100),
        (".5", 1, 500),
        ("5.", 5, 5000),
        ("1k", 1000, 1_000_000),
        ("1Ki", 1024, 1_024_000),
        ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
        ("128Mi", 134_217_728, 134_217_728_000),
        ("2e3", 2000, 2_000_000),
        ("2E3", 2000, 2_000_000),
        ("1E", 1_000_000_000_000_000_000, i64::MAX),
        ("1n", 1, 1),
        ("0.0000000001", 1, 1),
        ("+3", 3, 3000),
        ("-1500m", -2, -1500),
        ("20Ei", i64::MAX, i64::MAX),
    ] {
        let amount = parsed(text).unwrap();
        assert_eq!((amount.value(), amount.milli()), (value, milli), "{text}");
    }
}

#[test]
fn equal_amounts_are_equal_however_written() {
    assert_eq!(parsed("1"), parsed("1000m"));
    assert_eq!(parsed("1Gi"), parsed("1024Mi"));
    assert!(parsed("1G").unwrap() < parsed("1Gi").unwrap());
    assert_eq!(
        parsed("250m").unwrap().plus(parsed("750m").unwrap()),
        Amount::whole(1)
    );
}

#[test]
fn a_status_has_the_same_amount() {
    for (resource, amount, wanted) in [
        ("cpu", "1500m", "1500m"),
        ("cpu", "2000m", "2"),
        ("memory", "1024Ki", "1Mi"),
        ("memory", "10m", "10m"),
        ("memory", "0.0000015", "1500n"),
        ("memory", "1.000002", "1000002u"),
        ("pods", "110", "110"),
    ] {
        assert_eq!(text(resource, parsed(amount).unwrap()), wanted, "{amount}");
    }
}

#[test]
fn nonsense_is_refused_with_its_text() {
    for text in [
        "",
        "m",
        "1.2.3",
        "1x",
        "1KI",
        "1e",
        "1ee3",
        "e3",
        "1e99",
        "1 ",
        &"9".repeat(40),
    ] {
        let error = parsed(text).unwrap_err();
        assert_eq!(&*error.text, text);
    }
}

#[test]
fn a_missing_or_bad_resource_counts_as_nothing() {
    let list = BTreeMap::from([
        ("cpu".into(), Quantity("100m".into())),
        ("memory".into(), Quantity("x".into())),
    ]);
    assert_eq!(of(&list, "cpu").milli(), 100);
    assert_eq!(of(&list, "memory"), Amount::ZERO);
    assert_eq!(of(&list, "nope"), Amount::ZERO);
}

#[test]
fn numbers_are_written_as_go_writes_them() {
    for (value, in_binary, in_decimal) in [
        (0, "0", "0"),
        (1000, "1k", "1k"),
        (1024, "1Ki", "1024"),
        (1 << 30, "1Gi", "1073741824"),
        (1025 << 10, "1025Ki", "1049600"),
        (-2048, "-2Ki", "-2048"),
        (12_000_000, "12000000", "12M"),
        (i64::MAX, "9223372036854775807", "9223372036854775807"),
    ] {
        assert_eq!(
            (binary(value).as_str(), decimal(value).as_str()),
            (in_binary, in_decimal)
        );
    }
}
