use super::*;
use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;

/// A control frame as a runtime sends it.
pub(in super::super) fn control_frame(kind: u16, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    out.put_u16(VERSION | 1 << 15);
    out.put_u16(kind);
    put_length(flags, body.len(), &mut out);
    out.put(body);
    out.to_vec()
}

/// A stream of ours is open on the runtime's side.
pub(in super::super) fn reply(stream: u32) -> Vec<u8> {
    let headers = [&stream.to_be_bytes()[..], b"compressed"].concat();
    control_frame(kind::SYN_REPLY, 0, &headers)
}

pub(in super::super) fn reset(stream: u32) -> Vec<u8> {
    control_frame(
        kind::RST_STREAM,
        0,
        &[stream.to_be_bytes(), 5u32.to_be_bytes()].concat(),
    )
}

pub(in super::super) fn bytes_of(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    write(&mut out);
    out.to_vec()
}

/// What was said, without how it came in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Said {
    Opened(u32),
    Data(u32, Vec<u8>),
    Ended(u32),
    Ping(u32),
    Offered(u32),
}

/// Reads pieces; neighbouring data of one stream becomes one.
pub(in super::super) fn read<'a>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Said>, Error> {
    let mut all = Vec::new();
    for mut piece in pieces {
        while let Some(event) = decoder.next(&mut piece)? {
            match (event, all.last_mut()) {
                (Event::Data(stream, bytes), Some(Said::Data(last, data))) if *last == stream => {
                    data.extend_from_slice(bytes);
                }
                (Event::Data(stream, bytes), _) => all.push(Said::Data(stream, bytes.to_vec())),
                (Event::Opened(stream), _) => all.push(Said::Opened(stream)),
                (Event::Ended(stream), _) => all.push(Said::Ended(stream)),
                (Event::Ping(number), _) => all.push(Said::Ping(number)),
                (Event::Offered(stream), _) => all.push(Said::Offered(stream)),
            }
        }
        assert!(piece.is_empty(), "all is read");
    }
    Ok(all)
}

#[test]
fn a_stream_is_opened_with_a_header_a_zlib_reader_understands() {
    let (mut opener, mut out) = (Opener::default(), BytesMut::new());
    assert_eq!(opener.open("streamtype", "error", &mut out), 1);
    let first = out.split();
    assert_eq!(opener.open("streamtype", "stdin", &mut out), 3);
    let second = out;
    // What inflates them is the same for both frames; the first one has zlib's head.
    let mut inflate = Decompress::new(false);
    for (frame, head, stream, value) in [(first, 6, 1u32, "error"), (second, 0, 3, "stdin")] {
        assert_eq!(frame[..4], [0x80, 3, 0, 1]);
        assert_eq!(usize::from(frame[7]), frame.len() - 8);
        assert_eq!(frame[8..12], stream.to_be_bytes());
        let block = &frame[18..];
        if head > 0 {
            let check = u16::from_be_bytes([block[0], block[1]]);
            assert!(check % 31 == 0 && block[1] & 0x20 != 0, "zlib with a dictionary");
        }
        let mut text = Vec::with_capacity(100);
        inflate
            .decompress_vec(&block[head..], &mut text, FlushDecompress::Sync)
            .unwrap();
        let wanted = [
            &[0, 0, 0, 1, 0, 0, 0, 10][..],
            b"streamtype",
            &[0, 0, 0, 5],
            value.as_bytes(),
        ];
        assert_eq!(text, wanted.concat());
    }
}

#[test]
fn frames_are_told_and_those_that_ask_nothing_are_not() {
    let id = |id: u32| id.to_be_bytes();
    let frames = [
        control_frame(4, 0, &[0; 4]), // SETTINGS
        control_frame(kind::SYN_REPLY, 0, &id(1)),
        control_frame(9, 0, &[0; 8]), // WINDOW_UPDATE
        bytes_of(|out| data(5, b"hello", out)),
        bytes_of(|out| ping(7, out)),
        control_frame(kind::SYN_REPLY, FIN, &id(3)),
        bytes_of(|out| finish(5, out)),
        control_frame(kind::HEADERS, 0, &id(9)),
        control_frame(kind::HEADERS, FIN, &id(9)),
        control_frame(kind::SYN_STREAM, 0, &[&id(2)[..], &[0; 30]].concat()),
        reset(1),
        control_frame(7, 0, &[0; 8]), // GOAWAY
    ]
    .concat();
    let wanted = vec![
        Said::Opened(1),
        Said::Data(5, b"hello".to_vec()),
        Said::Ping(7),
        Said::Opened(3),
        Said::Ended(3),
        Said::Ended(5),
        Said::Ended(9),
        Said::Offered(2),
        Said::Ended(1),
    ];
    assert_eq!(read(&mut Decoder::default(), [&frames[..]]), Ok(wanted.clone()));
    assert_eq!(read(&mut Decoder::default(), frames.chunks(1)), Ok(wanted));
}

#[test]
fn what_is_no_spdy_is_an_error() {
    let of = |bytes: &[u8]| read(&mut Decoder::default(), [bytes]);
    assert_eq!(of(b"\x80\x02\0\x01\0\0\0\x04abcd"), Err(Error::Version(2)));
    for kind in [
        kind::SYN_STREAM,
        kind::SYN_REPLY,
        kind::RST_STREAM,
        kind::PING,
        kind::HEADERS,
    ] {
        let short = control_frame(kind, 0, &[0; 3]);
        assert_eq!(of(&short), Err(Error::Short { kind, length: 3 }));
    }
}

proptest! {
    #[test]
    fn data_comes_through_however_it_is_cut(
        messages in proptest::collection::vec((1u32..20, proptest::collection::vec(any::<u8>(), 0..300)), 0..20),
        size in 1usize..64,
    ) {
        let mut out = BytesMut::new();
        let mut wanted: Vec<Said> = Vec::new();
        for (stream, bytes) in &messages {
            data(*stream, bytes, &mut out);
            if !bytes.is_empty() {
                match wanted.last_mut() {
                    Some(Said::Data(last, data)) if last == stream => data.extend(bytes),
                    _ => wanted.push(Said::Data(*stream, bytes.clone())),
                }
            }
        }
        prop_assert_eq!(read(&mut Decoder::default(), out.chunks(size)), Ok(wanted));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000), size in 1usize..100) {
        let whole = read(&mut Decoder::default(), [&bytes[..]]);
        let cut = read(&mut Decoder::default(), bytes.chunks(size));
        prop_assert_eq!(whole, cut);
    }
}
