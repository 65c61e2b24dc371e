//! `lab`: builds, starts and stops the lab, and runs the demo on it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use rustlet_lab::bench::{self, pods::PodsOptions};
use rustlet_lab::binaries::{self, Group};
use rustlet_lab::cluster::{Cluster, Options};
use rustlet_lab::conformance::{self, ConformanceOptions, Set};
use rustlet_lab::demo::{self, DemoOptions, ui::Color};
use rustlet_lab::node::AgentKind;
use rustlet_lab::progress::Step;
use rustlet_lab::{packages, signals, site};

/// A real Kubernetes cluster on this machine, for rustlet's demo, tests and benchmarks
#[derive(Debug, Parser)]
#[command(name = "lab")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install and build what the lab runs, without starting anything
    Build {
        /// Upstream's node components too
        #[arg(long)]
        upstream: bool,
        /// Upstream's conformance suite too
        #[arg(long)]
        conformance: bool,
        /// metrics-server too, for the test of `kubectl top`
        #[arg(long)]
        metrics_server: bool,
    },
    /// Bring a cluster up and keep it until Ctrl-C
    Up(Up),
    /// Bring a cluster up and play the walkthrough on it, each step shown as it becomes true
    Demo(Demo),
    /// Measure the node's footprint and pod start beside upstream's kubelet and kube-proxy
    Bench(Bench),
    /// Run upstream's conformance suite against two nodes
    Conformance(Conformance),
    /// Remove what labs of dead processes have left
    Down,
}

#[derive(Debug, clap::Args)]
struct Up {
    /// How many nodes
    #[arg(long, default_value_t = 2)]
    nodes: usize,
    /// Who makes them nodes
    #[arg(long, value_enum, default_value_t = Agent::Rustlet)]
    agent: Agent,
    /// The rustlet to run; default $RUSTLET_BIN, then target/debug/rustlet
    #[arg(long)]
    rustlet: Option<PathBuf>,
    /// Keep the logs in target/lab/logs
    #[arg(long)]
    keep_logs: bool,
    /// Tear down at once instead of waiting for Ctrl-C
    #[arg(long)]
    once: bool,
    /// More flags for rustlet, after `--`
    #[arg(last = true)]
    agent_args: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Demo {
    /// Who makes the nodes
    #[arg(long, value_enum, default_value_t = Agent::Rustlet, env = "RUSTLET_LAB_AGENT")]
    agent: Agent,
    /// The rustlet to run; default $RUSTLET_BIN, then target/debug/rustlet
    #[arg(long)]
    rustlet: Option<PathBuf>,
    /// Exit by itself after the walkthrough, non-zero if any step failed
    #[arg(long)]
    once: bool,
    /// Colour and a spinner
    #[arg(long, value_enum, default_value_t = When::Auto)]
    color: When,
}

#[derive(Debug, clap::Args)]
struct Bench {
    /// What to measure
    #[arg(value_enum, default_value_t = Measured::Node)]
    what: Measured,
    /// The rustlet to run; default $RUSTLET_BIN, then target/debug/rustlet
    #[arg(long)]
    rustlet: Option<PathBuf>,
    /// Rounds; in each, rustlet and upstream are measured one after the other
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// `pods`: where cri-floor is
    #[arg(long, default_value = "target/release/cri-floor")]
    floor: PathBuf,
    /// `pods`: seconds of each idle measurement
    #[arg(long, default_value_t = 180)]
    idle: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measured {
    /// Footprint with 20 pods, start of a Deployment, cost of a scrape
    Node,
    /// Pod starts over the runtime's floor, deaths, idling with up to 110 pods, restarts
    Pods,
}

#[derive(Debug, clap::Args)]
struct Conformance {
    /// Only tests whose names match this regular expression
    focus: Option<String>,
    /// Only the smoke set: some 30 tests that touch every path
    #[arg(long, conflicts_with = "focus")]
    smoke: bool,
    /// The suite's other tests of a node (`[sig-node]`, `[NodeConformance]`) instead of Conformance
    #[arg(long, conflicts_with = "smoke")]
    node: bool,
    /// The tests that must run alone, too (with --node, also the slow ones)
    #[arg(long)]
    serial: bool,
    /// Tests at once
    #[arg(long, default_value_t = 8)]
    procs: usize,
    /// Do not run failed tests again
    #[arg(long)]
    no_retry: bool,
    /// Who makes the nodes
    #[arg(long, value_enum, default_value_t = Agent::Rustlet, env = "RUSTLET_LAB_AGENT")]
    agent: Agent,
    /// The rustlet to run, the last one given; default $RUSTLET_BIN, then target/debug/rustlet
    #[arg(long, overrides_with = "rustlet")]
    rustlet: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Agent {
    Rustlet,
    Upstream,
    Nobody,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Build {
            upstream,
            conformance,
            metrics_server,
        } => build(&[
            (upstream, Group::Upstream),
            (conformance, Group::Conformance),
            (metrics_server, Group::MetricsServer),
        ]),
        Command::Up(options) => up(options),
        Command::Demo(options) => demo(options),
        Command::Bench(options) => bench(options),
        Command::Conformance(options) => conformance(options),
        Command::Down => down(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build(wanted: &[(bool, Group)]) -> Result<ExitCode> {
    packages::ensure(&mut |text| println!("{text}"))?;
    let wanted = wanted.iter().filter(|(yes, _)| *yes);
    let groups: Vec<Group> = wanted.map(|(_, group)| *group).collect();
    binaries::ensure(&groups, &mut |step| println!("{step}"))?;
    println!("everything is built");
    Ok(ExitCode::SUCCESS)
}

fn up(options: Up) -> Result<ExitCode> {
    let begin = Instant::now();
    let agent = kind(options.agent, options.rustlet);
    let cluster = Cluster::up(Options {
        nodes: options.nodes,
        agent,
        agent_args: options.agent_args,
        keep_logs: options.keep_logs,
        progress: &mut |step| match step {
            Step::Doing(what) => println!("         {what}"),
            Step::Done(what, took) => println!("{:6.1} s {what}", took.as_secs_f64()),
        },
    })?;
    println!("{:6.1} s all of it\n", begin.elapsed().as_secs_f64());
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    println!("{} get nodes -o wide", cluster.client().program().display());
    for node in cluster.nodes() {
        println!("nsenter -a -t {}   # {}", node.machine().pid(), node.name());
    }
    if !options.once {
        println!("Ctrl-C tears it down");
        signals::wait();
    }
    let left = cluster.down();
    left.iter().for_each(|what| eprintln!("left over: {what}"));
    Ok(if left.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn kind(agent: Agent, rustlet: Option<PathBuf>) -> AgentKind {
    match (agent, rustlet) {
        (Agent::Rustlet, Some(path)) => AgentKind::Rustlet(path),
        (Agent::Rustlet, None) => AgentKind::rustlet(),
        (Agent::Upstream, _) => AgentKind::Upstream,
        (Agent::Nobody, _) => AgentKind::Nobody,
    }
}

fn demo(options: Demo) -> Result<ExitCode> {
    let color = match options.color {
        When::Auto => Color::Auto,
        When::Always => Color::Always,
        When::Never => Color::Never,
    };
    let agent = kind(options.agent, options.rustlet);
    let good = demo::run(DemoOptions {
        once: options.once,
        agent,
        color,
    })?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn bench(options: Bench) -> Result<ExitCode> {
    packages::ensure(&mut |text| println!("{text}"))?;
    binaries::ensure(&[Group::Upstream], &mut |step| println!("{step}"))?;
    let rustlet = kind(Agent::Rustlet, options.rustlet);
    match options.what {
        Measured::Node => bench::node::run(rustlet, options.rounds)?,
        Measured::Pods => bench::pods::run(&PodsOptions {
            rustlet,
            floor: std::path::absolute(options.floor)?,
            rounds: options.rounds,
            idle: Duration::from_secs(options.idle),
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

fn conformance(options: Conformance) -> Result<ExitCode> {
    let set = match (options.smoke, options.node) {
        (true, _) => Set::Smoke,
        (_, true) => Set::Node,
        _ => Set::Conformance,
    };
    let good = conformance::run(&ConformanceOptions {
        agent: kind(options.agent, options.rustlet),
        focus: options.focus,
        set,
        serial: options.serial,
        procs: options.procs,
        retry: !options.no_retry,
    })?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn down() -> Result<ExitCode> {
    let swept = site::sweep()?;
    if swept.is_empty() {
        println!("nothing was left");
    } else {
        println!("removed: {}", swept.join(" "));
    }
    Ok(ExitCode::SUCCESS)
}
