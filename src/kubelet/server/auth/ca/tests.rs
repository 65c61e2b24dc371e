use super::*;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::fs;
use time::{Duration as Days, OffsetDateTime};

struct Authority(Issuer<'static, KeyPair>, String);

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    Authority(Issuer::new(params, key), pem)
}

impl Authority {
    fn issue(&self, days: i64, usage: ExtendedKeyUsagePurpose) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.not_before = OffsetDateTime::now_utc() - Days::days(10);
        params.not_after = OffsetDateTime::now_utc() + Days::days(days);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.0).unwrap().der().clone()
    }
}

fn client(authority: &Authority) -> CertificateDer<'static> {
    authority.issue(1, ExtendedKeyUsagePurpose::ClientAuth)
}

#[tokio::test(start_paused = true)]
async fn certificates_are_judged_by_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.crt");
    let (ours, other) = (authority(), authority());
    fs::write(&file, &ours.1).unwrap();
    let ca = ClientCa::new(Some(file));
    assert_eq!(ca.verify(&[client(&ours)]), Ok(true));
    let wrong = [
        client(&other),
        ours.issue(-1, ExtendedKeyUsagePurpose::ClientAuth),
        ours.issue(1, ExtendedKeyUsagePurpose::ServerAuth),
        CertificateDer::from(b"nonsense".to_vec()),
    ];
    for certificate in wrong {
        assert!(ca.verify(&[certificate]).is_err());
    }
    assert_eq!(ca.verify(&[]), Ok(false));
    assert_eq!(ClientCa::new(None).verify(&[client(&ours)]), Ok(false));
}

#[tokio::test(start_paused = true)]
async fn the_file_may_come_and_change_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.crt");
    let (old, new) = (authority(), authority());
    let ca = ClientCa::new(Some(file.clone()));
    let look = async || tokio::time::advance(LOOK_EVERY).await;
    assert_eq!(ca.verify(&[client(&old)]), Ok(false), "no file, no judgement");
    fs::write(&file, &old.1).unwrap();
    look().await;
    assert_eq!(ca.verify(&[client(&old)]), Ok(true));
    fs::write(&file, format!("{}{}", old.1, new.1)).unwrap();
    look().await;
    assert_eq!(ca.verify(&[client(&new)]), Ok(true));
    fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAA").unwrap();
    look().await;
    assert_eq!(
        ca.verify(&[client(&new)]),
        Ok(true),
        "half a file changes nothing"
    );
    fs::remove_file(&file).unwrap();
    look().await;
    assert_eq!(ca.verify(&[client(&new)]), Ok(true), "nor does none");
    fs::write(&file, &new.1).unwrap();
    look().await;
    assert!(
        ca.verify(&[client(&old)]).is_err(),
        "what was taken out counts no more"
    );
    assert_eq!(ca.verify(&[client(&new)]), Ok(true));
}
