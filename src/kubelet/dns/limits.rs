//! Says on our Node when its resolv.conf does not fit into Pods'.

use super::exceeded;
use crate::api::{EventType, Events};
use crate::config::KubeletConfig;
use crate::kubelet::refs;
use crate::task::SayOnce;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two looks.
const PERIOD: Duration = Duration::from_secs(30);
/// The same is said again after this long.
const AGAIN: Duration = Duration::from_secs(600);

/// Looks, for ever.
pub async fn watch(config: Arc<KubeletConfig>, events: Arc<dyn Events>) {
    let Some(path) = &config.resolv_conf else {
        return;
    };
    let mut said = SayOnce::new(AGAIN);
    loop {
        let problem = match tokio::fs::read_to_string(path).await {
            Ok(text) => exceeded(&path.to_string_lossy(), &text, &config.cluster_domain),
            Err(error) => Some(format!("open {}: {error}", path.display())),
        };
        match problem {
            Some(problem) if said.say(&problem, Instant::now()).is_some() => {
                let node = refs::node(&config.node);
                events.emit(&node, EventType::Warning, "CheckLimitsForResolvConf", problem);
            }
            Some(_) => {}
            None => drop(said.reset()),
        }
        tokio::time::sleep(PERIOD).await;
    }
}
