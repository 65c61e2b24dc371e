use super::super::spdy::tests::{Said, bytes_of, read, reply, reset};
use super::super::websocket::tests::{client_close, client_ping, message, server_frames};
use super::*;
use proptest::prelude::*;

const ALL: Streams = Streams {
    stdin: true,
    stdout: true,
    stderr: true,
    tty: false,
};
const TERMINAL: Streams = Streams {
    stdin: true,
    stdout: true,
    stderr: false,
    tty: true,
};
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PONG: u8 = 10;

/// What a half makes of some bytes: for the other side, and back.
fn take(half: &mut impl Half, bytes: &[u8]) -> (Vec<u8>, Vec<u8>, Result<Flow, Error>) {
    let (mut on, mut back) = (BytesMut::new(), BytesMut::new());
    let flow = half.take(&mut bytes.to_vec(), &mut on, &mut back);
    (on.to_vec(), back.to_vec(), flow)
}

fn said(bytes: &[u8]) -> Vec<Said> {
    read(&mut spdy::Decoder::default(), [bytes]).unwrap()
}

#[test]
fn streams_are_opened_as_wanted_and_the_client_hears_of_it_on_the_first_it_reads() {
    let none = Streams::default();
    let only_error = Streams { stderr: true, ..none };
    for (streams, opened, hello) in [
        (ALL, 4, channel::STDOUT),
        (TERMINAL, 4, channel::STDOUT),
        (only_error, 2, channel::STDERR),
        (Streams { stdin: true, ..none }, 2, channel::ERROR),
    ] {
        let (_, mut down, open, first) = session(streams);
        let offered: Vec<_> = (0..opened).map(|n| Said::Offered(2 * n + 1)).collect();
        assert_eq!(said(&open), offered);
        assert_eq!(server_frames(&first), [(BINARY, vec![hello])]);
        for n in 0..opened {
            assert!(!down.is_open());
            take(&mut down, &reply(2 * n + 1)).2.unwrap();
        }
        assert!(down.is_open() && !down.is_over());
    }
}

#[test]
fn a_client_types_resizes_and_ends_its_input() {
    let (mut up, ..) = session(TERMINAL);
    let bytes = [
        message(b"\0ls\n"),
        message(b"\x04{\"Width\":80,\"Height\":24}"),
        message(b""),
        message(b"\0"),
        message(b"\x01no channel of its own"),
        message(b"\x09no channel at all"),
        client_ping(b"there?"),
        message(b"\xff\0"),
        message(b"\0too late"),
        message(b"\xff\0"),
        message(b"\xff\x01"),
        message(b"\x04more"),
        message(b"\xff\x04"),
    ]
    .concat();
    let (on, back, flow) = take(&mut up, &bytes);
    let size = b"{\"Width\":80,\"Height\":24}".to_vec();
    let wanted = [
        Said::Data(3, b"ls\n".to_vec()),
        Said::Data(7, size),
        Said::Ended(3),
        Said::Data(7, b"more".to_vec()),
        Said::Ended(7),
    ];
    assert_eq!(said(&on), wanted);
    assert_eq!(server_frames(&back), [(PONG, b"there?".to_vec())]);
    assert_eq!(flow, Ok(Flow::Goes));
}

#[test]
fn a_client_without_input_or_terminal_sends_into_nothing() {
    let (mut up, ..) = session(Streams {
        stdout: true,
        ..Streams::default()
    });
    let bytes = [
        message(b"\0hello"),
        message(b"\x04{}"),
        message(b"\xff\0"),
        message(b"\xff\x04"),
    ];
    assert_eq!(take(&mut up, &bytes.concat()), (vec![], vec![], Ok(Flow::Goes)));
}

#[test]
fn a_client_that_goes_ends_its_input() {
    let (mut up, ..) = session(ALL);
    let (on, back, flow) = take(&mut up, &[message(b"\0bye"), client_close()].concat());
    assert_eq!(said(&on), [Said::Data(3, b"bye".to_vec()), Said::Ended(3)]);
    assert_eq!(server_frames(&back), [(CLOSE, 1000u16.to_be_bytes().to_vec())]);
    assert_eq!(flow, Ok(Flow::Over));
    // Without a word, too; and once only.
    let (mut up, ..) = session(ALL);
    let mut on = BytesMut::new();
    up.end(&mut on);
    up.end(&mut on);
    assert_eq!(said(&on), [Said::Ended(3)]);
}

#[test]
fn only_channels_can_be_closed() {
    for bad in [&b"\xff"[..], b"\xff\x05", b"\xff\xff", b"\xff\0\0"] {
        let (mut up, ..) = session(ALL);
        let (_, _, flow) = take(&mut up, &message(bad));
        assert_eq!(flow, Err(Error::Channel), "{bad:?}");
    }
}

#[test]
fn output_and_outcome_reach_the_client() {
    let (_, mut down, ..) = session(ALL);
    let bytes = [
        [1, 3, 5, 7].map(reply).concat(),
        bytes_of(|out| spdy::data(5, b"out", out)),
        bytes_of(|out| spdy::data(7, b"err", out)),
        bytes_of(|out| spdy::ping(2, out)),
        bytes_of(|out| spdy::finish(7, out)),
        bytes_of(|out| spdy::data(1, br#"{"status":"Success"}"#, out)),
        reset(1),
        // What comes after the outcome comes before it here: the client hears the outcome last.
        bytes_of(|out| spdy::data(5, b" more", out)),
    ]
    .concat();
    let (on, back, flow) = take(&mut down, &bytes);
    assert_eq!(flow, Ok(Flow::Goes));
    let wanted = [
        (BINARY, b"\x01out".to_vec()),
        (BINARY, b"\x02err".to_vec()),
        (BINARY, b"\x01 more".to_vec()),
    ];
    assert_eq!(server_frames(&on), wanted);
    assert_eq!(said(&back), [Said::Ping(2)]);
    let (on, _, flow) = take(&mut down, &reset(5));
    assert_eq!(flow, Ok(Flow::Over));
    let frames = server_frames(&on);
    assert_eq!(frames[0].1[0], channel::ERROR);
    assert!(String::from_utf8_lossy(&frames[0].1).contains("Success"));
    assert_eq!(frames[1], (CLOSE, 1000u16.to_be_bytes().to_vec()));
    let mut again = BytesMut::new();
    down.end(&mut again);
    assert!(again.is_empty(), "it is said once");
}

#[test]
fn a_runtime_that_dies_or_refuses_is_no_success() {
    for said in [&[][..], &[1, 3, 5, 7].map(reset).concat()] {
        let (_, mut down, ..) = session(ALL);
        let (mut on, _, _) = take(&mut down, said);
        let mut rest = BytesMut::new();
        down.end(&mut rest);
        on.extend_from_slice(&rest);
        let frames = server_frames(&on);
        assert!(
            String::from_utf8_lossy(&frames[0].1).contains("without a status"),
            "{frames:?}"
        );
        assert_eq!(frames.len(), 2);
        assert!(down.is_open() && down.is_over());
    }
}

#[test]
fn streams_of_the_runtime_are_refused() {
    let (_, mut down, ..) = session(ALL);
    let offer = super::super::spdy::tests::control_frame(1, 0, &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
    let (on, back, flow) = take(&mut down, &offer);
    assert_eq!((on, flow), (vec![], Ok(Flow::Goes)));
    assert_eq!(said(&back), [Said::Ended(2)]);
}

#[test]
fn errors_are_told_to_the_client() {
    for (error, code) in [
        (Error::Client(websocket::Error::Unmasked), 1002u16),
        (Error::Channel, 1002),
        (Error::Text, 1003),
    ] {
        let told = bytes_of(|out| error.tell(out));
        assert_eq!(server_frames(&told), [(CLOSE, code.to_be_bytes().to_vec())]);
    }
    let told = server_frames(&bytes_of(|out| Error::Runtime(spdy::Error::Version(2)).tell(out)));
    assert!(String::from_utf8_lossy(&told[0].1).contains("version 2 of SPDY"));
    assert_eq!(told[1].0, CLOSE);
}

#[test]
fn a_tunnel_takes_bytes_out_and_puts_bytes_in() {
    let mut out = Unwrap::default();
    let bytes = [
        message(b"SPDY "),
        client_ping(b"?"),
        message(b"frames"),
        client_close(),
    ]
    .concat();
    let (on, back, flow) = take(&mut out, &bytes);
    assert_eq!((&on[..], flow), (&b"SPDY frames"[..], Ok(Flow::Over)));
    let close = (CLOSE, 1000u16.to_be_bytes().to_vec());
    assert_eq!(server_frames(&back), [(PONG, b"?".to_vec()), close.clone()]);
    let text = super::super::websocket::tests::client_frame(0x81, b"text");
    assert_eq!(take(&mut Unwrap::default(), &text).2, Err(Error::Text));

    let (on, _, _) = take(&mut Wrap, b"answer");
    let end = bytes_of(|out| Wrap.end(out));
    assert_eq!(
        server_frames(&[on, end].concat()),
        [(BINARY, b"answer".to_vec()), close]
    );
}

proptest! {
    /// However small the pieces, what is made of them stays in proportion: nobody can blow up what we hold.
    #[test]
    fn what_comes_out_is_bounded_by_what_goes_in(
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        tiny in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..4), 0..300),
    ) {
        let (mut up, mut down, ..) = session(TERMINAL);
        let messages: Vec<u8> = tiny.iter().flat_map(|payload| message(payload)).collect();
        let frames = bytes_of(|out| for payload in &tiny {
            spdy::data(5, payload, out);
        });
        for input in [&bytes, &messages, &frames] {
            let bound = 4 * input.len() + 1000;
            let (on, back, _) = take(&mut up, input);
            prop_assert!(on.len() + back.len() <= bound);
            let (on, back, _) = take(&mut down, input);
            prop_assert!(on.len() + back.len() <= bound);
        }
    }
}
