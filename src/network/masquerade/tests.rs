use super::*;

fn wanted() -> Rules {
    let spared = [
        "192.168.0.2/32",
        "10.244.1.0/24",
        "10.244.0.0/24",
        "192.168.0.2/32",
    ];
    rules(
        "10.244.0.0/24".parse().unwrap(),
        spared.iter().map(|s| s.parse().unwrap()),
    )
}

fn found<'a>(rules: &'a [String], jump: &'a str) -> Found<'a> {
    Found {
        chain: true,
        rules: rules.iter().map(String::as_str).collect(),
        jumps: vec![jump],
    }
}

#[test]
fn an_empty_machine_gets_everything_in_one_go() {
    let text = repair(&wanted(), &Found::default(), &Found::default()).unwrap();
    let expected = r#"*nat
:RUSTLET-MASQ - [0:0]
-A RUSTLET-MASQ ! -s 10.244.0.0/24 -j RETURN
-A RUSTLET-MASQ -d 224.0.0.0/4 -j RETURN
-A RUSTLET-MASQ -d 10.244.0.0/24 -j RETURN
-A RUSTLET-MASQ -d 10.244.1.0/24 -j RETURN
-A RUSTLET-MASQ -d 192.168.0.2/32 -j RETURN
-A RUSTLET-MASQ -j MASQUERADE --random-fully
-A POSTROUTING -m comment --comment "rustlet: pods to outside" -j RUSTLET-MASQ
COMMIT
*filter
:RUSTLET-FORWARD - [0:0]
-A RUSTLET-FORWARD -s 10.244.0.0/24 -j ACCEPT
-A RUSTLET-FORWARD -d 10.244.0.0/24 -j ACCEPT
-A FORWARD -m comment --comment "rustlet: pods may be reached" -j RUSTLET-FORWARD
COMMIT
"#;
    assert_eq!(text, expected);
}

#[test]
fn only_what_differs_is_written() {
    let wanted = wanted();
    let (nat, filter) = (
        found(&wanted.masq, MASQ_JUMP),
        found(&wanted.forward, FORWARD_JUMP),
    );
    assert_eq!(repair(&wanted, &nat, &filter), None);
    let no_jump = Found {
        jumps: vec![],
        ..nat.clone()
    };
    assert_eq!(
        repair(&wanted, &no_jump, &filter),
        Some(format!("*nat\n{MASQ_JUMP}\nCOMMIT\n"))
    );
    let twice = Found {
        jumps: vec![MASQ_JUMP, MASQ_JUMP],
        ..nat.clone()
    };
    let text = repair(&wanted, &twice, &filter).unwrap();
    assert_eq!(
        (
            text.matches("-D POSTROUTING").count(),
            text.matches("-A POSTROUTING").count()
        ),
        (2, 1)
    );
    let flushed = Found {
        rules: vec![],
        ..filter.clone()
    };
    let text = repair(&wanted, &nat, &flushed).unwrap();
    assert!(
        text.starts_with("*filter\n:RUSTLET-FORWARD") && !text.contains("-A FORWARD"),
        "{text}"
    );
}

#[test]
fn cleaning_leaves_no_dangling_jump() {
    let wanted = wanted();
    let (nat, filter) = (found(&wanted.masq, MASQ_JUMP), Found::default());
    let expected = format!(
        "*nat\n:RUSTLET-MASQ - [0:0]\n{}\n-X RUSTLET-MASQ\nCOMMIT\n",
        MASQ_JUMP.replace("-A POST", "-D POST")
    );
    assert_eq!(clean(&nat, &filter), Some(expected));
    assert_eq!(clean(&filter, &filter), None);
}

#[test]
fn ipv6_spares_its_own_multicast() {
    let rules = rules("fd00::/64".parse().unwrap(), std::iter::empty());
    assert_eq!(rules.masq[1], "-A RUSTLET-MASQ -d ff00::/8 -j RETURN");
}
