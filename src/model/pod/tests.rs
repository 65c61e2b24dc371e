use super::*;
use serde_json::json;

/// A Pod as the API server sends it, with much that nobody here reads.
fn from_the_api_server() -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web-0", "namespace": "shop", "uid": "u-1", "resourceVersion": "42", "generation": 3,
            "creationTimestamp": "2026-11-21T10:00:00Z", "deletionTimestamp": "2026-11-21T11:00:30Z",
            "deletionGracePeriodSeconds": 30, "labels": {"app": "web"},
            "managedFields": [{"manager": "kubectl"}], "ownerReferences": [{"kind": "ReplicaSet"}],
        },
        "spec": {
            "nodeName": "worker-1", "restartPolicy": "OnFailure", "dnsPolicy": "ClusterFirstWithHostNet",
            "hostPID": true, "schedulerName": "default-scheduler", "tolerations": [{"key": "x"}],
            "setHostnameAsFQDN": true, "securityContext": {}, "terminationGracePeriodSeconds": 0,
            "initContainers": [{"name": "s", "image": "s:1", "restartPolicy": "Always"}],
            "containers": [{
                "name": "web", "image": "web:1", "imagePullPolicy": "Always",
                "ports": [{"containerPort": 80, "hostIP": "1.2.3.4", "protocol": "UDP"}],
                "env": [{"name": "A"}, {"name": "IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}],
                "resources": {"limits": {"cpu": "100m"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": "http", "scheme": "HTTP"}, "periodSeconds": 5},
                "readinessProbe": {"tcpSocket": {"port": 80}},
                "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
                "securityContext": {"seLinuxOptions": {"type": "t"}, "appArmorProfile": {"type": "RuntimeDefault"}},
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }],
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "disk", "csi": {"driver": "x"}},
                {"name": "api", "projected": {"sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
                ]}},
            ],
        },
        "status": {
            "phase": "Running", "qosClass": "Burstable", "hostIP": "10.0.0.1", "podIPs": [{"ip": "10.244.0.9"}],
            "startTime": "2026-11-21T10:00:01Z",
            "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null, "lastTransitionTime": "2026-11-21T10:00:02Z"}],
            "containerStatuses": [{
                "name": "web", "restartCount": 2, "ready": true, "started": true, "containerID": "containerd://abc",
                "image": "web:1", "imageID": "web@sha256:1",
                "state": {"running": {"startedAt": "2026-11-21T10:00:02Z"}},
                "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "containerID": "containerd://abb",
                    "startedAt": "2026-11-21T10:00:00Z", "finishedAt": "2026-11-21T10:00:01Z"}},
            }],
        },
    })
}

#[test]
fn containers_of_all_kinds_are_found() {
    let pod: Pod = serde_json::from_value(json!({
        "spec": {
            "initContainers": [{"name": "i"}], "containers": [{"name": "a"}],
            "ephemeralContainers": [{"name": "e", "image": "e:1", "targetContainerName": "a", "stdin": true, "tty": true}],
        },
        "status": {"ephemeralContainerStatuses": [{"name": "e", "containerID": "containerd://1", "ready": false}]},
    }))
    .unwrap();
    let names: Vec<_> = pod.spec.every_container().map(|c| &*c.name).collect();
    assert_eq!(names, ["i", "a", "e"]);
    let init = |name: &str| pod.container(name).map(|(_, init)| init);
    assert_eq!(
        [init("i"), init("a"), init("e"), init("x")],
        [Some(true), Some(false), Some(false), None]
    );
    let (debugger, _) = pod.container("e").unwrap();
    assert_eq!(debugger.target_container_name.as_deref(), Some("a"));
    assert!(debugger.stdin && debugger.tty);
    assert_eq!(&*pod.history("e").unwrap().container_id, "containerd://1");
}

#[test]
fn a_pod_of_the_api_server_is_read() {
    let pod: Pod = serde_json::from_value(from_the_api_server()).unwrap();
    assert_eq!(pod.metadata.key().to_string(), "shop/web-0");
    assert_eq!(
        (
            pod.metadata.generation,
            pod.metadata.deletion_grace_period_seconds
        ),
        (Some(3), Some(30))
    );
    let spec = &pod.spec;
    assert_eq!(
        (spec.restart_policy, spec.dns_policy),
        (RestartPolicy::OnFailure, DnsPolicy::ClusterFirstWithHostNet)
    );
    assert_eq!(
        (
            spec.host_pid,
            spec.set_hostname_as_fqdn,
            spec.termination_grace_period_seconds
        ),
        (true, Some(true), 0)
    );
    let (sidecar, init) = pod.container("s").unwrap();
    assert!(sidecar.is_sidecar() && init);
    let (web, init) = pod.container("web").unwrap();
    assert!(!web.is_sidecar() && !init && pod.container("nope").is_none());
    assert_eq!(
        (web.ports[0].protocol, &*web.ports[0].host_ip),
        (Protocol::Udp, "1.2.3.4")
    );
    let liveness = web.liveness_probe.as_ref().unwrap();
    assert_eq!(
        liveness.http_get.as_ref().unwrap().port,
        IntOrString::Name("http".into())
    );
    assert_eq!(
        (
            liveness.period_seconds,
            liveness.failure_threshold,
            liveness.timeout_seconds
        ),
        (5, 3, 1)
    );
    assert_eq!(
        web.readiness_probe
            .as_ref()
            .unwrap()
            .tcp_socket
            .as_ref()
            .unwrap()
            .port,
        IntOrString::Int(80)
    );
    assert_eq!(
        web.restart_policy_rules[0].exit_codes.as_ref().unwrap().values,
        [42]
    );
    assert_eq!(
        &*web.security_context.se_linux_options.as_ref().unwrap().kind,
        "t"
    );
    assert_eq!(
        &*web.security_context.app_armor_profile.as_ref().unwrap().kind,
        "RuntimeDefault"
    );
    assert_eq!(
        web.env[1]
            .value_from
            .as_ref()
            .unwrap()
            .field_ref
            .as_ref()
            .unwrap()
            .field_path,
        "status.podIP".into()
    );
}

#[test]
fn volumes_this_build_does_not_know_keep_their_name() {
    let pod: Pod = serde_json::from_value(from_the_api_server()).unwrap();
    let [tmp, disk, api] = &*pod.spec.volumes else {
        panic!("three volumes")
    };
    assert!(tmp.empty_dir.is_some() && tmp.unknown.is_empty());
    assert!(disk.unknown.contains_key("csi"));
    let sources = &api.projected.as_ref().unwrap().sources;
    assert_eq!(
        sources[0]
            .service_account_token
            .as_ref()
            .unwrap()
            .expiration_seconds,
        Some(3607)
    );
    assert_eq!(&*sources[1].downward_api.as_ref().unwrap().items[0].path, "ns");
}

#[test]
fn history_is_read_from_the_status() {
    let pod: Pod = serde_json::from_value(from_the_api_server()).unwrap();
    let web = pod.history("web").unwrap();
    assert_eq!(
        (web.restart_count, web.started, &*web.container_id),
        (2, Some(true), "containerd://abc")
    );
    assert!(web.state.running.is_some());
    assert_eq!(web.last_state.terminated.as_ref().unwrap().exit_code, 1);
    assert_eq!(pod.status.pod_ips[0].ip, "10.244.0.9".parse().ok());
    assert!(pod.history("s").is_none());
}

#[test]
fn what_is_read_survives_a_round_trip() {
    let pod: Pod = serde_json::from_value(from_the_api_server()).unwrap();
    let again: Pod = serde_json::from_value(serde_json::to_value(&pod).unwrap()).unwrap();
    assert_eq!(pod, again);
}

#[test]
fn defaults_are_the_api_servers() {
    let pod: Pod =
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": []}})).unwrap();
    assert_eq!(
        (pod.spec.restart_policy, pod.spec.termination_grace_period_seconds),
        (RestartPolicy::Always, 30)
    );
    assert_eq!(pod.spec.dns_policy, DnsPolicy::ClusterFirst);
}
