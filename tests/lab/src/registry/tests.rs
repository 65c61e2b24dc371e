use super::*;

#[test]
fn mirrors_name_the_registry_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    write_mirrors(dir.path(), "172.30.0.1:5000".parse().unwrap()).unwrap();
    for host in ["_default", "docker.io", "registry.k8s.io"] {
        let text = fs::read_to_string(dir.path().join(host).join("hosts.toml")).unwrap();
        let servers: Vec<&str> = text.split('"').filter(|part| part.starts_with("http")).collect();
        assert_eq!(servers, ["http://172.30.0.1:5000"; 2]);
    }
}

#[test]
fn replies_are_taken_apart() {
    let reply =
        client::parse("HTTP/1.1 202 Accepted\r\nLocation: http://h/v2/x\r\nA: b\r\n\r\nbody\r\n\r\nmore")
            .unwrap();
    assert_eq!(reply.status, 202);
    assert_eq!(
        reply.headers[0],
        ("Location".to_owned(), "http://h/v2/x".to_owned())
    );
    assert_eq!(reply.body, "body\r\n\r\nmore");
    assert!(client::parse("garbage").is_err());
    assert!(client::parse("HTTP/1.1\r\n\r\n").is_err());
}

#[test]
fn the_configuration_is_complete() {
    let text = config_text(
        Path::new("/some where/storage"),
        "172.30.0.1:5000".parse().unwrap(),
        true,
    );
    assert!(text.contains("rootdirectory: \"/some where/storage\""), "{text}");
    assert!(text.contains("readonly: {enabled: true}"), "{text}");
    assert!(text.contains("addr: \"172.30.0.1:5000\""), "{text}");
}
