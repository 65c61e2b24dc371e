use super::*;
use serde_json::json;

#[test]
fn gates_decide_what_is_served_and_what_is_declared() {
    let all = FEATURES.to_vec();
    let rest: Vec<_> = all.iter().copied().filter(|name| *name != WEBSOCKETS).collect();
    for (gates, websockets, declared) in [
        (json!({}), true, all.clone()),
        (json!({"NodeSwap": false}), true, all.clone()),
        (json!({WEBSOCKETS: false}), false, rest.clone()),
        (json!({DECLARED: false}), true, vec![]),
        (json!({"AllBeta": false}), false, vec![]),
        (json!({"AllBeta": false, WEBSOCKETS: true}), true, vec![]),
        (
            json!({"AllBeta": false, WEBSOCKETS: true, DECLARED: true}),
            true,
            vec![WEBSOCKETS],
        ),
        (json!({"AllBeta": true, DECLARED: false}), true, vec![]),
    ] {
        let set = Set(&gates);
        assert_eq!(
            (set.websockets(), set.declared()),
            (websockets, declared),
            "{gates}"
        );
    }
}

#[test]
fn only_gates_without_an_effect_ask_in_vain() {
    let gates = json!({WEBSOCKETS: false, "NodeSwap": true, "AllBeta": false, DECLARED: true});
    assert_eq!(Set(&gates).in_vain(), ["AllBeta", "NodeSwap"]);
    assert!(Set(&json!({})).in_vain().is_empty());
}

#[test]
fn a_flag_changes_the_gates_it_names() {
    let file = json!({"NodeSwap": true, WEBSOCKETS: true});
    let flag = json!({WEBSOCKETS: false});
    let merged = json!({"NodeSwap": true, WEBSOCKETS: false});
    assert_eq!(over(Some(&file), flag.clone()), merged);
    assert_eq!(over(None, flag.clone()), flag);
}

#[test]
fn gates_that_cannot_be_set_are_refused() {
    for (gate, on, problem) in [
        ("NodeSwop", true, "unrecognized feature gate: NodeSwop"),
        (
            "SidecarContainers",
            false,
            "cannot set feature gate SidecarContainers to false, feature is locked to true",
        ),
    ] {
        assert_eq!(check(gate, on), Err(problem.to_owned()));
    }
    for (gate, on) in [
        ("SidecarContainers", true),
        ("AllAlpha", true),
        ("MemoryQoS", true),
    ] {
        assert_eq!(check(gate, on), Ok(()), "{gate}");
    }
}

#[test]
fn a_feature_needs_those_it_stands_on() {
    let check = |gates: &Value| Set(gates).check();
    assert_eq!(check(&Value::Null), Ok(()), "the defaults");
    assert_eq!(check(&json!({"AllBeta": false})), Ok(()));
    assert_eq!(check(&json!({"AllAlpha": true})), Ok(()));
    let problem = check(&json!({"AllBeta": false, WEBSOCKETS: true}));
    assert_eq!(
        problem.unwrap_err(),
        "ExtendWebSocketsToKubelet is enabled, but depends on features that are disabled: [NodeDeclaredFeatures]"
    );
    let all = check(&json!({DECLARED: false})).unwrap_err();
    for dependent in [WEBSOCKETS, RESTART_ALL, "InPlacePodVerticalScalingInitContainers"] {
        assert!(all.contains(&format!("{dependent} is enabled, but")), "{all}");
    }
}

#[test]
fn every_gate_is_in_the_table_once() {
    let mut all: Vec<_> = GROUPS.iter().flat_map(|group| group.names).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
    let known = |name: &&str| check(name, true).is_ok() || check(name, false).is_ok();
    for (feature, needs) in NEEDS {
        assert!(known(feature) && needs.iter().all(known), "{feature}");
    }
}
