use super::*;

fn environment(command: &str) -> Environment {
    Environment {
        command: command.into(),
        container_id: "c1".into(),
        netns: "/run/netns/pod".into(),
        ifname: "eth0".into(),
    }
}

fn config(version: &str) -> Value {
    json!({
        "cniVersion": version, "name": "pods", "type": "rustlet",
        "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24" }]] },
        "someFutureKey": { "of": ["anybody"] },
    })
}

fn decoded(command: &str, config: &Value) -> Result<Call, Error> {
    match decode(&environment(command), config.to_string().as_bytes()) {
        Ok(Request::Call(call)) => Ok(*call),
        Ok(Request::Version(_)) => panic!("not a call"),
        Err((_, error)) => Err(error),
    }
}

fn refused(command: &str, change: impl Fn(&mut Value)) -> (Code, String) {
    let mut config = config("1.1.0");
    change(&mut config);
    let error = decoded(command, &config).unwrap_err();
    (error.code, error.to_string())
}

#[test]
fn commands_exist_from_their_version_on() {
    for (command, since) in [("ADD", 0), ("DEL", 0), ("CHECK", 1), ("STATUS", 3), ("GC", 3)] {
        for (i, version) in Version::ALL.into_iter().enumerate() {
            let mut config = config(version.as_str());
            config["prevResult"] = json!({});
            let result = decoded(command, &config);
            assert_eq!(result.is_ok(), i >= since, "{command} {version:?}: {result:?}");
            if let Err(error) = result {
                assert_eq!(error.code, Code::IncompatibleVersion);
            }
        }
    }
    let mut old = config("1.0.0");
    old.as_object_mut().unwrap().remove("cniVersion");
    assert_eq!(decoded("ADD", &old).unwrap_err().code, Code::IncompatibleVersion);
}

#[test]
fn defaults_are_host_local_s() {
    let call = decoded("ADD", &config("1.0.0")).unwrap();
    assert_eq!(call.config.bridge, "cni0");
    assert_eq!(call.config.ipam.data_dir, PathBuf::from("/var/lib/cni/networks"));
    let range = &call.config.ipam.ranges[0][0];
    let text = [range.start, range.end, range.gateway].map(|ip| ip.to_string());
    assert_eq!(text, ["10.1.0.1", "10.1.0.254", "10.1.0.1"]);
    let mut v6 = config("1.0.0");
    v6["ipam"] = json!({ "type": "host-local", "subnet": "fd00::/120" });
    let range = &decoded("ADD", &v6).unwrap().config.ipam.ranges[0][0];
    assert_eq!(range.end.to_string(), "fd00::ff", "IPv6 has no broadcast address");
}

#[test]
fn bad_ranges_are_named() {
    let cases = [
        (
            json!([[{ "subnet": "10.1.0.5/24" }]]),
            "ipam.ranges[0][0].subnet: 10.1.0.5/24 has host bits set",
        ),
        (
            json!([[{ "subnet": "10.1.0.0/31" }]]),
            "ipam.ranges[0][0].subnet: 10.1.0.0/31 is too small",
        ),
        (
            json!([[{ "subnet": "10.1.0.0/24", "rangeStart": "10.2.0.1" }]]),
            "rangeStart: 10.2.0.1 is not in",
        ),
        (
            json!([[{ "subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.8" }]]),
            "is after rangeEnd",
        ),
        (
            json!([[{ "subnet": "10.1.0.0/24" }], [{ "subnet": "10.1.0.0/25" }]]),
            "overlap",
        ),
        (
            json!([[{ "subnet": "10.1.0.0/24" }, { "subnet": "fd00::/64" }]]),
            "ipam.ranges[0]: mixes",
        ),
        (
            json!([[{ "subnet": "10.1.0.0/24" }], []]),
            "ipam.ranges[1]: empty",
        ),
        (json!([[{}]]), "ipam.ranges[0][0].subnet: missing"),
        (json!([]), "ipam.ranges: missing"),
    ];
    for (ranges, words) in cases {
        let (code, text) = refused("ADD", |c| c["ipam"]["ranges"] = ranges.clone());
        assert!(
            code == Code::InvalidConfig && text.contains(words),
            "{text}: expected {words}"
        );
        let mut broken = config("1.1.0");
        broken["ipam"]["ranges"] = ranges;
        assert!(
            decoded("DEL", &broken).is_ok(),
            "what was made must go all the same"
        );
    }
}

#[test]
fn wrong_types_are_named_with_their_place() {
    let cases: [(&str, Value, &str); 4] = [
        ("mtu", json!(-1), "mtu: "),
        ("hairpinMode", json!("yes"), "hairpinMode: "),
        (
            "runtimeConfig",
            json!({ "portMappings": [{ "hostPort": 99999 }] }),
            "runtimeConfig.portMappings: ",
        ),
        (
            "prevResult",
            json!({ "ips": [{ "address": "x" }] }),
            "prevResult: ",
        ),
    ];
    for (key, value, words) in cases {
        let (code, text) = refused("ADD", |c| c[key] = value.clone());
        assert!(
            code == Code::Decode && text.contains(words),
            "{text}: expected {words}"
        );
    }
}

#[test]
fn what_would_be_ignored_silently_is_refused() {
    for (key, value) in [
        ("ipMasq", json!(true)),
        ("vlan", json!(5)),
        ("promiscMode", json!(true)),
    ] {
        let (code, text) = refused("ADD", |c| c[key] = value.clone());
        assert!(
            code == Code::UnsupportedField && text.contains(&format!("{key}: {value}")),
            "{text}"
        );
    }
    for (key, value) in [
        ("ipMasq", json!(false)),
        ("vlan", json!(0)),
        ("promiscMode", json!(null)),
    ] {
        let mut config = config("1.0.0");
        config[key] = value;
        assert!(decoded("ADD", &config).is_ok(), "{key} asks for nothing");
    }
}

#[test]
fn the_environment_is_checked_by_name() {
    let mut broken = environment("ADD");
    broken.ifname = "much-too-long-name".into();
    let stdin = config("1.0.0").to_string();
    let (version, error) = decode(&broken, stdin.as_bytes()).unwrap_err();
    assert_eq!(
        (version, error.code),
        (Some(Version::V1_0_0), Code::InvalidEnvironment)
    );
    assert!(error.details.starts_with("CNI_IFNAME"), "{error}");
    broken = environment("ADD");
    broken.netns = String::new();
    let (_, error) = decode(&broken, stdin.as_bytes()).unwrap_err();
    assert_eq!(
        (error.code, &*error.details),
        (Code::InvalidEnvironment, "CNI_NETNS: missing")
    );
    broken.command = "DEL".into();
    assert!(decode(&broken, stdin.as_bytes()).is_ok());
}

#[test]
fn errors_are_written_as_the_spec_wants() {
    let error = Error::new(Code::TryAgainLater, "no address", "all taken");
    let expected = json!({ "cniVersion": "0.4.0", "code": 11, "msg": "no address", "details": "all taken" });
    assert_eq!(error.to_json(Some(Version::V0_4_0)), expected);
    assert_eq!(error.to_json(None)["cniVersion"], "1.1.0");
}

#[test]
fn host_ports_are_read_in_both_spellings() {
    for mapping in [
        json!({ "hostPort": 80, "containerPort": 8080, "protocol": "tcp", "hostIP": "127.0.0.1" }),
        json!({ "HostPort": 80, "ContainerPort": 8080, "Protocol": "tcp", "HostIP": "127.0.0.1" }),
    ] {
        let mut config = config("1.0.0");
        config["runtimeConfig"] = json!({ "portMappings": [mapping] });
        let expected = PortMapping {
            host_port: 80,
            container_port: 8080,
            protocol: "tcp".into(),
            host_ip: "127.0.0.1".into(),
        };
        assert_eq!(decoded("ADD", &config).unwrap().config.port_mappings, [expected]);
    }
    let mut none = config("1.0.0");
    none["runtimeConfig"] = json!({ "portMappings": null });
    assert_eq!(decoded("ADD", &none).unwrap().config.port_mappings, []);
}
