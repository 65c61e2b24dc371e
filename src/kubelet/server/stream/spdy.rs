//! PURE. As much of SPDY/3.1 as a client of a runtime's streaming server needs: it opens streams, and bytes move on them.
//!
//! What runtimes serve is moby/spdystream. It has no flow-control windows, neither its own nor ours: what holds a fast
//! side back is the connection itself. Headers that come from the runtime say nothing we need, so they are passed over
//! and never decompressed; ours go out as stored blocks.

use bytes::{BufMut, BytesMut};

/// Protocol version of a control frame.
const VERSION: u16 = 3;
const CONTROL: u32 = 1 << 31;
const FIN: u8 = 1;
/// A frame's length has 24 bits.
const MAX_LENGTH: usize = (1 << 24) - 1;
/// How a zlib stream begins that has SPDY/3's dictionary: its header, and the dictionary's Adler-32.
const ZLIB_HEAD: [u8; 6] = [0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2];
/// An empty stored block: what was sent before may be read now.
const ZLIB_FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];
/// `REFUSED_STREAM`.
const REFUSED: u32 = 3;

/// Kinds of control frames.
mod kind {
    pub(super) const SYN_STREAM: u16 = 1;
    pub(super) const SYN_REPLY: u16 = 2;
    pub(super) const RST_STREAM: u16 = 3;
    pub(super) const PING: u16 = 6;
    pub(super) const HEADERS: u16 = 8;
}

/// What is no SPDY/3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("the runtime speaks version {0} of SPDY, not 3")]
    Version(u16),
    #[error("a frame of kind {kind} of the runtime has only {length} bytes")]
    Short { kind: u16, length: u32 },
}

/// What the runtime says. Frames that ask nothing of a client (SETTINGS, WINDOW_UPDATE, GOAWAY) are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// A stream we opened is open on its side too.
    Opened(u32),
    /// Some bytes on a stream.
    Data(u32, &'a [u8]),
    /// Nothing more comes on a stream: it was finished or reset.
    Ended(u32),
    /// To be sent back.
    Ping(u32),
    /// The runtime opens a stream, which is not its part.
    Offered(u32),
}

/// Reads frames as their bytes come; it holds no more than the head of one.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
    /// A stream whose end is to be told next.
    ending: Option<u32>,
}

#[derive(Debug)]
enum State {
    Head(Gathered<8>),
    Data { stream: u32, fin: bool, left: usize },
    Control(Control),
}

#[derive(Debug)]
struct Control {
    kind: u16,
    fin: bool,
    left: usize,
    /// What most of them begin with: a stream or the number of a ping.
    id: Gathered<4>,
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Gathered::default())
    }
}

/// The first bytes of something, as they come.
#[derive(Debug)]
struct Gathered<const N: usize> {
    bytes: [u8; N],
    have: usize,
}

impl<const N: usize> Default for Gathered<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            have: 0,
        }
    }
}

impl<const N: usize> Gathered<N> {
    /// Takes what is missing; all, once it is there.
    fn take(&mut self, from: &mut &[u8]) -> Option<[u8; N]> {
        let taken = split(from, N - self.have);
        self.bytes[self.have..self.have + taken.len()].copy_from_slice(taken);
        self.have += taken.len();
        (self.have == N).then_some(self.bytes)
    }
}

/// The front of `from`, `most` bytes at most.
fn split<'a>(from: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (front, rest) = from.split_at(most.min(from.len()));
    *from = rest;
    front
}

impl Decoder {
    /// The next event in these bytes; what was read is taken from their front. `None` once all is read.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Event<'a>>, Error> {
        if let Some(stream) = self.ending.take() {
            return Ok(Some(Event::Ended(stream)));
        }
        loop {
            match &mut self.state {
                State::Head(gathered) => {
                    let Some(head) = gathered.take(bytes) else {
                        return Ok(None);
                    };
                    self.state = begin(head)?;
                }
                State::Data { stream, fin, left } => {
                    let stream = *stream;
                    if *left == 0 {
                        let ended = fin.then_some(Event::Ended(stream));
                        self.state = State::default();
                        if ended.is_some() {
                            return Ok(ended);
                        }
                        continue;
                    }
                    let data = split(bytes, *left);
                    *left -= data.len();
                    return Ok((!data.is_empty()).then_some(Event::Data(stream, data)));
                }
                State::Control(control) => {
                    if !control.take(bytes) {
                        return Ok(None);
                    }
                    let (event, ending) = control.event();
                    self.ending = ending;
                    self.state = State::default();
                    if event.is_some() {
                        return Ok(event);
                    }
                }
            }
        }
    }
}

/// What follows the head of a frame.
fn begin(head: [u8; 8]) -> Result<State, Error> {
    let [a, b, c, d, flags, length @ ..] = head;
    let [word, length] = [[a, b, c, d], [0, length[0], length[1], length[2]]].map(u32::from_be_bytes);
    let (fin, left) = (flags & FIN != 0, length as usize);
    if word & CONTROL == 0 {
        let stream = word;
        return Ok(State::Data { stream, fin, left });
    }
    let (version, kind) = (u16::from_be_bytes([a & 0x7f, b]), u16::from_be_bytes([c, d]));
    if version != VERSION {
        return Err(Error::Version(version));
    }
    let with_id = matches!(
        kind,
        kind::SYN_STREAM | kind::SYN_REPLY | kind::RST_STREAM | kind::PING | kind::HEADERS
    );
    if with_id && length < 4 {
        return Err(Error::Short { kind, length });
    }
    Ok(State::Control(Control {
        kind,
        fin,
        left,
        id: Gathered::default(),
    }))
}

impl Control {
    /// Takes what belongs to the frame; whether all of it has come.
    fn take(&mut self, from: &mut &[u8]) -> bool {
        let mut taken = split(from, self.left);
        self.left -= taken.len();
        self.id.take(&mut taken);
        self.left == 0
    }

    /// What it says, and the stream that is ended by it as well.
    fn event(&self) -> (Option<Event<'static>>, Option<u32>) {
        let id = u32::from_be_bytes(self.id.bytes) & !CONTROL;
        match self.kind {
            kind::SYN_STREAM => (Some(Event::Offered(id)), None),
            kind::SYN_REPLY => (Some(Event::Opened(id)), self.fin.then_some(id)),
            kind::RST_STREAM => (Some(Event::Ended(id)), None),
            kind::HEADERS if self.fin => (Some(Event::Ended(id)), None),
            kind::PING => (Some(Event::Ping(u32::from_be_bytes(self.id.bytes))), None),
            _ => (None, None),
        }
    }
}

/// Opens streams. Their headers are one compressed text, from the first stream to the last.
#[derive(Debug, Default)]
pub(super) struct Opener {
    opened: u32,
}

impl Opener {
    /// Opens a stream with one header, whose name is in lower case. Returns the stream.
    pub(super) fn open(&mut self, name: &str, value: &str, out: &mut BytesMut) -> u32 {
        let mut headers = BytesMut::new();
        headers.put_u32(1);
        for text in [name, value] {
            headers.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
            headers.put(text.as_bytes());
        }
        let mut block = BytesMut::new();
        if self.opened == 0 {
            block.put(&ZLIB_HEAD[..]);
        }
        for part in headers.chunks(usize::from(u16::MAX)) {
            let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
            block.put_u8(0);
            block.put_u16_le(length);
            block.put_u16_le(!length);
            block.put(part);
        }
        block.put(&ZLIB_FLUSH[..]);
        // A client's streams are odd.
        let stream = 2 * self.opened + 1;
        self.opened += 1;
        control(kind::SYN_STREAM, 10 + block.len(), out);
        out.put_u32(stream);
        // It belongs to no other stream; the priority is the highest.
        out.put_u32(0);
        out.put_u16(0);
        out.put(block);
        stream
    }
}

fn control(kind: u16, length: usize, out: &mut BytesMut) {
    out.put_u16(VERSION | 1 << 15);
    out.put_u16(kind);
    put_length(0, length, out);
}

fn put_length(flags: u8, length: usize, out: &mut BytesMut) {
    let length = u32::try_from(length.min(MAX_LENGTH)).unwrap_or_default();
    out.put_u32(u32::from(flags) << 24 | length);
}

/// Bytes on a stream.
pub(super) fn data(stream: u32, bytes: &[u8], out: &mut BytesMut) {
    for part in bytes.chunks(MAX_LENGTH) {
        out.put_u32(stream);
        put_length(0, part.len(), out);
        out.put(part);
    }
}

/// Nothing more comes on a stream.
pub(super) fn finish(stream: u32, out: &mut BytesMut) {
    out.put_u32(stream);
    put_length(FIN, 0, out);
}

/// A ping, sent back.
pub(super) fn ping(number: u32, out: &mut BytesMut) {
    control(kind::PING, 4, out);
    out.put_u32(number);
}

/// A stream of the runtime's is not wanted.
pub(super) fn refuse(stream: u32, out: &mut BytesMut) {
    control(kind::RST_STREAM, 8, out);
    out.put_u32(stream);
    out.put_u32(REFUSED);
}

#[cfg(test)]
pub(super) mod tests;
