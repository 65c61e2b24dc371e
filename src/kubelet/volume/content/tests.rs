use super::*;

fn object(data: &[(&str, &str)]) -> ConfigObject {
    ConfigObject {
        data: data.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        ..Default::default()
    }
}

fn item(key: &str, path: &str, mode: Option<i32>) -> KeyToPath {
    KeyToPath {
        key: key.into(),
        path: path.into(),
        mode,
    }
}

fn no_resources(_: &ResourceFieldRef) -> Result<String, String> {
    Err("no".into())
}

#[test]
fn paths_that_leave_the_volume_are_refused() {
    for (path, why) in [
        ("", "empty"),
        ("/etc/passwd", "relative"),
        ("a/../../b", "'..'"),
        ("..", "'..'"),
        ("..data/x", "start with"),
        ("./..2026", "start with"),
        (".", "name a file"),
    ] {
        let error = clean_path(path).unwrap_err().to_string();
        assert!(error.contains(why), "{path:?}: {error}");
    }
    assert!(clean_path(&"x".repeat(256)).is_err());
    assert_eq!(clean_path("./a//b/...c").unwrap(), Path::new("a/b/...c"));
}

#[test]
fn all_keys_of_a_config_map_become_files_with_the_default_mode() {
    let mut map = object(&[("Corefile", ".:53 {}\n")]);
    map.binary_data.insert("raw".into(), "AAH/".into());
    let payload = config_map(
        Some(&map),
        &ObjectFiles {
            name: "c".into(),
            ..Default::default()
        },
        None,
    )
    .unwrap();
    assert_eq!(
        payload[Path::new("Corefile")],
        File {
            data: b".:53 {}\n".to_vec(),
            mode: 0o644,
            owner: None
        }
    );
    assert_eq!(payload[Path::new("raw")].data, [0, 1, 255]);
    let strict = config_map(Some(&map), &ObjectFiles::default(), Some(0o400)).unwrap();
    assert_eq!(strict[Path::new("raw")].mode, 0o400);
}

#[test]
fn items_choose_keys_paths_and_modes() {
    let map = object(&[("a", "1"), ("b", "2")]);
    let source = ObjectFiles {
        items: vec![item("a", "deep/a.txt", Some(0o600))],
        ..Default::default()
    };
    let payload = config_map(Some(&map), &source, None).unwrap();
    assert_eq!(payload.len(), 1);
    assert_eq!(payload[Path::new("deep/a.txt")].mode, 0o600);
}

#[test]
fn a_missing_key_is_an_error_unless_optional() {
    let map = object(&[("a", "1")]);
    let mut source = ObjectFiles {
        items: vec![item("nope", "x", None)],
        ..Default::default()
    };
    let error = config_map(Some(&map), &source, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "configmap references non-existent config key: nope"
    );
    source.optional = Some(true);
    assert!(config_map(Some(&map), &source, None).unwrap().is_empty());
    assert!(config_map(None, &source, None).unwrap().is_empty());
}

#[test]
fn secrets_are_decoded_and_bad_ones_are_named() {
    let source = SecretFiles {
        secret_name: "s".into(),
        ..Default::default()
    };
    let payload = secret(Some(&object(&[("password", "aHVudGVyMg==")])), &source, None).unwrap();
    assert_eq!(payload[Path::new("password")].data, b"hunter2");
    let error = secret(Some(&object(&[("password", "%%")])), &source, None).unwrap_err();
    assert_eq!(error.to_string(), r#"key "password" of secret "s" is not base64"#);
}

#[test]
fn downward_files_hold_maps_and_single_fields() {
    let pod: Pod = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "u1",
            "labels": {"app": "x", "b": "say \"hi\"\n"}, "annotations": {"k": "v"}},
        "spec": {}
    }))
    .unwrap();
    let file = |path: &str| DownwardFile {
        path: path
            .rsplit('.')
            .next()
            .unwrap()
            .replace(['[', ']', '\''], "")
            .into(),
        field_ref: Some(crate::model::pod::FieldRef {
            field_path: path.into(),
        }),
        ..Default::default()
    };
    let source = DownwardFiles {
        items: ["metadata.name", "metadata.labels", "metadata.annotations['k']"]
            .map(file)
            .to_vec(),
        default_mode: None,
    };
    let payload = downward(&pod, &source, Some(0o640), &no_resources).unwrap();
    assert_eq!(payload[Path::new("name")].data, b"web");
    assert_eq!(
        payload[Path::new("labels")].data,
        b"app=\"x\"\nb=\"say \\\"hi\\\"\\n\""
    );
    assert_eq!(
        payload[Path::new("annotationsk")],
        File {
            data: b"v".to_vec(),
            mode: 0o640,
            owner: None
        }
    );
    let bad = DownwardFiles {
        items: vec![file("spec.nodeName")],
        default_mode: None,
    };
    assert!(
        downward(&pod, &bad, None, &no_resources)
            .unwrap_err()
            .to_string()
            .starts_with("spec.nodeName")
    );
}

#[test]
fn a_token_belongs_to_the_user_all_containers_agree_on() {
    let pod = |a: Option<i64>, b: Option<i64>, all: Option<i64>| {
        let mut pod = Pod::default();
        pod.spec.security_context.run_as_user = all;
        for user in [a, b] {
            let mut container = Container::default();
            container.security_context.run_as_user = user;
            pod.spec.containers.push(container);
        }
        pod
    };
    assert_eq!(common_user(&pod(Some(7), Some(7), None)), Some(7));
    assert_eq!(common_user(&pod(None, None, Some(9))), Some(9));
    assert_eq!(common_user(&pod(Some(7), None, None)), None);
    assert_eq!(common_user(&pod(Some(7), Some(8), None)), None);
}
