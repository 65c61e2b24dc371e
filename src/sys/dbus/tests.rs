#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::testing::fake_systemd::PrivateBus;

#[test]
fn addresses_are_sockets_or_nothing_to_us() {
    let path = |path: &str| Some(Place::Path(path.into()));
    for (address, expected) in [
        ("unix:path=/run/bus", path("/run/bus")),
        ("unix:guid=00ff,path=/run/a%20b", path("/run/a b")),
        ("unix:abstract=bus", Some(Place::Abstract(b"bus".into()))),
        ("tcp:host=localhost,port=1", None),
        ("unix:runtime=yes", None),
        ("", None),
    ] {
        assert_eq!(place(address), expected, "{address}");
    }
}

#[tokio::test]
async fn a_bus_that_is_not_there_is_named() {
    for address in ["unix:path=/nowhere/bus", "tcp:host=localhost", ""] {
        let error = Bus::connect(address).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("system bus {address}: ")), "{error}");
    }
}

#[tokio::test]
async fn a_real_bus_answers_calls_and_carries_signals_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let bus = PrivateBus::start(dir.path());
    // The first address is nobody's.
    let address = format!("unix:path=/nowhere;{}", bus.address());
    let (mut one, mut two) = (
        Bus::connect(&address).await.unwrap(),
        Bus::connect(&address).await.unwrap(),
    );
    two.take_name("test.Two").await.unwrap();
    let owner = one.owner("test.Two").await.unwrap();
    assert!(owner.starts_with(":1."), "{owner}");
    let taken = one.take_name("test.Two").await.unwrap_err();
    assert!(taken.to_string().contains("answers"), "{taken}");
    let missing = one.owner("test.Three").await.unwrap_err();
    assert!(
        matches!(&missing, Error::Refused { name, .. } if name == "org.freedesktop.DBus.Error.NameHasNoOwner"),
        "{missing}"
    );

    one.subscribe("type='signal',interface='test.Two'").await.unwrap();
    let signal = |member: &str| Message {
        kind: Kind::Signal,
        path: "/".into(),
        interface: "test.Two".into(),
        member: member.into(),
        ..Message::default()
    };
    two.send(signal("First"), &[]).await.unwrap();
    let object = Object {
        service: "test.Two",
        path: "/two",
        interface: "test.Two",
    };
    let serve = async {
        let mut call = Message::default();
        // The bus tells of names before.
        while call.member != "Open" {
            call = two.receive().await.unwrap().0;
        }
        assert_eq!(call.body, ["x".into()]);
        two.send(signal("Second"), &[]).await.unwrap();
        let file = std::fs::File::open("/proc/self/comm").unwrap();
        let answer = Message {
            kind: Kind::Return,
            reply_to: call.serial,
            destination: call.sender,
            body: vec![Value::Fd(0)],
            ..Message::default()
        };
        two.send(answer, &[file.as_raw_fd()]).await.unwrap();
    };
    let (file, ()) = tokio::join!(one.call_for_fd(object, "Open", vec!["x".into()]), serve);
    let comm = std::io::read_to_string(std::fs::File::from(file.unwrap())).unwrap();
    assert!(!comm.is_empty());
    // What came before the answer is not lost.
    for member in ["First", "Second"] {
        let mut message = Message::default();
        while message.sender != owner {
            message = one.receive().await.unwrap().0;
        }
        assert_eq!(message.member, member);
    }
    drop(bus);
    assert!(one.receive().await.is_err(), "the bus is gone");
    assert!(one.owner("test.Two").await.is_err());
}
