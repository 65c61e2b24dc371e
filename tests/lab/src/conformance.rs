//! Upstream's conformance suite against the lab's nodes.
//!
//! The suite is upstream's `e2e.test`, run by ginkgo in the control machine; its images are made here
//! ([`crate::images::conformance`]). Tests that fail are run again, and called flaky when they pass then. What was
//! found is printed as a table and left, with JUnit and JSON, in `target/conformance/<agent>/`; a part of the suite
//! has a directory of its own.

mod progress;
mod report;
mod smoke;
mod suite;
mod table;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::binaries::{self, Binaries, Group};
use crate::cluster::{Cluster, Options};
use crate::demo::stage::COREDNS;
use crate::images;
use crate::kubectl::wait;
use crate::node::AgentKind;
use crate::progress::Step;
use crate::{dirs, packages, registry};
use report::Run;
use suite::{Selection, Suite};
use table::Head;

/// More failures than this are not flakes: running them again would take hours and show nothing.
const RETRY_AT_MOST: usize = 40;
/// Few enough to leave the machine idle; more than one because a test that fails usually waits for five minutes first.
const RETRY_PROCS: usize = 2;

/// Which of the suite's tests there are to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// What makes a cluster conformant.
    Conformance,
    /// Some 30 of those.
    Smoke,
    /// What else the suite knows about a node: its own tests beyond Conformance.
    Node,
}

impl Set {
    /// ginkgo's label query. Left out is what the lab cannot have: devices, upstream's problem detector, a controller
    /// manager that collects 1000 pods, and features that are off by default.
    fn labels(self) -> &'static str {
        match self {
            Self::Conformance | Self::Smoke => "Conformance",
            Self::Node => concat!(
                "(sig-node || NodeConformance) && !Conformance && !DRA && !Flaky && !Disruptive",
                " && !(Feature: containsAny {OffByDefault, GPUDevicePlugin, NodeProblemDetector, PodGarbageCollector})"
            ),
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Conformance => "",
            Self::Smoke => "-smoke",
            Self::Node => "-node",
        }
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub struct ConformanceOptions {
    /// Who makes the machines nodes.
    pub agent: AgentKind,
    /// Regular expression the tests' names match.
    pub focus: Option<String>,
    /// What to choose from.
    pub set: Set,
    /// The tests that must run alone, too, and of [`Set::Node`] the slow ones.
    pub serial: bool,
    /// Tests at once.
    pub procs: usize,
    /// Runs failed tests again.
    pub retry: bool,
}

impl ConformanceOptions {
    fn selection(&self) -> Selection {
        let labels = self.set.labels();
        let focus = match self.set {
            Set::Smoke => Some(smoke::focus()),
            _ => self.focus.clone(),
        };
        Selection {
            labels: match (self.serial, self.set) {
                (true, _) => labels.to_owned(),
                (false, Set::Node) => format!("{labels} && !Serial && !Slow"),
                (false, _) => format!("{labels} && !Serial"),
            },
            focus,
        }
    }

    /// Where the output goes, below `target/conformance`: a part must not replace the results of a complete run.
    fn dir_name(&self) -> String {
        let part = if self.focus.is_some() { "-focus" } else { "" };
        format!("{}{}{part}", self.agent_name(), self.set.suffix())
    }

    fn agent_name(&self) -> &'static str {
        if self.agent == AgentKind::Upstream {
            "upstream"
        } else {
            "rustlet"
        }
    }

    fn what(&self) -> String {
        match self.set {
            Set::Smoke => "the smoke set".to_owned(),
            _ => self.selection().to_string(),
        }
    }
}

/// Runs the suite and prints what came of it. True when nothing failed.
pub fn run(options: &ConformanceOptions) -> Result<bool> {
    let begin = Instant::now();
    let binaries = prepare(&options.agent)?;
    let dir = dirs::target_dir().join("conformance").join(options.dir_name());
    let suite = Suite::new(&binaries, &dir)?;
    let selection = options.selection();
    let tests = suite.list(&selection)?;
    if tests.is_empty() {
        bail!("no test is selected by: {selection}");
    }
    if options.set == Set::Smoke {
        smoke::check(&tests)?;
    }
    let missing_images = missing(&suite.images()?)?;
    println!(
        "{} tests; {} of the suite's images are not made here (listed in images.txt)",
        tests.len(),
        missing_images.len()
    );
    fs::write(dir.join("images.txt"), missing_images.join("\n") + "\n")?;
    let cluster = bring_up(named(&options.agent, &dir)?)?;
    println!("output goes to {}", dir.display());
    let first = suite.run(&cluster, "first", &selection, tests.len(), options.procs)?;
    let again = again(options, &suite, &cluster, &first)?;
    let judged = report::judge(tests, &first, &again);
    let head = Head {
        agent: options.agent_name().to_owned(),
        version: suite.version()?,
        selection: options.what(),
        procs: options.procs,
        seconds: begin.elapsed().as_secs(),
        around: first.around,
        missing_images,
    };
    write(&dir, "table.txt", &table::text(&head, &judged))?;
    write(&dir, "table.md", &table::markdown(&head, &judged))?;
    let good = table::good(&judged, &head);
    if !good {
        cluster.keep_logs();
    }
    let left = cluster.down();
    println!("\n{}", table::text(&head, &judged));
    println!("this table, JUnit and logs: {}", dir.display());
    left.iter()
        .for_each(|what| eprintln!("left over after the tear-down: {what}"));
    Ok(good && left.is_empty())
}

/// Binaries and images.
fn prepare(agent: &AgentKind) -> Result<Binaries> {
    packages::ensure_for_conformance(&mut |text| println!("{text}"))?;
    let mut groups = vec![Group::Conformance];
    if *agent == AgentKind::Upstream {
        groups.push(Group::Upstream);
    }
    let binaries = binaries::ensure(&groups, &mut |step| println!("{step}"))?;
    let lab = dirs::lab_dir();
    let say = |text: &str| println!("{text}");
    let set = images::conformance::ensure(&lab, &binaries, &say)?;
    // The storage is what the cluster's own registry will serve.
    registry::push(&lab, &set, &say)?;
    Ok(binaries)
}

/// The suite's images that are not made here; an image made here that the suite does not know is a mistake.
fn missing(listed: &[String]) -> Result<Vec<String>> {
    for made in images::conformance::MADE {
        if !listed.iter().any(|name| name == made) {
            bail!("the suite does not ask for {made} any more: its name has changed");
        }
    }
    let mut missing: Vec<String> = listed
        .iter()
        .filter(|name| !images::conformance::MADE.contains(&name.as_str()))
        .cloned()
        .collect();
    missing.sort();
    Ok(missing)
}

/// rustlet under the name of kubelet, which one of the tests looks for among the node's processes.
fn named(agent: &AgentKind, dir: &Path) -> Result<AgentKind> {
    let AgentKind::Rustlet(path) = agent else {
        return Ok(agent.clone());
    };
    let link = dir.join("kubelet");
    fs::hard_link(path, &link)
        .or_else(|_| fs::copy(path, &link).map(drop))
        .with_context(|| format!("call {} {}", path.display(), link.display()))?;
    Ok(AgentKind::Rustlet(link))
}

fn bring_up(agent: AgentKind) -> Result<Cluster> {
    let cluster = Cluster::up(Options {
        nodes: 2,
        agent,
        agent_args: Vec::new(),
        keep_logs: false,
        progress: &mut |step| match step {
            Step::Doing(what) => println!("         {what}"),
            Step::Done(what, took) => println!("{:6.1} s {what}", took.as_secs_f64()),
        },
    })?;
    cluster.kubectl_stdin(&["apply", "-f", "-"], COREDNS)?;
    wait("CoreDNS ready", Duration::from_secs(120), || {
        let rollout = [
            "rollout",
            "status",
            "-n",
            "kube-system",
            "deployment/coredns",
            "--timeout=30s",
        ];
        cluster.kubectl(&rollout).map(Some)
    })?;
    Ok(cluster)
}

/// Runs what failed again, with little else beside it.
fn again(options: &ConformanceOptions, suite: &Suite, cluster: &Cluster, first: &Run) -> Result<Run> {
    let failed = first.failed();
    if failed.is_empty() || !options.retry {
        return Ok(Run::default());
    }
    if failed.len() > RETRY_AT_MOST {
        println!(
            "{} tests failed: too many to be run again (at most {RETRY_AT_MOST})",
            failed.len()
        );
        return Ok(Run::default());
    }
    println!("{} tests failed; running them again", failed.len());
    let selection = Selection {
        labels: options.set.labels().to_owned(),
        focus: Some(report::focus(&failed)),
    };
    suite.run(cluster, "again", &selection, failed.len(), RETRY_PROCS)
}

fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let file = dir.join(name);
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))
}
