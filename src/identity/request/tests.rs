use super::*;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509CertificationRequest};

#[test]
fn a_client_certificate_is_asked_for_as_upstream_does() {
    let key = KeyPair::generate().unwrap();
    let wanted = Wanted::client("w1");
    let pem = wanted.pem(&key).unwrap();
    let object = wanted.object(&pem, None);
    assert_eq!(object["apiVersion"], "certificates.k8s.io/v1");
    assert_eq!(object["kind"], "CertificateSigningRequest");
    assert_eq!(object["metadata"], json!({"generateName": "csr-"}));
    assert_eq!(
        object["spec"],
        json!({
            "request": STANDARD.encode(&pem),
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
        })
    );
    assert_eq!(wanted.object(&pem, Some("n"))["metadata"], json!({"name": "n"}));
    let (subject, names) = read(&pem);
    assert_eq!(subject, "O=system:nodes, CN=system:node:w1");
    // The signer refuses client requests with any.
    assert_eq!(names, Vec::<String>::new());
}

#[test]
fn a_serving_certificate_is_for_the_nodes_addresses() {
    let key = KeyPair::generate().unwrap();
    let address = |kind: &str, address: &str| json!({"type": kind, "address": address});
    let status = json!({"addresses": [
        address("InternalIP", "fd00::1"), address("InternalIP", "10.0.0.2"), address("ExternalIP", "10.0.0.2"),
        address("Hostname", "w1"), address("InternalDNS", "w1.corp"), address("ExternalDNS", "w1"),
        address("ExternalIP", "not an address"), address("Something", "else"), address("Hostname", ""),
    ]});
    let wanted = Wanted::serving("w1", &status).unwrap();
    assert_eq!(wanted.dns, ["w1", "w1.corp"]);
    assert_eq!(
        wanted.ips,
        ["10.0.0.2", "fd00::1"].map(|ip| ip.parse::<IpAddr>().unwrap())
    );
    let pem = wanted.pem(&key).unwrap();
    let spec = &wanted.object(&pem, None)["spec"];
    assert_eq!(spec["signerName"], "kubernetes.io/kubelet-serving");
    assert_eq!(spec["usages"], json!(["digital signature", "server auth"]));
    let (subject, names) = read(&pem);
    assert_eq!(subject, "O=system:nodes, CN=system:node:w1");
    assert_eq!(
        names,
        [
            "w1",
            "w1.corp",
            "[10, 0, 0, 2]",
            "[253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]"
        ]
    );
    // A node whose host name is an address has that, too.
    let only = json!({"addresses": [address("Hostname", "10.0.0.9")]});
    assert_eq!(Wanted::serving("w1", &only).unwrap().ips.len(), 1);
    for none in [
        json!({}),
        json!({"addresses": []}),
        json!({"addresses": [address("Hostname", "w1")]}),
    ] {
        assert_eq!(Wanted::serving("w1", &none), None);
    }
}

/// Subject and alternative names of a request.
fn read(pem: &str) -> (String, Vec<String>) {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    assert_eq!(pem.label, "CERTIFICATE REQUEST");
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).unwrap();
    let names = request
        .requested_extensions()
        .into_iter()
        .flatten()
        .flat_map(|extension| match extension {
            ParsedExtension::SubjectAlternativeName(found) => {
                found.general_names.iter().map(|name| match name {
                    GeneralName::DNSName(name) => (*name).to_owned(),
                    GeneralName::IPAddress(bytes) => format!("{bytes:?}"),
                    other => panic!("{other:?}"),
                })
            }
            other => panic!("{other:?}"),
        });
    (
        request.certification_request_info.subject.to_string(),
        names.collect(),
    )
}

/// The second name was computed with Go's crypto/sha512 and encoding/base64.
#[test]
fn the_name_of_a_bootstrap_request_is_made_of_what_is_asked_for() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let wanted = Wanted::client("w1");
    assert_eq!(wanted.digested_name(&key), wanted.digested_name(&key));
    assert_ne!(wanted.digested_name(&key), wanted.digested_name(&other));
    assert_ne!(
        wanted.digested_name(&key),
        Wanted::client("w2").digested_name(&key)
    );
    let parts = [
        "KEY",
        "system:node:w1",
        "system:nodes",
        "digital signature",
        "client auth",
    ]
    .map(str::as_bytes);
    assert_eq!(
        digest(&parts),
        "node-csr-gclm0He98PrTmMNOIYwefWuYKgsqll80rJRw1TrjmWw"
    );
}

#[test]
fn verdicts() {
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "m"});
    let status = |kinds: &[&str], certificate: &str| {
        let conditions: Vec<Value> = kinds.iter().map(|kind| condition(kind)).collect();
        json!({"status": {"conditions": conditions, "certificate": certificate}})
    };
    let signed = STANDARD.encode("PEM");
    let said = || "R: m".to_owned();
    let cases = [
        (json!({}), Verdict::Pending),
        (status(&[], ""), Verdict::Pending),
        (status(&["Approved"], ""), Verdict::Approved),
        (status(&["Approved"], &signed), Verdict::Issued("PEM".to_owned())),
        (status(&[], &signed), Verdict::Pending),
        (status(&["Denied"], ""), Verdict::Denied(said())),
        (status(&["Approved", "Denied"], &signed), Verdict::Denied(said())),
        (status(&["Approved", "Failed"], ""), Verdict::Failed(said())),
    ];
    for (object, wanted) in cases {
        assert_eq!(verdict(&object), wanted, "{object}");
    }
    assert!(matches!(
        verdict(&status(&["Approved"], "%%")),
        Verdict::Failed(_)
    ));
}
