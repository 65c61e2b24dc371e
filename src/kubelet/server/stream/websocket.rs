//! PURE. WebSockets (RFC 6455) from a server's side: the handshake, and frames.
//!
//! A message is handed on as it comes and never held, however long a client makes it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{BufMut, BytesMut};
use http::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION};
use http::{HeaderMap, HeaderValue, Method};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// What a server puts behind the client's key.
const SERVER: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Most bytes of a ping or a close.
const MAX_CONTROL: usize = 125;
const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// Kinds of frames.
mod opcode {
    pub(super) const CONTINUATION: u8 = 0;
    pub(super) const TEXT: u8 = 1;
    pub(super) const BINARY: u8 = 2;
    pub(super) const CLOSE: u8 = 8;
    pub(super) const PING: u8 = 9;
    pub(super) const PONG: u8 = 10;
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// All is said.
    Normal = 1000,
    /// The other side does not keep to the protocol.
    Protocol = 1002,
    /// Text where bytes are meant.
    Unsupported = 1003,
}

/// Why there is no handshake, in the words of golang.org/x/net/websocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("bad method")]
    Method,
    #[error("mismatch challenge/response")]
    Key,
    #[error("missing or bad WebSocket Version")]
    Version,
}

/// What the client wants to be told as a sign that it was understood.
pub(super) fn accept(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    if method != Method::GET {
        return Err(Refusal::Method);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| !key.is_empty());
    let key = key.ok_or(Refusal::Key)?;
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
        return Err(Refusal::Version);
    }
    let text = [key.as_bytes(), SERVER.as_bytes()].concat();
    let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &text);
    HeaderValue::try_from(BASE64_STANDARD.encode(sum)).map_err(|_| Refusal::Key)
}

/// The sub-protocols a client offers.
pub(super) fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
}

/// What a client may not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("a frame without a mask")]
    Unmasked,
    #[error("a frame with reserved bits")]
    Reserved,
    #[error("a frame of the unknown kind {0}")]
    Opcode(u8),
    #[error("a control frame that is long or in parts")]
    Control,
    #[error("a message within a message, or the rest of none")]
    Order,
    #[error("a frame of 2^63 bytes or more")]
    Length,
}

/// What a client says. A pong says nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// A message begins.
    Begin {
        /// It is text, not bytes.
        text: bool,
    },
    /// Some bytes of it.
    Payload(&'a [u8]),
    /// It is complete.
    End,
    /// Its bytes are to be sent back as a pong.
    Ping(Vec<u8>),
    /// The client ends the connection.
    Close,
}

/// Reads a client's frames as their bytes come.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
    /// Between the first frame of a message and its end.
    in_message: bool,
}

#[derive(Debug)]
enum State {
    Head { bytes: [u8; 14], have: usize },
    Payload(Frame),
    Control(Frame, Vec<u8>),
}

impl Default for State {
    fn default() -> Self {
        Self::Head {
            bytes: [0; 14],
            have: 0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: u8,
    fin: bool,
    left: u64,
    /// Its first byte is the next one's.
    mask: [u8; 4],
}

impl Decoder {
    /// The next event in these bytes; what was read is taken from their front. `None` once all is read.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a mut [u8]) -> Result<Option<Event<'a>>, Error> {
        loop {
            match &mut self.state {
                State::Head { bytes: head, have } => {
                    let wanted = head_length(head, *have);
                    if *have < wanted {
                        let taken = split(bytes, wanted - *have);
                        head[*have..*have + taken.len()].copy_from_slice(taken);
                        *have += taken.len();
                        if taken.is_empty() {
                            return Ok(None);
                        }
                        continue;
                    }
                    let frame = frame(head)?;
                    if let Some(begin) = self.begin(frame)? {
                        return Ok(Some(begin));
                    }
                }
                State::Payload(frame) => {
                    if frame.left > 0 {
                        let taken = frame.take(bytes);
                        return Ok((!taken.is_empty()).then_some(Event::Payload(taken)));
                    }
                    let fin = frame.fin;
                    self.state = State::default();
                    if fin {
                        self.in_message = false;
                        return Ok(Some(Event::End));
                    }
                }
                State::Control(frame, payload) => {
                    payload.extend_from_slice(frame.take(bytes));
                    if frame.left > 0 {
                        return Ok(None);
                    }
                    let (opcode, payload) = (frame.opcode, std::mem::take(payload));
                    self.state = State::default();
                    match opcode {
                        opcode::PING => return Ok(Some(Event::Ping(payload))),
                        opcode::CLOSE => return Ok(Some(Event::Close)),
                        _ => {}
                    }
                }
            }
        }
    }

    fn begin(&mut self, frame: Frame) -> Result<Option<Event<'static>>, Error> {
        match frame.opcode {
            opcode::CLOSE | opcode::PING | opcode::PONG => {
                if !frame.fin || frame.left > MAX_CONTROL as u64 {
                    return Err(Error::Control);
                }
                self.state = State::Control(frame, Vec::new());
                Ok(None)
            }
            opcode::TEXT | opcode::BINARY if !self.in_message => {
                self.in_message = true;
                self.state = State::Payload(frame);
                let text = frame.opcode == opcode::TEXT;
                Ok(Some(Event::Begin { text }))
            }
            opcode::CONTINUATION if self.in_message => {
                self.state = State::Payload(frame);
                Ok(None)
            }
            opcode::TEXT | opcode::BINARY | opcode::CONTINUATION => Err(Error::Order),
            other => Err(Error::Opcode(other)),
        }
    }
}

/// How long the head is, as far as its first bytes tell.
fn head_length(head: &[u8; 14], have: usize) -> usize {
    match head[1] & !MASKED {
        _ if have < 2 || head[1] & MASKED == 0 => 2,
        126 => 2 + 2 + 4,
        127 => 2 + 8 + 4,
        _ => 2 + 4,
    }
}

fn frame(head: &[u8; 14]) -> Result<Frame, Error> {
    if head[0] & RESERVED != 0 {
        return Err(Error::Reserved);
    }
    if head[1] & MASKED == 0 {
        return Err(Error::Unmasked);
    }
    let [_, _, a, b, c, d, e, f, g, h, ..] = *head;
    let (left, mask) = match head[1] & !MASKED {
        126 => (u16::from_be_bytes([a, b]).into(), [c, d, e, f]),
        127 => (
            u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            [head[10], head[11], head[12], head[13]],
        ),
        short => (short.into(), [a, b, c, d]),
    };
    if left >> 63 != 0 {
        return Err(Error::Length);
    }
    Ok(Frame {
        opcode: head[0] & !(FIN | RESERVED),
        fin: head[0] & FIN != 0,
        left,
        mask,
    })
}

impl Frame {
    /// Takes what belongs to it, unmasked.
    fn take<'a>(&mut self, from: &mut &'a mut [u8]) -> &'a [u8] {
        let taken = split(from, usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= taken.len() as u64;
        unmask(taken, self.mask);
        self.mask.rotate_left(taken.len() % 4);
        taken
    }
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// The front of `from`, `most` bytes at most.
fn split<'a>(from: &mut &'a mut [u8], most: usize) -> &'a mut [u8] {
    let all = std::mem::take(from);
    let (front, rest) = all.split_at_mut(most.min(all.len()));
    *from = rest;
    front
}

/// A message of bytes, whole, from its parts.
pub(super) fn binary(parts: [&[u8]; 2], out: &mut BytesMut) {
    put(opcode::BINARY, parts, out);
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8], out: &mut BytesMut) {
    put(opcode::PONG, [payload, &[]], out);
}

/// Nothing more is said.
pub(super) fn close(code: Code, out: &mut BytesMut) {
    put(opcode::CLOSE, [&(code as u16).to_be_bytes(), &[]], out);
}

fn put(opcode: u8, parts: [&[u8]; 2], out: &mut BytesMut) {
    let length = parts[0].len() + parts[1].len();
    out.put_u8(FIN | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => out.put_u8(short),
        (_, Ok(length)) => {
            out.put_u8(126);
            out.put_u16(length);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    for part in parts {
        out.put(part);
    }
}

#[cfg(test)]
pub(super) mod tests;
