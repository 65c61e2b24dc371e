use super::*;
use crate::model::pod::{Affinity, NodeAffinity, NodeSelector};
use crate::testing::builders::pod;

fn node() -> Node {
    let mut node = Node::default();
    node.metadata.name = "worker-1".into();
    node.metadata.labels = [("disk", "ssd"), ("cores", "8"), ("empty", "")]
        .map(|(key, value)| (key.into(), value.into()))
        .into();
    node
}

fn requirement(key: &str, operator: &str, values: &[&str]) -> NodeRequirement {
    NodeRequirement {
        key: key.into(),
        operator: operator.into(),
        values: values.iter().map(|v| (*v).into()).collect(),
    }
}

fn term(labels: Vec<NodeRequirement>, fields: Vec<NodeRequirement>) -> NodeSelectorTerm {
    NodeSelectorTerm {
        match_expressions: labels,
        match_fields: fields,
    }
}

fn requires(terms: Vec<NodeSelectorTerm>) -> Pod {
    let mut pod = pod("p", &["a"]);
    let required = Some(NodeSelector {
        node_selector_terms: terms,
    });
    pod.spec.affinity = Some(Affinity {
        node_affinity: NodeAffinity { required },
    });
    pod
}

#[test]
fn requirements_of_labels() {
    for (key, operator, values, want) in [
        ("disk", "In", &["hdd", "ssd"][..], true),
        ("disk", "In", &["hdd"], false),
        ("gpu", "In", &["a"], false),
        ("disk", "NotIn", &["hdd"], true),
        ("disk", "NotIn", &["ssd"], false),
        ("gpu", "NotIn", &["a"], true),
        ("empty", "Exists", &[], true),
        ("gpu", "Exists", &[], false),
        ("gpu", "DoesNotExist", &[], true),
        ("disk", "DoesNotExist", &[], false),
        ("cores", "Gt", &["7"], true),
        ("cores", "Gt", &["8"], false),
        ("cores", "Lt", &["9"], true),
        ("cores", "Lt", &["8"], false),
        ("disk", "Gt", &["1"], false),
        ("gpu", "Lt", &["1"], false),
        ("disk", "Odd", &["ssd"], false),
    ] {
        let pod = requires(vec![term(vec![requirement(key, operator, values)], vec![])]);
        assert_eq!(matches(&pod, &node()), want, "{key} {operator} {values:?}");
    }
}

#[test]
fn one_term_is_enough_and_all_of_it_must_hold() {
    let ssd = || requirement("disk", "In", &["ssd"]);
    let gpu = || requirement("gpu", "Exists", &[]);
    let named = |name: &str| requirement("metadata.name", "In", &[name]);
    for (terms, want) in [
        (vec![], false),
        (vec![term(vec![], vec![])], false),
        (vec![term(vec![gpu()], vec![]), term(vec![ssd()], vec![])], true),
        (vec![term(vec![ssd(), gpu()], vec![])], false),
        (vec![term(vec![], vec![named("worker-1")])], true),
        (vec![term(vec![], vec![named("worker-2")])], false),
        (vec![term(vec![ssd()], vec![named("worker-2")])], false),
        (
            vec![term(vec![], vec![requirement("spec.x", "In", &["worker-1"])])],
            false,
        ),
    ] {
        assert_eq!(matches(&requires(terms.clone()), &node()), want, "{terms:?}");
    }
    let mut both = requires(vec![term(vec![ssd()], vec![])]);
    both.spec.node_selector.insert("cores".into(), "8".into());
    assert!(matches(&both, &node()));
    both.spec.node_selector.insert("gpu".into(), "".into());
    assert!(!matches(&both, &node()), "an empty value is not none");
}

#[test]
fn only_taints_that_end_pods_count() {
    use crate::model::net::NodeTaint;
    use crate::model::pod::Toleration;
    let mut node = node();
    let taint = |effect: &str| NodeTaint {
        key: "k".into(),
        value: "v".into(),
        effect: effect.into(),
    };
    let mut pod = pod("p", &["a"]);
    node.spec.taints = vec![taint("NoSchedule"), taint("PreferNoSchedule")];
    assert!(tolerates(&pod, &node));
    node.spec.taints.push(taint("NoExecute"));
    assert!(!tolerates(&pod, &node));
    let mut of_a_file = pod.clone();
    of_a_file
        .metadata
        .annotations
        .insert("kubernetes.io/config.source".into(), "file".into());
    assert!(tolerates(&of_a_file, &node));
    pod.spec.tolerations = vec![Toleration {
        key: "k".into(),
        operator: "Exists".into(),
        ..Toleration::default()
    }];
    assert!(tolerates(&pod, &node));
}
