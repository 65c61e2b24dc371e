//! PURE. The page of a directory as Go's file server writes it, and which part of a file a `Range` header wants.

use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write;

/// What stays as it is in a link: what Go leaves in a path, but for the slash.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// The link to a name in the same directory. One with a colon would be taken for a scheme.
pub(super) fn relative(name: &str) -> String {
    let encoded = utf8_percent_encode(name, ENCODED);
    let scheme = if name.contains(':') { "./" } else { "" };
    format!("{scheme}{encoded}")
}

/// The page of a directory: names and whether each is a directory itself.
pub(super) fn directory(names: &[(String, bool)]) -> String {
    let mut page =
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n".to_owned();
    for (name, is_directory) in names {
        let slash = if *is_directory { "/" } else { "" };
        let (link, shown) = (relative(name), escaped(name));
        // Writing to a String cannot fail.
        let _ = writeln!(page, "<a href=\"{link}{slash}\">{shown}{slash}</a>");
    }
    page + "</pre>\n"
}

/// A link is escaped already: it has none of these but `&`, which stands for itself there.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&#34;"),
            '\'' => text.push_str("&#39;"),
            c => text.push(c),
        }
    }
    text
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// 200 for all of it, 206 for a part, 416 when there is no such part.
    pub(super) code: StatusCode,
    /// First byte.
    pub(super) begin: u64,
    /// Bytes.
    pub(super) length: u64,
    /// Bytes of the whole file.
    pub(super) size: u64,
}

impl Part {
    /// `Content-Range`.
    pub(super) fn header(&self) -> String {
        if self.length == 0 {
            return format!("bytes */{}", self.size);
        }
        let last = self.begin + self.length - 1;
        format!("bytes {}-{last}/{}", self.begin, self.size)
    }
}

/// What `Range: bytes=…` wants of a file. Several ranges, and what cannot be read, get all of it.
pub(super) fn part(range: Option<&str>, size: u64) -> Part {
    let whole = Part {
        code: StatusCode::OK,
        begin: 0,
        length: size,
        size,
    };
    let Some((first, last)) = range.and_then(bounds) else {
        return whole;
    };
    let (begin, end) = match (first, last) {
        (Some(first), last) => (first, last.map_or(size, |last| size.min(last.saturating_add(1)))),
        (None, last) => (size.saturating_sub(last.unwrap_or(0)), size),
    };
    if begin >= end {
        return Part {
            code: StatusCode::RANGE_NOT_SATISFIABLE,
            begin: 0,
            length: 0,
            size,
        };
    }
    Part {
        code: StatusCode::PARTIAL_CONTENT,
        begin,
        length: end - begin,
        size,
    }
}

/// `bytes=1-2`, `bytes=1-`, `bytes=-2`.
fn bounds(range: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (first, last) = range.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => Some(Some(digits.parse().ok()?)),
        _ => None,
    };
    let bounds = (number(first)?, number(last)?);
    match bounds {
        (None, None) => None,
        (Some(first), Some(last)) if last < first => None,
        bounds => Some(bounds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As upstream's kubelet showed it.
    #[test]
    fn a_directory_as_go_shows_it() {
        let names = [
            ("a&b <c>", false),
            ("containers", true),
            ("x:y", false),
            ("é", false),
        ];
        let names = names.map(|(name, dir)| (name.to_owned(), dir));
        assert_eq!(
            directory(&names),
            "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n\
             <a href=\"a&b%20%3Cc%3E\">a&amp;b &lt;c&gt;</a>\n<a href=\"containers/\">containers/</a>\n\
             <a href=\"./x:y\">x:y</a>\n<a href=\"%C3%A9\">é</a>\n</pre>\n"
        );
    }

    #[test]
    fn parts_of_six_bytes() {
        let cases = [
            (None, 200, 0, 6),
            (Some("bytes=1-2"), 206, 1, 2),
            (Some("bytes=4-"), 206, 4, 2),
            (Some("bytes=4-99"), 206, 4, 2),
            (Some("bytes=-2"), 206, 4, 2),
            (Some("bytes=-99"), 206, 0, 6),
            (Some("bytes=0-18446744073709551615"), 206, 0, 6),
            (Some("bytes=6-"), 416, 0, 0),
            (Some("bytes=-0"), 416, 0, 0),
            (Some("bytes=2-1"), 200, 0, 6),
            (Some("bytes=1-2,4-5"), 200, 0, 6),
            (Some("bytes=-"), 200, 0, 6),
            (Some("bytes=+1-2"), 200, 0, 6),
            (Some("bytes=99999999999999999999-"), 200, 0, 6),
            (Some("lines=1-2"), 200, 0, 6),
        ];
        for (range, code, begin, length) in cases {
            let part = part(range, 6);
            assert_eq!(
                (part.code.as_u16(), part.begin, part.length),
                (code, begin, length),
                "{range:?}"
            );
        }
        assert_eq!(part(Some("bytes=1-2"), 6).header(), "bytes 1-2/6");
        assert_eq!(part(Some("bytes=9-"), 6).header(), "bytes */6");
    }
}
