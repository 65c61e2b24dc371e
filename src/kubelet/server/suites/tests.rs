use super::*;

fn all() -> Vec<SupportedCipherSuite> {
    rustls::crypto::ring::default_provider().cipher_suites
}

fn chosen(names: &[&str]) -> Result<Vec<CipherSuite>, Error> {
    let names: Vec<Box<str>> = names.iter().map(|name| (*name).into()).collect();
    Ok(choose(&names, all())?
        .iter()
        .map(SupportedCipherSuite::suite)
        .collect())
}

#[test]
fn every_suite_of_the_library_has_a_go_name_and_back() {
    for suite in all() {
        assert!(
            KNOWN.iter().any(|(_, known)| *known == suite.suite()),
            "{suite:?}"
        );
    }
    for (name, suite) in KNOWN {
        assert!(chosen(&[name]).unwrap().contains(suite), "{name}");
    }
}

#[test]
fn choosing_narrows_tls12_and_keeps_tls13() {
    assert_eq!(chosen(&[]).unwrap().len(), all().len());
    let one = chosen(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]).unwrap();
    assert_eq!(one.len(), 4, "{one:?}");
    assert!(one.contains(&CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256));
}

#[test]
fn weak_and_unknown_suites_are_refused_by_name() {
    for name in [
        "TLS_RSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
        "TLS_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_RSA_WITH_RC4_128_SHA",
        "tls_aes_128_gcm_sha256",
        "",
    ] {
        assert_eq!(chosen(&[name]), Err(Error::Unknown(name.into())));
    }
}
