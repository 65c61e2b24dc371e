use super::*;
use rustls::{AlertDescription, CertificateError};
use std::path::Path;

fn place() -> Place {
    Place {
        server: "https://cp:6443/".into(),
        file: "/k.conf".into(),
        cluster: "main".into(),
        user: "w1".into(),
    }
}

/// As hyper wraps a failure of the connector: an error whose source is an `io::Error` that wraps the real cause.
#[derive(Debug, thiserror::Error)]
#[error("client error (Connect)")]
struct Connect(#[source] io::Error);

fn words_of(inner: io::Error) -> (String, bool) {
    let error = unreachable("GET", "/x", &Connect(inner), &place());
    (error.to_string(), is_for_good(&error))
}

fn tls(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[test]
fn every_known_failure_has_its_remedy() {
    let bad = |e| tls(rustls::Error::InvalidCertificate(e));
    let table = [
        (
            bad(CertificateError::UnknownIssuer),
            "GET /x: https://cp:6443/: its certificate is not signed by the CA we were given; correct clusters[main].cluster.certificate-authority in /k.conf",
            true,
        ),
        (
            bad(CertificateError::Expired),
            "GET /x: https://cp:6443/: its certificate has expired; renew the API server's certificate, or correct this machine's clock",
            false,
        ),
        (
            bad(CertificateError::NotValidYet),
            "GET /x: https://cp:6443/: its certificate is not valid yet; check this machine's clock",
            false,
        ),
        (
            tls(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)),
            "GET /x: https://cp:6443/: TLS: received fatal alert: HandshakeFailure",
            false,
        ),
        (
            io::Error::from(io::ErrorKind::ConnectionRefused),
            "GET /x: https://cp:6443/: connection refused: is the API server running on that host and port? The address is clusters[main].cluster.server in /k.conf",
            false,
        ),
        (
            io::Error::from(io::ErrorKind::NetworkUnreachable),
            "GET /x: https://cp:6443/: no route to the host: is the network up, and the address right? The address is clusters[main].cluster.server in /k.conf",
            false,
        ),
        (
            io::Error::from(io::ErrorKind::UnexpectedEof),
            "GET /x: https://cp:6443/: the connection was cut off",
            false,
        ),
        (
            io::Error::other("strange"),
            "GET /x: https://cp:6443/: client error (Connect): strange",
            false,
        ),
    ];
    for (inner, expected, for_good) in table {
        assert_eq!(words_of(inner), (expected.to_owned(), for_good));
    }
    let alert = Connect(tls(rustls::Error::AlertReceived(
        AlertDescription::CertificateExpired,
    )));
    let alert = refusal(&alert).unwrap();
    let refused = certificate_refused("GET", "/x", alert, &place());
    assert_eq!(
        refused.to_string(),
        "GET /x: https://cp:6443/: the API server, or a proxy before it, does not accept the credentials (TLS alert \
         CertificateExpired): users[w1].user.client-certificate in /k.conf must be signed by a CA it trusts for \
         clients, and be valid"
    );
    assert!(refused.refuses_us() && !is_for_good(&refused));
    let name = bad(CertificateError::NotValidForName);
    let (text, for_good) = words_of(name);
    assert!(text.contains("set tls-server-name there") && for_good, "{text}");
}

#[test]
fn answers_of_the_server_keep_its_words_and_gain_a_remedy() {
    let body = |message: &str, reason: &str| {
        serde_json::json!({"kind": "Status", "reason": reason, "message": message}).to_string()
    };
    let say = |path: &str, code, body: &str| status("GET", path.into(), code, body.as_bytes(), &place());

    let anonymous = say(
        "/api/v1/nodes/w1",
        403,
        &body(
            "nodes \"w1\" is forbidden: User \"system:anonymous\" cannot get",
            "Forbidden",
        ),
    );
    assert!(
        anonymous.to_string().ends_with(
            "check that users[w1].user.client-certificate in /k.conf is a certificate of this cluster"
        ),
        "{anonymous}"
    );

    let slices = say(
        "/apis/discovery.k8s.io/v1/endpointslices?limit=500",
        403,
        &body("no", "Forbidden"),
    );
    assert!(
        slices
            .to_string()
            .contains("; nodes may not read this by default: kubectl create clusterrolebinding"),
        "{slices}"
    );

    let register = status(
        "POST",
        "/api/v1/nodes".into(),
        403,
        body("no", "Forbidden").as_bytes(),
        &place(),
    );
    assert_eq!(register.to_string(), "POST /api/v1/nodes: 403 Forbidden: no");

    let secret = say(
        "/api/v1/namespaces/a/secrets/b",
        403,
        &body("no relationship", "Forbidden"),
    );
    assert_eq!(
        secret.to_string(),
        "GET /api/v1/namespaces/a/secrets/b: 403 Forbidden: no relationship"
    );

    let unauthorized = say("/x", 401, &body("Unauthorized", "Unauthorized"));
    assert!(
        unauthorized
            .to_string()
            .contains("users[w1].user.client-certificate in /k.conf must be signed by"),
        "{unauthorized}"
    );
    assert!(!is_for_good(&unauthorized));

    let plain = say("/x", 400, "Client sent an HTTP request to an HTTPS server.\n");
    assert!(
        plain
            .to_string()
            .ends_with("write clusters[main].cluster.server in /k.conf with https://"),
        "{plain}"
    );

    let missing = say(
        "/api/v1/nodes/w1",
        404,
        &body("nodes \"w1\" not found", "NotFound"),
    );
    assert!(
        is_missing_object(&missing) && missing.to_string().ends_with("not found"),
        "{missing}"
    );
    let web = say("/api/v1/nodes/w1", 404, "<html>nginx</html>");
    assert!(
        !is_missing_object(&web)
            && is_for_good(&web)
            && web.to_string().contains("this is no Kubernetes API server"),
        "{web}"
    );
    assert_eq!(
        say("/x", 429, "Too many requests").to_string(),
        "GET /x: 429 TooManyRequests: Too many requests"
    );
}

#[test]
fn time_limits_name_the_server() {
    let error = timed_out("PATCH", "/y", Duration::from_secs(10), &place());
    assert_eq!(
        error.to_string(),
        "PATCH /y: https://cp:6443/ does not answer within 10 s"
    );
    assert_eq!(place().file, Path::new("/k.conf"));
}
