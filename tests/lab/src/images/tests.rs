use std::fs;
use std::path::Path;

use super::debian::{Mirror, choose_mirror, keep};
use super::layer::cached;
use super::*;

#[test]
fn names_are_taken_apart() {
    let parsed = Reference::parse("registry.k8s.io/coredns/coredns:v1.15.0").unwrap();
    assert_eq!(parsed.host, "registry.k8s.io");
    assert_eq!(parsed.repository, "coredns/coredns");
    assert_eq!(parsed.tag, "v1.15.0");
    assert!(Reference::parse("busybox").is_err());
    assert!(Reference::parse("docker.io/library/busybox").is_err());
}

#[test]
fn a_layer_is_reproducible_and_cached_by_its_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("b/deep")).unwrap();
    fs::write(tree.join("b/deep/file"), "content").unwrap();
    fs::hard_link(tree.join("b/deep/file"), tree.join("a-second-name")).unwrap();
    std::os::unix::fs::symlink("deep/file", tree.join("b/link")).unwrap();
    fs::write(tree.join("refused"), "x").unwrap();

    let build = |name: &str, recipe: &str| {
        let mut built = false;
        let blob = cached(dir.path(), name, recipe, |layer| {
            built = true;
            layer.dir("etc", 0o755)?;
            layer.tree(&tree, &|path| path != Path::new("refused"))
        })
        .unwrap();
        (blob, built)
    };
    let (first, built) = build("one", "recipe 1");
    assert!(built);
    let (again, built) = build("one", "recipe 1");
    assert!(!built, "same recipe: taken from the cache");
    assert_eq!(first.digest, again.digest);

    fs::write(tree.join("b/deep/file"), "content").unwrap();
    let (other, built) = build("one", "recipe 2");
    assert!(built, "other recipe: built again");
    assert_eq!(first.digest, other.digest, "times do not reach the layer");
    assert!(!first.path.exists(), "the layer of the old recipe is removed");

    let mut names = Vec::new();
    for entry in tar::Archive::new(fs::File::open(&other.path).unwrap())
        .entries()
        .unwrap()
    {
        let entry = entry.unwrap();
        names.push((
            entry.path().unwrap().display().to_string(),
            entry.header().entry_type(),
        ));
    }
    assert_eq!(
        names,
        [
            ("etc/".to_owned(), tar::EntryType::Directory),
            ("a-second-name".to_owned(), tar::EntryType::Regular),
            ("b/".to_owned(), tar::EntryType::Directory),
            ("b/deep/".to_owned(), tar::EntryType::Directory),
            ("b/deep/file".to_owned(), tar::EntryType::Link),
            ("b/link".to_owned(), tar::EntryType::Symlink),
        ]
    );
}

#[test]
fn a_failed_build_leaves_no_layer() {
    let dir = tempfile::tempdir().unwrap();
    let failed = cached(dir.path(), "broken", "r", |_| anyhow::bail!("no compiler"));
    assert!(format!("{:#}", failed.unwrap_err()).contains("image layer broken: no compiler"));
    let (_, built) = {
        let mut built = false;
        let blob = cached(dir.path(), "broken", "r", |layer| {
            built = true;
            layer.dir("x", 0o755)
        });
        (blob.unwrap(), built)
    };
    assert!(built);
}

#[test]
fn the_mirror_is_the_machines_own() {
    let listing = "http://security.example/debian-security/ bookworm-security main\n\
                   cdrom:[disc]/ bookworm main\n\
                   http://mirror.example/debian/ bookworm-updates main\n\
                   http://mirror.example/debian/ bookworm contrib\n\
                   http://mirror.example/debian/ bookworm main\n";
    let chosen = choose_mirror(listing, "bookworm").unwrap();
    assert_eq!(
        chosen,
        Mirror {
            uri: "http://mirror.example/debian/".into(),
            suite: "bookworm".into()
        }
    );
    let refused = choose_mirror(listing, "trixie").unwrap_err().to_string();
    assert!(refused.contains("trixie main"), "{refused}");
}

#[test]
fn the_base_keeps_directories_but_not_their_ballast() {
    assert!(keep(Path::new("usr/share/doc")));
    assert!(!keep(Path::new("usr/share/doc/bash")));
    assert!(keep(Path::new("usr/share/documents")));
    assert!(keep(Path::new("etc/passwd")));
    assert!(!keep(Path::new("var/log/dpkg.log")));
}

#[test]
fn manifests_name_their_configuration_and_layers() {
    let dir = tempfile::tempdir().unwrap();
    let layer = cached(dir.path(), "l", "r", |layer| layer.file("hello", 0o644, b"world")).unwrap();
    let image = Image::new(ECHO, vec![layer.clone()], &json!({"Cmd": ["x"]})).unwrap();
    let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    assert_eq!(manifest["config"]["digest"], image.config_digest().as_str());
    assert_eq!(manifest["config"]["size"], image.config.len());
    assert_eq!(manifest["layers"][0]["digest"], layer.digest.as_str());
    assert_eq!(
        manifest["layers"][0]["size"],
        fs::metadata(&layer.path).unwrap().len()
    );
    let config: Value = serde_json::from_slice(&image.config).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][0], layer.digest.as_str());
}
