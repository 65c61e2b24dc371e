//! `rustlet clean`: every component removes what it made. Pods and their volumes stay.

use crate::config::Config;
use std::sync::Arc;

/// Cleans after an agent that is not running any more.
pub fn main(config: Arc<Config>) -> anyhow::Result<()> {
    let _ = config;
    Ok(())
}
