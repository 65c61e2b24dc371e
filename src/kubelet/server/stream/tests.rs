//! Over real connections: a client, our server, and a streaming server in the runtime's place.

use super::*;
use crate::api::Change;
use crate::config::ServerConfig;
use crate::cri::{ExecOutput, POD_UID_LABEL, Runtime};
use crate::kubelet::dirs::Dirs;
use crate::kubelet::server::route::{self, Lookup};
use crate::kubelet::source::Source;
use crate::model::SandboxId;
use crate::testing::builders;
use crate::testing::fake_cri::FakeCri;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::convert::Infallible;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const UPGRADE: &str =
    "connection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: v4.channel.k8s.io\r\n";
pub(super) const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                      X-Stream-Protocol-Version: v4.channel.k8s.io\r\nServer: runtime\r\n\r\n";

/// A node with Pod `web` and its container `main` (a terminal), which runs.
pub(in crate::kubelet::server) struct Node {
    pub(in crate::kubelet::server) fake: FakeCri,
    pub(in crate::kubelet::server) shared: Arc<Shared>,
    pub(in crate::kubelet::server) id: ContainerId,
}

pub(in crate::kubelet::server) async fn node() -> Node {
    let fake = FakeCri::new();
    let mut pod = builders::pod("web", &["main"]);
    pod.spec.containers[0].tty = true;
    let uid = pod.metadata.uid.clone();
    let labels = |name: &str| {
        BTreeMap::from([
            (POD_UID_LABEL.to_owned(), uid.to_string()),
            ("io.kubernetes.container.name".to_owned(), name.to_owned()),
        ])
    };
    let sandbox = v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            uid: uid.to_string(),
            ..Default::default()
        }),
        labels: labels("POD"),
        ..Default::default()
    };
    let id: SandboxId = fake.run_pod_sandbox(&sandbox, "").await.unwrap();
    fake.add_image("main:1");
    let config = v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata {
            name: "main".into(),
            attempt: 0,
        }),
        image: Some(v1::ImageSpec {
            image: "main:1".into(),
            ..Default::default()
        }),
        labels: labels("main"),
        ..Default::default()
    };
    let id = fake.create_container(&id, &config, &sandbox).await.unwrap();
    fake.start_container(&id).await.unwrap();
    fake.take_calls();
    let source = Source::default();
    source.apply(Change::Applied(Arc::new(pod)));
    let shared = Shared {
        node: "w1".into(),
        started: jiff::Timestamp::UNIX_EPOCH,
        pulse: Arc::default(),
        settings: crate::kubelet::server::views::tests::settings(),
        pods: Arc::new(crate::testing::fake_api::FakeApi::new()),
        config: Arc::new(ServerConfig::default()),
        runtime: Arc::new(fake.clone()),
        source: Arc::new(source),
        dirs: Dirs {
            root: "/nowhere".into(),
            pod_logs: "/nowhere".into(),
        },
        streams: Arc::default(),
        stats: crate::kubelet::stats::idle(),
        metrics: crate::kubelet::metrics::KubeletMetrics::default(),
        drain: crate::task::Drain::new().signal(),
    };
    Node {
        fake,
        shared: Arc::new(shared),
        id,
    }
}

impl Node {
    /// Sends a request head to a server of our own and returns the connection with the answer's head.
    pub(super) async fn request(&self, method: &str, target: &str, headers: &str) -> (TcpStream, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |request: Request<Incoming>| {
                let shared = shared.clone();
                async move {
                    let Lookup::Found(found) = route::find(request.method(), request.uri().path()) else {
                        panic!("no route for {}", request.uri());
                    };
                    Ok::<_, Infallible>(serve(&shared, &found, request).await)
                }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            let connection = connection.serve_connection(TokioIo::new(stream), service);
            drop(connection.with_upgrades().await);
        });
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("{method} {target} HTTP/1.1\r\nhost: node\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let head = head_of(&mut stream).await;
        (stream, head)
    }

    /// The whole answer to a request that gets no stream: code and text.
    pub(super) async fn refused(&self, method: &str, target: &str, headers: &str) -> (String, String) {
        let headers = format!(
            "{headers}{}",
            if headers.is_empty() {
                "connection: close\r\n"
            } else {
                ""
            }
        );
        let (mut stream, head) = self.request(method, target, &headers).await;
        let length = header(&head, "content-length").map_or(0, |l| l.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let code = head.split(' ').nth(1).unwrap().to_owned();
        (code, String::from_utf8(body).unwrap())
    }

    pub(super) async fn nothing_open(&self) {
        while self.shared.streams.open() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .into_iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v)
}

/// A streaming server that answers one request with these bytes; then its connection is the test's.
pub(super) async fn runtime(
    fake: &FakeCri,
    answer: &'static str,
) -> tokio::task::JoinHandle<(TcpStream, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    fake.stream_at(&format!("http://{}/exec/token", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = head_of(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        (stream, head)
    })
}

#[tokio::test]
async fn a_session_is_spliced_and_leaves_nothing() {
    let node = node().await;
    let runtime = runtime(&node.fake, AGREED).await;
    let target = "/exec/default/web/main?command=sh&command=-i&input=1&output=1&tty=1&error=1";
    let headers = format!("{UPGRADE}authorization: Bearer secret\r\n");
    let (mut client, head) = node.request("POST", target, &headers).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(
        header(&head, "x-stream-protocol-version"),
        Some("v4.channel.k8s.io")
    );
    assert_eq!(header(&head, "upgrade"), Some("SPDY/3.1"));
    assert_eq!(header(&head, "server"), None);
    let (mut runtime, asked) = runtime.await.unwrap();
    assert!(asked.starts_with("POST /exec/token HTTP/1.1\r\n"), "{asked}");
    assert!(!asked.contains("secret"), "{asked}");
    assert_eq!(node.shared.streams.open(), 1);
    let call = node.fake.take_calls().join("\n");
    for part in [
        node.id.as_str(),
        "[\"sh\", \"-i\"]",
        "tty: true",
        "stdin: true",
        "stderr: false",
    ] {
        assert!(call.contains(part), "{part} in {call}");
    }
    client.write_all(b"ping").await.unwrap();
    let mut heard = [0; 4];
    runtime.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
    runtime.write_all(b"pong").await.unwrap();
    drop(runtime);
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "pong");
    drop(client);
    node.nothing_open().await;
}

#[tokio::test]
async fn a_terminal_is_attached_to_as_it_was_made() {
    let node = node().await;
    let runtime = runtime(&node.fake, AGREED).await;
    let (_client, head) = node
        .request("GET", "/attach/default/web/main?output=1", UPGRADE)
        .await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let call = node.fake.take_calls().join("\n");
    assert!(
        call.starts_with("Attach ") && call.contains("tty: true"),
        "{call}"
    );
    assert!(runtime.await.unwrap().1.starts_with("GET "));
}

#[tokio::test]
async fn a_refusal_of_the_runtime_is_passed_on_and_a_redirect_is_not_followed() {
    let node = node().await;
    let target = "/portForward/default/web";
    let cases = [
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\nset-cookie: a=b\r\n\r\ngone",
            "404",
            "gone",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n",
            "500",
            "invalid upgrade response: status code 302",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "500",
            "invalid upgrade response: status code 200",
        ),
    ];
    for (answer, code, said) in cases {
        let runtime = runtime(&node.fake, answer).await;
        let refused = node.refused("POST", target, UPGRADE).await;
        assert_eq!(refused, (code.to_owned(), said.to_owned()));
        runtime.await.unwrap();
        assert_eq!(node.shared.streams.open(), 0);
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_upstreams_words() {
    let node = node().await;
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    node.fake.stream_at(&format!("http://{closed}/exec/token"));
    let dial =
        format!("error dialing backend: dial tcp {closed}: connect: Connection refused (os error 111)");
    let cases = [
        (
            "/exec/default/web/main",
            UPGRADE,
            "400",
            "you must specify at least 1 of stdin, stdout, stderr",
        ),
        (
            "/exec/default/none/main?output=1",
            UPGRADE,
            "404",
            "pod does not exist",
        ),
        (
            "/exec/other/web/main?output=1",
            UPGRADE,
            "404",
            "pod does not exist",
        ),
        (
            "/exec/default/web/uid-old/main?output=1",
            UPGRADE,
            "404",
            "pod not found",
        ),
        (
            "/portForward/default/web/uid-old",
            UPGRADE,
            "404",
            "pod not found",
        ),
        (
            "/exec/default/web/none?output=1",
            UPGRADE,
            "500",
            "container not found (\"none\")",
        ),
        (
            "/attach/default/web/none?output=1",
            UPGRADE,
            "500",
            "container none not found in pod web_default",
        ),
        (
            "/exec/default/web/main?output=1",
            "",
            "500",
            "Upgrade request required",
        ),
        ("/exec/default/web/uid-web/main?output=1", UPGRADE, "500", &dial),
    ];
    for (target, headers, code, said) in cases {
        let refused = node.refused("POST", target, headers).await;
        assert_eq!(refused, (code.to_owned(), said.to_owned()), "{target}");
    }
    node.fake.fail("Exec", tonic::Code::NotFound, "no such container");
    let refused = node
        .refused("POST", "/exec/default/web/main?output=1", UPGRADE)
        .await;
    let words = "rpc error: code = NotFound desc = no such container";
    assert_eq!(refused, ("404".to_owned(), words.to_owned()));
    node.fake.heal("Exec");
    node.fake.exit(&node.id, 0);
    let refused = node
        .refused("POST", "/exec/default/web/main?output=1", UPGRADE)
        .await;
    assert_eq!(refused.1, "container not found (\"main\")");
    assert_eq!(node.shared.streams.open(), 0);
}

#[tokio::test]
async fn when_all_places_are_taken_the_next_one_hears_it() {
    let node = node().await;
    let streams = &node.shared.streams;
    let all: Vec<_> = [1u8, 2]
        .into_iter()
        .flat_map(|n| std::iter::from_fn(move || streams.enter([10, 0, 0, n].into())))
        .collect();
    let (code, said) = node
        .refused("POST", "/exec/default/web/main?output=1", UPGRADE)
        .await;
    assert_eq!(code, "429");
    assert_eq!(
        said,
        "too many exec, attach and port-forward sessions are open on this node"
    );
    drop(all);
    assert!(node.fake.take_calls().is_empty());
}

#[tokio::test]
async fn run_answers_with_what_the_command_printed() {
    let node = node().await;
    let answer = |code, stdout: &str, stderr: &str| {
        Ok(ExecOutput {
            stdout: stdout.into(),
            stderr: stderr.into(),
            exit_code: code,
        })
    };
    node.fake.answer_exec("ls /", answer(0, "bin\n", "warning\n"));
    node.fake.answer_exec("ls /none", answer(2, "", "no such file"));
    let run = async |query: &str| {
        node.refused("POST", &format!("/run/default/web/main?cmd={query}"), "")
            .await
    };
    assert_eq!(
        run("ls%20/").await,
        ("200".to_owned(), "bin\nwarning\n".to_owned())
    );
    let failed = "command 'ls /none' exited with 2: no such file".to_owned();
    assert_eq!(run("ls+/none").await, ("500".to_owned(), failed));
    let missing = node.refused("POST", "/run/default/none/main?cmd=ls", "").await;
    assert_eq!(missing.0, "404");
}
