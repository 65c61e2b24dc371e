use super::*;
use rcgen::{CertificateParams, DnType, KeyPair};

const UID_PARTS: &[u64] = &[1, 3, 6, 1, 4, 1, 57683, 2];

fn der(names: &[(DnType, &str)]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in names {
        params.distinguished_name.push(kind.clone(), *value);
    }
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

#[test]
fn names_and_groups() {
    let bytes = der(&[
        (DnType::CommonName, "alice"),
        (DnType::OrganizationName, "system:masters"),
        (DnType::CustomDnType(UID_PARTS.to_vec()), "u-1"),
    ]);
    let user = user(&bytes).unwrap().unwrap();
    assert_eq!(&*user.username, "alice");
    assert_eq!(user.groups, ["system:masters".into()]);
    assert_eq!(&*user.uid, "u-1");
    let credential = &user.extra[CREDENTIAL_ID][0];
    assert!(credential.starts_with("X509SHA256=") && credential.len() == 11 + 64);
}

#[test]
fn a_certificate_that_names_nobody() {
    assert_eq!(user(&der(&[(DnType::OrganizationName, "g")])), Ok(None));
    assert_eq!(user(&der(&[(DnType::CommonName, "")])), Ok(None));
    let no_uid = der(&[
        (DnType::CommonName, "a"),
        (DnType::CustomDnType(UID_PARTS.to_vec()), ""),
    ]);
    assert_eq!(user(&no_uid), Err(Error::Uid));
    assert!(matches!(user(b"nonsense"), Err(Error::Unreadable(_))));
}
