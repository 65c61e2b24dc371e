//! The real components the lab runs: which versions, where they come from, how they are built.
//!
//! A binary is taken from `$RUSTLET_LAB_BIN`, then from `PATH` when its version fits, then from `target/lab/bin` when
//! its recipe is the one it was built by, and built there otherwise.

mod build;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::dirs;
use table::{RECIPES, Recipe};

/// The version of Kubernetes the lab runs.
pub const KUBERNETES: &str = table::KUBERNETES;

/// What binaries are needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Every lab: the control plane, the container runtime and CoreDNS.
    Base,
    /// Nodes made of upstream's kubelet, kube-proxy and CNI plugins.
    Upstream,
    /// Joining a node by `kubeadm join`.
    Kubeadm,
    /// metrics-server, which asks nodes what runs on them and answers `kubectl top`.
    MetricsServer,
    /// Upstream's conformance suite: its tests, what runs them, and what goes into its images.
    Conformance,
}

/// A build as it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildStep {
    /// What is being built.
    pub name: String,
    /// Its number, from 1.
    pub number: usize,
    /// What is built after it.
    pub left: Vec<String>,
    /// Since the first build began.
    pub elapsed: Duration,
}

impl std::fmt::Display for BuildStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (total, seconds) = (self.number + self.left.len(), self.elapsed.as_secs());
        write!(
            f,
            "building {} ({} of {total}, {}m{:02}s so far",
            self.name,
            self.number,
            seconds / 60,
            seconds % 60
        )?;
        if !self.left.is_empty() {
            write!(f, "; left: {}", self.left.join(" "))?;
        }
        f.write_str(")")
    }
}

/// Where each binary is.
#[derive(Debug, Clone, Default)]
pub struct Binaries(BTreeMap<&'static str, PathBuf>);

impl Binaries {
    /// The path of a binary of a group that was ensured.
    pub fn path(&self, name: &str) -> Result<&Path> {
        self.0
            .get(name)
            .map(PathBuf::as_path)
            .with_context(|| format!("{name} is not in the ensured groups of binaries"))
    }

    /// The directory a binary is in.
    pub fn dir(&self, name: &str) -> Result<&Path> {
        self.path(name)?
            .parent()
            .with_context(|| format!("{name} has no directory"))
    }
}

/// Finds or builds the base's binaries and those of `groups`. Two processes may call it at once: the second waits for
/// the first.
pub fn ensure(groups: &[Group], progress: &mut dyn FnMut(BuildStep)) -> Result<Binaries> {
    let bin = dirs::lab_dir().join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("create {}", bin.display()))?;
    let _lock = dirs::lock(&bin.join(".lock"))?;
    let recipes: Vec<&Recipe> = RECIPES
        .iter()
        .filter(|r| r.group == Group::Base || groups.contains(&r.group))
        .collect();
    let mut found = Binaries::default();
    let mut to_build = Vec::new();
    for recipe in recipes {
        match locate(recipe, &bin) {
            Some(path) => {
                found.0.insert(recipe.name, path);
            }
            None => to_build.push(recipe),
        }
    }
    build::all(&to_build, &bin, progress)?;
    for recipe in to_build {
        found.0.insert(recipe.name, bin.join(recipe.file()));
    }
    found
        .0
        .values()
        .try_for_each(|path| dirs::check_visible_in_nodes(path))?;
    Ok(found)
}

fn locate(recipe: &Recipe, bin: &Path) -> Option<PathBuf> {
    let given = std::env::var_os("RUSTLET_LAB_BIN").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere = given
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|dir| dir.join(recipe.file()));
    let fits = |path: &PathBuf| path.is_file() && recipe.accepts(&version_text(path, recipe.version_args));
    elsewhere.into_iter().find(fits).or_else(|| built(recipe, bin))
}

/// What we built ourselves, unless the recipe has changed since.
fn built(recipe: &Recipe, bin: &Path) -> Option<PathBuf> {
    let path = bin.join(recipe.file());
    if !path.is_file() {
        return None;
    }
    let stamp = stamp(recipe, bin);
    match fs::read_to_string(&stamp) {
        Ok(text) => (text == recipe.stamp()).then_some(path),
        // Put there by hand: as good as any other place.
        Err(_) => recipe
            .accepts(&version_text(&path, recipe.version_args))
            .then_some(path),
    }
}

fn stamp(recipe: &Recipe, bin: &Path) -> PathBuf {
    bin.join(format!("{}.recipe", recipe.file()))
}

fn version_text(path: &Path, args: &[&str]) -> String {
    let output = Command::new(path).args(args).stdin(Stdio::null()).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    )
}
