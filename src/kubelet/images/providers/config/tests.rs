use super::*;

const GOOD: &str = r#"
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: helper
  matchImages: ["*.registry.test:5000/team", registry.test]
  defaultCacheDuration: 12h
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  args: [get, --fast]
  env:
  - name: REGION
    value: eu
  tokenAttributes:
    serviceAccountTokenAudience: registry
    cacheType: Token
    requireServiceAccount: true
    requiredServiceAccountAnnotationKeys: [registry.test/role]
    optionalServiceAccountAnnotationKeys: [Team]
"#;

fn one(text: &str) -> Result<Vec<Provider>, ConfigError> {
    parse(&[("f.yaml".into(), text.into())])
}

#[test]
fn every_field_is_read() {
    let wanted = Provider {
        name: "helper".into(),
        match_images: vec!["*.registry.test:5000/team".into(), "registry.test".into()],
        default_cache: Duration::from_secs(12 * 3600),
        api_version: "credentialprovider.kubelet.k8s.io/v1",
        args: vec!["get".into(), "--fast".into()],
        env: vec![("REGION".into(), "eu".into())],
        token: Some(TokenAttributes {
            audience: "registry".into(),
            per_token: true,
            required: true,
            required_keys: vec!["registry.test/role".into()],
            optional_keys: vec!["Team".into()],
        }),
    };
    assert_eq!(one(GOOD), Ok(vec![wanted]));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (from, to, words) in [
        (
            "v1\nkind",
            "v2\nkind",
            "f.yaml: apiVersion: \"kubelet.config.k8s.io/v2\" is not kubelet.config.k8s.io/v1 or",
        ),
        (
            "kind: CredentialProviderConfig",
            "kind: Other",
            "f.yaml: kind: \"Other\" is not CredentialProviderConfig",
        ),
        (
            "name: helper",
            "name: a/b",
            "f.yaml: providers[0].name: \"a/b\" is not the name of a program",
        ),
        (
            "name: helper",
            "name: ..",
            "f.yaml: providers[0].name: \"..\" is not",
        ),
        (
            "12h",
            "soon",
            "f.yaml: providers[0].defaultCacheDuration: \"soon\" is not a duration",
        ),
        (
            "12h",
            "-1h",
            "f.yaml: providers[0].defaultCacheDuration: \"-1h\" is not a duration",
        ),
        (
            "  defaultCacheDuration: 12h\n",
            "",
            "f.yaml: providers[0].defaultCacheDuration: it is required",
        ),
        (
            "registry.test]",
            "\"registry test\"]",
            "f.yaml: providers[0].matchImages: \"registry test\" is not HOST",
        ),
        (
            "[\"*.registry.test:5000/team\", registry.test]",
            "[]",
            "f.yaml: providers[0].matchImages: at least one",
        ),
        (
            "credentialprovider.kubelet.k8s.io/v1",
            "v1",
            "f.yaml: providers[0].apiVersion: \"v1\" is not",
        ),
        (
            "io/v1\n  args",
            "io/v1beta1\n  args",
            "f.yaml: providers[0].tokenAttributes: only for apiVersion",
        ),
        (
            "cacheType: Token",
            "cacheType: Never",
            "f.yaml: providers[0].tokenAttributes.cacheType: \"Never\" is not",
        ),
        (
            "Audience: registry",
            "Audience: \"\"",
            "tokenAttributes.serviceAccountTokenAudience: it is required",
        ),
        (
            "    requireServiceAccount: true\n",
            "",
            "tokenAttributes.requireServiceAccount: it is required",
        ),
        (
            "requireServiceAccount: true",
            "requireServiceAccount: false",
            "AnnotationKeys: only where requireServiceAccount",
        ),
        (
            "[Team]",
            "[registry.test/role]",
            "the annotation \"registry.test/role\" is named twice",
        ),
        ("[Team]", "[\"a b\"]", "\"a b\" is not the key of an annotation"),
        ("  args:", "  arguments:", "f.yaml"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let error = one(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}\nis not\n{words}");
    }
    let none = "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders: []";
    assert_eq!(
        one(none).unwrap_err().to_string(),
        "f.yaml: providers: at least one is required"
    );
}

#[test]
fn several_files_are_one_configuration() {
    let other = GOOD.replace("name: helper", "name: other");
    let files = [("a.yaml".into(), GOOD.into()), ("b.yaml".into(), other)];
    let names: Vec<String> = parse(&files).unwrap().into_iter().map(|p| p.name).collect();
    assert_eq!(names, ["helper", "other"]);
    let twice = [("a.yaml".into(), GOOD.into()), ("b.yaml".into(), GOOD.into())];
    let words = "b.yaml: providers[0].name: there is another provider of the name \"helper\"";
    assert_eq!(parse(&twice).unwrap_err().to_string(), words);
}
