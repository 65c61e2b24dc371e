use super::super::spdy::tests::{bytes_of, reply, reset};
use super::super::translate::{Streams, Unwrap, Wrap, session};
use super::super::websocket::tests::{client_close, client_ping, message, server_frames};
use super::super::{spdy, websocket};
use super::*;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;

const IDLE: Duration = Duration::from_secs(100);
const ALL: Streams = Streams {
    stdin: true,
    stdout: true,
    stderr: false,
    tty: false,
};
const PONG: u8 = 10;

/// An exec under way, seen by its client and by the runtime.
fn exec() -> (DuplexStream, DuplexStream, JoinHandle<End>) {
    let (client, our_client) = duplex(1024);
    let (runtime, our_runtime) = duplex(1024);
    let (up, down, _, _) = session(ALL);
    let task = tokio::spawn(relay(our_client, our_runtime, (up, down), BytesMut::new(), IDLE));
    (client, runtime, task)
}

fn tunnel() -> (DuplexStream, DuplexStream, JoinHandle<End>) {
    let (client, our_client) = duplex(1024);
    let (runtime, our_runtime) = duplex(1024);
    let halves = (Unwrap::default(), Wrap);
    let task = tokio::spawn(relay(our_client, our_runtime, halves, BytesMut::new(), IDLE));
    (client, runtime, task)
}

async fn heard(mut from: DuplexStream) -> Vec<u8> {
    let mut all = Vec::new();
    from.read_to_end(&mut all).await.unwrap();
    all
}

#[tokio::test(start_paused = true)]
async fn the_runtimes_last_words_reach_the_client() {
    let (client, mut runtime, task) = exec();
    let words = [
        [1, 3, 5].map(reply).concat(),
        bytes_of(|out| spdy::data(5, &[7; 5000], out)),
        bytes_of(|out| spdy::data(1, br#"{"status":"Success"}"#, out)),
        [1, 3, 5].map(reset).concat(),
    ];
    let said = tokio::spawn(async move {
        runtime.write_all(&words.concat()).await.unwrap();
        heard(runtime).await
    });
    let frames = server_frames(&heard(client).await);
    let output: usize = frames.iter().filter(|f| f.1[0] == 1).map(|f| f.1.len() - 1).sum();
    assert_eq!(output, 5000);
    assert!(String::from_utf8_lossy(&frames[frames.len() - 2].1).contains("Success"));
    assert_eq!(task.await.unwrap(), End::Runtime);
    assert!(said.await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_has_its_input_delivered_and_is_answered() {
    let (mut client, runtime, task) = exec();
    let words = [message(b"\0input"), client_close()].concat();
    client.write_all(&words).await.unwrap();
    let (answer, input) = tokio::join!(heard(client), heard(runtime));
    assert_eq!(server_frames(&answer), [(8, 1000u16.to_be_bytes().to_vec())]);
    let wanted = bytes_of(|out| {
        spdy::data(3, b"input", out);
        spdy::finish(3, out);
    });
    assert_eq!(input, wanted);
    assert_eq!(task.await.unwrap(), End::Client);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_is_noticed() {
    let (client, mut runtime, task) = exec();
    drop(client);
    // The runtime neither ends nor is silent.
    let output = bytes_of(|out| spdy::data(5, b"tick", out));
    while runtime.write_all(&output).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(matches!(task.await.unwrap(), End::Client | End::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_and_keep_no_session_alive() {
    let (mut client, runtime, task) = exec();
    let start = tokio::time::Instant::now();
    let mut answered = 0;
    while start.elapsed() < 2 * IDLE {
        if client.write_all(&client_ping(b"?")).await.is_err() {
            break;
        }
        let mut pong = [0; 3];
        if client.read_exact(&mut pong).await.is_err() {
            break;
        }
        assert_eq!(server_frames(&pong), [(PONG, b"?".to_vec())]);
        answered += 1;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert!(answered > 10);
    assert_eq!(task.await.unwrap(), End::Idle);
    drop(runtime);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_holds_back_its_runtime() {
    let (mut client, mut runtime, task) = exec();
    let chunk = bytes_of(|out| spdy::data(5, &[1; 1000], out));
    let mut sent = 0;
    // Nothing is read by the client: after what the buffers hold, the runtime has to wait.
    while let Ok(written) = timeout(Duration::from_secs(1), runtime.write_all(&chunk)).await {
        written.unwrap();
        sent += chunk.len();
        assert!(
            sent < 4 * BUFFER,
            "{sent} bytes are held for a client that does not read"
        );
    }
    // It goes on when the client does.
    let mut some = vec![0; sent / 2];
    client.read_exact(&mut some).await.unwrap();
    drop(client);
    drop(runtime);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_command_that_does_not_read_holds_back_its_client_and_can_still_end() {
    let (mut client, mut runtime, task) = exec();
    let chunk = message(&[0; 1000]);
    let mut sent = 0;
    while let Ok(written) = timeout(Duration::from_secs(1), client.write_all(&chunk)).await {
        written.unwrap();
        sent += chunk.len();
        assert!(
            sent < 4 * BUFFER,
            "{sent} bytes are held for a command that does not read"
        );
    }
    let words = [
        bytes_of(|out| spdy::data(1, br#"{"status":"Success"}"#, out)),
        [1, 3, 5].map(reset).concat(),
    ];
    runtime.write_all(&words.concat()).await.unwrap();
    let told = server_frames(&heard(client).await);
    assert!(String::from_utf8_lossy(&told[0].1).contains("Success"));
    assert_eq!(task.await.unwrap(), End::Runtime);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_breaks_the_protocol_is_told_and_dropped() {
    let (mut client, runtime, task) = exec();
    client.write_all(b"\x82\x01x").await.unwrap();
    let (told, input) = tokio::join!(heard(client), heard(runtime));
    assert_eq!(server_frames(&told), [(8, 1002u16.to_be_bytes().to_vec())]);
    assert!(input.is_empty());
    let unmasked = Error::Client(websocket::Error::Unmasked);
    assert_eq!(task.await.unwrap(), End::Broken(unmasked));
}

#[tokio::test(start_paused = true)]
async fn more_than_the_buffers_hold_passes_a_tunnel_whole_in_both_directions() {
    let (mut client, mut runtime, task) = tunnel();
    let bytes: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let framed: Vec<u8> = bytes.chunks(50_000).flat_map(message).collect();
    let sent = bytes.clone();
    let of_client = tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(&mut runtime);
        let mut heard = vec![0; sent.len()];
        let (said, count) = tokio::join!(write.write_all(&sent), read.read_exact(&mut heard));
        said.and(count).unwrap();
        heard
    });
    let (mut read, mut write) = tokio::io::split(&mut client);
    let mut told = Vec::new();
    let (said, count) = tokio::join!(write.write_all(&framed), read.read_to_end(&mut told));
    said.and(count.map(drop)).unwrap();
    drop(client);
    let frames = server_frames(&told);
    assert_eq!(frames.last(), Some(&(8, 1000u16.to_be_bytes().to_vec())));
    let told: Vec<u8> = frames[..frames.len() - 1]
        .iter()
        .flat_map(|(_, payload)| payload.clone())
        .collect();
    assert!(told == bytes && of_client.await.unwrap() == bytes);
    assert_eq!(task.await.unwrap(), End::Runtime);
}
