//! Commands in containers and the terminals of people: exec, attach, run and cp, over WebSocket and SPDY.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustlet_lab::images;
use rustlet_lab::kube::{Seen, condition, eventually};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::client::{self, BOTH, Protocol, Running};
use crate::stream_forward::{Forwarding, server};
use crate::support::{Case, LIMIT, Lab, pod, shell, status};

const WEBSOCKET: &str = include_str!("stream_websocket.py");
const V4: &str = "v4.channel.k8s.io";
const V5: &str = "v5.channel.k8s.io";
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// A SPDY ping; it comes back as it is.
const PING: &str = r"\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01";
/// What is copied; more than any buffer on the way holds, and no two bytes of it look alike.
const COPIED: u64 = 200 << 20;

/// Output and error apart, exit codes, and the words of what cannot be run.
pub(crate) fn exec(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "stream-exec")?;
    let done = json!({"name": "done", "image": images::BUSYBOX, "command": ["true"]});
    let mut work = pod("work", None, json!([shell("exec sleep 100000"), done]));
    work["spec"]["restartPolicy"] = json!("Never");
    case.create("pods", &work)?;
    case.until("work", "half done", |pod| {
        let all = pod["status"]["containerStatuses"]
            .as_array()
            .into_iter()
            .flatten();
        let is = |name: &str, state: &str| {
            all.clone()
                .any(|s| s["name"] == name && !s["state"][state].is_null())
        };
        is("main", "running") && is("done", "terminated")
    })?;
    for protocol in BOTH {
        let sh = |script: &str| {
            let args = ["exec", "work", "-c", "main", "--", "sh", "-c", script];
            client::run(&case, protocol, &args, b"")
        };
        let both = sh("echo out; echo err >&2; exit 3")?;
        ensure!(
            both.code == 3 && both.stdout == b"out\n",
            "{protocol:?}: {both:?}"
        );
        ensure!(both.stderr.starts_with("err\n"), "{protocol:?}: {both:?}");
        let good = sh("hostname")?;
        ensure!(
            good.code == 0 && good.text() == "work\n" && good.stderr.is_empty(),
            "{good:?}"
        );
        let unknown = sh("no-such-command")?;
        ensure!(unknown.code == 127, "{protocol:?}: {unknown:?}");
        ensure!(unknown.stderr.contains("not found"), "{protocol:?}: {unknown:?}");

        let words = |args: &[&str], said: &str| -> Result<()> {
            let refused = client::run(&case, protocol, args, b"")?;
            ensure!(
                refused.code != 0 && refused.stderr.contains(said),
                "{protocol:?} {args:?}: {refused:?}, not {said}"
            );
            Ok(())
        };
        words(
            &["exec", "work", "-c", "main", "--", "/no/such/program"],
            "no such file or directory",
        )?;
        words(
            &["exec", "work", "-c", "done", "--", "true"],
            "container not found (\"done\")",
        )?;
        words(
            &["exec", "work", "-c", "none", "--", "true"],
            "container none is not valid for pod work",
        )?;
        words(&["exec", "nobody", "--", "true"], "pods \"nobody\" not found")?;
    }
    Ok(())
}

/// Standard input: binary, in full, and with an end; output as it was written.
pub(crate) fn stdin(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "stream-stdin")?;
    case.run(pod("work", None, json!([shell("exec sleep 100000")])))?;
    let mut bytes = vec![0; 3 << 20];
    random(&mut bytes)?;
    for protocol in BOTH {
        let cat = ["exec", "-i", "work", "--", "cat"];
        let back = client::run(&case, protocol, &cat, &bytes)?.ok()?;
        ensure!(
            back == bytes,
            "{protocol:?}: {} bytes came back, not the same",
            back.len()
        );
        ensure!(client::run(&case, protocol, &cat, b"")?.ok()?.is_empty());
        // A command that ends before its input does is not waited for. (As long as pipes hold what it does not read:
        // with more, containerd 2.4.2 does not end the session over WebSocket.)
        let head = ["exec", "-i", "work", "--", "sh", "-c", "head -c 5; exit 7"];
        let ended = client::run(&case, protocol, &head, &bytes[..20_000])?;
        ensure!(
            ended.code == 7 && ended.stdout == bytes[..5],
            "{protocol:?}: {ended:?}"
        );

        // What is typed arrives while the input is open, and so does the answer.
        let mut talk = Running::open(&case, protocol, &cat)?;
        for line in ["one\n", "two\n"] {
            talk.write(line.as_bytes())?;
            talk.until(line)?;
        }
        talk.close();
        ensure!(talk.end(LIMIT)?.ok()? == b"one\ntwo\n", "{protocol:?}");
    }
    Ok(())
}

/// A terminal has the size of the person's, also after it was changed.
pub(crate) fn terminal(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "stream-terminal")?;
    case.run(pod("work", None, json!([shell("exec sleep 100000")])))?;
    for protocol in BOTH {
        let kubectl = lab.cluster().client();
        let inside = "test -t 0 && test -t 1 && test -t 2 || exit 9; \
                      until [ \"$(stty size 2>/dev/null)\" = '43 121' ]; do sleep 0.1; done; echo as wide; \
                      until [ \"$(stty size)\" = '55 133' ]; do sleep 0.1; done; echo changed; read word; echo you said $word; exit 5";
        // util-linux' script gives kubectl a terminal; its name is said first.
        let outside = format!(
            "tty; stty rows 43 cols 121; exec {} --kubeconfig {} -n {} exec -it work -- sh -c '{}'",
            kubectl.program().display(),
            kubectl.kubeconfig().display(),
            case.ns,
            inside.replace('\'', r"'\''")
        );
        let mut script = program("script");
        script.args(["-qec", &outside, "/dev/null"]).stdin(Stdio::piped());
        client::set_protocol(&mut script, protocol);
        let mut session = Running::start(&mut script)?;
        let said = session
            .until("as wide")
            .with_context(|| format!("{protocol:?}"))?;
        let tty = said
            .split_whitespace()
            .find(|word| word.starts_with("/dev/pts/"))
            .context("no name of a terminal")?;
        let resize = program("stty")
            .args(["-F", tty, "rows", "55", "cols", "133"])
            .status()?;
        ensure!(resize.success(), "{tty} keeps its size");
        session
            .until("changed")
            .with_context(|| format!("{protocol:?}"))?;
        session.write(b"hello\n")?;
        let end = session.end(LIMIT)?;
        ensure!(end.code == 5, "{protocol:?}: {end:?}");
        ensure!(end.text().contains("you said hello"), "{protocol:?}: {end:?}");
    }
    Ok(())
}

/// Attaching to what a container runs: its input, once, and its output.
pub(crate) fn attach(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "stream-attach")?;
    for protocol in BOTH {
        let name = format!("talk-{protocol:?}").to_lowercase();
        let mut container = shell("while read line; do echo got $line; done; echo end; exit 6");
        container["stdin"] = json!(true);
        container["stdinOnce"] = json!(true);
        let mut talk = pod(&name, None, json!([container]));
        talk["spec"]["restartPolicy"] = json!("Never");
        case.run(talk)?;
        let mut session = Running::open(&case, protocol, &["attach", "-i", &name])?;
        session.write(b"one\n")?;
        session.until("got one")?;
        session.write(b"two\n")?;
        session.until("got two")?;
        session.close();
        let end = session.end(LIMIT)?;
        ensure!(end.text().contains("got two\nend\n"), "{protocol:?}: {end:?}");
        let ended = case.until(&name, "ended", |pod| {
            !status(pod)["state"]["terminated"].is_null()
        })?;
        ensure!(
            status(&ended)["state"]["terminated"]["exitCode"] == 6,
            "{}",
            ended["status"]
        );

        let name = format!("tick-{protocol:?}").to_lowercase();
        let tick = "n=0; while true; do echo tick $n; echo tock $n >&2; n=$((n+1)); sleep 0.2; done";
        case.run(pod(&name, None, json!([shell(tick)])))?;
        for _ in 0..2 {
            let session = Running::open(&case, protocol, &["attach", &name])?;
            session.until("tick")?;
            session.until("tock")?;
        }
        ensure!(
            condition(&case.pod(&name)?, "Ready") == "True",
            "an onlooker harms nobody"
        );
    }
    Ok(())
}

/// `kubectl run -i --rm`: a pod for one command.
pub(crate) fn run_and_remove(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "stream-run")?;
    for protocol in BOTH {
        let name = format!("once-{protocol:?}").to_lowercase();
        let args = [
            "run",
            &name,
            "-i",
            "--rm",
            "--restart=Never",
            "--image",
            images::BUSYBOX,
            "--",
            "sh",
            "-c",
            "while read line; do echo got $line; done; exit 4",
        ];
        let done = client::run(&case, protocol, &args, b"one\ntwo\n")?;
        ensure!(
            done.text().contains("got one\ngot two\n"),
            "{protocol:?}: {done:?}"
        );
        ensure!(done.code == 4, "{protocol:?}: {done:?}");
        ensure!(
            lab.kube.find(&case.path("pods", &name))?.is_none(),
            "{name} is still there"
        );
    }
    Ok(())
}

/// `kubectl cp` of a large file, there and back.
pub(crate) fn copy_files(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "stream-cp")?;
    case.run(pod("work", None, json!([shell("exec sleep 100000")])))?;
    let dir = tempfile::tempdir()?;
    let (there, back) = (dir.path().join("there"), dir.path().join("back"));
    for (protocol, size) in [(Protocol::WebSocket, COPIED), (Protocol::Spdy, COPIED / 4)] {
        let sum = random_file(&there, size)?;
        let text = |path: &Path| path.display().to_string();
        client::run(&case, protocol, &["cp", &text(&there), "work:/tmp/file"], b"")?.ok()?;
        let seen = client::run(
            &case,
            protocol,
            &["exec", "work", "--", "sha256sum", "/tmp/file"],
            b"",
        )?;
        ensure!(seen.text().starts_with(&sum), "{protocol:?}: {seen:?}, not {sum}");
        client::run(&case, protocol, &["cp", "work:/tmp/file", &text(&back)], b"")?.ok()?;
        ensure!(fs::metadata(&back)?.len() == size, "{protocol:?}: cut short");
        ensure!(sha256(&back)? == sum, "{protocol:?}: other bytes came back");
        fs::remove_file(&back)?;
    }
    Ok(())
}

/// `/run`, and what the node says to requests that get no stream, by way of the API server's node proxy.
pub(crate) fn plain_answers(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "stream-answers")?;
    let pod = case.run(pod("work", None, json!([shell("exec sleep 100000")])))?;
    let ask = |method: &str, path: &str| -> Result<(u16, String)> {
        let path = format!("/api/v1/nodes/{}/proxy{path}", case.node_name(&pod));
        let (code, body) = lab.kube.ask(method, &path)?;
        let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        Ok((code, text.trim_end().to_owned()))
    };
    let ns = &case.ns;
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let failed = "command 'ls /none' exited with ";
    let cases = [
        ("POST", format!("/run/{ns}/work/main?cmd=hostname"), 200, "work"),
        (
            "POST",
            format!("/run/{ns}/work/{uid}/main?cmd=hostname"),
            200,
            "work",
        ),
        ("POST", format!("/run/{ns}/work/main?cmd=ls%20/none"), 500, failed),
        (
            "POST",
            format!("/run/{ns}/work/none?cmd=ls"),
            500,
            "container not found (\"none\")",
        ),
        (
            "POST",
            format!("/run/{ns}/none/main?cmd=ls"),
            404,
            "pod does not exist",
        ),
        (
            "POST",
            format!("/exec/{ns}/none/main?output=1"),
            404,
            "pod does not exist",
        ),
        (
            "POST",
            format!("/exec/{ns}/work/none?output=1"),
            500,
            "container not found (\"none\")",
        ),
        (
            "POST",
            format!("/exec/{ns}/work/main?command=ls"),
            400,
            "you must specify at least 1 of stdin, stdout, stderr",
        ),
        (
            "POST",
            format!("/exec/{ns}/work/main?output=1&command=ls"),
            500,
            "Upgrade request required",
        ),
        (
            "GET",
            format!("/exec/{ns}/work/main?output=1&command=ls"),
            500,
            "Upgrade request required",
        ),
        (
            "POST",
            format!("/attach/{ns}/work/none?output=1"),
            500,
            &format!("container none not found in pod work_{ns}"),
        ),
        (
            "POST",
            format!("/portForward/{ns}/none"),
            404,
            "pod does not exist",
        ),
        (
            "POST",
            format!("/portForward/{ns}/work/other"),
            404,
            "pod not found",
        ),
        (
            "POST",
            format!("/portForward/{ns}/work"),
            500,
            "Upgrade request required",
        ),
    ];
    for (method, path, code, said) in cases {
        let answer = ask(method, &path)?;
        ensure!(
            answer.0 == code && answer.1.starts_with(said),
            "{method} {path}: {answer:?}, not {code} {said}"
        );
    }
    Ok(())
}

/// The Node says that it takes WebSockets, and API servers then hand it those of their clients.
pub(crate) fn declared(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "stream-declared")?;
    let work = case.run(server("work"))?;
    let name = case.node_name(&work);
    let node = lab.kube.get(&format!("/api/v1/nodes/{name}"))?;
    let features = &node["status"]["declaredFeatures"];
    let declared = features.as_array().into_iter().flatten();
    ensure!(
        declared.into_iter().any(|f| f == "ExtendWebSocketsToKubelet"),
        "{features}"
    );
    let counted = |subresource: &str| -> Result<u32> {
        let (_, metrics) = lab
            .kube
            .ask("GET", &format!("/api/v1/nodes/{name}/proxy/metrics"))?;
        let text = metrics.as_str().context("metrics are text")?;
        let start = format!("kubelet_websocket_streaming_requests_total{{subresource=\"{subresource}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&start));
        Ok(value.map_or(Ok(0), str::parse)?)
    };
    let before = [counted("exec")?, counted("portforward")?];
    client::run(&case, Protocol::WebSocket, &["exec", "work", "--", "true"], b"")?.ok()?;
    let forwarding = Forwarding::start(&case, Protocol::WebSocket, "pod/work", &[8000])?;
    ensure!(forwarding.get("/it")? == "you asked for /it\n");
    let after = [counted("exec")?, counted("portforward")?];
    ensure!(
        after[0] > before[0] && after[1] > before[1],
        "{before:?} and then {after:?}"
    );
    Ok(())
}

fn random(bytes: &mut [u8]) -> Result<()> {
    Ok(File::open("/dev/urandom")?.read_exact(bytes)?)
}

/// Fills a file; returns its checksum.
fn random_file(path: &Path, size: u64) -> Result<String> {
    let mut file = File::create(path)?;
    let copied = std::io::copy(&mut File::open("/dev/urandom")?.take(size), &mut file)?;
    ensure!(copied == size);
    file.flush()?;
    sha256(path)
}

fn sha256(path: &Path) -> Result<String> {
    let (mut file, mut hash) = (BufReader::new(File::open(path)?), Sha256::new());
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(hex(hash));
        }
        hash.update(bytes);
        let count = bytes.len();
        file.consume(count);
    }
}

pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a terminal for kubectl, whose output is read while it runs"
)]
fn program(name: &str) -> Command {
    Command::new(name)
}

/// A client of the node's own API, with a token of its own, over WebSocket: the older protocols the runtime speaks
/// itself, and what the node translates for it, version 5 and port-forwards by tunnel.
pub(crate) fn direct_websocket(lab: &Lab) -> Result<()> {
    let case = Case::new(lab, "stream-direct")?;
    let work = case.run(server("work"))?;
    let ns = &case.ns;
    let kubectl = |args: &[&str]| client::run(&case, Protocol::WebSocket, args, b"")?.ok();
    kubectl(&["create", "serviceaccount", "caller"])?;
    let token = String::from_utf8(kubectl(&["create", "token", "caller"])?)?;
    let address = lab.node_of(&work)?.address().to_string();
    let ask = |target: &str, protocols: &str, until: &str, messages: &[&str]| {
        let mut argv = vec![
            "python3",
            "-c",
            WEBSOCKET,
            &address,
            token.trim(),
            target,
            protocols,
            until,
        ];
        argv.extend(messages);
        lab.exec(lab.tool(0)?, &argv)
    };
    let exec = |streams: &str, command: &[&str]| {
        let words = command.iter().flat_map(|word| {
            let escaped = form_urlencoded::byte_serialize(word.as_bytes());
            ["&command="].into_iter().chain(escaped)
        });
        format!("/exec/{ns}/work/main?{streams}{}", words.collect::<String>())
    };
    let hostname = exec("output=1&error=1", &["sh", "-c", "hostname; echo oh >&2; exit 3"]);
    let refused = ask(&hostname, V4, "", &[])?;
    ensure!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    // Upstream asks for the verb of the method; ours for `create`, whatever the method.
    let rules = json!([{"apiGroups": [""], "resources": ["nodes/proxy"], "verbs": ["create", "get"]}]);
    let group = "/apis/rbac.authorization.k8s.io/v1";
    let meta = json!({"name": "stream-direct"});
    let roles = [
        ("clusterroles", json!({"metadata": meta, "rules": rules})),
        (
            "clusterrolebindings",
            json!({
                "metadata": meta,
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "stream-direct"},
                "subjects": [{"kind": "ServiceAccount", "name": "caller", "namespace": ns}],
            }),
        ),
    ];
    for (kind, object) in &roles {
        lab.kube.create(&format!("{group}/{kind}"), object)?;
    }
    // A refusal is remembered for half a minute.
    let allowed = eventually("the caller may", LIMIT, || {
        let said = ask(&hostname, V4, "", &[])?;
        Ok(if said.starts_with("HTTP/1.1 101 ") {
            Seen::Yes(said)
        } else {
            Seen::No(said)
        })
    });
    let all = allowed.and_then(|v4| {
        let forward = format!("/portForward/{ns}/work");
        let get = r"\x00GET /direct HTTP/1.0\r\n\r\n";
        let wide = "until [ \"$(stty size)\" = '43 121' ]; do sleep 0.1; done; echo as wide";
        let terminal = exec("input=1&output=1&tty=1", &["sh", "-c", wide]);
        Ok([
            ("v4", v4),
            (
                "cat",
                ask(&exec("input=1&output=1", &["cat"]), V4, "hello", &[r"\x00hello"])?,
            ),
            (
                "forward",
                ask(
                    &format!("{forward}?port=8000"),
                    V4,
                    "you asked for /direct",
                    &[get],
                )?,
            ),
            ("v5", ask(&hostname, V5, "", &[])?),
            ("both", ask(&hostname, &format!("{V4}, {V5}"), "", &[])?),
            // The input ends and the session goes on; it ends by itself.
            (
                "half",
                ask(
                    &exec("input=1&output=1", &["sha256sum"]),
                    V5,
                    "",
                    &[r"\x00hel", r"\x00lo", r"\xff\x00"],
                )?,
            ),
            (
                "size",
                ask(&terminal, V5, "", &[r#"\x04{"Width":121,"Height":43}"#])?,
            ),
            (
                "fault",
                ask(&exec("output=1", &["no-such-command"]), V5, "", &[])?,
            ),
            ("tunnel", ask(&forward, TUNNEL, PING, &[PING])?),
        ])
    });
    for (kind, _) in &roles {
        lab.kube.delete(&format!("{group}/{kind}/stream-direct"))?;
    }
    let all = BTreeMap::from(all?);
    let has = |name: &str, parts: &[&str]| -> Result<()> {
        let said = &all[name];
        let missing = parts.iter().find(|part| !said.contains(**part));
        ensure!(missing.is_none(), "{name}: {missing:?} is not in {said}");
        Ok(())
    };
    let exited = ["1 b'work\\n'", "2 b'oh\\n'", "3 b'{", "NonZeroExitCode", "\"3\""];
    for name in ["v4", "v5", "both"] {
        has(name, &exited)?;
    }
    has("cat", &["protocol v4.channel.k8s.io\n", "1 b'hello'"])?;
    has("forward", &["\ncame\n"])?;
    has("v5", &["protocol v5.channel.k8s.io\n"])?;
    has("both", &["protocol v5.channel.k8s.io\n"])?;
    has("half", &["1 b'2cf24dba5fb0a30e", "Success"])?;
    has("size", &["as wide", "Success"])?;
    has(
        "fault",
        &[
            "Internal error occurred: Internal error occurred: ",
            "no-such-command",
        ],
    )?;
    has("tunnel", &["protocol SPDY/3.1+portforward.k8s.io\n", "\ncame\n"])
}
