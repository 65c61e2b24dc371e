use super::*;
use proptest::prelude::*;

fn find(text: &[u8], lines: u64) -> u64 {
    start(text.len() as u64, lines, |at, block| {
        let at = usize::try_from(at).unwrap();
        block.copy_from_slice(&text[at..at + block.len()]);
        Ok(())
    })
    .unwrap()
}

#[test]
fn the_last_lines_begin_after_the_newline_before_them() {
    for (text, lines, want) in [
        ("", 0, 0),
        ("", 3, 0),
        ("a\nb\nc\n", 0, 6),
        ("a\nb\nc\n", 1, 4),
        ("a\nb\nc\n", 2, 2),
        ("a\nb\nc\n", 3, 0),
        ("a\nb\nc\n", 9, 0),
        ("a\nb\nunfinished", 0, 4),
        ("a\nb\nunfinished", 1, 2),
        ("unfinished", 0, 0),
        ("\n\n\n", 2, 1),
    ] {
        assert_eq!(find(text.as_bytes(), lines), want, "{text:?}, last {lines}");
    }
}

#[test]
fn a_huge_count_reads_everything_and_no_more() {
    assert_eq!(find(b"a\nb\n", u64::MAX), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn blocks_make_no_difference(lengths in prop::collection::vec(0usize..40_000, 1..12), lines in 0u64..14) {
        let mut text = Vec::new();
        for length in &lengths {
            text.resize(text.len() + length, b'x');
            text.push(b'\n');
        }
        let ends: Vec<usize> = text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
        let skip = lengths.len().saturating_sub(usize::try_from(lines).unwrap());
        let want = if skip == 0 { 0 } else { ends[skip - 1] };
        prop_assert_eq!(find(&text, lines), want as u64);
    }
}
