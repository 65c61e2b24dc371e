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
