use super::*;
use crate::model::pod::RestartPolicy;
use proptest::prelude::*;

const ORIGIN: Origin<'_> = Origin {
    node: "Worker-1",
    file: "/m/web.yaml",
};

const WEB: &str = "
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: main
    image: registry.test/web:1
";

fn good(text: &str) -> Parsed {
    parse(text, ORIGIN).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

#[test]
fn a_manifest_becomes_a_pod_of_this_node() {
    let parsed = good(WEB);
    let pod = &parsed.manifest.pod;
    assert_eq!(&*pod.metadata.name, "web-worker-1");
    assert_eq!(&*pod.metadata.namespace, "default");
    assert_eq!(pod.metadata.uid.as_str().len(), 32);
    assert_eq!(pod.metadata.annotations[pod::CONFIG_SOURCE], "file".into());
    assert_eq!(
        &*pod.metadata.annotations[pod::CONFIG_HASH],
        pod.metadata.uid.as_str()
    );
    assert!(pod.is_static() && pod.is_critical() && !pod.is_mirror());
    assert_eq!(&*pod.spec.node_name, "Worker-1");
    assert_eq!(pod.spec.restart_policy, RestartPolicy::Always);
    assert_eq!(
        &*pod.spec.containers[0].termination_message_path,
        "/dev/termination-log"
    );
    assert!(pod.spec.tolerations[0].tolerates("any", "x", "NoExecute"));
    assert!(!pod.spec.tolerations[0].tolerates("any", "x", "NoSchedule"));
    assert_eq!(parsed.manifest.object["metadata"]["name"], "web-worker-1");
    assert!(parsed.unknown.is_empty());
}

#[test]
fn json_says_the_same_as_yaml_and_both_say_it_again() {
    let json = r#"{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"},
        "spec": {"containers": [{"image": "registry.test/web:1", "name": "main"}]}}"#;
    let commented = format!("# a comment\n{WEB}status: {{}}\n");
    let bare = good(WEB);
    assert_eq!(good(json), bare);
    assert_eq!(good(&commented), bare);
    let other = Origin {
        file: "/m/other.yaml",
        ..ORIGIN
    };
    let elsewhere = parse(WEB, other).unwrap();
    assert_ne!(
        elsewhere.manifest.pod.metadata.uid,
        bare.manifest.pod.metadata.uid
    );
}

#[test]
fn what_a_manifest_says_itself_stays() {
    let text = WEB.replace(
        "  name: web",
        "  name: web\n  namespace: system\n  uid: fixed\n  resourceVersion: '7'\n  annotations:",
    );
    let text = text.replace(
        "spec:",
        "spec:\n  tolerations:\n  - {operator: Exists, effect: NoExecute}",
    );
    let pod = good(&text).manifest.pod;
    assert_eq!(&*pod.metadata.namespace, "system");
    assert_eq!(pod.metadata.uid.as_str(), "fixed");
    assert_eq!(&*pod.metadata.resource_version, "");
    assert_eq!(pod.spec.tolerations.len(), 1);
}

#[test]
fn amounts_may_be_numbers() {
    let resources = "    resources:\n      limits: {cpu: 1, memory: 64Mi}\n";
    let pod = good(&format!("{WEB}{resources}")).manifest.pod;
    let limits = &pod.spec.containers[0].resources;
    assert_eq!(&*limits.limits["cpu"].0, "1");
    assert_eq!(&*limits.requests["memory"].0, "64Mi");
}

#[test]
fn unknown_fields_are_named_and_mean_nothing() {
    let text = WEB.replace("    image:", "    livelinessProbe: {}\n    image:");
    let parsed = good(&format!("{text}  retsartPolicy: Never\n"));
    assert_eq!(
        parsed.unknown,
        ["spec.containers[0].livelinessProbe", "spec.retsartPolicy"]
    );
}

#[test]
fn what_is_wrong_is_named_with_its_field() {
    let mut wrong = Vec::new();
    let in_spec = |line: &str| format!("{WEB}  {line}\n");
    let in_container = |line: &str| format!("{WEB}    {line}\n");
    for (text, words) in [
        ("a: [", "unclosed bracket '[' at line 1"),
        ("", "it is not a Pod"),
        ("- a", "it is not a Pod"),
        (&WEB.replace("v1", "v2"), "apiVersion: \"v2\" is not v1"),
        (
            &WEB.replace("kind: Pod", "kind: PodList"),
            "kind: \"PodList\" is not Pod",
        ),
        (&WEB.replace("kind: Pod", ""), "kind: null is not Pod"),
        (
            &WEB.replace("  name: web", "  labels: {}"),
            "metadata.name: a static Pod needs a name",
        ),
        (
            &WEB.replace("  name: web", "  name: Web"),
            "metadata.name: \"Web-worker-1\" is not",
        ),
        (
            &WEB.replace("  name: web", "  name: web\n  namespace: a.b"),
            "metadata.namespace: ",
        ),
        (
            &WEB.replace("- name: main", "- name: Main"),
            "spec.containers[0].name: ",
        ),
        (
            &WEB.replace("image: registry.test/web:1", "tty: true"),
            "spec.containers[0].image: it is missing",
        ),
        (&in_container("tty: maybe"), "spec.containers[0].tty: "),
        (
            &in_container("imagePullPolicy: Sometimes"),
            "spec.containers[0].imagePullPolicy: ",
        ),
        (
            &in_container("ports: [{containerPort: 70000}]"),
            "spec.containers[0].ports[0].containerPort: 70000",
        ),
        (
            &in_container("resources: {requests: {cpu: lots}}"),
            "spec.containers[0].resources.requests.cpu: \"lots\"",
        ),
        (
            &in_container("resources: {requests: {cpu: 2}, limits: {cpu: 1}}"),
            "spec.containers[0].resources.requests.cpu: 2 is more than the limit",
        ),
        (
            &in_container("volumeMounts: [{name: data, mountPath: /d}]"),
            "spec.containers[0].volumeMounts[0].name: there is no volume \"data\"",
        ),
        (
            &in_container("livenessProbe: {periodSeconds: 1}"),
            "spec.containers[0].livenessProbe: ",
        ),
        (&in_container("env: [{value: x}]"), "spec.containers[0].env[0]"),
        (&in_spec("restartPolicy: Sometimes"), "spec.restartPolicy: "),
        (
            &in_spec("terminationGracePeriodSeconds: -1"),
            "spec.terminationGracePeriodSeconds: -1",
        ),
        (
            &in_spec("volumes: [{name: a}, {name: a}]"),
            "spec.volumes[1].name: two volumes",
        ),
        (
            &in_spec("volumes: [{name: a, emptyDir: {}, hostPath: {path: /}}]"),
            "spec.volumes[0]: a volume has one source",
        ),
        (
            &in_spec("serviceAccountName: a"),
            "spec.serviceAccountName: static pods may not reference serviceaccounts",
        ),
    ] {
        match parse(text, ORIGIN) {
            Err(error) if error.starts_with(words) => {}
            other => wrong.push(format!("{other:?} instead of {words:?}:\n{text}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

proptest! {
    /// Whatever is in a file, there is a Pod or an error.
    #[test]
    fn no_text_ends_the_agent(cut in 0..WEB.len(), text in "[ -~\n]{0,20}") {
        let mut mangled = WEB.to_owned();
        mangled.replace_range(cut..cut, &text);
        drop(parse(&mangled, ORIGIN));
        drop(parse(&text, ORIGIN));
    }
}
