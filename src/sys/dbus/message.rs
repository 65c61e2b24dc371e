//! PURE. Messages as D-Bus writes them (its specification, "Message format").

use super::value::{Malformed, Reader, Result, Value, Writer, signature};

/// Bytes that are there in any message: up to and with the length of the header's fields.
const START: usize = 16;
/// No message we expect is longer, bytes.
const LONGEST: usize = 1 << 17;

/// What a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// It asks for something.
    #[default]
    Call,
    /// It answers.
    Return,
    /// It says why not.
    Error,
    /// It tells whoever listens.
    Signal,
}

/// A message without its file descriptors. Texts that are empty are not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Its number, which an answer repeats.
    pub serial: u32,
    /// The message it answers; 0 for none.
    pub reply_to: u32,
    /// Which object.
    pub path: String,
    /// Which of its interfaces.
    pub interface: String,
    /// The method or signal.
    pub member: String,
    /// The error's name.
    pub error: String,
    /// Who it is for.
    pub destination: String,
    /// Who sends it; the bus says so.
    pub sender: String,
    /// How many file descriptors come with it.
    pub fds: u32,
    /// What it says.
    pub body: Vec<Value>,
}

impl Message {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Writer::default();
        self.body.iter().for_each(|value| body.write(value));
        let kind = match self.kind {
            Kind::Call => 1,
            Kind::Return => 2,
            Kind::Error => 3,
            Kind::Signal => 4,
        };
        let length = u32::try_from(body.bytes.len()).unwrap_or(u32::MAX);
        let mut all = Writer::default();
        all.bytes.extend([b'l', kind, 0, 1]);
        all.write(&Value::U32(length));
        all.write(&Value::U32(self.serial));
        all.write(&Value::Array("(yv)".to_owned(), self.fields()));
        all.align(8);
        all.bytes.extend(body.bytes);
        all.bytes
    }

    fn fields(&self) -> Vec<Value> {
        let text = |text: &String| Some(Value::Text(text.clone())).filter(|_| !text.is_empty());
        let path = (!self.path.is_empty()).then(|| Value::Path(self.path.clone()));
        let number = |n: u32| (n != 0).then_some(Value::U32(n));
        let types = signature(&self.body);
        let types = (!types.is_empty()).then_some(Value::Signature(types));
        let all = [
            (1, path),
            (2, text(&self.interface)),
            (3, text(&self.member)),
            (4, text(&self.error)),
            (5, number(self.reply_to)),
            (6, text(&self.destination)),
            (7, text(&self.sender)),
            (8, types),
            (9, number(self.fds)),
        ];
        let field = |(code, value): (u8, Option<Value>)| {
            Some(Value::Struct(vec![
                Value::Byte(code),
                Value::Variant(Box::new(value?)),
            ]))
        };
        all.into_iter().filter_map(field).collect()
    }

    /// How many bytes the message has that begins here; `None` while that cannot be told.
    pub fn length(bytes: &[u8]) -> Result<Option<usize>> {
        let Some(start) = bytes.get(..START) else {
            return Ok(None);
        };
        let numbers = Reader::new(start, big(start)?).read("yyyyuuu")?;
        let [.., Value::U32(body), _, Value::U32(fields)] = &*numbers else {
            return Err(Malformed("a header"));
        };
        let size = |n: u32| usize::try_from(n).ok().filter(|n| *n <= LONGEST);
        match (size(*fields), size(*body)) {
            (Some(fields), Some(body)) => Ok(Some((START + fields).next_multiple_of(8) + body)),
            _ => Err(Malformed("a message that is too long")),
        }
    }

    /// Reads one whole message.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let big = big(bytes)?;
        let mut reader = Reader::new(bytes, big);
        let head = reader.read("yyyyuua(yv)")?;
        reader.align(8)?;
        let [
            _,
            Value::Byte(kind),
            _,
            _,
            _,
            Value::U32(serial),
            Value::Array(_, fields),
        ] = &*head
        else {
            return Err(Malformed("a header"));
        };
        let mut message = Self {
            serial: *serial,
            kind: match kind {
                1 => Kind::Call,
                2 => Kind::Return,
                3 => Kind::Error,
                4 => Kind::Signal,
                _ => return Err(Malformed("a message of an unknown kind")),
            },
            ..Self::default()
        };
        let mut types = String::new();
        for field in fields {
            let Value::Struct(field) = field else { continue };
            let [Value::Byte(code), Value::Variant(value)] = &**field else {
                continue;
            };
            match (code, &**value) {
                (1, Value::Path(text)) => message.path = text.clone(),
                (2, Value::Text(text)) => message.interface = text.clone(),
                (3, Value::Text(text)) => message.member = text.clone(),
                (4, Value::Text(text)) => message.error = text.clone(),
                (5, Value::U32(number)) => message.reply_to = *number,
                (6, Value::Text(text)) => message.destination = text.clone(),
                (7, Value::Text(text)) => message.sender = text.clone(),
                (8, Value::Signature(text)) => types = text.clone(),
                (9, Value::U32(number)) => message.fds = *number,
                _ => {}
            }
        }
        // A body starts at a multiple of 8, so it may count from itself.
        let body = bytes.get(reader.position()..).unwrap_or_default();
        message.body = Reader::new(body, big).read(&types)?;
        Ok(message)
    }

    /// The error's own words.
    pub fn words(&self) -> &str {
        match self.body.first() {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }
}

fn big(bytes: &[u8]) -> Result<bool> {
    match bytes.first() {
        Some(b'l') => Ok(false),
        Some(b'B') => Ok(true),
        _ => Err(Malformed("it says nothing of its byte order")),
    }
}

#[cfg(test)]
mod tests;
