//! PURE. The UID of a static Pod: a hash of what its manifest says, so that it is the same after every restart and
//! another one after every edit.

use serde_json::Value;

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// FNV-1a (128 bit) over the manifest in canonical JSON, the node and the file, as 32 hex digits. What does not change
/// the value (comments, spaces, the order of fields) does not change the UID.
pub fn of(manifest: &Value, node: &str, file: &str) -> String {
    let mut text = String::new();
    canonical(manifest, &mut text);
    text.push_str(&format!("host:{node}file:{file}"));
    let hash = text
        .bytes()
        .fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    format!("{hash:032x}")
}

/// JSON with the fields of every object in the order of their names.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            text.push('{');
            for (name, value) in sorted {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_uid_changes_with_what_is_said_and_where() {
        let one = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let same: Value = serde_json::from_str(
            r#"{"spec": {"containers": [{"image": "i", "name": "c"}]}, "metadata": {"name": "a"}}"#,
        )
        .unwrap();
        let uid = of(&one, "n", "/m/a");
        assert_eq!(uid.len(), 32);
        assert_eq!(uid, of(&same, "n", "/m/a"));
        let mut other = one.clone();
        other["spec"]["containers"][0]["image"] = "j".into();
        for changed in [
            of(&other, "n", "/m/a"),
            of(&one, "m", "/m/a"),
            of(&one, "n", "/m/b"),
        ] {
            assert_ne!(uid, changed);
        }
    }

    #[test]
    fn it_never_changes_between_versions() {
        // A changed hash would restart every static Pod when rustlet is upgraded.
        assert_eq!(of(&json!({"b": [1, "x"], "a": true}), "n", "f"), EXPECTED);
    }

    const EXPECTED: &str = "9fbd35820275a7f925f4ec8fb4259de5";
}
