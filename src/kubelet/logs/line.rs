//! PURE. From the CRI's log format to what people read: `<RFC 3339 time> <stdout|stderr> <P|F>[:…] <text>`.
//!
//! The state machine takes input in pieces of any size and never keeps more of it than a line's header, so a line may
//! be of any length. What it writes is upstream's to the byte: a partial (`P`) line loses its newline, a time stands
//! where the line before (of either stream, shown or not) had ended, the limit counts what is written. A line that is
//! not in the format is left out and counted.

use jiff::Timestamp;

/// Longest header that is understood; a real one has some 45 bytes.
const MAX_HEADER: usize = 256;

/// Which output of the container is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// Both.
    #[default]
    All,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What is shown, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// Of which output.
    pub streams: Streams,
    /// Only lines of this time or later.
    pub since: Option<Timestamp>,
    /// Each line with its time.
    pub timestamps: bool,
    /// Most bytes to write.
    pub limit: Option<u64>,
    /// Most lines to take from the input, shown or not; lines that are not understood do not count.
    pub lines: Option<u64>,
}

/// Where in a line the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In its header, of which `Lines::header` has the beginning.
    Header,
    /// In its text.
    Text {
        shown: bool,
        /// The newline is the runtime's, not the container's.
        partial: bool,
        /// It has any text.
        any: bool,
    },
    /// In a line that is not understood.
    Garbage,
}

/// Turns a log into what people read.
#[derive(Debug)]
pub struct Lines {
    show: Show,
    at: At,
    header: Vec<u8>,
    /// The next line begins where the one before had ended.
    fresh: bool,
    written: u64,
    lines: u64,
    garbage: u64,
}

impl Lines {
    /// At the beginning of a line.
    pub fn new(show: Show) -> Self {
        Self {
            show,
            at: At::Header,
            header: Vec::new(),
            fresh: true,
            written: 0,
            lines: 0,
            garbage: 0,
        }
    }

    /// Nothing more will be written, whatever comes.
    pub fn is_done(&self) -> bool {
        self.show.limit.is_some_and(|limit| self.written >= limit)
            || self.show.lines.is_some_and(|most| self.lines >= most) && self.at == At::Header
    }

    /// Lines so far that were not understood.
    pub fn garbage(&self) -> u64 {
        self.garbage
    }

    /// Another file of the same log follows: what the one before has cut off is lost.
    pub fn next_file(&mut self) {
        if self.at != At::Header || !self.header.is_empty() {
            self.at = At::Header;
            self.header.clear();
            self.fresh = true;
        }
    }

    /// Takes the next piece of the log, appends what is to be shown to `out` and returns true once it is done.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> bool {
        while !input.is_empty() && !self.is_done() {
            let (line, end) = match input.iter().position(|b| *b == b'\n') {
                Some(at) => (at, true),
                None => (input.len(), false),
            };
            self.part(&input[..line], end, out);
            input = &input[line + usize::from(end)..];
        }
        self.is_done()
    }

    /// A part of one line, without its newline; `end` when the newline comes after it.
    fn part(&mut self, mut part: &[u8], end: bool, out: &mut Vec<u8>) {
        if self.at == At::Header {
            let Some(rest) = self.take_header(part, end, out) else {
                return;
            };
            part = rest;
        }
        if let At::Text { shown, partial, any } = self.at {
            if shown {
                self.write(part, out);
            }
            if !end {
                let any = any || !part.is_empty();
                self.at = At::Text { shown, partial, any };
                return;
            }
            if shown && !partial {
                self.write(b"\n", out);
            }
            // A partial line without text leaves the place as it would be after a whole line: so does upstream.
            self.fresh = !partial || (!any && part.is_empty());
            self.lines += 1;
        }
        if end {
            self.at = At::Header;
        }
    }

    /// Looks for the end of the header; the rest of the part once it is there.
    fn take_header<'a>(&mut self, part: &'a [u8], end: bool, out: &mut Vec<u8>) -> Option<&'a [u8]> {
        if self.header.is_empty()
            && let Some((header, rest)) = Header::parse(part)
        {
            self.start(&header, out);
            return Some(rest);
        }
        let before = self.header.len();
        self.header
            .extend_from_slice(&part[..part.len().min(MAX_HEADER - before)]);
        let kept = std::mem::take(&mut self.header);
        let found = Header::parse(&kept).map(|(header, rest)| (header, kept.len() - rest.len()));
        if let Some((header, length)) = found {
            self.start(&header, out);
            // The header ends in this part: otherwise it had been found before.
            return part.get(length.saturating_sub(before)..);
        }
        if end {
            // An empty line is none.
            self.garbage += u64::from(!kept.is_empty());
            return None;
        }
        if kept.len() < MAX_HEADER {
            self.header = kept;
            return None;
        }
        self.garbage += 1;
        self.at = At::Garbage;
        Some(&[])
    }

    fn start(&mut self, header: &Header<'_>, out: &mut Vec<u8>) {
        let wanted = match self.show.streams {
            Streams::All => true,
            Streams::Stdout => header.stdout,
            Streams::Stderr => !header.stdout,
        };
        let shown = wanted && self.show.since.is_none_or(|since| header.time >= since);
        if shown && self.show.timestamps && self.fresh {
            self.write(header.fixed_width().as_bytes(), out);
        }
        self.at = At::Text {
            shown,
            partial: header.partial,
            any: false,
        };
    }

    fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let left = self.show.limit.map_or(u64::MAX, |limit| limit - self.written);
        let bytes = match usize::try_from(left) {
            Ok(left) if left < bytes.len() => &bytes[..left],
            _ => bytes,
        };
        self.written += bytes.len() as u64;
        out.extend_from_slice(bytes);
    }
}

/// What stands before a line's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header<'a> {
    text: &'a str,
    time: Timestamp,
    stdout: bool,
    partial: bool,
}

impl<'a> Header<'a> {
    /// The header and what comes after it.
    fn parse(line: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (text, rest) = word(line)?;
        let (stream, rest) = word(rest)?;
        let (tags, rest) = word(rest)?;
        let stdout = match stream {
            b"stdout" => true,
            b"stderr" => false,
            _ => return None,
        };
        let text = std::str::from_utf8(text).ok()?;
        // jiff also knows other separators.
        let time = text
            .parse()
            .ok()
            .filter(|_| text.as_bytes().get(10) == Some(&b'T'))?;
        let header = Self {
            text,
            time,
            stdout,
            partial: tags.split(|b| *b == b':').next() == Some(b"P"),
        };
        Some((header, rest))
    }

    /// The time as written, with nine digits of its second, and a blank.
    fn fixed_width(&self) -> String {
        let seconds = "2006-01-02T15:04:05".len();
        let (whole, rest) = self.text.split_at_checked(seconds).unwrap_or((self.text, "Z"));
        let zone_at = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
            .unwrap_or(rest.len());
        let (fraction, zone) = rest.split_at(zone_at);
        let fraction = fraction.get(1..).unwrap_or("");
        let zone = if zone == "+00:00" { "Z" } else { zone };
        format!("{whole}.{fraction:0<9.9}{zone} ")
    }
}

/// The bytes before the first blank, and those after it. A header has no long words.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let head = &line[..line.len().min(MAX_HEADER)];
    let at = head.iter().position(|b| *b == b' ')?;
    Some((&line[..at], &line[at + 1..]))
}

#[cfg(test)]
mod tests;
