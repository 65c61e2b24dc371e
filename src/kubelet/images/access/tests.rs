use super::*;
use crate::kubelet::images::keyring::Login;
use serde_json::json;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn place(name: &str, uid: &str) -> Coordinates {
    Coordinates {
        namespace: "ns".into(),
        name: name.into(),
        uid: uid.into(),
    }
}

fn credential(origin: Origin, password: &str) -> Credential {
    let login = Login {
        username: "user".into(),
        password: password.into(),
        ..Login::default()
    };
    Credential { login, origin }
}

fn secret(name: &str, password: &str) -> Credential {
    credential(Origin::Secret(place(name, &format!("uid-{name}"))), password)
}

fn account(name: &str) -> Credential {
    credential(Origin::ServiceAccount(place(name, "u")), "p")
}

fn pulled_with(credentials: &[Credential]) -> Record {
    let mut record = Record::new("sha256:1", at(0));
    for credential in credentials {
        record.learn("registry.test/app:1", &Proofs::of(Some(credential)), at(1));
    }
    record
}

#[test]
fn what_has_to_be_proven() {
    let listed = PullVerification::NotListed(vec!["registry.test/app".into(), "mirror.test/*".into()]);
    for (policy, image, ours, wanted) in [
        (&PullVerification::Never, "a", true, false),
        (&PullVerification::Pulled, "a", false, false),
        (&PullVerification::Pulled, "a", true, true),
        (&PullVerification::Always, "a", false, true),
        (&listed, "registry.test/app:1", true, false),
        (&listed, "registry.test/app/more:1", false, true),
        (
            &listed,
            "mirror.test/x/y@sha256:0123456789012345678901234567890123456789012345678901234567890123",
            true,
            false,
        ),
        (&listed, "mirror.test.evil/x", false, true),
    ] {
        assert_eq!(
            must_prove(policy, image, ours),
            wanted,
            "{policy:?} {image} {ours}"
        );
    }
}

#[test]
fn a_record_looks_like_upstreams() {
    let mut record = pulled_with(&[secret("s", "p")]);
    record.learn("other.test/app", &Proofs::of(None), at(2));
    let hash = secret("s", "p").login.hash();
    let wanted = json!({
        "kind": "ImagePulledRecord",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "lastUpdatedTime": "1970-01-01T00:00:02Z",
        "imageRef": "sha256:1",
        "credentialMapping": {
            "registry.test/app": {"kubernetesSecrets": [
                {"uid": "uid-s", "namespace": "ns", "name": "s", "credentialHash": hash}
            ]},
            "other.test/app": {"nodePodsAccessible": true},
        },
    });
    assert_eq!(serde_json::to_value(&record).unwrap(), wanted);
    assert_eq!(serde_json::from_value::<Record>(wanted).unwrap(), record);
    let intent =
        json!({"kind": "ImagePullIntent", "apiVersion": "kubelet.config.k8s.io/v1beta1", "image": "app:1"});
    assert_eq!(serde_json::to_value(Intent::new("app:1")).unwrap(), intent);
}

#[test]
fn proofs_are_for_the_name_without_its_tag() {
    let record = pulled_with(&[secret("s", "p")]);
    for (image, known) in [
        ("registry.test/app:2", true),
        ("registry.test/app", true),
        (
            "registry.test/app@sha256:0123456789012345678901234567890123456789012345678901234567890123",
            true,
        ),
        ("registry.test/other:1", false),
        ("Not A Name", false),
    ] {
        assert_eq!(record.proofs(image).is_some(), known, "{image}");
    }
}

#[test]
fn credentials_prove_what_they_have_pulled() {
    let record = pulled_with(&[secret("a", "p"), secret("b", "q"), account("robot")]);
    let known = record.proofs("registry.test/app").unwrap();
    let proven_by = |c: &Credential| Verdict::ProvenBy(Proofs::of(Some(c)));
    for (what, credential, wanted) in [
        ("the same Secret", secret("a", "p"), Verdict::Proven),
        ("the other one", secret("b", "q"), Verdict::Proven),
        (
            "another Secret with the same login",
            secret("c", "p"),
            proven_by(&secret("c", "p")),
        ),
        (
            "the same Secret with another login",
            secret("a", "new"),
            proven_by(&secret("a", "new")),
        ),
        ("another Secret and login", secret("c", "x"), Verdict::Unproven),
        ("the account", account("robot"), Verdict::Proven),
        ("another account", account("human"), Verdict::Unproven),
        (
            "the node's login, the same",
            credential(Origin::Node, "p"),
            Verdict::Unproven,
        ),
    ] {
        assert_eq!(prove(known, &[credential]), wanted, "{what}");
    }
    assert_eq!(prove(known, &[]), Verdict::Unproven);
    assert_eq!(
        prove(known, &[secret("c", "x"), secret("a", "p")]),
        Verdict::Proven
    );
}

#[test]
fn no_more_secrets_are_remembered_than_are_useful() {
    let all: Vec<Credential> = (0..SECRETS_KEPT).map(|n| secret(&format!("s{n}"), "p")).collect();
    let record = pulled_with(&all);
    let known = record.proofs("registry.test/app").unwrap();
    assert_eq!(prove(known, &[secret("new", "p")]), Verdict::Proven);
    assert_eq!(prove(known, &[secret("s1", "changed")]), Verdict::Unproven);
}

#[test]
fn what_all_may_use_stays_so() {
    let mut record = pulled_with(&[secret("a", "p")]);
    assert!(
        !record.learn("registry.test/app", &Proofs::of(Some(&secret("a", "p"))), at(5)),
        "nothing new"
    );
    assert_eq!(record.last_updated_time, at(1));
    assert!(!record.learn("registry.test/app", &Proofs::default(), at(5)));
    assert!(record.learn("registry.test/app", &Proofs::of(None), at(5)));
    assert!(record.proofs("registry.test/app").unwrap().for_all());
    assert!(!record.learn("registry.test/app", &Proofs::of(Some(&secret("b", "q"))), at(6)));
    assert_eq!(record.proofs("registry.test/app"), Some(&Proofs::of(None)));
}
