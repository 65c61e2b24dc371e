#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::config::{Cli, Config, Source};
use clap::Parser;
use std::io;
use std::path::{Path, PathBuf};

/// A machine with one configuration file.
struct Machine(String);

impl Source for Machine {
    fn hostname(&self) -> io::Result<String> {
        Ok("n".into())
    }
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn read(&self, _: &Path) -> io::Result<String> {
        Ok(format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n{}",
            self.0
        ))
    }
    fn files(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
}

fn read(file: &str, flags: &[&str]) -> Result<EvictionConfig, String> {
    let cli = Cli::try_parse_from(["rustlet", "--config=/k"].iter().chain(flags)).unwrap();
    Config::new(&cli.flags, &Machine(file.into()))
        .map(|config| config.kubelet.eviction.clone())
        .map_err(|error| error.to_string())
}

/// `signal<level+reclaim after grace`.
fn told(config: &EvictionConfig) -> Vec<String> {
    let level = |level: &Level| match level {
        Level::Quantity { text, .. } => text.to_string(),
        Level::Part(part) => format!("{}%", (part * 100.0).round()),
    };
    let one = |t: &Threshold| {
        let reclaim = t
            .reclaim
            .as_ref()
            .map_or(String::new(), |r| format!("+{}", level(r)));
        let grace = if t.is_hard() {
            String::new()
        } else {
            format!(" after {:?}", t.grace)
        };
        format!("{}<{}{reclaim}{grace}", t.signal.as_str(), level(&t.level))
    };
    config.thresholds.iter().map(one).collect()
}

#[test]
fn thresholds() {
    let defaults = [
        "imagefs.available<15%",
        "imagefs.inodesFree<5%",
        "memory.available<100Mi",
        "nodefs.available<10%",
        "nodefs.inodesFree<5%",
        "allocatableMemory.available<100Mi",
    ];
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("", &[], &defaults),
        ("evictionHard: {}", &[], &[]),
        ("evictionHard: null", &[], &defaults),
        ("evictionHard: {pid.available: 10%}", &[], &["pid.available<10%"]),
        (
            "evictionHard: {memory.available: 0%, nodefs.available: 100%}",
            &[],
            &[],
        ),
        (
            "mergeDefaultEvictionSettings: true\nevictionHard: {memory.available: 5%, pid.available: '100'}",
            &[],
            &[
                "imagefs.available<15%",
                "imagefs.inodesFree<5%",
                "memory.available<5%",
                "nodefs.available<10%",
                "nodefs.inodesFree<5%",
                "pid.available<100",
                "allocatableMemory.available<5%",
            ],
        ),
        (
            "evictionHard: {nodefs.available: 1Gi}\nevictionSoft: {memory.available: 1.5Gi}\nevictionSoftGracePeriod: {memory.available: 1m30s}\nevictionMinimumReclaim: {memory.available: 0Mi, nodefs.available: 500Mi}",
            &[],
            &[
                "nodefs.available<1Gi+500Mi",
                "memory.available<1.5Gi+0Mi after 90s",
            ],
        ),
        (
            "enforceNodeAllocatable: [none]\nevictionHard: {memory.available: 1Gi}",
            &[],
            &["memory.available<1Gi"],
        ),
        (
            "evictionHard: {memory.available: 1Gi}",
            &[
                "--eviction-hard=nodefs.available<5%,imagefs.available<10%",
                "--eviction-minimum-reclaim=imagefs.available=10%",
            ],
            &["imagefs.available<10%+10%", "nodefs.available<5%"],
        ),
    ];
    for (file, flags, wanted) in cases {
        assert_eq!(told(&read(file, flags).unwrap()), *wanted, "{file} {flags:?}");
    }
}

#[test]
fn what_is_no_threshold_is_refused() {
    for (file, problem) in [
        (
            "evictionHard: {disk.available: 5%}",
            "unsupported eviction signal disk.available",
        ),
        (
            "evictionHard: {memory.available: '0'}",
            "eviction threshold memory.available must be positive: 0",
        ),
        (
            "evictionHard: {memory.available: 101%}",
            "eviction percentage threshold memory.available must be <= 100%: 101%",
        ),
        (
            "evictionHard: {memory.available: -1%}",
            "eviction percentage threshold memory.available must be >= 0%: -1%",
        ),
        (
            "evictionHard: {memory.available: lots}",
            r#"memory.available: "lots" is neither a quantity"#,
        ),
        (
            "evictionHard: {memory.available: NaN%}",
            r#"memory.available: "NaN%" is neither a quantity"#,
        ),
        (
            "evictionHard: {memory.available: -5Mi}",
            r#"memory.available: "-5Mi" is neither a quantity"#,
        ),
        (
            "evictionHard: [memory.available]",
            "is not a map of eviction signals",
        ),
        (
            "evictionSoft: {memory.available: 5%}",
            "grace period must be specified for the soft eviction threshold memory.available",
        ),
        (
            "evictionSoftGracePeriod: {memory.available: -5s}",
            r#"memory.available: "-5s" is not a duration"#,
        ),
        (
            "evictionMinimumReclaim: {memory.available: 0%}",
            "eviction percentage minimum reclaim memory.available must be positive: 0%",
        ),
        (
            "imageGCLowThresholdPercent: 85",
            "85 must be less than imageGCHighThresholdPercent 85",
        ),
        (
            "imageMaximumGCAge: 1m",
            "imageMaximumGCAge: it must be greater than imageMinimumGCAge",
        ),
    ] {
        let error = read(file, &[]).unwrap_err();
        assert!(error.contains(problem), "{file}: {error}");
    }
    let error = read("", &["--eviction-hard=memory.available=1Gi"]).unwrap_err();
    assert!(error.contains("is not SIGNAL<VALUE"), "{error}");
}

#[test]
fn a_level_is_a_part_of_a_capacity_in_single_precision() {
    let part = |text: &str| level_of(text).unwrap();
    assert_eq!(part("10%").of(1000), 100);
    assert_eq!(part("5%").of(25_769_803_776), 1_288_490_208);
    assert_eq!(part("1.5Gi").of(0), 1_610_612_736);
    assert_eq!(part("0.5").of(0), 1);
}
