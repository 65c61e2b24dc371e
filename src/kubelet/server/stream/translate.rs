//! PURE. What each side of a session says, in the other's protocol. A session is a client's WebSocket and a runtime's
//! SPDY connection, and each direction of it a [`Half`].
//!
//! Two kinds: exec and attach, where messages of `v5.channel.k8s.io` (a channel's number, then bytes) become SPDY
//! streams and back ([`Up`], [`Down`]); and a port-forward by tunnel (KEP-4006), where messages carry SPDY as it is
//! ([`Unwrap`], [`Wrap`]).

use super::verdict;
use super::{spdy, websocket};
use bytes::BytesMut;

/// Channels of a client: what its message's first byte says.
mod channel {
    pub(super) const STDIN: u8 = 0;
    pub(super) const STDOUT: u8 = 1;
    pub(super) const STDERR: u8 = 2;
    pub(super) const ERROR: u8 = 3;
    pub(super) const RESIZE: u8 = 4;
    /// The next byte is a channel on which the client says nothing more.
    pub(super) const CLOSE: u8 = 255;
}

/// Why a session is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("the client sends {0}")]
    Client(#[from] websocket::Error),
    #[error("the client sends text where bytes are meant")]
    Text,
    #[error("the client closes a channel that is none")]
    Channel,
    #[error("{0}")]
    Runtime(#[from] spdy::Error),
}

impl Error {
    /// What the client is told.
    pub(super) fn tell(self, on: &mut BytesMut) {
        match self {
            Self::Client(_) | Self::Channel => websocket::close(websocket::Code::Protocol, on),
            Self::Text => websocket::close(websocket::Code::Unsupported, on),
            Self::Runtime(_) => farewell(&verdict::failed(&self.to_string()), on),
        }
    }
}

/// Whether a side goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// More may come.
    Goes,
    /// It has said its last.
    Over,
}

/// One direction of a session.
pub(super) trait Half {
    /// Takes bytes of its side. `on` grows by what the other side is told, `back` by what is answered. What they grow
    /// by is bounded by what was taken.
    fn take(&mut self, from: &mut [u8], on: &mut BytesMut, back: &mut BytesMut) -> Result<Flow, Error>;
    /// Its side has ended, orderly or not; `on` grows by the last words for the other side.
    fn end(&mut self, on: &mut BytesMut);
}

/// Which streams a session has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Streams {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    /// There is a terminal, which has a size.
    pub(super) tty: bool,
}

/// Both directions of a session, what opens the runtime's streams, and what tells the client that it is open: an
/// empty message of the first channel it reads.
pub(super) fn session(streams: Streams) -> (Up, Down, BytesMut, BytesMut) {
    let (mut opener, mut open, mut hello) = (spdy::Opener::default(), BytesMut::new(), BytesMut::new());
    let mut stream = |wanted: bool, name: &str| wanted.then(|| opener.open("streamtype", name, &mut open));
    // The order is upstream's.
    let error = stream(true, "error");
    let stdin = stream(streams.stdin, "stdin");
    let stdout = stream(streams.stdout, "stdout");
    let stderr = stream(streams.stderr, "stderr");
    let resize = stream(streams.tty, "resize");
    let first = match (stdout, stderr) {
        (Some(_), _) => channel::STDOUT,
        (None, Some(_)) => channel::STDERR,
        (None, None) => channel::ERROR,
    };
    websocket::binary([&[first], &[]], &mut hello);
    let up = Up {
        decoder: websocket::Decoder::default(),
        message: Message::default(),
        stdin,
        resize,
    };
    let down = Down {
        decoder: spdy::Decoder::default(),
        unanswered: [error, stdin, stdout, stderr, resize]
            .into_iter()
            .flatten()
            .collect(),
        error,
        stdout,
        stderr,
        verdict: verdict::Gathered::default(),
        over: false,
    };
    (up, down, open, hello)
}

/// From a client to the streams of a runtime.
#[derive(Debug)]
pub(super) struct Up {
    decoder: websocket::Decoder,
    message: Message,
    /// `None` when there is none, or none any more.
    stdin: Option<u32>,
    resize: Option<u32>,
}

/// Where in a message we are.
#[derive(Clone, Copy, Debug, Default)]
enum Message {
    /// Its channel has not been read.
    #[default]
    Fresh,
    /// The rest goes to a stream, or nowhere.
    To(Option<u32>),
    /// It closes a channel.
    Close(Option<u8>),
}

impl Up {
    fn payload(&mut self, bytes: &[u8], on: &mut BytesMut) -> Result<(), Error> {
        let bytes = match (self.message, bytes) {
            (Message::Fresh, [first, rest @ ..]) => {
                self.message = match *first {
                    channel::STDIN => Message::To(self.stdin),
                    channel::RESIZE => Message::To(self.resize),
                    channel::CLOSE => Message::Close(None),
                    _ => Message::To(None),
                };
                rest
            }
            _ => bytes,
        };
        match (self.message, bytes) {
            (Message::To(Some(stream)), _) => spdy::data(stream, bytes, on),
            (_, []) | (Message::To(None) | Message::Fresh, _) => {}
            (Message::Close(None), [closed]) => self.message = Message::Close(Some(*closed)),
            (Message::Close(_), _) => return Err(Error::Channel),
        }
        Ok(())
    }

    fn complete(&mut self, on: &mut BytesMut) -> Result<(), Error> {
        let ended = match std::mem::take(&mut self.message) {
            Message::Fresh | Message::To(_) => None,
            Message::Close(Some(channel::STDIN)) => self.stdin.take(),
            Message::Close(Some(channel::RESIZE)) => self.resize.take(),
            Message::Close(Some(0..=channel::RESIZE)) => None,
            Message::Close(_) => return Err(Error::Channel),
        };
        if let Some(stream) = ended {
            spdy::finish(stream, on);
        }
        Ok(())
    }
}

impl Half for Up {
    fn take(&mut self, mut from: &mut [u8], on: &mut BytesMut, back: &mut BytesMut) -> Result<Flow, Error> {
        while let Some(event) = self.decoder.next(&mut from)? {
            match event {
                websocket::Event::Begin { .. } => self.message = Message::Fresh,
                websocket::Event::Payload(bytes) => self.payload(bytes, on)?,
                websocket::Event::End => self.complete(on)?,
                websocket::Event::Ping(payload) => websocket::pong(&payload, back),
                websocket::Event::Close => {
                    self.end(on);
                    websocket::close(websocket::Code::Normal, back);
                    return Ok(Flow::Over);
                }
            }
        }
        Ok(Flow::Goes)
    }

    fn end(&mut self, on: &mut BytesMut) {
        if let Some(stream) = self.stdin.take() {
            spdy::finish(stream, on);
        }
    }
}

/// From the streams of a runtime to a client.
#[derive(Debug)]
pub(super) struct Down {
    decoder: spdy::Decoder,
    /// Streams the runtime has not opened yet.
    unanswered: Vec<u32>,
    /// `None` once it has ended.
    error: Option<u32>,
    stdout: Option<u32>,
    stderr: Option<u32>,
    verdict: verdict::Gathered,
    over: bool,
}

impl Down {
    /// Whether the runtime has opened all streams, or none will come any more.
    pub(super) fn is_open(&self) -> bool {
        self.over || self.unanswered.is_empty()
    }

    /// Whether the client has been told what came of it.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    fn data(&mut self, stream: u32, bytes: &[u8], on: &mut BytesMut) {
        let stream = Some(stream);
        if stream == self.stdout {
            websocket::binary([&[channel::STDOUT], bytes], on);
        } else if stream == self.stderr {
            websocket::binary([&[channel::STDERR], bytes], on);
        } else if stream == self.error {
            self.verdict.add(bytes);
        }
    }

    fn ended(&mut self, stream: u32) {
        self.unanswered.retain(|other| *other != stream);
        for open in [&mut self.error, &mut self.stdout, &mut self.stderr] {
            if *open == Some(stream) {
                *open = None;
            }
        }
    }
}

impl Half for Down {
    /// Over when output and errors have ended, and the runtime has said what came of it.
    fn take(&mut self, from: &mut [u8], on: &mut BytesMut, back: &mut BytesMut) -> Result<Flow, Error> {
        let mut from = &*from;
        while let Some(event) = self.decoder.next(&mut from)? {
            match event {
                spdy::Event::Opened(stream) => self.unanswered.retain(|other| *other != stream),
                spdy::Event::Data(stream, bytes) => self.data(stream, bytes, on),
                spdy::Event::Ended(stream) => self.ended(stream),
                spdy::Event::Ping(number) => spdy::ping(number, back),
                spdy::Event::Offered(stream) => spdy::refuse(stream, back),
            }
            if (self.error, self.stdout, self.stderr) == (None, None, None) {
                self.end(on);
                return Ok(Flow::Over);
            }
        }
        Ok(Flow::Goes)
    }

    fn end(&mut self, on: &mut BytesMut) {
        if !std::mem::replace(&mut self.over, true) {
            farewell(&self.verdict.status(), on);
        }
    }
}

/// What came of a session, and its end.
pub(super) fn farewell(status: &[u8], on: &mut BytesMut) {
    websocket::binary([&[channel::ERROR], status], on);
    websocket::close(websocket::Code::Normal, on);
}

/// From a client's messages to the bytes in them.
#[derive(Debug, Default)]
pub(super) struct Unwrap(websocket::Decoder);

impl Half for Unwrap {
    fn take(&mut self, mut from: &mut [u8], on: &mut BytesMut, back: &mut BytesMut) -> Result<Flow, Error> {
        while let Some(event) = self.0.next(&mut from)? {
            match event {
                websocket::Event::Begin { text: true } => return Err(Error::Text),
                websocket::Event::Begin { text: false } | websocket::Event::End => {}
                websocket::Event::Payload(bytes) => on.extend_from_slice(bytes),
                websocket::Event::Ping(payload) => websocket::pong(&payload, back),
                websocket::Event::Close => {
                    websocket::close(websocket::Code::Normal, back);
                    return Ok(Flow::Over);
                }
            }
        }
        Ok(Flow::Goes)
    }

    fn end(&mut self, _on: &mut BytesMut) {}
}

/// From bytes to messages that carry them.
#[derive(Debug, Default)]
pub(super) struct Wrap;

impl Half for Wrap {
    fn take(&mut self, from: &mut [u8], on: &mut BytesMut, _back: &mut BytesMut) -> Result<Flow, Error> {
        websocket::binary([from, &[]], on);
        Ok(Flow::Goes)
    }

    fn end(&mut self, on: &mut BytesMut) {
        websocket::close(websocket::Code::Normal, on);
    }
}

#[cfg(test)]
mod tests;
