#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::sys::dbus::message::{Kind, Message};
use crate::testing::fake_systemd::{FakeSystemd, PrivateBus};

#[test]
fn the_drop_in_says_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("logind.conf.d");
    for seconds in [30, 7] {
        write_drop_in(&below, "99-kubelet.conf", Duration::from_secs(seconds)).unwrap();
        let text = fs::read_to_string(below.join("99-kubelet.conf")).unwrap();
        assert!(
            text.ends_with(&format!("\n[Login]\nInhibitDelayMaxSec={seconds}\n")),
            "{text}"
        );
    }
    let file = below.join("99-kubelet.conf");
    let error = write_drop_in(&file, "x", Duration::ZERO).unwrap_err().to_string();
    assert!(error.starts_with(&*file.join("x").to_string_lossy()), "{error}");
}

async fn connect(bus: &PrivateBus) -> Connection {
    Connection::new(Bus::connect(bus.address()).await.unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn locks_signals_and_delays_go_over_a_real_bus() {
    let dir = tempfile::tempdir().unwrap();
    let bus = PrivateBus::start(dir.path());
    let nobody = Connection::new(Bus::connect(bus.address()).await.unwrap()).await;
    assert!(nobody.err().unwrap().to_string().contains("ServiceUnknown"));

    let machine = FakeSystemd::start(bus.address(), dir.path().into())
        .await
        .unwrap();
    let mut session = connect(&bus).await;
    assert_eq!(session.longest_delay().await.unwrap(), Duration::from_secs(5));
    let below = dir.path().join("etc/systemd/logind.conf.d");
    write_drop_in(&below, "99-kubelet.conf", Duration::from_secs(50)).unwrap();
    session
        .bus
        .call(
            SYSTEMD,
            "KillUnit",
            vec!["systemd-logind.service".into(), "all".into(), Value::I32(1)],
        )
        .await
        .unwrap();
    assert_eq!(session.longest_delay().await.unwrap(), Duration::from_secs(50));

    let lock = session.inhibit().await.unwrap();
    let locks = machine.locks();
    assert_eq!(locks.len(), 1);
    assert_eq!(
        [&*locks[0][0], &*locks[0][1], &*locks[0][3]],
        ["shutdown", "kubelet", "delay"]
    );
    assert!(!session.going_down().await.unwrap());
    machine.prepare(true);
    assert_eq!(session.next().await, Some(true));
    assert!(session.going_down().await.unwrap());
    assert!(session.inhibit().await.is_err(), "too late");
    drop(lock);
    assert!(machine.locks().is_empty(), "the machine may go down");
    machine.prepare(false);
    assert_eq!(session.next().await, Some(false));
}

#[tokio::test]
async fn nobody_but_logind_says_that_the_machine_goes_down() {
    let dir = tempfile::tempdir().unwrap();
    let bus = PrivateBus::start(dir.path());
    let machine = FakeSystemd::start(bus.address(), dir.path().into())
        .await
        .unwrap();
    let mut session = connect(&bus).await;
    let mut stranger = Bus::connect(bus.address()).await.unwrap();
    // The bus's answer comes after all it has passed on to the session before.
    let own_name = session.bus.take_name("test.Agent").await;
    own_name.unwrap();
    for destination in ["", "test.Agent"] {
        let lie = Message {
            kind: Kind::Signal,
            path: LOGIND.path.into(),
            interface: LOGIND.interface.into(),
            member: "PrepareForShutdown".into(),
            destination: destination.into(),
            body: vec![true.into()],
            ..Message::default()
        };
        stranger.send(lie, &[]).await.unwrap();
    }
    stranger.owner("test.Agent").await.unwrap();
    machine.prepare(false);
    assert_eq!(
        session.next().await,
        Some(false),
        "the first that logind has said"
    );
    drop(machine);
    assert_eq!(session.next().await, None, "logind is gone");
}
