use super::*;
use crate::model::Meta;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Thing {
    metadata: Meta,
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    size: u32,
}

impl Object for Thing {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

fn thing(name: &str, version: &str, size: Value) -> Value {
    json!({"metadata": {"namespace": "ns", "name": name, "resourceVersion": version}, "spec": {"size": size}})
}

fn event(kind: &str, object: Value) -> String {
    json!({"type": kind, "object": object}).to_string()
}

fn listed(state: &mut State<Thing>, version: &str, items: &[Value]) -> (String, Vec<Bad>) {
    let list = json!({"metadata": {"resourceVersion": version}, "items": items}).to_string();
    let page = decode::page::<Thing>(list.as_bytes()).unwrap();
    let (change, bad) = state.listed(page.items, page.version);
    (show(Outcome::Change(change)), bad)
}

fn show(outcome: Outcome<Thing>) -> String {
    let one = |thing: &Thing| format!("{}={}", thing.metadata.name, thing.spec.size);
    match outcome {
        Outcome::Change(Change::Replaced(all)) => {
            format!("all {}", all.iter().map(|t| one(t)).collect::<Vec<_>>().join(" "))
        }
        Outcome::Change(Change::Applied(thing)) => format!("applied {}", one(&thing)),
        Outcome::Change(Change::Deleted(thing)) => format!("deleted {}", one(&thing)),
        Outcome::Nothing => "nothing".to_owned(),
        Outcome::Skipped(bad) => format!("skipped {bad}"),
        Outcome::Relist => "relist".to_owned(),
        Outcome::Failed(text) => format!("failed {text}"),
    }
}

#[test]
fn follows_a_list_and_its_events() {
    let mut state = State::new();
    assert_eq!(state.version(), None);
    let (all, bad) = listed(
        &mut state,
        "10",
        &[thing("a", "5", json!(1)), thing("b", "9", json!(2))],
    );
    assert_eq!(
        (&*all, bad.len(), state.version().as_deref()),
        ("all a=1 b=2", 0, Some("10"))
    );
    for (kind, object, expected, version) in [
        ("ADDED", thing("c", "11", json!(3)), "applied c=3", "11"),
        ("MODIFIED", thing("a", "12", json!(7)), "applied a=7", "12"),
        (
            "BOOKMARK",
            json!({"metadata": {"resourceVersion": "40"}}),
            "nothing",
            "40",
        ),
        ("DELETED", thing("b", "41", json!(2)), "deleted b=2", "41"),
        ("SURPRISE", thing("b", "42", json!(2)), "nothing", "42"),
    ] {
        assert_eq!(show(state.event(&event(kind, object))), expected);
        assert_eq!(state.version().as_deref(), Some(version));
    }
}

#[test]
fn an_object_that_cannot_be_decoded_harms_only_itself() {
    let mut state = State::new();
    let (all, bad) = listed(
        &mut state,
        "1",
        &[thing("a", "1", json!("large")), thing("b", "1", json!(2))],
    );
    assert_eq!(all, "all b=2");
    assert_eq!(
        bad[0].to_string(),
        "ns/a cannot be decoded: spec.size: invalid type: string \"large\", expected u32 at line 1 column 86"
    );
    let skipped = show(state.event(&event("MODIFIED", thing("b", "2", json!([])))));
    assert!(
        skipped.starts_with("skipped ns/b cannot be decoded: spec.size: "),
        "{skipped}"
    );
    assert_eq!(
        state.version().as_deref(),
        Some("2"),
        "the watch goes on after it"
    );
    assert_eq!(
        show(state.event(&event("ADDED", thing("c", "3", json!(3))))),
        "applied c=3"
    );
}

#[test]
fn an_object_that_was_fine_before_is_kept_and_not_taken_for_deleted() {
    let mut state = State::new();
    listed(
        &mut state,
        "1",
        &[thing("a", "1", json!(1)), thing("b", "1", json!(2))],
    );
    let (all, bad) = listed(&mut state, "2", &[thing("a", "2", json!(null))]);
    assert_eq!(
        (&*all, bad.len()),
        ("all a=1", 1),
        "a is kept as it was, b is gone"
    );
    assert_eq!(
        show(state.event(&event("DELETED", thing("a", "3", json!(null))))),
        "deleted a=1"
    );
    assert_eq!(
        show(state.event(&event("DELETED", thing("a", "4", json!(null))))),
        "nothing"
    );
}

#[test]
fn errors_lead_to_a_new_list() {
    let gone =
        json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"});
    let other = json!({"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd"});
    for (object, expected) in [(gone, "relist"), (other, "failed watch: 500 InternalError: etcd")] {
        let mut state = State::new();
        listed(&mut state, "1", &[]);
        assert_eq!(show(state.event(&event("ERROR", object))), expected);
        assert_eq!(state.version(), None);
    }
    let mut state = State::<Thing>::new();
    assert!(show(state.event("{\"type\":\"ADD")).starts_with("failed watch event: EOF"));
}

#[test]
fn an_empty_list_may_be_null() {
    let mut state = State::<Thing>::new();
    let page = decode::page::<Thing>(br#"{"metadata":{"resourceVersion":"7"},"items":null}"#).unwrap();
    assert_eq!(
        show(Outcome::Change(state.listed(page.items, page.version).0)),
        "all "
    );
    assert!(decode::page::<Thing>(b"<html>").is_err());
}
