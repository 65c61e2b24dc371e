//! Over real connections: a WebSocket client, our server, and a SPDY server in the runtime's place.

use super::super::spdy;
use super::super::spdy::tests::{Said, bytes_of, read, reply, reset};
use super::super::tests::{AGREED, header, node, runtime};
use super::super::websocket::tests::{client_close, message, server_frames};
use crate::config::ServerConfig;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A client's upgrade to a WebSocket.
fn websocket(protocols: &str) -> String {
    format!(
        "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: {protocols}\r\n"
    )
}

const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

async fn to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    all
}

#[tokio::test]
async fn a_client_of_version_5_is_translated() {
    let node = node().await;
    let runtime = runtime(&node.fake, AGREED).await;
    let target = "/exec/default/web/main?command=cat&input=1&output=1";
    let headers = format!(
        "{}authorization: Bearer secret\r\n",
        websocket("v4.channel.k8s.io, v5.channel.k8s.io")
    );
    let (mut client, head) = node.request("GET", target, &headers).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(header(&head, "sec-websocket-protocol"), Some("v5.channel.k8s.io"));
    assert_eq!(header(&head, "sec-websocket-accept"), Some(ACCEPT));
    let (mut runtime, asked) = runtime.await.unwrap();
    assert!(asked.starts_with("POST /exec/token HTTP/1.1\r\n"), "{asked}");
    assert_eq!(header(&asked, "upgrade"), Some("SPDY/3.1"));
    assert_eq!(
        header(&asked, "x-stream-protocol-version"),
        Some("v4.channel.k8s.io")
    );
    assert!(
        !asked.contains("secret") && !asked.contains("websocket"),
        "{asked}"
    );

    client
        .write_all(&[message(b"\0hello"), message(b"\xff\0")].concat())
        .await
        .unwrap();
    let mut decoder = spdy::Decoder::default();
    let (mut said, mut buffer) = (Vec::new(), [0; 1000]);
    while said.last() != Some(&Said::Ended(3)) {
        let count = runtime.read(&mut buffer).await.unwrap();
        assert!(count > 0, "{said:?}");
        said.extend(read(&mut decoder, [&buffer[..count]]).unwrap());
        if said.len() == 3 {
            runtime.write_all(&[1, 3, 5].map(reply).concat()).await.unwrap();
        }
    }
    let opened = [1, 3, 5].map(Said::Offered);
    assert_eq!(said[..3], opened);
    assert_eq!(said[3..], [Said::Data(3, b"hello".to_vec()), Said::Ended(3)]);
    let exited = br#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}"#;
    let words = [
        bytes_of(|out| spdy::data(5, b"hello", out)),
        bytes_of(|out| spdy::data(1, exited, out)),
        [1, 3, 5].map(reset).concat(),
    ];
    runtime.write_all(&words.concat()).await.unwrap();
    let mut told = Vec::new();
    client.read_to_end(&mut told).await.unwrap();
    let frames = server_frames(&told);
    assert_eq!(frames[..2], [(2, b"\x01".to_vec()), (2, b"\x01hello".to_vec())]);
    let status = String::from_utf8_lossy(&frames[2].1);
    assert!(
        status.contains("NonZeroExitCode") && status.contains("\"7\""),
        "{status}"
    );
    drop(client);
    assert!(to_end(runtime).await.is_empty());
    node.nothing_open().await;
    assert!(
        node.shared
            .metrics
            .counted()
            .contains("kubelet_websocket_streaming_requests_total{subresource=\"exec\"} 1")
    );
}

#[tokio::test]
async fn what_goes_wrong_behind_a_translated_client_is_told_on_its_error_channel() {
    let node = node().await;
    let target = "/attach/default/web/main?output=1";
    let refusal = "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone";
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    for said in [
        "unable to upgrade connection: gone",
        "error dialing backend: dial tcp",
    ] {
        let task = runtime(&node.fake, refusal).await;
        if said.starts_with("error") {
            task.abort();
            node.fake.stream_at(&format!("http://{closed}/attach/token"));
        }
        let (client, head) = node.request("GET", target, &websocket("v5.channel.k8s.io")).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let frames = server_frames(&to_end(client).await);
        let (status, end) = (&frames[frames.len() - 2].1, &frames[frames.len() - 1]);
        assert_eq!((status[0], end.0), (3, 8));
        let status = String::from_utf8_lossy(status);
        assert!(
            status.contains(&format!("Internal error occurred: {said}")),
            "{status}"
        );
        node.nothing_open().await;
    }
}

#[tokio::test]
async fn a_port_forward_by_tunnel_is_unwrapped() {
    let node = node().await;
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
                  X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n";
    let task = runtime(&node.fake, agreed).await;
    let headers = websocket("SPDY/3.1+portforward.k8s.io");
    let (mut client, head) = node.request("GET", "/portForward/default/web", &headers).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(
        header(&head, "sec-websocket-protocol"),
        Some("SPDY/3.1+portforward.k8s.io")
    );
    assert_eq!(header(&head, "sec-websocket-accept"), Some(ACCEPT));
    let (mut runtime_side, asked) = task.await.unwrap();
    assert!(asked.starts_with("POST "), "{asked}");
    assert_eq!(
        header(&asked, "x-stream-protocol-version"),
        Some("portforward.k8s.io")
    );
    client.write_all(&message(b"to you")).await.unwrap();
    let mut heard = [0; 6];
    runtime_side.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"to you");
    runtime_side.write_all(b"and back").await.unwrap();
    let mut told = [0; 10];
    client.read_exact(&mut told).await.unwrap();
    assert_eq!(server_frames(&told), [(2, b"and back".to_vec())]);
    client.write_all(&client_close()).await.unwrap();
    assert!(to_end(runtime_side).await.is_empty());
    node.nothing_open().await;

    let task = runtime(
        &node.fake,
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno",
    )
    .await;
    let refused = node.refused("GET", "/portForward/default/web", &headers).await;
    assert_eq!(refused, ("403".to_owned(), "no".to_owned()));
    drop(task);
}

#[tokio::test]
async fn older_websockets_and_all_without_the_feature_are_the_runtimes_own() {
    let mut node = node().await;
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n";
    let exec = "/exec/default/web/main?output=1";
    for (feature, target, protocols) in [
        (true, exec, "v4.channel.k8s.io"),
        (true, exec, "base64.channel.k8s.io"),
        (true, exec, "SPDY/3.1+portforward.k8s.io"),
        (
            true,
            "/portForward/default/web?port=80",
            "v4.channel.k8s.io, v5.channel.k8s.io",
        ),
        (false, exec, "v5.channel.k8s.io"),
        (
            false,
            "/portForward/default/web?port=80",
            "SPDY/3.1+portforward.k8s.io",
        ),
    ] {
        let config = ServerConfig {
            websockets: feature,
            ..ServerConfig::default()
        };
        Arc::get_mut(&mut node.shared).unwrap().config = Arc::new(config);
        let task = runtime(&node.fake, agreed).await;
        let (client, head) = node.request("GET", target, &websocket(protocols)).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let (runtime, asked) = task.await.unwrap();
        assert_eq!(
            header(&asked, "sec-websocket-protocol"),
            Some(protocols),
            "{asked}"
        );
        drop((client, runtime));
        node.nothing_open().await;
        while Arc::strong_count(&node.shared) > 1 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused() {
    let node = node().await;
    node.fake.stream_at("http://127.0.0.1:1/exec/token");
    let v5 = websocket("v5.channel.k8s.io");
    let target = "/exec/default/web/main?output=1";
    for (method, headers, code, said) in [
        ("POST", v5.clone(), "405", "bad method"),
        (
            "GET",
            v5.replace("13", "8"),
            "400",
            "missing or bad WebSocket Version",
        ),
        (
            "GET",
            v5.replace("sec-websocket-key", "x-key"),
            "400",
            "mismatch challenge/response",
        ),
    ] {
        let refused = node.refused(method, target, &headers).await;
        assert_eq!(refused, (code.to_owned(), said.to_owned()));
        assert_eq!(node.shared.streams.open(), 0);
    }
}
