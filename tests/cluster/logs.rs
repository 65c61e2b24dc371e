//! What containers wrote, as kubectl shows it: every option, every instance, across rotation, and to clients that go
//! away.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use rustlet_lab::images;
use rustlet_lab::kube::{self, Seen, eventually};
use serde_json::{Value, json};

use crate::stream_end::resident;
use crate::support::{Case, LIMIT, Lab, pod, restarts, shell, status};

/// Agents of this suite rotate logs from this size on.
pub(crate) const MAX_SIZE: &str = "512Ki";

/// Runs kubectl in the case's namespace.
fn kubectl(case: &Case<'_>, args: &[&str]) -> Result<String> {
    let args = [&["-n", &case.ns], args].concat();
    case.lab.cluster().client().run(&args)
}

/// What kubectl says when it is refused.
fn refused(case: &Case<'_>, args: &[&str]) -> Result<String> {
    match kubectl(case, args) {
        Ok(output) => anyhow::bail!("kubectl {} gives {output:?}", args.join(" ")),
        Err(error) => Ok(format!("{error:#}")),
    }
}

fn same(case: &Case<'_>, args: &[&str], want: &str) -> Result<()> {
    let found = kubectl(case, args)?;
    let (a, b) = (found.len(), want.len());
    let at = found
        .bytes()
        .zip(want.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let near = |text: &str| {
        text.chars()
            .skip(at.saturating_sub(40))
            .take(120)
            .collect::<String>()
    };
    ensure!(
        found == want,
        "kubectl {}: {a} bytes, not {b}; they differ at {at}: {:?}, not {:?}",
        args.join(" "),
        near(&found),
        near(want)
    );
    Ok(())
}

fn says(found: &str, words: &str) -> Result<()> {
    ensure!(found.contains(words), "{found:?} does not say {words:?}");
    Ok(())
}

/// A pod that has written what it had to and says so by being ready.
fn wrote(case: &Case<'_>, name: &str, script: &str) -> Result<Value> {
    let mut container = shell(&format!("{script}; touch /tmp/done; sleep 1000"));
    container["readinessProbe"] =
        json!({"exec": {"command": ["test", "-f", "/tmp/done"]}, "periodSeconds": 1});
    case.run(pod(name, None, json!([container])))
}

/// Every option of `kubectl logs`.
pub(crate) fn options(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "logs-options")?;
    let script = "echo one; sleep 0.2; echo two >&2; sleep 2; printf 'three'; sleep 0.2; echo ' and more'; echo; echo five";
    wrote(&case, "web", script)?;
    same(&case, &["logs", "web"], "one\ntwo\nthree and more\n\nfive\n")?;
    same(&case, &["logs", "web", "--tail=2"], "\nfive\n")?;
    same(&case, &["logs", "web", "--tail=0"], "")?;
    same(
        &case,
        &["logs", "web", "--tail=100"],
        "one\ntwo\nthree and more\n\nfive\n",
    )?;
    same(&case, &["logs", "web", "--limit-bytes=9"], "one\ntwo\nt")?;
    same(&case, &["logs", "web", "--since=1h", "--tail=1"], "five\n")?;
    let stamped = kubectl(&case, &["logs", "web", "--timestamps"])?;
    let lines: Vec<(&str, &str)> = stamped.lines().filter_map(|line| line.split_once(' ')).collect();
    let texts: Vec<&str> = lines.iter().map(|(_, text)| *text).collect();
    ensure!(
        texts == ["one", "two", "three and more", "", "five"],
        "{stamped:?}"
    );
    for (time, _) in &lines {
        let fixed = time.len() >= "2006-01-02T15:04:05.000000000Z".len() && time.as_bytes()[19] == b'.';
        ensure!(fixed, "{time:?} has no nine digits after the second");
    }
    // The line of that very time is shown; those before it are not. The API server takes whole seconds only.
    let second = &lines[2].0[..19];
    let since = format!("--since-time={second}Z");
    same(&case, &["logs", "web", &since], "three and more\n\nfive\n")?;
    same(&case, &["logs", "web", "--since-time=2099-01-01T00:00:00Z"], "")?;
    says(&refused(&case, &["logs", "web", "--limit-bytes=-1"])?, "limit")?;
    says(
        &refused(&case, &["logs", "web", "--previous"])?,
        r#"previous terminated container "main" in pod "web" not found"#,
    )?;
    says(
        &refused(&case, &["logs", "web", "-c", "other"])?,
        "container other is not valid for pod web",
    )?;
    says(
        &refused(&case, &["logs", "nobody"])?,
        r#"pods "nobody" not found"#,
    )
}

/// The node's own answers, past the API server's checks: codes and words.
pub(crate) fn refusals(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "logs-refusals")?;
    let web = wrote(&case, "web", "echo out; echo err >&2")?;
    let node = case.node_name(&web).to_owned();
    // Not by `kubectl get --raw`: it keeps the node's words to itself.
    let raw = |path: &str| {
        let path = format!("/api/v1/nodes/{node}/proxy/containerLogs/{path}");
        lab.kube.find(&path)
    };
    let base = format!("{}/web/main", case.ns);
    // Two pipes: which line comes first in the log is the runtime's luck.
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let shows = |query: &str, want: &str| {
        let found = raw(&format!("{base}{query}"))?;
        let text = found.as_ref().and_then(|found| found.as_str());
        ensure!(text.map(lines) == Some(lines(want)), "{query:?} shows {found:?}");
        Ok(())
    };
    shows("", "out\nerr\n")?;
    shows("?tail=all&tailLines=x", "out\nerr\n")?;
    for (query, words) in [
        ("tailLines=x", "400: Unable to decode query."),
        ("sinceTime=yesterday", "400: Unable to decode query."),
        ("tailLines=-1", "422: Invalid request."),
        ("limitBytes=0", "422: Invalid request."),
        (
            "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
            "422: Invalid request.",
        ),
        ("stream=stdout", "422: Invalid request."),
        ("stream=Stdout&tailLines=1", "422: Invalid request."),
        (
            "previous=true",
            r#"400: "previous terminated container \"main\" in pod \"web\" not found""#,
        ),
    ] {
        match raw(&format!("{base}?{query}")) {
            Ok(found) => anyhow::bail!("{query} shows {found:?}"),
            Err(error) => says(&format!("{error:#}"), words)?,
        }
    }
    for nobody in [
        "nobody/main",
        "web/other",
        "..%2F..%2Fweb/main",
        "web/..%2F..%2Fmain",
    ] {
        let found = raw(&format!("{}/{nobody}", case.ns))?;
        ensure!(found.is_none(), "{nobody} shows {found:?}");
    }
    // Behind a feature gate that is off in upstream's.
    if !lab.upstream {
        shows("?stream=Stdout", "out\n")?;
        shows("?stream=Stderr", "err\n")?;
    }
    Ok(())
}

/// The instance before, after crashes; and of a container that waits to be started again, the one that ended last.
pub(crate) fn previous(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "logs-previous")?;
    let script = "n=$(cat /count/n 2>/dev/null || echo 1); echo $((n + 1)) > /count/n; echo this is try $n; test $n -ge 3 && sleep 1000; exit 1";
    let mut crash = pod("crash", None, json!([shell(script)]));
    crash["spec"]["volumes"] = json!([{"name": "count", "emptyDir": {}}]);
    crash["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "count", "mountPath": "/count"}]);
    case.create("pods", &crash)?;
    case.until("crash", "waiting after its second try", |pod| {
        restarts(pod) == 1 && status(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    })?;
    same(&case, &["logs", "crash"], "this is try 2\n")?;
    same(&case, &["logs", "crash", "--previous"], "this is try 2\n")?;
    case.until("crash", "running at its third try", |pod| {
        restarts(pod) == 2 && !status(pod)["state"]["running"].is_null()
    })?;
    eventually("the third try's log", LIMIT, || {
        Ok(Seen::equal(
            kubectl(&case, &["logs", "crash"])?,
            "this is try 3\n".to_owned(),
        ))
    })?;
    same(&case, &["logs", "crash", "-p", "--tail=1"], "this is try 2\n")
}

/// Init containers, several containers, those that cannot start, and all of a Deployment at once.
pub(crate) fn containers(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "logs-containers")?;
    let step = |name: &str, script: &str| json!({"name": name, "image": images::BUSYBOX, "command": ["sh", "-c", script]});
    let many = json!({
        "metadata": {"name": "many"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "many"}},
            "template": {
                "metadata": {"labels": {"app": "many"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "initContainers": [step("first", "echo from first")],
                    "containers": [step("a", "echo from a; sleep 1000"), step("b", "echo from b >&2; sleep 1000")],
                },
            },
        },
    });
    case.create("deployments", &many)?;
    let pods = case.ready("app=many", 2)?;
    let name = kube::name(&pods[0]);
    for container in ["first", "a", "b"] {
        same(
            &case,
            &["logs", name, "-c", container],
            &format!("from {container}\n"),
        )?;
    }
    // kubectl takes the first one and says so; the API server refuses to guess.
    let path = format!("/api/v1/namespaces/{}/pods/{name}/log", case.ns);
    let guess = lab.cluster().kubectl(&["get", "--raw", &path]);
    says(
        &format!("{:#}", guess.err().context("a container was guessed")?),
        "a container name must be specified for pod",
    )?;
    let args = [
        "logs",
        "deploy/many",
        "--all-containers",
        "--all-pods",
        "--prefix",
        "--timestamps",
    ];
    let all = kubectl(&case, &args)?;
    for pod in &pods {
        for container in ["first", "a", "b"] {
            let prefix = format!("[pod/{}/{container}] 20", kube::name(pod));
            let line = all.lines().find(|line| line.starts_with(&prefix));
            let line = line.with_context(|| format!("no line {prefix:?} in {all:?}"))?;
            ensure!(line.ends_with(&format!("Z from {container}")), "{line:?}");
        }
    }
    ensure!(all.lines().count() == 6, "{all:?}");
    waiting(&case)
}

fn waiting(case: &Case<'_>) -> Result<()> {
    let mut pod = pod("stuck", None, json!([shell("echo never")]));
    pod["spec"]["initContainers"] =
        json!([{"name": "first", "image": images::BUSYBOX, "command": ["sleep", "1000"]}]);
    case.create("pods", &pod)?;
    case.until("stuck", "in its init container", |pod| {
        !pod["status"]["initContainerStatuses"][0]["state"]["running"].is_null()
    })?;
    says(
        &refused(case, &["logs", "stuck", "-c", "main"])?,
        r#"container "main" in pod "stuck" is waiting to start: PodInitializing"#,
    )?;
    same(case, &["logs", "stuck", "-c", "first"], "")
}

/// Lines of any length come back as they were written: the runtime cuts them at 16 KiB.
pub(crate) fn long_lines(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "logs-long")?;
    let lengths = [16_383, 16_384, 16_385, 32_768, 70_000, 1];
    let mut script = String::new();
    let mut want = String::new();
    for (length, letter) in lengths.into_iter().zip("abcdef".chars()) {
        script += &format!("head -c {length} /dev/zero | tr '\\0' {letter}; echo; ");
        want.extend(std::iter::repeat_n(letter, length));
        want.push('\n');
    }
    wrote(&case, "long", &format!("{script}printf '%s' 'and no end'"))?;
    same(
        &case,
        &["logs", "long", &format!("--limit-bytes={}", want.len())],
        &want,
    )?;
    same(&case, &["logs", "long", "--limit-bytes=40000"], &want[..40_000])?;
    let stamped = kubectl(&case, &["logs", "long", "--timestamps"])?;
    let texts: Vec<&str> = stamped
        .lines()
        .map(|line| line.split_once(' ').map_or(line, |(_, text)| text))
        .collect();
    let wanted: Vec<&str> = want.lines().collect();
    ensure!(
        texts[..wanted.len()] == wanted,
        "with times, one for each whole line"
    );
    Ok(())
}

/// A client that follows, with its standard output; killed with it.
struct Follower(Child);

impl Follower {
    fn start(case: &Case<'_>, args: &[&str]) -> Result<Self> {
        let args = [&["-n", &case.ns, "logs", "-f"], args].concat();
        let mut command = case.lab.cluster().client().command(&args);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(Self(child.spawn().context("kubectl logs -f")?))
    }

    /// Its lines; they end when it does.
    fn lines(&mut self) -> Result<impl Iterator<Item = std::io::Result<String>> + use<>> {
        let stdout = self.0.stdout.take().context("it is read already")?;
        Ok(BufReader::new(stdout).lines())
    }

    fn ended_well(mut self) -> Result<()> {
        let status = self.0.wait()?;
        ensure!(status.success(), "kubectl logs -f: {status}");
        Ok(())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// `kubectl logs -f` shows every line once, in order, while the log is rotated, and ends with the container.
pub(crate) fn follow_across_rotation(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "logs-rotation")?;
    let lines = 30_000;
    // Some 35 s at about 130 KiB a second of log; agents look every 10 s.
    let script = format!(
        "pad=$(head -c 90 /dev/zero | tr '\\0' x); i=0; while [ $i -lt {lines} ]; do echo \"$i $pad\"; i=$((i+1)); \
         [ $((i % 90)) = 0 ] && sleep 0.1; done; echo the end; sleep 2"
    );
    let mut writer = pod("writer", None, json!([shell(&script)]));
    writer["spec"]["restartPolicy"] = json!("Never");
    case.create("pods", &writer)?;
    let writer = case.until("writer", "running", |pod| {
        !status(pod)["state"]["running"].is_null()
    })?;
    let mut follower = Follower::start(&case, &["writer"])?;
    let mut next = 0;
    for line in follower.lines()? {
        let line = line?;
        if line == "the end" {
            break;
        }
        let number = line
            .split_once(' ')
            .and_then(|(number, _)| number.parse::<u32>().ok());
        ensure!(number == Some(next), "line {next} expected, got {line:?}");
        next += 1;
    }
    ensure!(next == lines, "{next} lines of {lines}");
    follower.ended_well()?;
    let files = log_files(lab, &writer, "main")?;
    let rotated = files.iter().filter(|name| name.starts_with("0.log.")).count();
    ensure!(rotated >= 2, "rotated {rotated} times: {files:?}");
    ensure!(
        files.iter().any(|name| name.ends_with(".gz")),
        "none is compressed: {files:?}"
    );
    ensure!(files.len() <= 5, "more than five files: {files:?}");
    Ok(())
}

fn log_dir(pod: &Value, container: &str) -> String {
    let meta = &pod["metadata"];
    let text = |key: &str| meta[key].as_str().unwrap_or_default().to_owned();
    format!(
        "/var/log/pods/{}_{}_{}/{container}",
        text("namespace"),
        text("name"),
        text("uid")
    )
}

fn log_files(lab: &Lab, pod: &Value, container: &str) -> Result<Vec<String>> {
    let names = lab.node_of(pod)?.exec(&["ls", &log_dir(pod, container)])?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Following ends with the container, not before and not after.
pub(crate) fn follow_ends(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "logs-follow")?;
    let script = "echo one; until test -f /tmp/go; do sleep 0.1; done; echo two; printf three";
    let mut writer = pod("writer", None, json!([shell(script)]));
    writer["spec"]["restartPolicy"] = json!("Never");
    let writer = case.run(writer)?;
    let mut follower = Follower::start(&case, &["writer"])?;
    let mut lines = follower.lines()?;
    ensure!(
        lines.next().transpose()?.as_deref() == Some("one"),
        "what was there before"
    );
    lab.exec(&writer, &["touch", "/tmp/go"])?;
    let rest = lines.collect::<std::io::Result<Vec<_>>>()?;
    ensure!(rest == ["two", "three"], "{rest:?}");
    follower.ended_well()?;
    // Of a container that has ended there is nothing to wait for.
    same(&case, &["logs", "-f", "writer", "--tail=2"], "two\nthree")?;
    Ok(())
}

/// A client that goes away in the middle leaves nothing open on the node.
pub(crate) fn client_vanishes(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "logs-vanish")?;
    let quiet = wrote(&case, "quiet", "echo one")?;
    let busy = wrote(
        &case,
        "busy",
        "(while true; do echo more and more and more; done) & sleep 1",
    )?;
    let open = |pod: &Value| -> Result<usize> {
        let pid = lab.node_of(pod)?.agent_pid().context("the agent runs")?;
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        let fds = fs::read_dir(format!("/proc/{pid}/fd"))?;
        let targets = fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        Ok(targets
            .filter(|target| target.to_string_lossy().contains(uid))
            .count())
    };
    let count = |pod: &Value, what: &str, is: &dyn Fn(usize) -> bool| {
        eventually(what, LIMIT, || {
            let open = open(pod)?;
            Ok(if is(open) {
                Seen::Yes(())
            } else {
                Seen::No(format!("{open} files of its logs are open"))
            })
        })
    };
    for (name, pod) in [("quiet", &quiet), ("busy", &busy)] {
        let mut followers = Vec::new();
        for _ in 0..5 {
            let mut follower = Follower::start(&case, &[name, "--tail=1"])?;
            let first = follower.lines()?.next();
            ensure!(first.is_some(), "nothing to read from {name}");
            followers.push(follower);
        }
        if name == "quiet" {
            count(pod, "the log of quiet is open five times", &|open| open >= 5)?;
        }
        drop(followers);
        count(pod, &format!("no log of {name} is open"), &|open| open == 0)?;
    }
    lab.kube.delete(&case.path("pods", "busy"))
}

/// A log that was replaced by a link, or by a FIFO, is not read.
pub(crate) fn links_refused(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "logs-links")?;
    let web = wrote(&case, "web", "echo one")?;
    let node = lab.node_of(&web)?;
    let log = format!("{}/0.log", log_dir(&web, "main"));
    same(&case, &["logs", "web"], "one\n")?;
    let secret = "/var/lib/kubelet/secret";
    node.write(secret, "2026-11-21T10:00:00Z stdout F secret\n")?;
    node.exec(&["ln", "-sf", secret, &log])?;
    says(&refused(&case, &["logs", "web"])?, "failed to open log file")?;
    says(
        &refused(&case, &["logs", "-f", "web"])?,
        "failed to open log file",
    )?;
    node.exec(&["rm", &log])?;
    node.exec(&["mkfifo", &log])?;
    says(&refused(&case, &["logs", "web"])?, "failed to open log file")?;
    let dir = log_dir(&web, "main");
    node.exec(&["mkdir", "/var/lib/kubelet/other"])?;
    node.write(
        "/var/lib/kubelet/other/0.log",
        "2026-11-21T10:00:00Z stdout F secret\n",
    )?;
    node.exec(&["mv", &dir, &format!("{dir}.old")])?;
    node.exec(&["ln", "-s", "/var/lib/kubelet/other", &dir])?;
    says(&refused(&case, &["logs", "web"])?, "failed to open log file")?;
    node.exec(&["rm", "-r", &dir, secret, "/var/lib/kubelet/other"])?;
    Ok(())
}

/// Lines of the large log, and their length with the line's end.
const LINES: usize = 1_000_000;
const LENGTH: usize = 101;
/// By how much the agent may grow while it shows a log of any size, KiB.
const GROWTH: u64 = 24 << 10;

/// A log of a hundred megabytes comes whole through the API server, and the agent holds a bounded part of it.
pub(crate) fn hundred_megabytes(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "logs-large")?;
    let mut writer = pod("writer", Some(lab.node_name(0)), json!([shell("echo one")]));
    writer["spec"]["restartPolicy"] = json!("Never");
    case.create("pods", &writer)?;
    let writer = case.until("writer", "over", |pod| pod["status"]["phase"] == "Succeeded")?;
    let node = lab.node_of(&writer)?;
    // The log of a container that has ended is not rotated.
    let fill = "seq -f '2026-11-21T10:00:00.000000000Z stdout F %0100.f' 1 $1 > $2";
    let log = format!("{}/0.log", log_dir(&writer, "main"));
    node.exec(&["sh", "-c", fill, "sh", &LINES.to_string(), &log])?;
    let agent = node.agent_pid().context("the agent runs")?;
    let (before, mut most, mut line) = (resident(agent)?, 0, String::new());
    // Not `-f`: the end of the log is the end.
    let mut command = lab
        .cluster()
        .client()
        .command(&["-n", &case.ns, "logs", "writer"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut reading = Follower(child.spawn().context("kubectl logs")?);
    let mut stdout = BufReader::with_capacity(1 << 20, reading.0.stdout.take().context("no output")?);
    let mut number = 0;
    while stdout.read_line(&mut line)? > 0 {
        number += 1;
        ensure!(
            line.len() == LENGTH && line.trim_end().parse() == Ok(number),
            "line {number} is {line:?}"
        );
        if number % 10_000 == 0 {
            most = most.max(resident(agent)?);
        }
        line.clear();
    }
    ensure!(number == LINES, "{number} lines of {LINES}");
    reading.ended_well()?;
    let after = resident(agent)?;
    eprintln!(
        "a log of {} bytes: the agent had {before} KiB, at most {most}, {after} at the end",
        LINES * LENGTH
    );
    // Upstream's kubelet grows by what its garbage collector leaves.
    ensure!(
        lab.upstream || most <= before + GROWTH,
        "the agent had {before} KiB, then {most}"
    );
    lab.kube.delete(&case.path("pods", "writer"))
}
