//! `/stats/summary` and the metrics endpoints: text format 0.0.4, whatever the scraper would also take.

use super::Shared;
use super::answer::{Answer, json, text, with_type};
use super::route::{Endpoint, Found};
use crate::cri::v1;
use crate::kubelet::metrics::{self as now, Now};
use crate::kubelet::stats::{self, cadvisor, resource, summary};
use crate::model::pod::Pod;
use crate::sys::usage;
use crate::telemetry::text::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodStatus;
use std::sync::Arc;

pub(super) async fn serve(shared: &Arc<Shared>, found: &Found, request: Request<Incoming>) -> Answer {
    match found.route.endpoint {
        Endpoint::Summary => {
            summary(
                shared,
                only_cpu_and_memory(request.uri().query().unwrap_or_default()),
            )
            .await
        }
        Endpoint::MetricsResource => metrics(resource::resource(snapshot(shared).await.as_deref())),
        Endpoint::MetricsCadvisor => {
            let snapshot = snapshot(shared).await;
            let now = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
            metrics(cadvisor::cadvisor(
                shared.stats.machine(),
                snapshot.as_deref(),
                now,
            ))
        }
        Endpoint::MetricsProbes => metrics(shared.metrics.probes()),
        Endpoint::MetricsSlis if request.method() == Method::DELETE => {
            shared.metrics.reset_slis();
            text(StatusCode::OK, "metrics reset\n")
        }
        Endpoint::MetricsSlis => metrics(shared.metrics.slis()),
        _ => metrics(now::render(&now(shared).await) + &shared.metrics.counted()),
    }
}

/// What is true now: Pods and containers by state, and this process.
async fn now(shared: &Shared) -> Now {
    let source = &shared.source;
    let all: Vec<_> = source.uids().iter().filter_map(|uid| source.get(uid)).collect();
    let (statics, pods): (Vec<_>, Vec<_>) = all.into_iter().partition(|pod| pod.is_static());
    let ended = |phase: &str| matches!(phase, "Succeeded" | "Failed");
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let over = |pod: &&Arc<Pod>| {
        let told = source.status(&pod.metadata.uid);
        told.is_some_and(|told| ended(told.phase.as_deref().unwrap_or_default()))
    };
    let mut now = Now {
        node: shared.node.to_string(),
        desired: count(pods.len()),
        active: count(pods.iter().filter(|pod| !ended(&pod.status.phase)).count()),
        statics: (
            count(statics.len()),
            count(statics.len() - statics.iter().filter(over).count()),
        ),
        mirrors: count(source.mirrors().len()),
        ephemeral: pods
            .iter()
            .map(|pod| count(pod.spec.ephemeral_containers.len()))
            .sum(),
        cgroup_version: shared.stats.cgroup_version(),
        process: usage::process(),
        ..Now::default()
    };
    for status in pods
        .iter()
        .filter_map(|pod| shared.source.status(&pod.metadata.uid))
    {
        count_resizes(&status, &mut now);
    }
    if let Ok(sandboxes) = shared.runtime.list_pod_sandboxes(None).await {
        let ready = |s: &&v1::PodSandbox| s.state() == v1::PodSandboxState::SandboxReady;
        now.running = Some(count(sandboxes.iter().filter(ready).count()));
    }
    for container in shared.runtime.list_containers(None).await.unwrap_or_default() {
        *now.containers.entry(state(container.state())).or_default() += 1;
    }
    if let Ok(snapshot) = shared.stats.snapshot(stats::FRESH).await {
        now.logs = shared.stats.logs(&snapshot).await;
    }
    now
}

/// PURE. Adds what a Pod's conditions say of resizes.
fn count_resizes(status: &PodStatus, now: &mut Now) {
    for condition in status.conditions.iter().flatten() {
        match (&*condition.type_, condition.reason.as_deref()) {
            ("PodResizePending", Some("Deferred")) => {
                *now.resizes_pending.entry("deferred").or_default() += 1
            }
            ("PodResizePending", _) => *now.resizes_pending.entry("infeasible").or_default() += 1,
            ("PodResizeInProgress", _) => now.resizes_in_progress += 1,
            _ => {}
        }
    }
}

/// PURE. kubelet's word.
fn state(state: v1::ContainerState) -> &'static str {
    match state {
        v1::ContainerState::ContainerCreated => "created",
        v1::ContainerState::ContainerRunning => "running",
        v1::ContainerState::ContainerExited => "exited",
        v1::ContainerState::ContainerUnknown => "unknown",
    }
}

fn metrics(body: String) -> Answer {
    with_type(StatusCode::OK, CONTENT_TYPE, body)
}

/// `None` when the runtime does not answer: the metrics say so themselves.
async fn snapshot(shared: &Shared) -> Option<Arc<stats::snapshot::Snapshot>> {
    let snapshot = shared.stats.snapshot(stats::FRESH).await;
    snapshot
        .inspect_err(|error| tracing::warn!(%error, "statistics are not complete"))
        .ok()
}

async fn summary(shared: &Shared, only_cpu_and_memory: bool) -> Answer {
    let snapshot = match shared.stats.rated(stats::FRESH).await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            return text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("Internal Error: {error}"),
            );
        }
    };
    let disks = if only_cpu_and_memory {
        None
    } else {
        Some(shared.stats.disks(&snapshot).await)
    };
    json(&summary::summary(shared.stats.node(), &snapshot, disks.as_ref()))
}

/// PURE. `?only_cpu_and_memory=true`, in the words Go takes for true.
fn only_cpu_and_memory(query: &str) -> bool {
    let value = query
        .split('&')
        .find_map(|part| part.strip_prefix("only_cpu_and_memory="));
    matches!(value, Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::PodCondition;

    #[test]
    fn resizes_are_counted_by_what_conditions_say() {
        let status = |kinds: &[(&str, Option<&str>)]| PodStatus {
            conditions: Some(
                kinds
                    .iter()
                    .map(|(kind, reason)| PodCondition {
                        type_: (*kind).into(),
                        reason: reason.map(Into::into),
                        ..PodCondition::default()
                    })
                    .collect(),
            ),
            ..PodStatus::default()
        };
        let mut now = Now::default();
        for conditions in [
            &[
                ("PodResizePending", Some("Deferred")),
                ("PodResizeInProgress", None),
            ][..],
            &[("PodResizePending", Some("Infeasible"))],
            &[("PodResizePending", Some("Deferred")), ("Ready", None)],
        ] {
            count_resizes(&status(conditions), &mut now);
        }
        assert_eq!(now.resizes_pending, [("deferred", 2), ("infeasible", 1)].into());
        assert_eq!(now.resizes_in_progress, 1);
    }

    #[test]
    fn the_short_summary_is_asked_for_in_the_query() {
        for (query, wanted) in [
            ("only_cpu_and_memory=true", true),
            ("a=b&only_cpu_and_memory=1", true),
            ("only_cpu_and_memory=false", false),
            ("only_cpu_and_memory", false),
            ("", false),
        ] {
            assert_eq!(only_cpu_and_memory(query), wanted, "{query}");
        }
    }
}
