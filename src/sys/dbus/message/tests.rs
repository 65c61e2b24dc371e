use super::*;
use proptest::prelude::*;

fn hello() -> Message {
    Message {
        serial: 1,
        path: "/org/freedesktop/DBus".into(),
        interface: "org.freedesktop.DBus".into(),
        member: "Hello".into(),
        destination: "org.freedesktop.DBus".into(),
        ..Message::default()
    }
}

#[test]
fn a_message_comes_back_as_it_was() {
    let answer = Message {
        kind: Kind::Return,
        serial: 7,
        reply_to: 3,
        sender: ":1.4".into(),
        fds: 1,
        body: vec![Value::Fd(0), "x".into()],
        ..Message::default()
    };
    let error = Message {
        kind: Kind::Error,
        serial: 8,
        reply_to: 4,
        error: "a.b.C".into(),
        body: vec!["no".into()],
        ..Message::default()
    };
    let signal = Message {
        kind: Kind::Signal,
        serial: 9,
        body: vec![true.into()],
        ..hello()
    };
    for message in [hello(), answer, error.clone(), signal] {
        let bytes = message.encode();
        assert_eq!(Message::length(&bytes), Ok(Some(bytes.len())), "{message:?}");
        assert_eq!(Message::decode(&bytes), Ok(message));
        assert_eq!(Message::length(&bytes[..15]), Ok(None));
    }
    assert_eq!((error.words(), hello().words()), ("no", ""));
}

#[test]
fn what_is_no_message_is_refused() {
    let good = hello().encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    assert!(Message::length(&with(0, b'x')).is_err(), "byte order");
    assert!(Message::length(&with(7, 1)).is_err(), "a body of 16 MiB");
    assert!(Message::length(&with(15, 1)).is_err(), "fields of 16 MiB");
    assert!(Message::decode(&with(1, 9)).is_err(), "kind");
    assert!(Message::decode(&good[..good.len() - 30]).is_err(), "too short");
}

proptest! {
    #[test]
    fn no_bytes_do_harm(at in 0usize..200, byte: u8, cut in 0usize..200) {
        let mut bytes = hello().encode();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(cut.max(1));
        let _ = Message::length(&bytes);
        drop(Message::decode(&bytes));
    }
}
