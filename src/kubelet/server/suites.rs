//! PURE. TLS cipher suites and key exchanges as `tlsCipherSuites` and `tlsCurvePreferences` name them: Go's way.

use rustls::crypto::SupportedKxGroup;
use rustls::{CipherSuite, SupportedCipherSuite};

/// Go's name of a suite we have, and the library's.
const KNOWN: &[(&str, CipherSuite)] = &[
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The suites of these names, with TLS 1.3's, which are not a matter of choice (as in Go); all of `have` when none is
/// named. The order is the library's. The configuration has said which names cannot be had.
pub(super) fn choose(names: &[Box<str>], mut have: Vec<SupportedCipherSuite>) -> Vec<SupportedCipherSuite> {
    let wanted = |suite: CipherSuite| {
        let named = |go: &str| names.iter().any(|name| **name == *go);
        KNOWN.iter().any(|(go, known)| *known == suite && named(go))
    };
    if !names.is_empty() {
        have.retain(|suite| suite.tls13().is_some() || wanted(suite.suite()));
    }
    have
}

/// The key exchanges of these numbers; all of `have` when none is named.
pub(super) fn exchanges(
    numbers: &[u16],
    mut have: Vec<&'static dyn SupportedKxGroup>,
) -> Vec<&'static dyn SupportedKxGroup> {
    if !numbers.is_empty() {
        have.retain(|group| numbers.contains(&u16::from(group.name())));
    }
    have
}

#[cfg(test)]
mod tests;
