use super::*;

#[tokio::test]
async fn the_first_file_that_can_be_read_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (root, home) = (dir.path().join("kubelet"), dir.path().join("home"));
    std::fs::create_dir_all(&root).unwrap();
    std::fs::create_dir_all(home.join(".docker")).unwrap();
    let mut sources = Sources::new(&root, Providers::default());
    // Without what this machine has.
    sources.dirs = Dirs {
        json: vec![root.clone(), home.join(".docker")],
        legacy: vec![root.clone(), home.clone()],
    };
    let pod = Pod::default();
    let user = async |sources: &Sources| {
        let found = sources.look_up(&pod, "registry.test/app").await;
        let names: Vec<String> = found.into_iter().map(|c| c.login.username).collect();
        names.join(" ")
    };
    assert_eq!(user(&sources).await, "");
    std::fs::write(
        home.join(".dockercfg"),
        r#"{"registry.test": {"username": "old"}}"#,
    )
    .unwrap();
    assert_eq!(user(&sources).await, "old");
    let config = r#"{"auths": {"registry.test": {"username": "home"}}}"#;
    std::fs::write(home.join(".docker/config.json"), config).unwrap();
    assert_eq!(user(&sources).await, "home");
    std::fs::write(root.join("config.json"), "no json").unwrap();
    assert_eq!(user(&sources).await, "home", "a broken file is passed by");
    let config = r#"{"auths": {"registry.test": {"username": "root"}, "other.test": {"username": "x"}}}"#;
    std::fs::write(root.join("config.json"), config).unwrap();
    assert_eq!(user(&sources).await, "root");
}
