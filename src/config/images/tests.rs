use crate::config::settings::tests::file;
use crate::config::{PullLimits, PullVerification};

#[test]
fn pulls_are_one_at_a_time_unless_more_are_asked_for() {
    for (text, flags, parallel) in [
        ("", &[][..], Some(1)),
        ("maxParallelImagePulls: 1", &[], Some(1)),
        ("maxParallelImagePulls: 7", &[], Some(7)),
        ("serializeImagePulls: false", &[], None),
        (
            "serializeImagePulls: false\nmaxParallelImagePulls: 2",
            &[],
            Some(2),
        ),
        ("", &["--serialize-image-pulls=false"], None),
    ] {
        let pulls = file(text, flags).unwrap().kubelet.pulls;
        let wanted = PullLimits {
            parallel,
            ..PullLimits::default()
        };
        assert_eq!(pulls, wanted, "{text} {flags:?}");
    }
    let error = file("serializeImagePulls: true\nmaxParallelImagePulls: 2", &[]).unwrap_err();
    assert!(
        error.to_string().contains("unless serializeImagePulls"),
        "{error}"
    );
    let pulls = file("", &["--registry-qps=0", "--registry-burst=3"])
        .unwrap()
        .kubelet
        .pulls;
    assert_eq!((pulls.per_second, pulls.burst), (0, 3));
}

#[test]
fn who_may_use_an_image_that_is_there() {
    let policy = |text: &str| file(text, &[]).map(|config| config.kubelet.pull_verification.clone());
    let (name, list) = (
        "imagePullCredentialsVerificationPolicy",
        "preloadedImagesVerificationAllowlist",
    );
    assert_eq!(policy("").unwrap(), PullVerification::Pulled);
    assert_eq!(
        policy(&format!("{name}: NeverVerify")).unwrap(),
        PullVerification::Never
    );
    assert_eq!(
        policy(&format!("{name}: AlwaysVerify")).unwrap(),
        PullVerification::Always
    );
    let listed = |pattern: &str| {
        policy(&format!(
            "{name}: NeverVerifyAllowlistedImages\n{list}: [\"{pattern}\"]"
        ))
    };
    for good in [
        "redis",
        "registry.test:5000/app",
        "registry.test/*",
        "registry.test:5000/team/*",
    ] {
        assert_eq!(
            listed(good).unwrap(),
            PullVerification::NotListed(vec![good.into()])
        );
    }
    for bad in [
        "",
        "*",
        "/*",
        " redis",
        "redis:7",
        "redis@sha256:1",
        "registry.*/app",
        "app*",
    ] {
        let error = listed(bad).unwrap_err().to_string();
        assert!(error.contains("is neither an image's name"), "{bad}: {error}");
    }
    let off = "featureGates: {KubeletEnsureSecretPulledImages: false}";
    assert_eq!(policy(off).unwrap(), PullVerification::Never);
    let error = policy(&format!("{off}\n{name}: AlwaysVerify"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("KubeletEnsureSecretPulledImages only, which is off"),
        "{error}"
    );
    let error = policy(&format!("{list}: [redis]")).unwrap_err().to_string();
    assert!(error.contains("NeverVerifyAllowlistedImages only"), "{error}");
}

#[test]
fn credential_providers_need_both_flags() {
    let (config, dir) = (
        "--image-credential-provider-config",
        "--image-credential-provider-bin-dir",
    );
    let given = |flags: &[&str]| file("", flags).map(|config| config.kubelet.credential_providers.clone());
    let (c, d) = (format!("{config}=/c.yaml"), format!("{dir}=/d"));
    assert_eq!(given(&[&c, &d]).unwrap(), Some(("/c.yaml".into(), "/d".into())));
    assert_eq!(given(&[]).unwrap(), None);
    for (flag, missing) in [(&c, dir), (&d, config)] {
        let error = given(&[flag]).unwrap_err().to_string();
        assert!(error.contains(&format!("{missing}: is not set")), "{error}");
    }
}
