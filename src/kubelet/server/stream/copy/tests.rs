use super::*;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;

const IDLE: Duration = Duration::from_secs(100);

/// A stream under way, seen by its client and by the runtime.
fn stream() -> (DuplexStream, DuplexStream, JoinHandle<End>) {
    let (client, our_client) = duplex(1024);
    let (runtime, our_runtime) = duplex(1024);
    let task = tokio::spawn(both_ways(our_client, our_runtime, IDLE));
    (client, runtime, task)
}

#[tokio::test(start_paused = true)]
async fn bytes_go_both_ways_and_the_end_of_a_half_is_passed_on() {
    let (mut client, mut runtime, task) = stream();
    client.write_all(b"to you").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = String::new();
    runtime.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "to you");
    runtime.write_all(b"and back").await.unwrap();
    drop(runtime);
    heard.clear();
    client.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "and back");
    assert_eq!(task.await.unwrap(), End::Both);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_buffers_hold_arrives_whole_in_both_directions() {
    let (client, runtime, task) = stream();
    let bytes: Vec<u8> = (0..1_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let talk = |side: DuplexStream| {
        let bytes = bytes.clone();
        async move {
            let (mut read, mut write) = tokio::io::split(side);
            let said = async {
                write.write_all(&bytes).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let mut heard = Vec::new();
            let (_, count) = tokio::join!(said, read.read_to_end(&mut heard));
            count.unwrap();
            heard
        }
    };
    let (of_client, of_runtime) = tokio::join!(talk(client), talk(runtime));
    assert!(of_client == bytes && of_runtime == bytes);
    assert_eq!(task.await.unwrap(), End::Both);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_stream_and_a_byte_in_either_direction_is_none() {
    let (mut client, mut runtime, task) = stream();
    let start = Instant::now();
    tokio::time::sleep(Duration::from_secs(90)).await;
    client.write_all(b"x").await.unwrap();
    tokio::time::sleep(Duration::from_secs(90)).await;
    runtime.write_all(b"y").await.unwrap();
    assert_eq!(task.await.unwrap(), End::Idle);
    assert_eq!(start.elapsed().as_secs(), 280);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_has_stopped_reading_is_silence_too() {
    let (mut client, _runtime, task) = stream();
    // Fills every buffer on the way, then waits.
    let talk = tokio::spawn(async move { client.write_all(&vec![0; 1 << 20]).await });
    assert_eq!(task.await.unwrap(), End::Idle);
    talk.await.unwrap().expect_err("the stream is closed");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_ends_what_the_runtime_says() {
    let (client, mut runtime, task) = stream();
    drop(client);
    while runtime.write_all(&[0; 512]).await.is_ok() {}
    assert_eq!(task.await.unwrap(), End::Client);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_does_not_notice_the_end_of_the_client_is_not_waited_for() {
    let (mut client, mut runtime, task) = stream();
    client.shutdown().await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    runtime.write_all(b"still here").await.unwrap();
    let start = Instant::now();
    assert_eq!(task.await.unwrap(), End::Mute);
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn last_words_reach_a_client_that_is_still_talking() {
    let (client, mut runtime, task) = stream();
    runtime.write_all(b"exit 3").await.unwrap();
    drop(runtime);
    let (mut read, mut write) = tokio::io::split(client);
    let talk = tokio::spawn(async move {
        // More than the runtime has taken; ends when the stream does.
        while write.write_all(&[0; 512]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let mut heard = String::new();
    read.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "exit 3");
    assert_eq!(task.await.unwrap(), End::Deaf);
    talk.await.unwrap();
}
