//! PURE. TLS cipher suites by the names `tlsCipherSuites` has them: Go's.

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

/// A suite that cannot be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// Weak (CBC, RC4, 3DES, or RSA key exchange), or no suite at all.
    #[error(
        "tlsCipherSuites: {0:?} is not a cipher suite this node has: TLS 1.3's, and ECDHE with AES-GCM or ChaCha20"
    )]
    Unknown(Box<str>),
}

/// The suites of these names, with TLS 1.3's, which are not a matter of choice (as in Go); all of `have` when none is
/// named. The order is the library's.
pub(super) fn choose(
    names: &[Box<str>],
    mut have: Vec<SupportedCipherSuite>,
) -> Result<Vec<SupportedCipherSuite>, Error> {
    if names.is_empty() {
        return Ok(have);
    }
    let mut wanted = Vec::new();
    for name in names {
        let Some((_, suite)) = KNOWN.iter().find(|(known, _)| *known == &**name) else {
            return Err(Error::Unknown(name.clone()));
        };
        wanted.push(*suite);
    }
    have.retain(|suite| suite.tls13().is_some() || wanted.contains(&suite.suite()));
    Ok(have)
}

#[cfg(test)]
mod tests;
