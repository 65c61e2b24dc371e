use super::*;
use crate::config::{CIPHER_SUITES, CURVES};
use rustls::crypto::ring::default_provider;

fn chosen(names: &[&str]) -> Vec<CipherSuite> {
    let names: Vec<Box<str>> = names.iter().map(|name| (*name).into()).collect();
    choose(&names, default_provider().cipher_suites)
        .iter()
        .map(SupportedCipherSuite::suite)
        .collect()
}

fn exchanged(numbers: &[u16]) -> Vec<u16> {
    let groups = exchanges(numbers, default_provider().kx_groups);
    groups.iter().map(|group| group.name().into()).collect()
}

#[test]
fn what_the_configuration_lets_through_is_what_the_library_has() {
    let mut known: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(known, CIPHER_SUITES);
    for suite in default_provider().cipher_suites {
        let name = KNOWN.iter().find(|(_, known)| *known == suite.suite());
        assert!(name.is_some(), "{suite:?}");
    }
    for (name, suite) in KNOWN {
        assert!(chosen(&[name]).contains(suite), "{name}");
    }
    let mut groups = exchanged(&[]);
    groups.sort_unstable();
    assert_eq!(groups, CURVES);
}

#[test]
fn choosing_narrows_tls12_and_keeps_tls13() {
    assert_eq!(chosen(&[]).len(), default_provider().cipher_suites.len());
    let one = chosen(&[
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_RSA_WITH_RC4_128_SHA",
    ]);
    assert_eq!(one.len(), 4, "{one:?}");
    assert!(one.contains(&CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256));
    assert_eq!(chosen(&["TLS_AES_128_GCM_SHA256"]).len(), 3);
    assert_eq!(exchanged(&[25, 24]), [24]);
}
