use super::server::{Admin, router};
use super::*;
use crate::task::Ready;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use prometheus_client::metrics::counter::Counter;
use tower::ServiceExt;

async fn get(admin: &Admin, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router(admin.clone()).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn shows_metrics_readiness_and_state() {
    let admin = Admin {
        metrics: Metrics::new(),
        state: DebugState::new(),
        ready: Ready::new(),
    };
    let counter: Counter = Counter::default();
    admin
        .metrics
        .register(|registry| registry.register("pods_started", "Pods started", counter.clone()));
    counter.inc_by(3);
    admin
        .state
        .register("proxy", || serde_json::json!({"services": 2}));
    admin.state.register("kubelet", || serde_json::json!({"pods": 1}));

    let (status, text) = get(&admin, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        text.contains("\npods_started_total 3\n") && text.ends_with("# EOF\n"),
        "{text}"
    );

    let (_, text) = get(&admin, "/debug/state").await;
    assert_eq!(text, r#"{"kubelet":{"pods":1},"proxy":{"services":2}}"#);

    assert_eq!(get(&admin, "/healthz").await, (StatusCode::OK, "ok".to_owned()));
    let guard = admin.ready.wait_for("pod list");
    let (status, text) = get(&admin, "/readyz").await;
    assert_eq!(
        (status, &*text),
        (StatusCode::SERVICE_UNAVAILABLE, "waiting for pod list (0 s)")
    );
    guard.done();
    assert_eq!(get(&admin, "/readyz").await.0, StatusCode::OK);
    assert_eq!(get(&admin, "/nothing").await.0, StatusCode::NOT_FOUND);
}
