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
