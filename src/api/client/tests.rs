mod swap;

use super::script::scripted;
use super::*;
use crate::task::Drain;
use futures::StreamExt;

#[tokio::test(start_paused = true)]
async fn waits_through_failures_until_the_server_knows_us() {
    let (client, mut server) = scripted();
    let signal = Drain::new().signal();
    let waiting = tokio::spawn(async move { client.wait_until_reachable("w1", &signal).await });
    server
        .fail(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))
        .await;
    server
        .answer(403, r#"{"reason":"Forbidden","message":"not yet"}"#)
        .await;
    let seen = server
        .answer(404, r#"{"reason":"NotFound","message":"nodes \"w1\" not found"}"#)
        .await;
    assert_eq!(seen.line, "GET /api/v1/nodes/w1");
    assert!(waiting.await.unwrap().unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn gives_up_at_once_on_what_waiting_does_not_heal() {
    let (client, mut server) = scripted();
    let signal = Drain::new().signal();
    let waiting = tokio::spawn(async move { client.wait_until_reachable("w1", &signal).await });
    let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    server
        .fail(std::io::Error::new(std::io::ErrorKind::InvalidData, tls))
        .await;
    let error = waiting.await.unwrap().unwrap().unwrap_err().to_string();
    assert!(
        error.contains("correct clusters[].cluster.certificate-authority"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_the_wait() {
    let (client, mut server) = scripted();
    let drain = Drain::new();
    let signal = drain.signal();
    let waiting = tokio::spawn(async move { client.wait_until_reachable("w1", &signal).await });
    let _silent = server.next().await;
    drain.start();
    assert!(waiting.await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_a_timeout_and_not_a_hang() {
    let (client, mut server) = scripted();
    let call = tokio::spawn(async move { client.call::<Value>(Call::get("/x")).await });
    let _silent = server.next().await;
    assert_eq!(
        call.await.unwrap().unwrap_err().to_string(),
        "GET /x: https://cp/ does not answer within 10 s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_cut_into_lines_and_ends_with_an_error_when_silent() {
    let (client, mut server) = scripted();
    let lines = tokio::spawn(async move {
        let lines = client.watch_lines("/w", Duration::from_secs(300)).await.unwrap();
        lines.collect::<Vec<_>>().await
    });
    let (_, body) = server.stream().await;
    for part in ["one\ntw", "o\n"] {
        body.unbounded_send(Ok(part.to_owned())).unwrap();
    }
    let lines = lines.await.unwrap();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (lines[0].as_deref().unwrap(), lines[1].as_deref().unwrap()),
        ("one", "two")
    );
    assert_eq!(
        lines[2].as_ref().unwrap_err().to_string(),
        "GET /w: https://cp/ does not answer within 300 s"
    );
}
