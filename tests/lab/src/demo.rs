//! The demo: the walkthrough on a real cluster, step by step as each becomes true.

pub mod stage;
pub mod ui;

use std::time::Instant;

use anyhow::Result;

use crate::cluster::{Cluster, Options};
use crate::kube::Kube;
use crate::node::AgentKind;
use crate::progress::Step;
use crate::signals;
use stage::{Shown, Stage};
use ui::{Color, Ui};

/// How the demo is run.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Leave after the walkthrough instead of staying up until Ctrl-C.
    pub once: bool,
    /// Who makes the machines nodes: the rustlet under show.
    pub agent: AgentKind,
    /// Colour and spinner.
    pub color: Color,
}

/// Runs the demo. True if every step became true. Without `once` a demo that went well ends with Ctrl-C, which tears
/// the cluster down, so it does not return then.
pub fn run(options: DemoOptions) -> Result<bool> {
    let mut ui = Ui::new(options.color);
    ui.title("rustlet demo", &title(&options.agent));
    ui.part("A real cluster on this machine, in namespaces of its own");
    ui.waiting("looking for what the cluster is made of");
    let start = Instant::now();
    let lazy_chains = options.agent == AgentKind::Upstream;
    let Some(cluster) = bring_up(&mut ui, options.agent, start) else {
        return Ok(false);
    };
    let kube = Kube::connect(cluster.control())?;
    let stage = Stage {
        kube: &kube,
        nodes: cluster.nodes(),
        lazy_chains,
    };
    play(&mut ui, &stage, &cluster.dir().join("logs").display().to_string());
    let played = !ui.any_failed();
    if !played {
        cluster.keep_logs();
    }
    if !options.once && played {
        ui.summary();
        invite(&mut ui, &cluster);
        signals::wait();
    }
    tear_down(&mut ui, cluster);
    ui.summary();
    Ok(!ui.any_failed())
}

fn title(agent: &AgentKind) -> String {
    let nodes = match agent {
        AgentKind::Rustlet(path) => {
            let size = std::fs::metadata(path).map_or(0, |file| file.len());
            format!("two nodes of one {} MB binary each", size / 1_000_000)
        }
        AgentKind::Upstream => "two nodes of kubelet, kube-proxy and CNI plugins (for comparison)".to_owned(),
        AgentKind::Nobody => "no agents".to_owned(),
    };
    format!("a real control plane, {nodes}")
}

fn bring_up(ui: &mut Ui, agent: AgentKind, start: Instant) -> Option<Cluster> {
    let mut progress = |step| match step {
        Step::Doing(what) => ui.doing(&what),
        Step::Done(what, took) => ui.done(&what, took, ""),
    };
    let options = Options {
        nodes: 2,
        agent,
        agent_args: Vec::new(),
        keep_logs: false,
        progress: &mut progress,
    };
    match Cluster::up(options) {
        Ok(cluster) => Some(cluster),
        Err(error) => {
            ui.failed("cluster up", start.elapsed(), &format!("{error:#}"));
            None
        }
    }
}

fn tear_down(ui: &mut Ui, cluster: Cluster) {
    ui.part("Down again");
    ui.waiting("tearing the cluster down");
    let start = Instant::now();
    let left = cluster.down();
    let title = "cluster gone: nothing left on this machine";
    if left.is_empty() {
        ui.done(title, start.elapsed(), "");
    } else {
        ui.failed(
            title,
            start.elapsed(),
            &format!("left over:\n{}", left.join("\n")),
        );
    }
}

/// What to try while it is up.
fn invite(ui: &mut Ui, cluster: &Cluster) {
    ui.part("It is yours now: try it from another terminal");
    ui.command(
        &format!("export KUBECONFIG={}", cluster.kubeconfig().display()),
        "",
    );
    if let Some(dir) = cluster.client().program().parent() {
        ui.command(&format!("export PATH=$PATH:{}", dir.display()), "kubectl, ctr, …");
    }
    ui.command("kubectl get nodes -o wide", "two Ready nodes, made by rustlet");
    ui.command(
        "kubectl apply -f tests/lab/manifests/my-app.yaml -f tests/lab/manifests/my-app-service.yaml",
        "",
    );
    ui.command("kubectl get pods,svc,endpointslices -o wide", "");
    for node in cluster.nodes() {
        let shell = format!("nsenter -a -t {}", node.machine().pid());
        ui.command(
            &shell,
            &format!("a shell on {}: iptables-save, ip addr, ctr", node.name()),
        );
    }
    ui.say(&format!(
        "\n  Logs are in {}. Ctrl-C takes everything down.",
        cluster.dir().join("logs").display()
    ));
}

/// Plays the walkthrough on a cluster whose nodes are ready.
pub fn play(ui: &mut Ui, stage: &Stage<'_>, logs: &str) {
    let mut play = Play {
        ui,
        stage,
        logs,
        broken: false,
    };
    play.part("Cluster DNS");
    play.step("CoreDNS ready, running as pods on our nodes", || stage.coredns());
    let before = stage.residue();

    play.part("Story A: a Deployment and its Service, down to the packet");
    play.step("Deployment my-app: 3/3 replicas ready", || stage.my_app());
    play.step("Service my-app-service: ClusterIP allocated", || {
        stage.cluster_ip()
    });
    play.step("iptables rules programmed on every node", || stage.rules(3));
    play.step("a client pod reaches all three by name", || {
        stage.client_reaches(3)
    });
    let reached = !play.broken;

    play.part("Story D: a Python frontend in front of Redis");
    play.step("frontend and Redis ready on different nodes", || {
        stage.redis_and_frontend()
    });
    play.step("visits counted: name → Service → other node", || {
        stage.visits_are_counted()
    });

    play.part("Life goes on");
    play.broken = !reached;
    play.step("my-app scaled to 5", || stage.scale(5));
    play.step("the rules follow", || stage.rules(5).map(Shown::brief));
    play.step("the client reaches all five", || {
        stage.client_reaches(5).map(Shown::brief)
    });
    play.step("my-app scaled back to 3", || stage.scale(3));
    play.step("the rules follow again", || stage.rules(3).map(Shown::brief));
    play.broken = false;
    play.step("everything deleted: nothing left on the nodes", || {
        stage.delete(&before?)
    });
}

struct Play<'a> {
    ui: &'a mut Ui,
    stage: &'a Stage<'a>,
    logs: &'a str,
    /// A step failed on which the following ones of its part build.
    broken: bool,
}

impl Play<'_> {
    fn part(&mut self, title: &str) {
        self.broken = false;
        self.ui.part(title);
    }

    fn step(&mut self, title: &str, scene: impl FnOnce() -> Result<Shown>) {
        if self.broken {
            return self.ui.skipped(title);
        }
        self.ui.waiting(title);
        let start = Instant::now();
        match scene() {
            Ok(shown) => {
                self.ui.done(title, start.elapsed(), &shown.detail);
                self.ui.show(&shown.lines);
            }
            Err(error) => {
                let complaints = self.stage.complaints().join("\n");
                let why = format!("{error:#}\n    logs: {}\n{complaints}", self.logs);
                self.ui.failed(title, start.elapsed(), &why);
                self.broken = true;
            }
        }
    }
}
