//! A client of the system message bus, as small as its few uses need: calls, signals, file descriptors.
//!
//! A library for all of D-Bus would be eight parts in a hundred of the binary and more memory than the agent may grow by,
//! for five method calls. There is no task behind a connection: who holds it sends and reads, one thing at a time. What
//! comes while an answer is waited for is kept for the next [`Bus::receive`].
//!
//! `value` and `message` know the bytes and are pure.

pub mod message;
pub mod value;

use message::{Kind, Message};
use nix::sys::socket::{ControlMessage, sendmsg};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream as Plain};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;
use value::{Malformed, Value};

/// Where the bus is unless [`ADDRESS`] says otherwise.
const DEFAULT: &str = "unix:path=/var/run/dbus/system_bus_socket";
/// The variable of the environment that says where the bus is.
const ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";
/// Longest wait for an answer: as long as other clients wait.
const ANSWER: Duration = Duration::from_secs(25);
/// The bus itself, which is also its interface.
pub const BUS: &str = "org.freedesktop.DBus";
/// Its object.
const BUS_PATH: &str = "/org/freedesktop/DBus";
/// Most file descriptors in one message that are taken.
const MOST_FDS: usize = 8;

/// Why the bus did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address can be used.
    #[error("system bus {address}: {source}")]
    Connect {
        /// Where it was looked for.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The connection.
    #[error("system bus: {0}")]
    Io(#[from] io::Error),
    /// The bus does not let us in.
    #[error("system bus: it answers {0:?} to the greeting")]
    Greeting(String),
    /// Bytes that mean nothing.
    #[error("system bus: {0}")]
    Malformed(#[from] Malformed),
    /// Nobody answers.
    #[error("{method}: no answer within 25 s")]
    Silent {
        /// What was called.
        method: String,
    },
    /// The answer is an error.
    #[error("{method}: {name}: {words}")]
    Refused {
        /// What was called.
        method: String,
        /// The error's name, as `org.freedesktop.DBus.Error.ServiceUnknown`.
        name: String,
        /// Its own words.
        words: String,
    },
    /// The answer is something else.
    #[error("{method}: it answers something of type {found:?}")]
    Answer {
        /// What was called.
        method: String,
        /// The type of the answer.
        found: String,
    },
}

/// A result of the bus.
pub type Result<T> = std::result::Result<T, Error>;

/// An object that can be called.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Who has it.
    pub service: &'static str,
    /// Which of its objects.
    pub path: &'static str,
    /// Which of its interfaces.
    pub interface: &'static str,
}

const BUS_OBJECT: Object = Object {
    service: BUS,
    path: BUS_PATH,
    interface: BUS,
};

/// A connection to a bus.
#[derive(Debug)]
pub struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Bytes that are not yet a message.
    bytes: Vec<u8>,
    /// File descriptors that came with them.
    fds: VecDeque<OwnedFd>,
    /// Messages that came while an answer was waited for.
    kept: VecDeque<(Message, Vec<OwnedFd>)>,
}

impl Bus {
    /// Connects to the machine's bus.
    pub async fn system() -> Result<Self> {
        let given = std::env::var(ADDRESS).ok().filter(|address| !address.is_empty());
        Self::connect(given.as_deref().unwrap_or(DEFAULT)).await
    }

    /// Connects to the first of these addresses that can be used, as `unix:path=/run/bus;unix:abstract=bus`.
    pub async fn connect(addresses: &str) -> Result<Self> {
        let mut last = io::Error::new(ErrorKind::InvalidInput, "it is no unix socket");
        for address in addresses.split(';') {
            let Some(place) = place(address) else { continue };
            match Self::dial(&place) {
                Ok(stream) => return Self::greet(stream).await,
                Err(error) => last = error,
            }
        }
        Err(Error::Connect {
            address: addresses.to_owned(),
            source: last,
        })
    }

    fn dial(place: &Place) -> io::Result<UnixStream> {
        let address = match place {
            Place::Path(path) => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
            Place::Abstract(name) => SocketAddr::from_abstract_name(name)?,
        };
        // A unix socket either takes a connection at once or is not there.
        let stream = Plain::connect_addr(&address)?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    }

    /// Says who we are, which the socket proves, and that we take file descriptors.
    async fn greet(stream: UnixStream) -> Result<Self> {
        let mut bus = Self {
            stream,
            serial: 0,
            bytes: Vec::new(),
            fds: VecDeque::new(),
            kept: VecDeque::new(),
        };
        let user: String = nix::unistd::geteuid().to_string();
        let user: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
        bus.write(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes(), &[])
            .await?;
        bus.expect("OK ").await?;
        bus.write(b"NEGOTIATE_UNIX_FD\r\n", &[]).await?;
        bus.expect("AGREE_UNIX_FD").await?;
        bus.write(b"BEGIN\r\n", &[]).await?;
        bus.call(BUS_OBJECT, "Hello", Vec::new()).await?;
        Ok(bus)
    }

    async fn expect(&mut self, start: &str) -> Result<()> {
        loop {
            if let Some(end) = self.bytes.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.bytes.drain(..end + 2).collect();
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                return if line.starts_with(start) {
                    Ok(())
                } else {
                    Err(Error::Greeting(line))
                };
            }
            match timeout(ANSWER, self.fill()).await {
                Ok(filled) => filled?,
                Err(_) => {
                    return Err(Error::Silent {
                        method: "the greeting".to_owned(),
                    });
                }
            }
        }
    }

    /// Calls a method and waits for what it returns. After an error but [`Error::Refused`] the connection is of no use.
    pub async fn call(&mut self, object: Object, member: &str, body: Vec<Value>) -> Result<Vec<Value>> {
        let (answer, _) = self.ask(object, member, body).await?;
        Ok(answer.body)
    }

    /// Calls a method that returns one file descriptor.
    pub async fn call_for_fd(&mut self, object: Object, member: &str, body: Vec<Value>) -> Result<OwnedFd> {
        let (answer, mut fds) = self.ask(object, member, body).await?;
        match (&*answer.body, fds.pop()) {
            ([Value::Fd(0)], Some(fd)) => Ok(fd),
            _ => Err(unexpected(object, member, &answer.body)),
        }
    }

    /// Reads a property of an object.
    pub async fn property(&mut self, object: Object, name: &str) -> Result<Value> {
        let properties = Object {
            interface: "org.freedesktop.DBus.Properties",
            ..object
        };
        let names = vec![object.interface.into(), name.into()];
        let mut answer = self.call(properties, "Get", names).await?;
        match answer.pop() {
            Some(Value::Variant(value)) if answer.is_empty() => Ok(*value),
            other => {
                answer.extend(other);
                Err(unexpected(object, name, &answer))
            }
        }
    }

    /// The name the bus has given who has this well-known one.
    pub async fn owner(&mut self, name: &str) -> Result<String> {
        let member = "GetNameOwner";
        match &mut *self.call(BUS_OBJECT, member, vec![name.into()]).await? {
            [Value::Text(owner)] => Ok(std::mem::take(owner)),
            other => Err(unexpected(BUS_OBJECT, member, other)),
        }
    }

    /// Takes a well-known name. Fails when somebody has it.
    pub async fn take_name(&mut self, name: &str) -> Result<()> {
        let (member, do_not_queue) = ("RequestName", Value::U32(4));
        match &*self
            .call(BUS_OBJECT, member, vec![name.into(), do_not_queue])
            .await?
        {
            [Value::U32(1 | 4)] => Ok(()),
            other => Err(unexpected(BUS_OBJECT, member, other)),
        }
    }

    /// Asks for signals that match a rule, from now on.
    pub async fn subscribe(&mut self, rule: &str) -> Result<()> {
        self.call(BUS_OBJECT, "AddMatch", vec![rule.into()])
            .await
            .map(drop)
    }

    async fn ask(
        &mut self,
        object: Object,
        member: &str,
        body: Vec<Value>,
    ) -> Result<(Message, Vec<OwnedFd>)> {
        let call = Message {
            path: object.path.to_owned(),
            interface: object.interface.to_owned(),
            member: member.to_owned(),
            destination: object.service.to_owned(),
            body,
            ..Message::default()
        };
        let method = || format!("{}.{member}", object.interface);
        let answer = async {
            let serial = self.send(call, &[]).await?;
            loop {
                let (message, fds) = self.read().await?;
                match message.kind {
                    Kind::Return | Kind::Error if message.reply_to == serial => return Ok((message, fds)),
                    // The answer to a call that was given up.
                    Kind::Return | Kind::Error => {}
                    Kind::Call | Kind::Signal => self.kept.push_back((message, fds)),
                }
            }
        };
        match timeout(ANSWER, answer).await {
            Ok(Ok((message, _))) if message.kind == Kind::Error => Err(Error::Refused {
                method: method(),
                words: message.words().to_owned(),
                name: message.error,
            }),
            Ok(answer) => answer,
            Err(_) => Err(Error::Silent { method: method() }),
        }
    }

    /// Sends a message and returns its number.
    pub async fn send(&mut self, mut message: Message, fds: &[RawFd]) -> Result<u32> {
        self.serial = self.serial.checked_add(1).unwrap_or(1);
        message.serial = self.serial;
        message.fds = u32::try_from(fds.len()).unwrap_or(u32::MAX);
        self.write(&message.encode(), fds).await?;
        Ok(self.serial)
    }

    /// The next message that is not an answer to a call of ours.
    pub async fn receive(&mut self) -> Result<(Message, Vec<OwnedFd>)> {
        loop {
            let next = match self.kept.pop_front() {
                Some(kept) => kept,
                None => self.read().await?,
            };
            if matches!(next.0.kind, Kind::Call | Kind::Signal) {
                return Ok(next);
            }
        }
    }

    async fn read(&mut self) -> Result<(Message, Vec<OwnedFd>)> {
        loop {
            if let Some(length) = Message::length(&self.bytes)?.filter(|length| *length <= self.bytes.len()) {
                let bytes: Vec<u8> = self.bytes.drain(..length).collect();
                let message = Message::decode(&bytes)?;
                let count = usize::try_from(message.fds).unwrap_or(usize::MAX);
                if count > self.fds.len() {
                    return Err(Malformed("a message without its file descriptors").into());
                }
                return Ok((message, self.fds.drain(..count).collect()));
            }
            self.fill().await?;
        }
    }

    /// Reads what there is.
    async fn fill(&mut self) -> Result<()> {
        let (stream, bytes, fds) = (&self.stream, &mut self.bytes, &mut self.fds);
        let got = stream
            .async_io(Interest::READABLE, || take(stream.as_raw_fd(), bytes, fds))
            .await?;
        if got == 0 {
            return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
        }
        Ok(())
    }

    /// File descriptors go with the first byte.
    async fn write(&mut self, bytes: &[u8], fds: &[RawFd]) -> Result<()> {
        let (mut left, mut fds) = (bytes, fds);
        while !left.is_empty() {
            let stream = &self.stream;
            let sent = stream
                .async_io(Interest::WRITABLE, || give(stream.as_raw_fd(), left, fds))
                .await?;
            left = left.get(sent..).unwrap_or_default();
            fds = &[];
        }
        Ok(())
    }
}

fn unexpected(object: Object, member: &str, found: &[Value]) -> Error {
    Error::Answer {
        method: format!("{}.{member}", object.interface),
        found: value::signature(found),
    }
}

fn take(socket: RawFd, bytes: &mut Vec<u8>, fds: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
    let mut part = [0; 4096];
    let mut space = nix::cmsg_space!([RawFd; MOST_FDS]);
    let mut into = [IoSliceMut::new(&mut part)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let got = recvmsg::<()>(socket, &mut into, Some(&mut space), flags)?;
    for control in got.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            for fd in numbers {
                // SAFETY: the kernel has just made it for us, and nobody else knows its number.
                #[expect(unsafe_code, reason = "descriptors come as numbers")]
                let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                fds.push_back(fd);
            }
        }
    }
    let count = got.bytes;
    bytes.extend(part.iter().take(count));
    Ok(count)
}

fn give(socket: RawFd, bytes: &[u8], fds: &[RawFd]) -> io::Result<usize> {
    let rights = [ControlMessage::ScmRights(fds)];
    let control = if fds.is_empty() { &[][..] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL;
    Ok(sendmsg::<()>(
        socket,
        &[IoSlice::new(bytes)],
        control,
        flags,
        None,
    )?)
}

/// Where a bus listens.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Path(Vec<u8>),
    Abstract(Vec<u8>),
}

/// The socket of one address; `None` for one of another kind.
fn place(address: &str) -> Option<Place> {
    let pairs = address.strip_prefix("unix:")?.split(',');
    let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(key, value)| {
        let value: Vec<u8> = percent_encoding::percent_decode_str(value).collect();
        match key {
            "path" => Some(Place::Path(value)),
            "abstract" => Some(Place::Abstract(value)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests;
