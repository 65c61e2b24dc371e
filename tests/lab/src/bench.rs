//! Measurements on real clusters, rustlet and upstream's kubelet in turn on the same machine.
//!
//! Quote the ratios and medians of one run: absolute numbers belong to the machine and the hour.

pub mod node;
pub mod pods;
mod usage;
mod watch;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::dirs;
use crate::node::AgentKind;

/// As results name it.
fn agent_name(agent: &AgentKind) -> &'static str {
    match agent {
        AgentKind::Upstream => "upstream",
        _ => "rustlet",
    }
}

/// Leaves the samples in `target/bench/<name>.json`.
fn write(name: &str, samples: &impl Serialize) -> Result<()> {
    let file = dirs::target_dir().join("bench").join(format!("{name}.json"));
    fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
    fs::write(&file, serde_json::to_vec_pretty(samples)?)
        .with_context(|| format!("write {}", file.display()))?;
    println!("written to {}", file.display());
    Ok(())
}

/// The head of a table whose lines [`row`] prints.
fn head() {
    println!("{:44} {:>10} {:>10} {:>9}", "", "rustlet", "upstream", "ratio");
}

/// One line: both sides and how many times less ours is.
fn row(title: &str, ours: f64, theirs: f64) {
    println!("{title:44} {ours:10.2} {theirs:10.2} {:8.1}x", theirs / ours);
}

fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value below which this part of the values is; not a number for none.
fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1) as f64;
    let at = (last * part).round();
    values.get(at as usize).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=101).rev().map(f64::from).collect();
        assert_eq!(median(values.clone()), 51.0);
        assert_eq!(quantile(values.clone(), 0.99), 100.0);
        assert_eq!(quantile(values, 1.0), 101.0);
        assert!(median(Vec::new()).is_nan());
    }
}
