use super::*;
use proptest::prelude::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame.
pub(in super::super) fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put(0, [payload, &[]], &mut out);
    out[0] = first;
    out[1] |= MASKED;
    let head = out.len() - payload.len();
    let mut payload = out.split_off(head);
    for (n, byte) in payload.iter_mut().enumerate() {
        *byte ^= MASK[n % 4];
    }
    [&out[..], &MASK, &payload].concat()
}

/// A client's message of bytes.
pub(in super::super) fn message(payload: &[u8]) -> Vec<u8> {
    client_frame(FIN | opcode::BINARY, payload)
}

pub(in super::super) fn client_ping(payload: &[u8]) -> Vec<u8> {
    client_frame(FIN | opcode::PING, payload)
}

pub(in super::super) fn client_close() -> Vec<u8> {
    client_frame(FIN | opcode::CLOSE, &1000u16.to_be_bytes())
}

/// The kind and payload of each frame of ours.
pub(in super::super) fn server_frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        assert!(
            first & FIN != 0 && length & MASKED == 0,
            "whole, and without a mask"
        );
        let (length, rest) = match length {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (
                u64::from_be_bytes(rest[..8].try_into().unwrap())
                    .try_into()
                    .unwrap(),
                &rest[8..],
            ),
            short => (usize::from(*short), rest),
        };
        all.push((first & 15, rest[..length].to_vec()));
        bytes = &rest[length..];
    }
    all
}

/// What was said, without how it came in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Message(bool, Vec<u8>),
    Unfinished(bool, Vec<u8>),
    Ping(Vec<u8>),
    Close,
}

fn read(bytes: &[u8], size: usize) -> Result<Vec<Said>, Error> {
    let (mut decoder, mut all, mut bytes) = (Decoder::default(), Vec::new(), bytes.to_vec());
    let mut message = None;
    for mut piece in bytes.chunks_mut(size) {
        while let Some(event) = decoder.next(&mut piece)? {
            match event {
                Event::Begin { text } => message = Some((text, Vec::new())),
                Event::Payload(bytes) => message.as_mut().unwrap().1.extend_from_slice(bytes),
                Event::End => {
                    let (text, bytes) = message.take().unwrap();
                    all.push(Said::Message(text, bytes));
                }
                Event::Ping(payload) => all.push(Said::Ping(payload)),
                Event::Close => all.push(Said::Close),
            }
        }
        assert!(piece.is_empty(), "all is read");
    }
    all.extend(message.map(|(text, bytes)| Said::Unfinished(text, bytes)));
    Ok(all)
}

#[test]
fn the_handshake_is_that_of_the_rfc() {
    let headers = |key: &str, version: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_KEY, key.parse().unwrap());
        headers.insert(SEC_WEBSOCKET_VERSION, version.parse().unwrap());
        headers
    };
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let good = headers(key, "13");
    assert_eq!(
        accept(&Method::GET, &good).unwrap(),
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    assert_eq!(accept(&Method::POST, &good), Err(Refusal::Method));
    assert_eq!(accept(&Method::GET, &headers("", "13")), Err(Refusal::Key));
    assert_eq!(accept(&Method::GET, &HeaderMap::new()), Err(Refusal::Key));
    assert_eq!(accept(&Method::GET, &headers(key, "8")), Err(Refusal::Version));
}

#[test]
fn messages_come_whole_in_parts_and_with_pings_between() {
    let bytes = [
        message(b"one"),
        message(b""),
        client_frame(opcode::TEXT, b"two "),
        client_ping(b"there?"),
        client_frame(opcode::CONTINUATION, b""),
        client_frame(FIN | opcode::PONG, b"here"),
        client_frame(FIN | opcode::CONTINUATION, b"parts"),
        message(&[7; 70_000]),
        client_close(),
    ]
    .concat();
    let wanted = vec![
        Said::Message(false, b"one".to_vec()),
        Said::Message(false, Vec::new()),
        Said::Ping(b"there?".to_vec()),
        Said::Message(true, b"two parts".to_vec()),
        Said::Message(false, vec![7; 70_000]),
        Said::Close,
    ];
    for size in [1, 2, 3, 1000, usize::MAX] {
        assert_eq!(read(&bytes, size), Ok(wanted.clone()));
    }
}

#[test]
fn what_a_client_may_not_send_is_refused() {
    let huge = |first: u8| {
        let length = (1u64 << 63).to_be_bytes();
        [&[FIN | opcode::BINARY, first][..], &length, &MASK].concat()
    };
    let cases = [
        (vec![FIN | opcode::BINARY, 3], Error::Unmasked),
        (client_frame(FIN | 0x40 | opcode::BINARY, b"x"), Error::Reserved),
        (client_frame(FIN | 3, b"x"), Error::Opcode(3)),
        (client_frame(FIN | 11, b"x"), Error::Opcode(11)),
        (client_frame(opcode::PING, b"x"), Error::Control),
        (client_frame(FIN | opcode::PING, &[0; 126]), Error::Control),
        (client_frame(FIN | opcode::CONTINUATION, b"x"), Error::Order),
        (
            [client_frame(opcode::BINARY, b"x"), message(b"y")].concat(),
            Error::Order,
        ),
        (huge(MASKED | 127), Error::Length),
    ];
    for (bytes, error) in cases {
        assert_eq!(read(&bytes, 1), Err(error));
    }
}

#[test]
fn our_frames_are_whole_and_of_the_right_length() {
    for length in [0, 1, 124, 125, 126, 65_534, 65_535, 100_000] {
        let payload = vec![9; length];
        let mut out = BytesMut::new();
        binary([b"1", &payload], &mut out);
        pong(b"there", &mut out);
        close(Code::Normal, &mut out);
        let wanted = [
            (opcode::BINARY, [b"1", &payload[..]].concat()),
            (opcode::PONG, b"there".to_vec()),
            (opcode::CLOSE, 1000u16.to_be_bytes().to_vec()),
        ];
        assert_eq!(server_frames(&out), wanted);
    }
}

proptest! {
    #[test]
    fn messages_come_through_however_they_are_cut(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 0..10),
        part in 1usize..200,
        size in 1usize..100,
    ) {
        let mut bytes = Vec::new();
        for payload in &messages {
            let parts: Vec<&[u8]> = payload.chunks(part).collect();
            let last = parts.len().saturating_sub(1);
            for (n, part) in parts.iter().enumerate() {
                let kind = if n == 0 { opcode::BINARY } else { opcode::CONTINUATION };
                bytes.extend(client_frame(if n == last { FIN | kind } else { kind }, part));
            }
            if parts.is_empty() {
                bytes.extend(message(b""));
            }
        }
        let wanted: Vec<_> = messages.into_iter().map(|payload| Said::Message(false, payload)).collect();
        prop_assert_eq!(read(&bytes, size), Ok(wanted));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000), size in 1usize..100) {
        prop_assert_eq!(read(&bytes, usize::MAX), read(&bytes, size));
    }
}
