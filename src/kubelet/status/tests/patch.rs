//! The patch that brings a status to the API server.

use super::*;

#[test]
fn a_patch_has_only_what_changed() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![running("a", 0, 10)]));
    let before = case.status();
    assert_eq!(patch(Some(&before), &before), None);
    case.previous = Some(before.clone());
    case.now = 200;
    assert_eq!(
        patch(Some(&before), &case.status()),
        None,
        "time alone changes nothing"
    );
    case.observed.sandboxes[0].ips = vec!["10.244.1.6".parse().unwrap()];
    let moved = json!({"podIP": "10.244.1.6", "podIPs": [{"$patch": "replace"}, {"ip": "10.244.1.6"}]});
    assert_eq!(patch(Some(&before), &case.status()), Some(moved));
}

#[test]
fn a_patch_touches_only_our_conditions_and_clears_old_words() {
    let mut case = Case::new(pod("p", &["a"]), observed(vec![]));
    case.pod.status.conditions = vec![told("x/y", "True", 5)];
    let before = case.status();
    case.previous = Some(before.clone());
    case.observed.containers = vec![running("a", 0, 101)];
    case.pod.status.conditions = vec![told("x/y", "False", 90)];
    let change = patch(Some(&before), &case.status()).unwrap();
    let kinds: Vec<_> = change["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["type"])
        .collect();
    assert_eq!(kinds, ["Ready", "ContainersReady"]);
    assert_eq!(change["conditions"][0]["reason"], serde_json::Value::Null);
    assert!(
        change["conditions"][0]
            .as_object()
            .unwrap()
            .contains_key("message")
    );
    assert_eq!(change["phase"], "Running");
    assert!(change.get("hostIP").is_none());
}

#[test]
fn a_first_patch_replaces_what_may_be_there() {
    let new = Case::new(pod("p", &["a"]), Observed::default()).status();
    let change = patch(None, &new).unwrap();
    for key in ["reason", "message", "podIP", "podIPs"] {
        assert_eq!(change.get(key), Some(&serde_json::Value::Null), "{key}");
    }
    let conditions = change["conditions"].as_array().unwrap();
    let (gone, told): (Vec<_>, Vec<_>) = conditions.iter().partition(|c| c["$patch"] == "delete");
    let kinds: Vec<_> = gone.iter().map(|c| &c["type"]).collect();
    assert_eq!(told.len(), 5);
    assert_eq!(
        kinds,
        ["PodResizePending", "PodResizeInProgress"],
        "from an earlier life"
    );
    assert_eq!(
        change["hostIPs"],
        json!([{"$patch": "replace"}, {"ip": "192.168.1.10"}])
    );
}
