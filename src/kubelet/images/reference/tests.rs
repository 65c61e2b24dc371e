use super::*;

const HEX: &str = "7cc4b5aefd1d0cadf8d97d4350462ba51c694ebca145b08d7d41b41acc8db5aa";

#[test]
fn names_are_completed_like_docker_does() {
    let cases: &[(&str, &str, &str, Option<&str>)] = &[
        ("redis", "docker.io", "library/redis", None),
        (
            "redis:7.4-alpine",
            "docker.io",
            "library/redis",
            Some("7.4-alpine"),
        ),
        ("bitnami/redis", "docker.io", "bitnami/redis", None),
        ("docker.io/redis:1", "docker.io", "library/redis", Some("1")),
        (
            "index.docker.io/library/redis",
            "docker.io",
            "library/redis",
            None,
        ),
        (
            "registry.k8s.io/pause:3.10",
            "registry.k8s.io",
            "pause",
            Some("3.10"),
        ),
        ("localhost/app", "localhost", "app", None),
        (
            "10.0.0.1:5000/team/app:v1",
            "10.0.0.1:5000",
            "team/app",
            Some("v1"),
        ),
        ("registry:5000/app", "registry:5000", "app", None),
        ("[fd00::1]:5000/app:x", "[fd00::1]:5000", "app", Some("x")),
        ("Registry/app", "Registry", "app", None),
        ("a/b__c/d---e.f", "docker.io", "a/b__c/d---e.f", None),
    ];
    for (image, domain, path, tag) in cases {
        let r = parse(image).unwrap_or_else(|e| panic!("{image}: {e}"));
        assert_eq!(
            (r.domain, &*r.path, r.tag, r.digest),
            (*domain, *path, *tag, None),
            "{image}"
        );
    }
}

#[test]
fn the_default_tag_is_added_only_where_nothing_is_said() {
    let digest = format!("app@sha256:{HEX}");
    let both = format!("registry:5000/app:v1@sha256:{HEX}");
    for (image, wanted) in [
        ("redis", "redis:latest"),
        ("redis:7", "redis:7"),
        ("registry:5000/app", "registry:5000/app:latest"),
        (&*digest, &*digest),
        (&*both, &*both),
    ] {
        assert_eq!(with_default_tag(image).as_deref(), Ok(wanted));
    }
}

#[test]
fn what_is_no_image_name_is_refused() {
    use ReferenceError as E;
    let long = "a/".repeat(130) + "b";
    let cases = [
        ("", E::Format),
        ("/", E::Format),
        ("redis:", E::Format),
        ("redis:-x", E::Format),
        ("redis:a b", E::Format),
        ("re dis", E::Format),
        ("redis@sha256:12", E::Format),
        ("redis@", E::Format),
        ("-redis", E::Format),
        ("redis-", E::Format),
        ("a...b", E::Format),
        ("a/___b", E::Format),
        ("registry:port/app", E::Format),
        ("registry.example/", E::Format),
        ("http://registry/app", E::Format),
        ("Redis", E::UpperCase("library/Redis".into())),
        ("example.com/Team/app:V1", E::UpperCase("Team/app".into())),
        (HEX, E::Identifier(HEX.into())),
        (&long, E::TooLong),
    ];
    for (image, error) in cases {
        assert_eq!(parse(image), Err(error), "{image:?}");
    }
    let upper = format!("app@sha256:{}", HEX.to_uppercase());
    let unknown = format!("app@md5:{}", &HEX[..32]);
    let short = format!("app@sha256:{}", &HEX[..40]);
    for (image, error) in [
        (upper, E::Format),
        (unknown, E::DigestAlgorithm),
        (short, E::DigestLength),
    ] {
        assert_eq!(parse(&image).unwrap_err(), error, "{image:?}");
    }
}

#[test]
fn tags_have_at_most_128_characters() {
    assert!(parse(&format!("a:{}", "x".repeat(128))).is_ok());
    assert_eq!(
        parse(&format!("a:{}", "x".repeat(129))),
        Err(ReferenceError::Format)
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ -~é]{0,80}") {
        drop(parse(&text));
    }

    #[test]
    fn a_valid_name_stays_valid_with_its_default_tag(host in "([a-z]{1,8}\\.[a-z]{2,3}/)?", path in "[a-z0-9]{1,9}([._-][a-z0-9]{1,5}){0,2}") {
        let tagged = with_default_tag(&format!("{host}{path}")).unwrap();
        proptest::prop_assert!(tagged.ends_with(":latest"));
        proptest::prop_assert_eq!(with_default_tag(&tagged), Ok(tagged.clone()));
    }
}

#[test]
fn names_lose_their_tags_only() {
    let digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123";
    for (image, bare, whole) in [
        ("redis", "redis", "docker.io/library/redis"),
        ("redis:7", "redis", "docker.io/library/redis"),
        ("index.docker.io/a/b:1", "index.docker.io/a/b", "docker.io/a/b"),
        (
            "registry.test:5000/app:1",
            "registry.test:5000/app",
            "registry.test:5000/app",
        ),
        (
            &format!("registry.test/app:1@{digest}"),
            "registry.test/app",
            "registry.test/app",
        ),
        (
            &format!("registry.test/app@{digest}"),
            "registry.test/app",
            "registry.test/app",
        ),
    ] {
        assert_eq!(without_tag(image), Some(bare));
        assert_eq!(repository(image).as_deref(), Ok(whole));
    }
    assert_eq!(without_tag("Not An Image"), None);
}
