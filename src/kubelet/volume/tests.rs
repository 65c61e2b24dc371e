use super::*;
use crate::api::{ConfigObject, Result as ApiResult, Token, TokenRequest};
use crate::model::NamespacedName;
use crate::model::pod::ResourceFieldRef;
use async_trait::async_trait;
use serde_json::json;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Mutex;

/// ConfigMaps and Secrets of one namespace, and tokens that count themselves.
#[derive(Default)]
struct Data {
    objects: Mutex<BTreeMap<String, Arc<ConfigObject>>>,
    tokens: Mutex<Vec<TokenRequest>>,
    life: i64,
}

impl Data {
    fn set(&self, name: &str, data: &[(&str, &str)]) {
        let data = data.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        self.objects.lock().unwrap().insert(
            name.into(),
            Arc::new(ConfigObject {
                data,
                ..Default::default()
            }),
        );
    }
}

#[async_trait]
impl ConfigData for Data {
    async fn runtime_handler(&self, _: &str) -> ApiResult<Option<Box<str>>> {
        Ok(None)
    }
    async fn config_map(&self, name: &NamespacedName) -> ApiResult<Option<Arc<ConfigObject>>> {
        Ok(self.objects.lock().unwrap().get(&*name.name).cloned())
    }
    async fn secret(&self, name: &NamespacedName) -> ApiResult<Option<Arc<ConfigObject>>> {
        Ok(self.objects.lock().unwrap().get(&*name.name).cloned())
    }
    async fn service_account(&self, _: &NamespacedName) -> ApiResult<Option<Arc<ConfigObject>>> {
        Ok(None)
    }
    async fn token(&self, request: &TokenRequest) -> ApiResult<Token> {
        let mut tokens = self.tokens.lock().unwrap();
        tokens.push(request.clone());
        Ok(Token {
            token: format!("token-{}", tokens.len()).into(),
            expires: at(self.life),
        })
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn no_resources(_: &ResourceFieldRef) -> Result<String, String> {
    Err("no".into())
}

struct World {
    data: Arc<Data>,
    volumes: Volumes,
    dir: tempfile::TempDir,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let data = Arc::new(Data {
        life: 3607,
        ..Data::default()
    });
    let dirs = Dirs {
        root: dir.path().into(),
        pod_logs: dir.path().join("logs"),
    };
    let volumes = Volumes::new(dirs, data.clone()).with_tmpfs(|_, _| Ok(()));
    World { data, volumes, dir }
}

impl World {
    async fn prepare(&self, pod: &Pod, now: i64) -> Result<Paths, Vec<String>> {
        let result = self.volumes.prepare(pod, at(now), &no_resources).await;
        result.map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }
}

/// A Pod with these volumes, all of them mounted.
fn pod(volumes: serde_json::Value) -> Pod {
    let mounts: Vec<_> = volumes
        .as_array()
        .unwrap()
        .iter()
        .map(|v| json!({"name": v["name"], "mountPath": "/x"}))
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "u1"},
        "spec": {"serviceAccountName": "builder", "volumes": volumes, "containers": [{"name": "c", "volumeMounts": mounts}]},
    }))
    .unwrap()
}

fn api_access() -> serde_json::Value {
    json!([{"name": "kube-api-access", "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]}}])
}

#[tokio::test]
async fn the_api_access_volume_holds_token_ca_and_namespace() {
    let world = world();
    world.data.set("kube-root-ca.crt", &[("ca.crt", "PEM")]);
    let pod = pod(api_access());
    let paths = world.prepare(&pod, 0).await.unwrap();
    let dir = &paths["kube-api-access"];
    assert_eq!(
        dir,
        &world
            .dir
            .path()
            .join("pods/u1/volumes/kubernetes.io~projected/kube-api-access")
    );
    for (file, content) in [("token", "token-1"), ("ca.crt", "PEM"), ("namespace", "default")] {
        assert_eq!(std::fs::read_to_string(dir.join(file)).unwrap(), content);
    }
    let request = world.data.tokens.lock().unwrap()[0].clone();
    assert_eq!(
        (
            &*request.service_account.name,
            &*request.pod_name,
            request.expiration_seconds
        ),
        ("builder", "web", 3607)
    );
}

#[tokio::test]
async fn a_token_is_renewed_at_four_fifths_of_its_life_and_not_before() {
    let world = world();
    world.data.set("kube-root-ca.crt", &[("ca.crt", "PEM")]);
    let pod = pod(api_access());
    let token = |paths: &Paths| std::fs::read_to_string(paths["kube-api-access"].join("token")).unwrap();
    assert_eq!(token(&world.prepare(&pod, 0).await.unwrap()), "token-1");
    assert_eq!(token(&world.prepare(&pod, 2000).await.unwrap()), "token-1");
    assert_eq!(token(&world.prepare(&pod, 3000).await.unwrap()), "token-2");
}

#[tokio::test]
async fn a_missing_config_map_is_named_and_later_found() {
    let world = world();
    let pod = pod(json!([{"name": "x", "configMap": {"name": "y"}}, {"name": "scratch", "emptyDir": {}}]));
    let errors = world.prepare(&pod, 0).await.unwrap_err();
    assert_eq!(
        errors,
        [r#"MountVolume.SetUp failed for volume "x" : configmap "y" not found"#]
    );
    world.data.set("y", &[("k", "1")]);
    let paths = world.prepare(&pod, 1).await.unwrap();
    assert_eq!(std::fs::read_to_string(paths["x"].join("k")).unwrap(), "1");
    world.data.set("y", &[("k", "2")]);
    world.prepare(&pod, 2).await.unwrap();
    assert_eq!(std::fs::read_to_string(paths["x"].join("k")).unwrap(), "2");
}

#[tokio::test]
async fn optional_objects_may_be_missing() {
    let world = world();
    let pod = pod(json!([{"name": "x", "secret": {"secretName": "y", "optional": true}}]));
    let paths = world.prepare(&pod, 0).await.unwrap();
    assert!(paths["x"].is_dir());
}

#[tokio::test]
async fn unknown_sources_are_refused_and_unused_ones_ignored() {
    let world = world();
    let mut pod = pod(json!([{"name": "x", "nfs": {"server": "s", "path": "/"}}]));
    let errors = world.prepare(&pod, 0).await.unwrap_err();
    assert_eq!(
        errors,
        [r#"MountVolume.SetUp failed for volume "x" : volume source nfs is not supported by this node"#]
    );
    pod.spec.containers[0].volume_mounts.clear();
    assert!(world.prepare(&pod, 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn empty_dirs_are_open_to_all_and_keep_what_a_pod_changed() {
    let world = world();
    let memory = json!({"name": "memory", "emptyDir": {"medium": "Memory"}});
    let mut pod = pod(json!([{"name": "scratch", "emptyDir": {}}, memory]));
    pod.spec.security_context.fs_group = Some(4242);
    let paths = world.prepare(&pod, 0).await.unwrap();
    let path = paths["scratch"].clone();
    for (name, mode) in [("scratch", 0o2777), ("memory", 0o3777)] {
        let meta = std::fs::metadata(&paths[name]).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.gid()), (mode, 4242), "{name}");
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    world.prepare(&pod, 1).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn host_paths_are_checked_and_created_by_type() {
    let world = world();
    let base = world.dir.path().display().to_string();
    let try_path = async |path: &str, kind: &str| {
        world
            .prepare(
                &pod(json!([{"name": "h", "hostPath": {"path": format!("{base}/{path}"), "type": kind}}])),
                0,
            )
            .await
    };
    assert!(try_path("missing", "").await.is_ok());
    let error = try_path("missing", "Directory").await.unwrap_err();
    assert_eq!(
        error,
        [format!(
            "MountVolume.SetUp failed for volume \"h\" : hostPath type check failed: {base}/missing is not a directory"
        )]
    );
    assert!(try_path("made", "DirectoryOrCreate").await.is_ok());
    assert!(try_path("made", "Directory").await.is_ok());
    assert!(try_path("made", "File").await.is_err());
    assert!(try_path("file", "FileOrCreate").await.is_ok());
    assert!(try_path("file", "File").await.is_ok());
    assert!(try_path("file", "Socket").await.is_err());
}

#[tokio::test]
async fn teardown_removes_the_pod_directory_twice_in_a_row() {
    let world = world();
    let pod = pod(json!([{"name": "scratch", "emptyDir": {}}]));
    let path = world.prepare(&pod, 0).await.unwrap()["scratch"].clone();
    std::fs::write(path.join("data"), "x").unwrap();
    world.volumes.teardown(&"u1".into()).await.unwrap();
    assert!(!world.dir.path().join("pods/u1").exists());
    world.volumes.teardown(&"u1".into()).await.unwrap();
}
