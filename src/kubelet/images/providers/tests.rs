use super::*;
use crate::api::ConfigObject;
use crate::testing::FakeApi;
use serde_json::json;

const IMAGE: &str = "registry.test/team/app";

/// Programs in a directory of their own, which count their runs there.
struct Bench {
    dir: tempfile::TempDir,
    api: FakeApi,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            api: FakeApi::new(),
        }
    }

    /// A program that answers this, and keeps what it was asked.
    fn program(&self, name: &str, answer: &str) {
        let dir = self.dir.path().display();
        let script = format!(
            "#!/bin/sh\ncat >> {dir}/{name}.asked\necho \"$1 $REGION\" >> {dir}/{name}.args\ncat <<'END'\n{answer}\nEND\n"
        );
        self.script(name, &script);
    }

    fn script(&self, name: &str, script: &str) {
        let path = self.dir.path().join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn load(&self, more: &str) -> Result<Providers, Error> {
        let config = self.dir.path().join("config.yaml");
        let text = format!(
            "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n\
             - name: helper\n  matchImages: [registry.test]\n  defaultCacheDuration: 10m\n  \
             apiVersion: credentialprovider.kubelet.k8s.io/v1\n  args: [get]\n  env: [{{name: REGION, value: eu}}]\n{more}"
        );
        std::fs::write(&config, text).unwrap();
        let data: Arc<dyn ConfigData> = Arc::new(self.api.clone());
        Providers::load((&config, self.dir.path()), &data, &KubeletMetrics::default())
    }

    fn asked(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.dir.path().join("helper.asked")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn answer(fields: &str) -> String {
    format!(
        r#"{{"kind": "CredentialProviderResponse", "apiVersion": "credentialprovider.kubelet.k8s.io/v1", {fields}}}"#
    )
}

const LOGIN: &str = r#""auth": {"*.test": {"username": "u", "password": "p"}}"#;

fn pod(account: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "pod-uid"},
        "spec": {"serviceAccountName": account, "containers": []},
    }))
    .unwrap()
}

async fn users(providers: &Providers, image: &str) -> Vec<String> {
    let found = providers.look_up(&pod(""), image).await;
    found.into_iter().map(|c| c.login.username).collect()
}

#[tokio::test]
async fn a_program_is_asked_once_for_what_its_answer_holds() {
    for (key, asked) in [("Image", 3), ("Registry", 1), ("Global", 1)] {
        let bench = Bench::new();
        bench.program("helper", &answer(&format!(r#""cacheKeyType": "{key}", {LOGIN}"#)));
        let providers = bench.load("").unwrap();
        for image in [
            IMAGE,
            IMAGE,
            "registry.test/x",
            "registry.test/y",
            "other.test/app",
        ] {
            let wanted: &[&str] = if image.starts_with("other") { &[] } else { &["u"] };
            assert_eq!(users(&providers, image).await, wanted, "{key} {image}");
        }
        assert_eq!(bench.asked().len(), asked, "{key}");
    }
}

#[tokio::test]
async fn a_program_is_asked_as_upstream_asks() {
    let bench = Bench::new();
    bench.program(
        "helper",
        &answer(&format!(
            r#""cacheKeyType": "Image", "cacheDuration": "0s", {LOGIN}"#
        )),
    );
    let providers = bench.load("").unwrap();
    for _ in 0..2 {
        assert_eq!(users(&providers, IMAGE).await, ["u"]);
    }
    let wanted = json!({
        "kind": "CredentialProviderRequest", "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "image": IMAGE,
    });
    assert_eq!(
        bench.asked(),
        [wanted.clone(), wanted],
        "an answer that holds 0s is not kept"
    );
    let args = std::fs::read_to_string(bench.dir.path().join("helper.args")).unwrap();
    assert_eq!(args, "get eu\nget eu\n");
}

#[tokio::test]
async fn a_program_that_fails_gives_nothing() {
    let bench = Bench::new();
    for (script, words) in [
        ("#!/bin/sh\necho no luck >&2\nexit 3\n".to_owned(), "no luck"),
        (
            format!("#!/bin/sh\necho '{}'\n", answer(LOGIN)),
            "cacheKeyType of the program's answer is \"\"",
        ),
        (
            format!("#!/bin/sh\necho '{}'\n", answer(LOGIN).replace("/v1", "/v2")),
            "credentialprovider.kubelet.k8s.io/v2",
        ),
        (
            format!(
                "#!/bin/sh\necho '{}'\n",
                answer(LOGIN).replace("Response", "Request")
            ),
            "kind of the program's answer",
        ),
        ("#!/bin/sh\necho secret\n".to_owned(), "(line 1, column 1)"),
        (
            format!(
                "#!/bin/sh\necho '{}'\n",
                answer(r#""cacheKeyType": "Image", "cacheDuration": "x""#)
            ),
            "cacheDuration",
        ),
        (
            format!(
                "#!/bin/sh\necho '{}'\n",
                answer(r#""cacheKeyType": "Image", "more": 1"#)
            ),
            "unknown",
        ),
    ] {
        bench.script("helper", &script);
        let providers = bench.load("").unwrap();
        let error = providers.0[0].provide(&pod(""), IMAGE).await.unwrap_err();
        assert!(
            error.contains(words) && !error.contains("secret"),
            "{error}\nis not\n{words}"
        );
        assert_eq!(users(&providers, IMAGE).await, [""; 0]);
    }
}

#[tokio::test]
async fn a_program_may_be_asked_in_the_name_of_the_pods_account() {
    let bench = Bench::new();
    let account = ConfigObject {
        metadata: serde_json::from_value(json!({
            "name": "robot", "namespace": "ns", "uid": "robot-uid", "annotations": {"role": "reader", "other": "x"},
        }))
        .unwrap(),
        ..Default::default()
    };
    let name = NamespacedName::new("ns", "robot");
    bench.api.state().service_accounts.insert(name, Arc::new(account));
    bench.program(
        "helper",
        &answer(&format!(r#""cacheKeyType": "Registry", {LOGIN}"#)),
    );
    let token = "  tokenAttributes: {serviceAccountTokenAudience: reg, cacheType: ServiceAccount, \
                 requireServiceAccount: true, requiredServiceAccountAnnotationKeys: [role]}\n";
    let providers = bench.load(token).unwrap();
    assert_eq!(
        users(&providers, IMAGE).await,
        [""; 0],
        "a Pod without an account"
    );
    for _ in 0..2 {
        let found = providers.look_up(&pod("robot"), IMAGE).await;
        let robot = Coordinates {
            namespace: "ns".into(),
            name: "robot".into(),
            uid: "robot-uid".into(),
        };
        assert_eq!(found[0].origin, Origin::ServiceAccount(robot));
    }
    let wanted = json!({
        "kind": "CredentialProviderRequest", "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "image": IMAGE,
        "serviceAccountToken": "token-1", "serviceAccountAnnotations": {"role": "reader"},
    });
    assert_eq!(
        bench.asked(),
        [wanted],
        "the answer is for all Pods of the account"
    );
    assert_eq!(&*bench.api.state().token_requests[0].audience, "reg");

    let providers = bench.load(&token.replace("[role]", "[absent]")).unwrap();
    assert!(
        providers.look_up(&pod("robot"), IMAGE).await.is_empty(),
        "an account that does not want it"
    );
    let providers = bench.load(token).unwrap();
    let error = providers.0[0].provide(&pod("nobody"), IMAGE).await.unwrap_err();
    assert_eq!(error, "failed to get service account: ns/nobody does not exist");

    // What comes in goes out as the password.
    let echo = answer(r#""cacheKeyType": "Image", "auth": {"registry.test": {"password": "'$token'"}}"#);
    bench.script(
        "helper",
        &format!(
            "#!/bin/sh\ntoken=$(sed 's/.*\"serviceAccountToken\":\"\\([^\"]*\\)\".*/\\1/')\necho '{echo}'\n"
        ),
    );
    let providers = bench.load(token).unwrap();
    let error = providers.0[0].provide(&pod("robot"), IMAGE).await.unwrap_err();
    assert!(error.contains("only for cacheType Token"), "{error}");
    let providers = bench
        .load(&token.replace("cacheType: ServiceAccount", "cacheType: Token"))
        .unwrap();
    let found = providers.look_up(&pod("robot"), IMAGE).await;
    assert!(found[0].login.password.starts_with("token-"), "{found:?}");
}

#[test]
fn what_cannot_be_used_is_said_at_the_start() {
    let bench = Bench::new();
    let words = |result: Result<Providers, Error>| result.unwrap_err().to_string();
    let missing = words(bench.load(""));
    assert!(
        missing.starts_with("--image-credential-provider-bin-dir: ")
            && missing.contains("/helper: No such file"),
        "{missing}"
    );
    std::fs::write(bench.dir.path().join("helper"), "").unwrap();
    assert!(words(bench.load("")).ends_with("/helper: it is not a program that can be executed"));
    let data: Arc<dyn ConfigData> = Arc::new(bench.api.clone());
    let load = |path: &Path| Providers::load((path, bench.dir.path()), &data, &KubeletMetrics::default());
    assert!(words(load(&bench.dir.path().join("none"))).contains("/none: No such file"));
    let empty = tempfile::tempdir().unwrap();
    assert!(words(load(empty.path())).ends_with("there is no *.json, *.yaml or *.yml in it"));
    bench.script("helper", "#!/bin/sh\n");
    assert!(bench.load("").is_ok());
    assert!(load(bench.dir.path()).is_ok(), "a directory of files");
}
