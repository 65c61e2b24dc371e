//! PURE. The container spec hash that kubelet keeps in the annotation `io.kubernetes.container.hash`.
//!
//! It decides whether a running container still matches its spec, so it must be kubelet's to the byte: then a node
//! that changes hands between kubelet and rustlet restarts nothing. Since Kubernetes 1.31 only `name` and `image` are
//! hashed: FNV-1a (32 bit) over the printed form of the bytes of `{"image":…,"name":…}`, written as hex without
//! leading zeros. The printed form is that of a Go byte slice with its type, `([]uint8)[123 34 …]`.

use crate::model::pod::Container;
use std::fmt::Write;

#[cfg(test)]
mod tests;

/// The hash of a container's spec, as the annotation has it.
pub fn container(container: &Container) -> String {
    let json = format!(
        "{{\"image\":{},\"name\":{}}}",
        go_json(&container.image),
        go_json(&container.name)
    );
    let mut text = String::from("([]uint8)[");
    for (at, byte) in json.bytes().enumerate() {
        let space = if at == 0 { "" } else { " " };
        write!(text, "{space}{byte}").expect("writing to a String cannot fail");
    }
    text.push(']');
    format!("{:x}", fnv1a(text.as_bytes()))
}

fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// A JSON string as Go writes it: also `<`, `>`, `&` and the two Unicode line separators are escaped.
fn go_json(text: &str) -> String {
    let plain = serde_json::Value::from(text).to_string();
    let mut out = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a String cannot fail");
            }
            other => out.push(other),
        }
    }
    out
}
