use super::*;
use serde_json::json;

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u1"},
        "spec": {
            "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "c"}}],
            "containers": [{
                "name": "main",
                "terminationMessagePath": "/dev/termination-log",
                "volumeMounts": [
                    {"name": "scratch", "mountPath": "/scratch", "mountPropagation": "HostToContainer"},
                    {"name": "conf", "mountPath": "/conf"},
                ],
            }],
        },
    }))
    .unwrap()
}

fn none(_: &str) -> Option<String> {
    None
}

async fn mounts_of(pod: &Pod, root: &Path) -> Result<Vec<v1::Mount>, Error> {
    let dirs = Dirs {
        root: root.into(),
        pod_logs: root.join("logs"),
    };
    let volumes = pod
        .spec
        .volumes
        .iter()
        .map(|v| (v.name.clone(), root.join(&*v.name)))
        .collect();
    let input = Input {
        dirs: &dirs,
        pod,
        container: &pod.spec.containers[0],
        volumes: &volumes,
        images: &[("model".into(), image())].into(),
        attempt: 3,
    };
    container(input, true, &none).await
}

#[tokio::test]
async fn a_container_gets_its_volumes_hosts_file_and_termination_log() {
    let dir = tempfile::tempdir().unwrap();
    let mounts = mounts_of(&pod(), dir.path()).await.unwrap();
    let seen: Vec<(&str, bool)> = mounts
        .iter()
        .map(|m| (m.container_path.as_str(), m.readonly))
        .collect();
    assert_eq!(
        seen,
        [
            ("/scratch", false),
            ("/conf", true),
            ("/etc/hosts", false),
            ("/dev/termination-log", false)
        ]
    );
    assert_eq!(
        mounts[0].propagation(),
        v1::MountPropagation::PropagationHostToContainer
    );
    let log = std::fs::metadata(&mounts[3].host_path).unwrap();
    assert_eq!(log.mode() & 0o777, 0o666);
    assert!(mounts[3].host_path.ends_with("pods/u1/containers/main/00000003"));
}

fn image() -> v1::ImageSpec {
    v1::ImageSpec {
        image: "sha256:abc".into(),
        user_specified_image: "model:1".into(),
        ..v1::ImageSpec::default()
    }
}

#[tokio::test]
async fn an_image_is_mounted_by_the_runtime_and_only_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut pod = pod();
    pod.spec.containers[0].volume_mounts = serde_json::from_value(json!([
        {"name": "model", "mountPath": "/model"}, {"name": "model", "mountPath": "/part", "subPath": "a/b"},
    ]))
    .unwrap();
    let mounts = mounts_of(&pod, dir.path()).await.unwrap();
    let want = |path: &str, sub_path: &str| v1::Mount {
        container_path: path.into(),
        image: Some(image()),
        image_sub_path: sub_path.into(),
        readonly: true,
        ..v1::Mount::default()
    };
    assert_eq!(mounts[..2], [want("/model", ""), want("/part", "a/b")]);
    pod.spec.containers[0].volume_mounts[1].sub_path = "../up".into();
    assert!(mounts_of(&pod, dir.path()).await.is_err());
}

#[tokio::test]
async fn a_container_that_mounts_its_own_hosts_file_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut pod = pod();
    pod.spec.containers[0].volume_mounts[0].mount_path = "/etc/hosts".into();
    let mounts = mounts_of(&pod, dir.path()).await.unwrap();
    assert_eq!(
        mounts.iter().filter(|m| m.container_path == "/etc/hosts").count(),
        1
    );
}

#[tokio::test]
async fn bad_mounts_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    type Case = (fn(&mut VolumeMount), &'static str);
    let cases: [Case; 4] = [
        (
            |m| m.name = "nope".into(),
            r#"cannot find volume "nope" to mount into container "main""#,
        ),
        (
            |m| m.sub_path = "../x".into(),
            "unable to provision SubPath `../x`: must not contain '..'",
        ),
        (
            |m| m.sub_path = "/x".into(),
            "unable to provision SubPath `/x`: must not be an absolute path",
        ),
        (
            |m| m.sub_path_expr = "$(NOPE)/x".into(),
            "unable to provision SubPath `$(NOPE)/x`: missing value for \"NOPE\"",
        ),
    ];
    for (spoil, message) in cases {
        let mut pod = pod();
        spoil(&mut pod.spec.containers[0].volume_mounts[0]);
        assert_eq!(
            mounts_of(&pod, dir.path()).await.unwrap_err().to_string(),
            message
        );
    }
}

#[test]
fn sub_path_expressions_expand_variables() {
    let variable: Variable<'_> = &|name| (name == "POD").then(|| "web-1".to_owned());
    assert_eq!(
        expand("logs/$(POD)/$$(POD)/$x", variable).unwrap(),
        "logs/web-1/$(POD)/$x"
    );
    let mount = VolumeMount {
        sub_path_expr: "$(POD)".into(),
        ..Default::default()
    };
    assert_eq!(sub_path(&mount, variable).unwrap().unwrap(), Path::new("web-1"));
}
