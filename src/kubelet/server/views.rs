//! The node's own views: health, Pods, settings, checkpoints, the machine's log files, knobs for debugging.

mod accept;
mod checkpoint;
pub(super) mod checks;
mod configz;
mod debug;
mod lists;
mod node_logs;
mod runningpods;
mod zpages;

use super::Shared;
use super::answer::{Answer, json, text};
use super::request::values;
use super::route::{Endpoint, Found, ROUTES, Route};
use checks::Check;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use std::path::Path;
use std::sync::Arc;
use tokio::time::Instant;

/// What `/logs/` shows.
const NODE_LOGS: &str = "/var/log";

pub(super) async fn serve(shared: &Arc<Shared>, found: &Found, request: Request<Incoming>) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    match found.route.endpoint {
        Endpoint::Healthz => healthz(shared, found.route.pattern, query),
        Endpoint::Pods => lists::pods(shared).await,
        Endpoint::RunningPods => lists::running(shared).await,
        Endpoint::Configz => json(&configz::configz(&shared.config)),
        Endpoint::Statusz | Endpoint::Flagz => zpage(shared, found, &request),
        Endpoint::Checkpoint => checkpoint::serve(shared, found, query).await,
        Endpoint::NodeLogs if !shared.config.system_logs => switched_off("logs"),
        Endpoint::NodeLogs => node_logs::serve(Path::new(NODE_LOGS), found, &request).await,
        Endpoint::Profile if !shared.config.profiling => switched_off("profiling"),
        Endpoint::Profile => debug::profile(found.segment("name")),
        Endpoint::Verbosity if !shared.config.debug_flags => switched_off("flags"),
        Endpoint::Verbosity => debug::verbosity(request).await,
        _ => text(StatusCode::NOT_FOUND, "404: Page Not Found"),
    }
}

/// Upstream's words where a setting turns an endpoint off.
fn switched_off(what: &str) -> Answer {
    let words = format!("{what} endpoint is disabled.\n");
    text(StatusCode::METHOD_NOT_ALLOWED, words)
}

fn zpage(shared: &Shared, found: &Found, request: &Request<Incoming>) -> Answer {
    let page = if found.route.endpoint == Endpoint::Flagz {
        zpages::flagz(&configz::flags(&shared.settings, &shared.config))
    } else {
        // Upstream lists what it registers as plain handlers, and itself only afterwards.
        let listed = |route: &&Route| route.methods.is_empty() && route.endpoint != Endpoint::Statusz;
        let paths = ROUTES.iter().filter(listed).map(|route| route.pattern);
        zpages::statusz(shared.started, Timestamp::now(), paths)
    };
    let accepted = request.headers().get(ACCEPT);
    let accepted = accepted.map_or("", |value| value.to_str().unwrap_or("unreadable"));
    let query = request.uri().query().unwrap_or_default();
    let pretty = matches!(
        values(query, "pretty").first().map(String::as_str),
        Some("1" | "true")
    );
    zpages::answer(&page, accepted, pretty)
}

/// `/healthz` with all checks, or one of them. A process that answers this also writes its log.
fn healthz(shared: &Shared, pattern: &str, query: &str) -> Answer {
    let stuck = "sync Loop took longer than expected";
    let check = |name, good: bool, problem| Check {
        name,
        problem: (!good).then_some(problem),
    };
    let all = [
        check("ping", true, ""),
        check("log", true, ""),
        check("syncloop", shared.pulse.healthy(Instant::now()), stuck),
    ];
    if let Some(one) = all.iter().find(|check| pattern.ends_with(check.name)) {
        return checks::one(one);
    }
    // As upstream: a check that is asked for by its name is not counted.
    for check in checks::made(&all, query) {
        shared.metrics.health_checked(check.name, check.problem.is_none());
    }
    checks::all(&all, Some(query))
}

#[cfg(test)]
pub(super) mod tests;
