use super::*;
use proptest::prelude::*;

const LOG: &str = "2026-11-21T10:00:00.5Z stdout F one\n\
    2026-11-21T10:00:01Z stderr P tw\n\
    2026-11-21T10:00:02.123456789Z stderr F o\n\
    this is no log line\n\
    2026-11-21T10:00:03.000000001+02:00 stdout F three  and more \n\
    2026-11-21T10:00:04Z stdout F \n\
    2026-11-21T10:00:05Z stdout P:x:y \n\
    2026-11-21T10:00:06Z stdout F last\n";

/// Everything in pieces of this size.
fn pieces(log: &[u8], show: Show, size: usize) -> (String, Lines) {
    let (mut lines, mut out) = (Lines::new(show), Vec::new());
    for piece in log.chunks(size) {
        if lines.feed(piece, &mut out) {
            break;
        }
    }
    (String::from_utf8(out).unwrap(), lines)
}

fn shown(log: &str, show: Show) -> String {
    let (whole, _) = pieces(log.as_bytes(), show, usize::MAX);
    for size in [1, 2, 7, 64] {
        assert_eq!(pieces(log.as_bytes(), show, size).0, whole, "in pieces of {size}");
    }
    whole
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

#[test]
fn options_choose_and_format_lines() {
    let all = Show::default();
    for (show, want) in [
        (all, "one\ntwo\nthree  and more \n\nlast\n"),
        (
            Show {
                timestamps: true,
                ..all
            },
            "2026-11-21T10:00:00.500000000Z one\n\
             2026-11-21T10:00:01.000000000Z two\n\
             2026-11-21T10:00:03.000000001+02:00 three  and more \n\
             2026-11-21T10:00:04.000000000Z \n\
             2026-11-21T10:00:05.000000000Z 2026-11-21T10:00:06.000000000Z last\n",
        ),
        (
            Show {
                streams: Streams::Stderr,
                ..all
            },
            "two\n",
        ),
        (
            Show {
                streams: Streams::Stdout,
                limit: Some(6),
                ..all
            },
            "one\nth",
        ),
        (
            Show {
                since: at("2026-11-21T10:00:02.123456789Z"),
                ..all
            },
            "o\n\nlast\n",
        ),
        // The time of the second half of a line is not shown even when its first half is too old to be.
        (
            Show {
                since: at("2026-11-21T10:00:02Z"),
                timestamps: true,
                lines: Some(3),
                ..all
            },
            "o\n",
        ),
        (
            Show {
                lines: Some(2),
                ..all
            },
            "one\ntw",
        ),
        (
            Show {
                lines: Some(0),
                ..all
            },
            "",
        ),
        (
            Show {
                limit: Some(10),
                timestamps: true,
                ..all
            },
            "2026-11-21",
        ),
        (
            Show {
                limit: Some(4),
                ..all
            },
            "one\n",
        ),
    ] {
        assert_eq!(shown(LOG, show), want, "{show:?}");
    }
}

#[test]
fn lines_that_are_not_understood_are_left_out_and_counted() {
    for line in [
        "no log",
        "2026-11-21T10:00:00Z stdout",
        "2026-11-21T10:00:00Z stdout F",
        "2026-11-21T10:00:00Z stdin F x",
        "2026-11-21 10:00:00Z stdout F x",
        "yesterday stdout F x",
        "2026-11-21T10:00:00 stdout F no zone",
        " stdout F x",
        "\u{e4}\u{e4} stdout F x",
        &"\0".repeat(100_000),
    ] {
        let log = format!("{line}\n2026-11-21T10:00:00Z stdout F good\n");
        for size in [1, 100, usize::MAX] {
            let (text, lines) = pieces(log.as_bytes(), Show::default(), size);
            assert_eq!(
                (&*text, lines.garbage()),
                ("good\n", 1),
                "{line:?} in pieces of {size}"
            );
        }
    }
}

#[test]
fn a_line_that_is_not_finished_is_shown_as_far_as_it_is() {
    let (text, lines) = pieces(b"2026-11-21T10:00:00Z stdout F half a li", Show::default(), 8);
    assert_eq!(text, "half a li");
    assert!(!lines.is_done());
}

#[test]
fn the_next_file_begins_with_a_line_of_its_own() {
    for cut in ["2026-11-21T10:0", "2026-11-21T10:00:00Z stdout F hal"] {
        let (mut lines, mut out) = (Lines::new(Show::default()), Vec::new());
        lines.feed(cut.as_bytes(), &mut out);
        lines.next_file();
        out.clear();
        lines.feed(b"2026-11-21T10:00:00Z stdout F good\n", &mut out);
        assert_eq!(out, b"good\n", "after {cut:?}");
    }
    // A line in two parts may be cut by rotation; the second part is still no line of its own.
    let show = Show {
        timestamps: true,
        ..Show::default()
    };
    let (mut lines, mut out) = (Lines::new(show), Vec::new());
    lines.feed(b"2026-11-21T10:00:00Z stdout P a", &mut Vec::new());
    lines.feed(b"\n", &mut out);
    lines.next_file();
    lines.feed(b"2026-11-21T10:00:01Z stdout F b\n", &mut out);
    assert_eq!(out, b"b\n");
}

#[test]
fn nothing_is_kept_of_a_long_line() {
    let mut lines = Lines::new(Show::default());
    let mut out = Vec::new();
    lines.feed(b"2026-11-21T10:00:00Z stdout F ", &mut out);
    for _ in 0..1000 {
        out.clear();
        lines.feed(&[b'x'; 1000], &mut out);
        assert_eq!(out.len(), 1000);
        assert!(lines.header.capacity() <= MAX_HEADER);
    }
}

/// Text as a container writes it, and the log a runtime makes of it with at most `most` bytes in a line.
fn as_logged(text: &[u8], most: usize) -> Vec<u8> {
    let mut log = Vec::new();
    let mut line = |tag: &str, part: &[u8]| {
        log.extend_from_slice(format!("2026-11-21T10:00:00.1Z stdout {tag} ").as_bytes());
        log.extend_from_slice(part);
        log.push(b'\n');
    };
    for whole in text.split_inclusive(|b| *b == b'\n') {
        let (body, ended) = match whole.strip_suffix(b"\n") {
            Some(body) => (body, true),
            None => (whole, false),
        };
        let mut parts = body.chunks(most).peekable();
        if body.is_empty() {
            line("F", b"");
        }
        while let Some(part) = parts.next() {
            line(
                if parts.peek().is_some() || !ended {
                    "P"
                } else {
                    "F"
                },
                part,
            );
        }
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// What the container wrote comes back to the byte, however the runtime and we cut it.
    #[test]
    fn splitting_and_joining_change_nothing(
        text in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(b' ')], 0..400),
        most in 1usize..40,
        size in 1usize..90,
        limit in prop::option::of(1u64..500),
    ) {
        let log = as_logged(&text, most);
        let show = Show { limit, ..Show::default() };
        let (mut lines, mut out) = (Lines::new(show), Vec::new());
        for piece in log.chunks(size) {
            lines.feed(piece, &mut out);
        }
        let want = limit.map_or(text.len(), |limit| text.len().min(usize::try_from(limit).unwrap()));
        prop_assert_eq!(&out[..], &text[..want]);
    }

    #[test]
    fn any_bytes_are_survived_and_pieces_make_no_difference(
        log in prop::collection::vec(prop_oneof![
            Just(b"2026-11-21T10:00:00Z stdout F a\n".to_vec()),
            Just(b"2026-11-21T10:00:00.25+01:00 stderr P b\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..60),
        ], 0..12),
        size in 1usize..50,
        timestamps in any::<bool>(),
        most in prop::option::of(0u64..8),
    ) {
        let log = log.concat();
        let show = Show { timestamps, lines: most, ..Show::default() };
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let (mut whole, mut cut) = (Lines::new(show), Lines::new(show));
        whole.feed(&log, &mut one);
        for piece in log.chunks(size) {
            cut.feed(piece, &mut other);
        }
        prop_assert_eq!(one, other);
        prop_assert_eq!(whole.garbage(), cut.garbage());
    }
}
