use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn the_pod_to_start_from_has_everything() {
    let whole = made(&[]);
    let typed: api::Pod = serde_json::from_value(whole.clone()).unwrap();
    let back = serde_json::to_value(&typed).unwrap();
    let lost: Vec<_> = missing(&whole, &back, "");
    assert!(lost.is_empty(), "the API's types do not know {lost:?}");
    check(&[]);
}

/// Paths of `whole` that `part` lacks.
fn missing(whole: &Value, part: &Value, path: &str) -> Vec<String> {
    let below = |key: String, value: &Value, other: Option<&Value>| match other {
        Some(other) => missing(value, other, &key),
        None if value.is_null() => Vec::new(),
        None => vec![key],
    };
    match whole {
        Value::Object(fields) => {
            let all = fields
                .iter()
                .map(|(name, value)| below(format!("{path}.{name}"), value, part.get(name)));
            all.flatten().collect()
        }
        Value::Array(items) => {
            let all = items.iter().enumerate();
            all.flat_map(|(at, value)| below(format!("{path}[{at}]"), value, part.get(at)))
                .collect()
        }
        _ => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_pod_leads_to_a_status(tape in vec(prop_oneof![40 => Just(0), 1 => any::<u8>()], 0..2000)) {
        check(&tape);
    }

    #[test]
    fn a_pod_with_one_odd_field_leads_to_a_status(at in 0..700usize, odd in vec(160u8.., 1..4)) {
        let mut tape = vec![0; at];
        tape.extend(odd);
        check(&tape);
    }
}
