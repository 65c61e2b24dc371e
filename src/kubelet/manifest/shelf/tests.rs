use super::*;
use crate::kubelet::manifest::parse::{Origin, parse};
use crate::testing::builders::at;

fn file(path: &str, name: &str, image: &str) -> (String, Result<Parsed, String>) {
    let text = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: c, image: {image}}}]}}}}"
    );
    let origin = Origin {
        node: "w1",
        file: path,
    };
    (path.to_owned(), parse(&text, origin))
}

fn bad(path: &str) -> (String, Result<Parsed, String>) {
    (path.to_owned(), Err("it is bad".to_owned()))
}

/// Names and images of what there is.
fn pods(shelf: &Shelf) -> Vec<String> {
    let all = shelf.manifests();
    let pods = all.iter().map(|manifest| {
        let pod = &manifest.pod;
        format!("{}={}", pod.metadata.name, pod.spec.containers[0].image)
    });
    pods.collect()
}

#[test]
fn a_file_that_becomes_bad_keeps_its_pod_until_the_audit_and_harms_no_other() {
    let mut shelf = Shelf::default();
    let look = Look::from([file("/m/a", "a", "i:1"), file("/m/b", "b", "i:1"), bad("/m/c")]);
    let said = shelf.take(look, true, at(0));
    assert_eq!(said, [("/m/c".to_owned(), "it is bad".to_owned())]);
    assert_eq!(pods(&shelf), ["a-w1=i:1", "b-w1=i:1"]);
    let worse = || Look::from([bad("/m/a"), file("/m/b", "b", "i:2"), bad("/m/c")]);
    let said = shelf.take(worse(), false, at(1));
    assert_eq!(said, [("/m/a".to_owned(), "it is bad".to_owned())]);
    assert_eq!(pods(&shelf), ["a-w1=i:1", "b-w1=i:2"]);
    assert!(shelf.take(worse(), true, at(2)).is_empty(), "it has been said");
    assert_eq!(pods(&shelf), ["b-w1=i:2"]);
    shelf.take(Look::from([file("/m/a", "a", "i:3")]), false, at(3));
    assert_eq!(pods(&shelf), ["a-w1=i:3"]);
}

#[test]
fn what_says_the_same_was_seen_before() {
    let mut shelf = Shelf::default();
    let look = |image| Look::from([file("/m/a", "a", image)]);
    let seen = |shelf: &Shelf| {
        let manifest = shelf.manifests().remove(0);
        let told = manifest.pod.metadata.annotations[pod::CONFIG_SEEN].clone();
        let written = &manifest.object["metadata"]["annotations"][pod::CONFIG_SEEN];
        assert_eq!(written, &*told);
        told
    };
    shelf.take(look("i:1"), true, at(0));
    let first = seen(&shelf);
    shelf.take(look("i:1"), true, at(20));
    assert_eq!(seen(&shelf), first);
    shelf.take(look("i:2"), true, at(40));
    assert_ne!(seen(&shelf), first);
}

#[test]
fn of_two_files_with_a_name_the_last_counts() {
    let mut shelf = Shelf::default();
    let both = || Look::from([file("/m/a", "x", "i:1"), file("/m/b", "x", "i:2")]);
    let said = shelf.take(both(), true, at(0));
    assert_eq!(said.len(), 1);
    assert!(said[0].0 == "/m/a" && said[0].1.contains("/m/b"), "{said:?}");
    assert_eq!(pods(&shelf), ["x-w1=i:2"]);
    assert!(shelf.take(both(), true, at(1)).is_empty(), "it has been said");
    shelf.take(Look::from([file("/m/a", "x", "i:1")]), false, at(2));
    assert_eq!(pods(&shelf), ["x-w1=i:1"]);
}
