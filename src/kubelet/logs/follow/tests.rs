use super::*;
use crate::kubelet::logs::line::Show;
use crate::kubelet::logs::open::Place;
use crate::task::Drain;
use futures::{FutureExt, StreamExt};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::pin::Pin;
use tempfile::TempDir;
use tokio::sync::watch;

/// A container that runs until it is told to end.
struct Fake(watch::Receiver<bool>);

#[async_trait]
impl Writer for Fake {
    async fn news(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
    async fn runs(&self) -> bool {
        *self.0.borrow()
    }
}

/// A container with its log, as a runtime writes it.
struct World {
    base: TempDir,
    log: File,
    runs: watch::Sender<bool>,
    drain: Drain,
}

type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

impl World {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(base.path().join("pod/app")).unwrap();
        let log = File::create(base.path().join("pod/app/0.log")).unwrap();
        Self {
            base,
            log,
            runs: watch::Sender::new(true),
            drain: Drain::new(),
        }
    }
    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join("pod/app").join(name)
    }
    fn write(&mut self, text: &str) {
        for line in text.split_inclusive('\n') {
            let line = format!("2026-11-21T10:00:00.000000001Z stdout F {line}");
            self.log.write_all(line.as_bytes()).unwrap();
        }
    }
    /// The log gets a new name, and the runtime a new log; the old one stays open until it is dropped.
    fn rotate(&mut self, to: &str) -> File {
        std::fs::rename(self.path("0.log"), self.path(to)).unwrap();
        let new = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(self.path("0.log"))
            .unwrap();
        std::mem::replace(&mut self.log, new)
    }
    fn reader(&self, tail: Option<u64>) -> Reader {
        let place = Place::open(self.base.path(), &self.path("0.log")).unwrap();
        Reader::open(place, Show::default(), tail).unwrap()
    }
    fn follow(&self, tail: Option<u64>) -> Pieces {
        let writer = Box::new(Fake(self.runs.subscribe()));
        Box::pin(stream(self.reader(tail), Some(writer), self.drain.signal()))
    }
}

/// Reads until this much was seen.
async fn expect(pieces: &mut Pieces, want: &str) {
    let mut text = String::new();
    while text.len() < want.len() {
        let piece = pieces.next().await.expect("the stream goes on").unwrap();
        text += std::str::from_utf8(&piece).unwrap();
    }
    assert_eq!(text, want);
}

async fn all(pieces: Pieces) -> String {
    let pieces: Vec<Bytes> = pieces.map(Result::unwrap).collect().await;
    String::from_utf8(pieces.concat()).unwrap()
}

#[tokio::test]
async fn without_a_writer_the_end_of_the_file_is_the_end() {
    let mut world = World::new();
    world.write("one\ntwo\n");
    let pieces = Box::pin(stream(world.reader(None), None, world.drain.signal()));
    assert_eq!(all(pieces).await, "one\ntwo\n");
    let pieces = Box::pin(stream(world.reader(Some(1)), None, world.drain.signal()));
    assert_eq!(all(pieces).await, "two\n");
}

#[tokio::test]
async fn what_the_container_writes_comes_until_it_ends() {
    let mut world = World::new();
    world.write("one\ntwo\n");
    let mut pieces = world.follow(Some(1));
    expect(&mut pieces, "two\n").await;
    world.write("three\n");
    expect(&mut pieces, "three\n").await;
    // What it wrote just before its end is not lost.
    world.write("last\n");
    world.runs.send_replace(false);
    assert_eq!(all(pieces).await, "last\n");
}

#[tokio::test]
async fn the_log_of_a_container_that_has_ended_is_read_to_its_end() {
    let mut world = World::new();
    world.write("one\n");
    world.runs.send_replace(false);
    assert_eq!(all(world.follow(None)).await, "one\n");
}

#[tokio::test]
async fn a_rotated_log_is_read_to_its_end_before_the_next_one() {
    let mut world = World::new();
    world.write("one\n");
    let mut pieces = world.follow(None);
    expect(&mut pieces, "one\n").await;
    // The runtime has made the new log and still writes to the old one.
    let mut old = world.rotate("0.log.20261121-100000");
    world.write("four\n");
    assert!(pieces.next().now_or_never().is_none());
    std::mem::swap(&mut old, &mut world.log);
    world.write("two\nthree\n");
    std::mem::swap(&mut old, &mut world.log);
    expect(&mut pieces, "two\nthree\n").await;
    drop(old);
    expect(&mut pieces, "four\n").await;
    drop(world.rotate("0.log.20261121-100010"));
    world.write("five\n");
    expect(&mut pieces, "five\n").await;
    world.runs.send_replace(false);
    assert_eq!(all(pieces).await, "");
}

#[tokio::test]
async fn rotations_while_nobody_reads_lose_nothing() {
    let mut world = World::new();
    let mut want = String::new();
    let mut pieces = world.follow(None);
    for round in 0..4 {
        for line in 0..5000 {
            want += &format!("{round}-{line}\n");
        }
        world.write(&want[want.rfind(&format!("{round}-0\n")).unwrap()..]);
        if round == 0 {
            let first = pieces.next().await.unwrap().unwrap();
            want.replace_range(..first.len(), "");
        }
        if round < 3 {
            drop(world.rotate(&format!("0.log.20261121-10000{round}")));
        }
    }
    world.runs.send_replace(false);
    assert!(all(pieces).await == want, "every line once, in order");
}

#[tokio::test]
async fn a_container_that_ends_right_after_a_rotation_has_said_everything() {
    let mut world = World::new();
    world.write("one\n");
    let mut pieces = world.follow(None);
    expect(&mut pieces, "one\n").await;
    let old = world.rotate("0.log.20261121-100000");
    world.write("two\n");
    world.runs.send_replace(false);
    assert_eq!(all(pieces).await, "two\n");
    drop(old);
}

#[tokio::test(start_paused = true)]
async fn without_a_watch_and_without_news_it_is_looked_at_from_time_to_time() {
    let mut world = World::new();
    world.write("one\n");
    let mut following = Following::new(Box::new(Fake(world.runs.subscribe())), None);
    following.asked = Some(0);
    let state = State::new(world.reader(None), Some(following), world.drain.signal());
    let mut pieces: Pieces = Box::pin(state.stream());
    expect(&mut pieces, "one\n").await;
    // Nobody sees the runtime close this one.
    let old = world.rotate("0.log.20261121-100000");
    world.write("two\n");
    expect(&mut pieces, "two\n").await;
    drop(old);
    world.runs.send_if_modified(|runs| {
        *runs = false;
        false
    });
    assert_eq!(all(pieces).await, "");
}

#[tokio::test]
async fn the_drain_ends_it() {
    let mut world = World::new();
    world.write("one\n");
    let mut pieces = world.follow(None);
    expect(&mut pieces, "one\n").await;
    world.drain.start();
    assert!(pieces.next().await.is_none());
}

#[tokio::test]
async fn nothing_is_left_when_the_reader_goes_away() {
    let mut world = World::new();
    world.write("one\n");
    let (log, dir) = (world.path("0.log"), world.path(""));
    let open = || {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap();
        let targets = fds.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
        targets
            .filter(|target| *target == log || target.as_path() == dir.components().as_path())
            .count()
    };
    let before = open();
    let mut pieces = world.follow(None);
    expect(&mut pieces, "one\n").await;
    assert!(pieces.next().now_or_never().is_none());
    assert_eq!(open(), before + 2, "the log and its directory are open");
    drop(pieces);
    // A read that was under way ends on its own.
    while open() > before {
        tokio::task::yield_now().await;
    }
}
