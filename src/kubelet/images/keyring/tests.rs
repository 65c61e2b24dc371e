use super::*;

fn ring(config: &str) -> Keyring {
    let mut ring = Keyring::default();
    ring.add(&Origin::Node, parse_config_json(config.as_bytes()).unwrap());
    ring
}

fn users(ring: &Keyring, repository: &str) -> Vec<String> {
    let found = ring.look_up(repository);
    found.into_iter().map(|c| c.login.username).collect()
}

#[test]
fn patterns_match_as_upstreams_do() {
    for (pattern, image, wanted) in [
        ("registry.test", "registry.test/app", true),
        ("registry.test:5000", "registry.test:5000/app", true),
        ("registry.test", "registry.test:5000/app", false),
        ("registry.test:5000", "registry.test/app", false),
        ("registry.test/team", "registry.test/team/app", true),
        ("registry.test/team", "registry.test/other/app", false),
        // Text, not parts of a path.
        ("registry.test/team", "registry.test/teams/app", true),
        ("*.registry.test", "eu.registry.test/app", true),
        ("*.registry.test", "registry.test/app", false),
        ("*.test", "eu.registry.test/app", false),
        ("app*.registry.test", "app1.registry.test/x", true),
        ("a*p*1.registry.test", "app1.registry.test/x", true),
        ("a*q*1.registry.test", "app1.registry.test/x", false),
        (
            "*.*.registry.test:8080/path",
            "a.b.registry.test:8080/path/x",
            true,
        ),
        ("10.0.0.*:5000", "10.0.0.7:5000/app", true),
        ("registry test", "registry test/app", false),
        ("registry.test:port", "registry.test:port/app", false),
    ] {
        assert_eq!(matches(pattern, image), wanted, "{pattern} {image}");
    }
}

#[test]
fn all_that_match_are_tried_and_the_longest_first() {
    let ring = ring(
        r#"{"auths": {
            "registry.test": {"username": "host", "password": "p"},
            "registry.test/team": {"username": "team", "password": "p"},
            "https://registry.test/team/app": {"username": "app", "password": "p"},
            "*.test": {"username": "glob", "password": "p"},
            "other.test": {"username": "other", "password": "p"}
        }}"#,
    );
    assert_eq!(
        users(&ring, "registry.test/team/app"),
        ["app", "team", "host", "glob"]
    );
    assert_eq!(users(&ring, "registry.test/x"), ["host", "glob"]);
    assert_eq!(users(&ring, "nowhere.example/x"), [""; 0]);
}

#[test]
fn dockers_own_registry_has_several_names() {
    let ring = ring(r#"{"auths": {"https://index.docker.io/v1/": {"auth": "dXNlcjpwYXNz"}}}"#);
    for repository in [
        "docker.io/library/busybox",
        "busybox",
        "library/busybox",
        "index.docker.io/x/y",
    ] {
        assert_eq!(users(&ring, repository), ["user"], "{repository}");
    }
    assert_eq!(users(&ring, "registry.test/busybox"), [""; 0]);
    let direct = super::tests::ring(r#"{"auths": {"docker.io": {"username": "direct"}}}"#);
    assert_eq!(users(&direct, "docker.io/library/busybox"), ["direct"]);
}

#[test]
fn both_formats_are_read() {
    let login = |username: &str, password: &str, email: &str| Login {
        username: username.into(),
        password: password.into(),
        email: email.into(),
    };
    let new = parse_config_json(
        br#"{"auths": {"a": {"username": "u", "password": "p", "email": "e"}}, "credsStore": "x"}"#,
    );
    assert_eq!(new.unwrap()["a"], login("u", "p", "e"));
    let old = parse_dockercfg(br#"{"a": {"username": "x", "auth": "dXNlcjpwYTpzcw"}}"#);
    assert_eq!(
        old.unwrap()["a"],
        login("user", "pa:ss", ""),
        "auth goes first, padded or not"
    );
    assert_eq!(parse_config_json(b"{}").unwrap(), Logins::new());
    let words = parse_config_json(b"{\n \"auths\": secret}")
        .unwrap_err()
        .to_string();
    assert_eq!(
        words,
        "it is not a docker configuration in JSON (line 2, column 11)"
    );
    let words = parse_dockercfg(br#"{"a": {"auth": "!"}}"#)
        .unwrap_err()
        .to_string();
    assert_eq!(words, r#"auth of "a" is not USER:PASSWORD in base64"#);
}

#[test]
fn the_hash_is_that_of_gos_json() {
    let login = |username: &str, password: &str| Login {
        username: username.into(),
        password: password.into(),
        email: String::new(),
    };
    // printf '{"username":"u","password":"p"}' | sha256sum
    assert_eq!(
        login("u", "p").hash(),
        hex(&Sha256::digest(br#"{"username":"u","password":"p"}"#))
    );
    assert_eq!(
        login("u", "<&>").hash(),
        hex(&Sha256::digest(
            br#"{"username":"u","password":"\u003c\u0026\u003e"}"#
        ))
    );
    assert_eq!(login("", "").hash(), hex(&Sha256::digest(b"{}")));
}

#[test]
fn passwords_are_not_printed() {
    let login = Login {
        username: "me".into(),
        password: "secret".into(),
        ..Login::default()
    };
    let text = format!("{login:?}");
    assert!(text.contains("me") && !text.contains("secret"), "{text}");
}
