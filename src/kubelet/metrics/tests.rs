use super::*;
use crate::testing::builders;
use jiff::Timestamp;

#[test]
fn calls_have_kubelets_names() {
    for (call, wanted) in [
        ("RunPodSandbox", "run_podsandbox"),
        ("ListPodSandbox", "list_podsandbox"),
        ("PodSandboxStatus", "podsandbox_status"),
        ("ListPodSandboxStats", "list_podsandbox_stats"),
        ("ListContainers", "list_containers"),
        ("ExecSync", "exec_sync"),
        ("ImageFsInfo", "image_fs_info"),
        ("UpdateContainerResources", "update_container"),
        ("Version", "version"),
    ] {
        assert_eq!(operation(call), wanted);
    }
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
}

#[test]
fn calls_requests_and_starts_are_counted() {
    let metrics = KubeletMetrics::default();
    let observe = metrics.of_runtime();
    observe("RunPodSandbox", Duration::from_millis(30), false);
    observe("RunPodSandbox", Duration::from_millis(30), true);
    metrics.sandbox_run("kata", Duration::from_millis(30), true);
    metrics.sandbox_run("kata", Duration::from_millis(30), false);
    metrics.of_api()("GET", "10.0.0.1:6443", Some(200), Duration::ZERO);
    metrics.of_api()("GET", "10.0.0.1:6443", None, Duration::ZERO);
    let p = builders::pod("p", &["a"]);
    metrics.container_started(&p, "a", Err("RunContainerError"));
    metrics.pod_started(&p, true);
    let text = metrics.counted();
    for line in [
        r#"kubelet_runtime_operations_total{operation_type="run_podsandbox"} 2"#,
        r#"kubelet_runtime_operations_errors_total{operation_type="run_podsandbox"} 1"#,
        r#"kubelet_runtime_operations_duration_seconds_bucket{le="0.03125",operation_type="run_podsandbox"} 2"#,
        r#"kubelet_run_podsandbox_duration_seconds_count{runtime_handler="kata"} 2"#,
        r#"kubelet_run_podsandbox_errors_total{runtime_handler="kata"} 1"#,
        r#"rest_client_requests_total{code="200",host="10.0.0.1:6443",method="GET"} 1"#,
        r#"rest_client_requests_total{code="<error>",host="10.0.0.1:6443",method="GET"} 1"#,
        r#"kubelet_started_containers_errors_total{code="RunContainerError",container_type="container"} 1"#,
        "kubelet_started_pods_total 1",
        "# TYPE kubelet_started_pods_total counter",
    ] {
        has(&text, line);
    }
}

#[tokio::test]
async fn pods_with_users_of_their_own_are_counted_once_for_each_sandbox() {
    let metrics = KubeletMetrics::default();
    let mut p = builders::pod("p", &["a"]);
    let counts = |started: u32, failed: u32| {
        let text = metrics.counted();
        has(
            &text,
            &format!("kubelet_started_user_namespaced_pods_total {started}"),
        );
        has(
            &text,
            &format!("kubelet_started_user_namespaced_pods_errors_total {failed}"),
        );
    };
    metrics.pod_started(&p, false);
    counts(0, 0);
    p.spec.host_users = Some(false);
    metrics.pod_started(&p, false);
    counts(1, 1);
    metrics.pod_started(&p, true);
    metrics.container_started(&p, "a", Ok(()));
    counts(2, 1);
    for _ in 0..2 {
        metrics.container_started(&p, "a", Err("RunContainerError"));
        counts(2, 2);
    }
    metrics.pod_started(&p, true);
    metrics.running(&p.metadata.uid, Duration::ZERO, Duration::ZERO);
    metrics.container_started(&p, "a", Err("RunContainerError"));
    counts(3, 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_in_flight_until_it_is_answered() {
    let metrics = KubeletMetrics::default();
    let request = metrics.request(RequestLabels::new(&http::Method::GET, "/metrics/cadvisor"));
    let labels = r#"{long_running="false",method="GET",path="metrics/cadvisor",server_type="readwrite"}"#;
    has(
        &metrics.counted(),
        &format!("kubelet_http_inflight_requests{labels} 1"),
    );
    drop(request);
    has(
        &metrics.counted(),
        &format!("kubelet_http_inflight_requests{labels} 0"),
    );
    has(
        &metrics.counted(),
        &format!("kubelet_http_requests_total{labels} 1"),
    );
    let exec = RequestLabels::new(&http::Method::POST, "/exec/{namespace}/{pod}/{container}");
    drop(metrics.request(exec));
    let labels = r#"{long_running="true",method="POST",path="exec",server_type="readwrite"}"#;
    has(
        &metrics.counted(),
        &format!("kubelet_http_requests_total{labels} 1"),
    );
}

#[test]
fn probes_are_forgotten_with_their_pod() {
    let metrics = KubeletMetrics::default();
    let of = ProbeOf {
        container: "main",
        namespace: "default",
        pod: "web",
        kind: "Readiness",
    };
    let uid = PodUid::from("u1");
    metrics.probed(&uid, &of, true, Duration::from_secs(3));
    metrics.probed(&uid, &of, false, Duration::from_secs(5));
    let labels = r#"container="main",namespace="default",pod="web",pod_uid="u1",probe_type="Readiness""#;
    has(
        &metrics.probes(),
        &format!(r#"prober_probe_total{{{labels},result="successful"}} 1"#),
    );
    has(
        &metrics.probes(),
        &format!(r#"prober_probe_total{{{labels},result="failed"}} 1"#),
    );
    let took = r#"container="main",namespace="default",pod="web",probe_type="Readiness""#;
    has(
        &metrics.probes(),
        &format!(r#"prober_probe_duration_seconds_sum{{{took}}} 3"#),
    );
    metrics.gone(&uid);
    let left = metrics.probes();
    assert!(!left.contains("web"), "{left}");
}

#[tokio::test(start_paused = true)]
async fn a_start_counts_once_and_without_its_pulls() {
    let metrics = KubeletMetrics::default();
    let uid = PodUid::from("u1");
    metrics.seen(&uid);
    metrics.worker_started(&uid);
    tokio::time::advance(Duration::from_secs(4)).await;
    metrics.pulled(&uid, Duration::from_secs(3));
    for _ in 0..2 {
        metrics.running(&uid, Duration::from_secs(5), Duration::from_secs(1));
    }
    let text = metrics.counted();
    for line in [
        "kubelet_pod_start_duration_seconds_sum 4",
        "kubelet_pod_start_duration_seconds_count 1",
        "kubelet_pod_start_total_duration_seconds_sum 5",
        "kubelet_pod_start_sli_duration_seconds_sum 1",
        "kubelet_pod_worker_start_duration_seconds_count 1",
    ] {
        has(&text, line);
    }
    metrics.gone(&uid);
    metrics.running(&uid, Duration::ZERO, Duration::ZERO);
    has(&metrics.counted(), "kubelet_pod_start_duration_seconds_count 1");
}

#[test]
fn a_pod_has_started_when_all_its_containers_have() {
    let pod = builders::pod("web", &["a", "b"]);
    let one = builders::observed(vec![builders::running("a", 0, 10)]);
    assert_eq!(started(&pod, &one), None);
    let both = builders::observed(vec![
        builders::running("a", 0, 10),
        builders::exited("b", 0, 20, 0),
    ]);
    assert_eq!(started(&pod, &both), Some(Duration::ZERO));
    assert_eq!(container_type(&pod, "a"), "container");
    assert_eq!(container_type(&pod, "debugger"), "ephemeral_container");
}

#[test]
fn what_is_now_as_text() {
    let now = Now {
        node: "w1".into(),
        desired: 3,
        active: 2,
        statics: (5, 4),
        mirrors: 6,
        running: Some(2),
        containers: [("running", 4)].into(),
        cgroup_version: 2,
        ..Now::default()
    };
    let text = render(&now);
    for line in [
        r#"kubelet_node_name{node="w1"} 1"#,
        r#"kubelet_desired_pods{static=""} 3"#,
        r#"kubelet_active_pods{static=""} 2"#,
        r#"kubelet_desired_pods{static="true"} 5"#,
        r#"kubelet_active_pods{static="true"} 4"#,
        "kubelet_mirror_pods 6",
        "kubelet_running_pods 2",
        r#"kubelet_running_containers{container_state="running"} 4"#,
        "# TYPE process_cpu_seconds_total counter",
    ] {
        has(&text, line);
    }
    assert!(text.contains(r#"major="1",minor="36""#), "{text}");
}

#[test]
fn checks_of_health_are_counted_until_they_are_reset() {
    let metrics = KubeletMetrics::default();
    metrics.health_checked("ping", true);
    metrics.health_checked("syncloop", true);
    metrics.health_checked("syncloop", false);
    let text = metrics.slis();
    for line in [
        r#"kubernetes_healthcheck{name="ping",type="healthz"} 1"#,
        r#"kubernetes_healthcheck{name="syncloop",type="healthz"} 0"#,
        r#"kubernetes_healthchecks_total{name="ping",status="success",type="healthz"} 1"#,
        r#"kubernetes_healthchecks_total{name="syncloop",status="success",type="healthz"} 1"#,
        r#"kubernetes_healthchecks_total{name="syncloop",status="error",type="healthz"} 1"#,
        "# TYPE kubernetes_healthchecks_total counter",
    ] {
        has(&text, line);
    }
    metrics.reset_slis();
    assert!(!metrics.slis().contains("ping"));
}

#[test]
fn the_nodes_start_counts_once() {
    let metrics = KubeletMetrics::default();
    let now = Timestamp::now();
    let after = |seconds: i64| now + Duration::from_secs(seconds.unsigned_abs());
    let booted = now - Duration::from_secs(100);
    // A Node that was registered before.
    metrics.node_ready(booted, after(1));
    has(&metrics.counted(), "kubelet_node_startup_duration_seconds 0");
    metrics.registering(after(2));
    metrics.registering(after(4));
    metrics.registered(booted, after(5));
    for ready in [8, 9] {
        metrics.node_ready(booted, after(ready));
    }
    metrics.registered(booted, after(10));
    let text = metrics.counted();
    for line in [
        "kubelet_node_startup_registration_duration_seconds 3",
        "kubelet_node_startup_post_registration_duration_seconds 3",
        "kubelet_node_startup_duration_seconds 108",
    ] {
        has(&text, line);
    }
}

#[test]
fn resizes_are_counted_with_upstreams_names() {
    let metrics = KubeletMetrics::default();
    metrics.resize_requested(&crate::kubelet::resize::Request {
        resource: "cpu",
        requirement: "limits",
        operation: "add",
    });
    metrics.resized(true, Duration::from_millis(70));
    metrics.resize_infeasible("swap_limitation");
    metrics.resize_accepted("pods_removed");
    let text = metrics.counted();
    for line in [
        r#"kubelet_container_requested_resizes_total{operation="add",requirement="limits",resource="cpu"} 1"#,
        r#"kubelet_pod_resize_duration_milliseconds_bucket{le="50",success="true"} 0"#,
        r#"kubelet_pod_resize_duration_milliseconds_bucket{le="100",success="true"} 1"#,
        r#"kubelet_pod_resize_duration_milliseconds_sum{success="true"} 70"#,
        r#"kubelet_pod_infeasible_resizes_total{reason_detail="swap_limitation"} 1"#,
        r#"kubelet_pod_deferred_accepted_resizes_total{retry_trigger="pods_removed"} 1"#,
    ] {
        has(&text, line);
    }
    let now = Now {
        resizes_pending: [("deferred", 2)].into(),
        ..Now::default()
    };
    let text = render(&now);
    has(&text, r#"kubelet_pod_pending_resizes{reason="deferred"} 2"#);
    has(&text, "kubelet_pod_in_progress_resizes 0");
}
