use super::*;

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

#[test]
fn the_template_speaks_of_the_names_the_code_uses() {
    let list: Value = serde_json::from_str(TEMPLATE).unwrap();
    assert_eq!(list["name"], NETWORK);
    assert_eq!(list["plugins"][0]["type"], PLUGIN);
    assert_eq!(list["plugins"][0]["bridge"], BRIDGE);
    assert_eq!(list["cniVersion"], "1.0.0", "containerd 1.6 takes nothing newer");
    assert!(is_ours(TEMPLATE));
}

#[test]
fn subnets_and_mtu_are_put_in() {
    let list: Value = serde_json::from_str(&render(&nets(&["10.244.3.0/24", "fd00:3::/64"]), 1450)).unwrap();
    assert_eq!(list["plugins"][0]["mtu"], 1450);
    assert_eq!(
        list["plugins"][0]["ipam"]["ranges"],
        json!([[{ "subnet": "10.244.3.0/24" }], [{ "subnet": "fd00:3::/64" }]])
    );
    assert!(is_ours(&list.to_string()));
}

#[test]
fn somebody_else_s_configuration_is_noticed() {
    let flannel = r#"{"name":"cbr0","plugins":[{"type":"flannel"}]}"#;
    let ours = render(&nets(&["10.244.3.0/24"]), 1500);
    let cut_off = &ours[..60];
    type Files<'a> = &'a [(&'a str, &'a str)];
    let cases: &[(Files<'_>, Option<&str>)] = &[
        (&[], None),
        (&[(FILE, &ours)], None),
        (&[(FILE, cut_off)], None),
        (&[(FILE, "")], None),
        (&[(FILE, flannel)], Some(FILE)),
        (&[("10-flannel.conflist", flannel)], Some("10-flannel.conflist")),
        (
            &[
                ("10-containerd-net.conflist", flannel),
                ("05-cilium.conf", flannel),
            ],
            Some("05-cilium.conf"),
        ),
        (
            &[("00-notes.txt", "hello"), ("05-old.conflist.bak", flannel)],
            None,
        ),
        (&[("87-podman-bridge.conflist", flannel), (FILE, &ours)], None),
    ];
    for (files, expected) in cases {
        let files: Vec<ConfFile> = files
            .iter()
            .map(|(name, content)| ConfFile {
                name: (*name).into(),
                content: (*content).into(),
            })
            .collect();
        assert_eq!(conflict(&files).map(|f| f.name.as_str()), *expected, "{files:?}");
    }
}
