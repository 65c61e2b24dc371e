//! The node's own views: health, Pods, settings, checkpoints.

mod checkpoint;
pub(super) mod checks;
mod configz;
mod lists;
mod runningpods;
mod zpages;

use super::Shared;
use super::answer::{Answer, json, text};
use super::route::{Endpoint, Found, ROUTES};
use checks::Check;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use std::sync::Arc;
use tokio::time::Instant;

pub(super) async fn serve(shared: &Arc<Shared>, found: &Found, request: Request<Incoming>) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    match found.route.endpoint {
        Endpoint::Healthz => healthz(shared, found.route.pattern, query),
        Endpoint::Pods => lists::pods(shared).await,
        Endpoint::RunningPods => lists::running(shared).await,
        Endpoint::Configz => json(&configz::configz(&shared.config)),
        Endpoint::Statusz => {
            let paths = ROUTES.iter().filter(|route| route.methods.is_empty());
            let page = zpages::statusz(shared.started, Timestamp::now(), paths.map(|route| route.pattern));
            text(StatusCode::OK, page)
        }
        Endpoint::Flagz => {
            let flags = configz::flags(&shared.settings, &shared.config);
            text(StatusCode::OK, zpages::flagz(&flags))
        }
        Endpoint::Checkpoint => checkpoint::serve(shared, found, query).await,
        _ => text(StatusCode::NOT_FOUND, "404: Page Not Found"),
    }
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
    match all.iter().find(|check| pattern.ends_with(check.name)) {
        Some(one) => checks::one(one),
        None => checks::all(&all, Some(query)),
    }
}

#[cfg(test)]
pub(super) mod tests;
