//! PURE. TLS settings by Go's names and numbers: which exist, and which of them the node's API can offer.

use super::check::each_text;
use serde_json::Value;

/// Cipher suites the node's API can offer. Go knows two of them by two names.
pub const CIPHER_SUITES: &[&str] = &[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// What Go knows besides: CBC, RC4, 3DES, and RSA without an ephemeral key.
const WEAK_SUITES: &[&str] = &[
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_RC4_128_SHA",
];

/// Go's `CurveID`s of the key exchanges the node's API can offer: P-256, P-384, X25519.
pub const CURVES: &[u16] = &[23, 24, 29];

/// What Go knows besides: P-521, and ML-KEM with an elliptic curve.
const OTHER_CURVES: &[u16] = &[25, 4587, 4588, 4589];

/// The versions a configuration may name.
pub(super) const VERSIONS: &[&str] = &["VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"];

/// Whether all are names of cipher suites, and one of them at least can be offered.
pub(super) fn suites(value: &Value) -> Result<(), String> {
    each_text(value, |name| {
        if CIPHER_SUITES.contains(&name) || WEAK_SUITES.contains(&name) {
            return Ok(());
        }
        Err(format!(
            "{name:?} is not a TLS cipher suite, as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        ))
    })?;
    any_left(value, &weak_suites(value), &CIPHER_SUITES.join(", "))
}

/// As [`suites`], for key exchanges by number.
pub(super) fn curves(value: &Value) -> Result<(), String> {
    let items = value.as_array().ok_or_else(|| format!("{value} is not a list"))?;
    for (at, item) in items.iter().enumerate() {
        let number = item.as_u64().and_then(|number| u16::try_from(number).ok());
        if !number.is_some_and(|number| CURVES.contains(&number) || OTHER_CURVES.contains(&number)) {
            return Err(format!(
                "{item} is not the number of a TLS key exchange, as 29 for X25519"
            ));
        }
        if items[..at].contains(item) {
            return Err(format!("{item} is named twice"));
        }
    }
    any_left(value, &other_curves(value), "23 (P-256), 24 (P-384), 29 (X25519)")
}

fn any_left(value: &Value, unmet: &[String], offered: &str) -> Result<(), String> {
    let named = value.as_array().map_or(0, Vec::len);
    if named > 0 && unmet.len() == named {
        return Err(format!(
            "{value}: none of these can be offered; those that can: {offered}"
        ));
    }
    Ok(())
}

/// The named cipher suites that cannot be offered.
pub(super) fn weak_suites(value: &Value) -> Vec<String> {
    let names = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    names
        .filter(|name| WEAK_SUITES.contains(name))
        .map(str::to_owned)
        .collect()
}

/// The named key exchanges that cannot be offered.
pub(super) fn other_curves(value: &Value) -> Vec<String> {
    let numbers = value.as_array().into_iter().flatten();
    numbers
        .filter(|item| OTHER_CURVES.iter().any(|other| **item == *other))
        .map(Value::to_string)
        .collect()
}

/// The named version, when there is nothing as old as that.
pub(super) fn old_version(value: &Value) -> Vec<String> {
    let name = value.as_str().unwrap_or_default();
    let old = matches!(name, "VersionTLS10" | "VersionTLS11");
    old.then(|| name.to_owned()).into_iter().collect()
}
