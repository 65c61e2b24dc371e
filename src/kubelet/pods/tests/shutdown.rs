//! The machine goes down, and what becomes of its Pods.

use super::world::{World, container, pod};
use crate::config::{ShutdownConfig, ShutdownPeriod};
use crate::kubelet::shutdown::record::{FILE, Record};
use crate::sys::dbus;
use crate::sys::logind::{Error, Lock, Logind, Result, Session};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::mpsc;

/// A logind in memory.
#[derive(Clone, Default)]
pub(super) struct FakeLogind(Arc<Mutex<Fake>>);

#[derive(Default)]
struct Fake {
    /// There is no bus.
    gone: bool,
    /// How long shutdowns wait.
    delay: Duration,
    /// It does not wait longer, whatever it is told.
    stubborn: bool,
    down: bool,
    /// Those that listen.
    sessions: Vec<mpsc::UnboundedSender<bool>>,
    /// The other ends of the locks it has given.
    locks: Vec<UnixStream>,
}

struct FakeSession(FakeLogind, mpsc::UnboundedReceiver<bool>);

impl FakeLogind {
    fn lock(&self) -> MutexGuard<'_, Fake> {
        self.0.lock().unwrap()
    }

    /// Calls for a shutdown, or calls it off.
    pub(super) fn prepare(&self, down: bool) {
        let mut fake = self.lock();
        fake.down = down;
        fake.sessions.retain(|session| session.send(down).is_ok());
    }

    /// Ends every connection.
    fn cut(&self) {
        self.lock().sessions.clear();
    }

    /// Locks that hold the machine back.
    pub(super) fn held(&self) -> usize {
        let mut fake = self.lock();
        let open = |end: &mut UnixStream| {
            end.read(&mut [0])
                .is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
        };
        fake.locks.iter_mut().map(open).filter(|open| *open).count()
    }
}

#[async_trait]
impl Logind for FakeLogind {
    async fn attach(&self) -> Result<Box<dyn Session>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut fake = self.lock();
        if fake.gone {
            let source = ErrorKind::NotFound.into();
            return Err(Error::Bus(dbus::Error::Connect {
                address: "unix:path=/nowhere".into(),
                source,
            }));
        }
        fake.sessions.push(sender);
        Ok(Box::new(FakeSession(self.clone(), receiver)))
    }
}

#[async_trait]
impl Session for FakeSession {
    async fn longest_delay(&mut self) -> Result<Duration> {
        Ok(self.0.lock().delay)
    }

    async fn lengthen_delay(&mut self, to: Duration) -> Result<()> {
        let mut fake = self.0.lock();
        if !fake.stubborn {
            fake.delay = to;
        }
        Ok(())
    }

    async fn going_down(&mut self) -> Result<bool> {
        Ok(self.0.lock().down)
    }

    async fn inhibit(&mut self) -> Result<Lock> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        self.0.lock().locks.push(ours);
        Ok(Lock::new(theirs.into()))
    }

    async fn next(&mut self) -> Option<bool> {
        self.1.recv().await
    }
}

fn world(periods: &[(i32, u32)]) -> World {
    let mut world = World::new();
    let period = |&(priority, seconds)| ShutdownPeriod { priority, seconds };
    world.shutdown = ShutdownConfig {
        periods: periods.iter().map(period).collect(),
        recorded: true,
    };
    world
}

/// A Pod whose preStop hook takes so many seconds.
fn slow(name: &str, priority: i32, seconds: u32) -> Value {
    let mut app = container("app");
    app["lifecycle"] = json!({"preStop": {"sleep": {"seconds": seconds}}});
    pod(
        name,
        json!({"containers": [app], "priority": priority, "terminationGracePeriodSeconds": 30}),
    )
}

pub(super) fn ended(world: &World, name: &str) -> bool {
    let status = world.status(name);
    let told = status["phase"] == "Failed";
    if told {
        assert_eq!(status["reason"], "Terminated", "{status}");
        assert_eq!(
            status["message"],
            "Pod was terminated in response to imminent node shutdown."
        );
        let all = status["conditions"].as_array().unwrap();
        let target = all.iter().find(|c| c["type"] == "DisruptionTarget").unwrap();
        assert_eq!(
            (&target["status"], &target["reason"], &target["message"]),
            (&json!("True"), &json!("TerminationByKubelet"), &status["message"])
        );
    }
    told
}

#[test]
fn priorities_end_one_after_the_other_and_then_the_machine_may_go() {
    let world = world(&[(0, 10), (100, 4), (1000, 10)]);
    let mut life = world.start();
    life.add(&slow("low", 5, 6));
    life.add(&slow("middle", 100, 100));
    life.add(&slow("high", 2000, 2));
    life.pass(3);
    assert_eq!(world.logind.held(), 1);
    assert_eq!(
        world.logind.lock().delay,
        Duration::from_secs(24),
        "as long as all of it"
    );
    world.logind.prepare(true);
    life.pass(4);
    assert_eq!(
        ["low", "middle", "high"].map(|name| world.phase(name)),
        ["Running"; 3],
        "the first hook still runs"
    );
    assert!(world.told().contains(&"Shutdown"));
    life.add(&pod("late", json!({"containers": [container("app")]})));
    life.pass(1);
    let late = world.status("late");
    assert_eq!(
        (&late["phase"], &late["reason"], &late["message"]),
        (
            &json!("Failed"),
            &json!("NodeShutdown"),
            &json!("Pod was rejected: Pod was rejected as the node is shutting down.")
        )
    );
    life.pass(3);
    assert!(ended(&world, "low") && !ended(&world, "middle"));
    assert_eq!(world.phase("high"), "Running");
    // A group that is not ready in time does not hold up the next one.
    life.pass(4);
    assert!(!ended(&world, "high"));
    assert_eq!(world.logind.held(), 1);
    life.pass(4);
    assert!(ended(&world, "high") && ended(&world, "middle"));
    assert_eq!(world.logind.held(), 0, "the machine may go down");
    let record = Record::parse(&std::fs::read_to_string(world.path(FILE)).unwrap()).unwrap();
    assert!(record.start < record.end && record.start.is_some(), "{record:?}");
}

#[test]
fn a_shutdown_that_is_called_off_spares_who_is_left() {
    let world = world(&[(0, 10), (100, 10)]);
    let mut life = world.start();
    life.add(&slow("low", 0, 5));
    life.add(&slow("high", 100, 5));
    life.pass(3);
    world.logind.prepare(true);
    life.pass(2);
    world.logind.prepare(false);
    life.pass(10);
    assert!(ended(&world, "low"), "it was told already");
    assert_eq!(world.phase("high"), "Running");
    assert_eq!(world.logind.held(), 1, "for the next time");
    life.add(&pod("later", json!({"containers": [container("app")]})));
    life.pass(2);
    assert_eq!(world.phase("later"), "Running");
    world.logind.prepare(true);
    life.pass(10);
    assert!(ended(&world, "high") && ended(&world, "later"));
    assert_eq!(world.logind.held(), 0);
}

#[test]
fn an_agent_that_comes_back_during_a_shutdown_goes_on_with_it() {
    let world = world(&[(0, 10), (100, 10)]);
    let (low, high) = (slow("low", 0, 5), slow("high", 100, 5));
    let mut life = world.start();
    life.add(&low);
    life.add(&high);
    life.pass(3);
    world.logind.prepare(true);
    life.pass(2);
    life.kill();
    assert_eq!(world.logind.held(), 0, "locks go with their process");
    let mut life = world.start_with(&[&low, &high]);
    life.pass(30);
    assert!(ended(&world, "low") && ended(&world, "high"));
}

#[test]
fn the_end_of_the_agent_ends_no_pods() {
    let world = world(&[(0, 10)]);
    let web = slow("web", 0, 0);
    let mut life = world.start();
    life.add(&web);
    life.pass(3);
    world.cri.take_calls();
    life.kill();
    let mut life = world.start_with(&[&web]);
    life.pass(5);
    assert_eq!(
        (world.phase("web"), world.cri.take_calls()),
        ("Running".into(), vec![])
    );
    assert_eq!(world.logind.held(), 1);
}

#[test]
fn a_lost_connection_is_made_again_whatever_is_under_way() {
    let world = world(&[(0, 10)]);
    world.logind.lock().gone = true;
    let mut life = world.start();
    life.add(&slow("web", 0, 5));
    life.pass(5);
    assert_eq!((world.phase("web"), world.logind.held()), ("Running".into(), 0));
    world.logind.lock().gone = false;
    life.pass(40);
    assert_eq!(world.logind.held(), 1);
    world.logind.cut();
    life.pass(3);
    assert_eq!(world.logind.held(), 1, "the old lock is given up for the new one");
    world.logind.prepare(true);
    life.pass(1);
    world.logind.cut();
    life.pass(3);
    assert_eq!(world.logind.held(), 1, "still needed");
    life.pass(5);
    assert!(ended(&world, "web"));
    assert_eq!(world.logind.held(), 0);
}

#[test]
fn no_lock_is_taken_from_a_logind_that_does_not_wait_long_enough() {
    let world = world(&[(0, 10)]);
    world.logind.lock().stubborn = true;
    let mut life = world.start();
    life.add(&slow("web", 0, 5));
    life.pass(60);
    assert_eq!((world.phase("web"), world.logind.held()), ("Running".into(), 0));
    world.logind.lock().stubborn = false;
    life.pass(40);
    assert_eq!(world.logind.held(), 1);
}

#[test]
fn without_settings_logind_is_left_alone() {
    let world = World::new();
    let mut life = world.start();
    life.add(&slow("web", 0, 5));
    life.pass(5);
    world.logind.prepare(true);
    life.pass(5);
    assert_eq!(world.phase("web"), "Running");
    let fake = world.logind.lock();
    assert!(fake.sessions.is_empty() && fake.locks.is_empty());
}
