//! PURE. Values as D-Bus writes them (its specification, "Type system" and "Marshaling").

/// Why bytes are no values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a D-Bus value: {0}")]
pub struct Malformed(pub &'static str);

/// A result of reading.
pub type Result<T> = std::result::Result<T, Malformed>;

/// How deep types may be nested.
const DEPTH: u32 = 32;

/// One value of any type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `y`
    Byte(u8),
    /// `b`
    Bool(bool),
    /// `n`
    I16(i16),
    /// `q`
    U16(u16),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `d`
    F64(f64),
    /// `s`
    Text(String),
    /// `o`
    Path(String),
    /// `g`
    Signature(String),
    /// `h`: which of the message's file descriptors.
    Fd(u32),
    /// `a…`: the type of the elements, and the elements.
    Array(String, Vec<Value>),
    /// `(…)`
    Struct(Vec<Value>),
    /// `{…}`, an element of a map.
    Entry(Box<(Value, Value)>),
    /// `v`
    Variant(Box<Value>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<bool> for Value {
    fn from(on: bool) -> Self {
        Self::Bool(on)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::U64(number)
    }
}

impl Value {
    /// A value of any type inside a variant.
    pub fn variant(value: impl Into<Value>) -> Self {
        Self::Variant(Box::new(value.into()))
    }

    /// Its type.
    pub fn signature(&self) -> String {
        let simple = |c: char| c.to_string();
        match self {
            Self::Byte(_) => simple('y'),
            Self::Bool(_) => simple('b'),
            Self::I16(_) => simple('n'),
            Self::U16(_) => simple('q'),
            Self::I32(_) => simple('i'),
            Self::U32(_) => simple('u'),
            Self::I64(_) => simple('x'),
            Self::U64(_) => simple('t'),
            Self::F64(_) => simple('d'),
            Self::Text(_) => simple('s'),
            Self::Path(_) => simple('o'),
            Self::Signature(_) => simple('g'),
            Self::Fd(_) => simple('h'),
            Self::Variant(_) => simple('v'),
            Self::Array(element, _) => format!("a{element}"),
            Self::Struct(fields) => format!("({})", signature(fields)),
            Self::Entry(both) => format!("{{{}{}}}", both.0.signature(), both.1.signature()),
        }
    }
}

/// The types of several values.
pub fn signature(values: &[Value]) -> String {
    values.iter().map(Value::signature).collect()
}

/// Writes values, little end first.
#[derive(Debug, Default)]
pub struct Writer {
    /// What is written so far.
    pub bytes: Vec<u8>,
}

impl Writer {
    /// Fills up to a multiple of `to`.
    pub fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.align(N);
        self.bytes.extend(bytes);
    }

    fn text(&mut self, text: &str) {
        self.put(length(text.len()).to_le_bytes());
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    fn short_text(&mut self, text: &str) {
        // What we write is far shorter.
        self.bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    /// Writes one value.
    pub fn write(&mut self, value: &Value) {
        match value {
            Value::Byte(byte) => self.bytes.push(*byte),
            Value::Bool(on) => self.put(u32::from(*on).to_le_bytes()),
            Value::I16(n) => self.put(n.to_le_bytes()),
            Value::U16(n) => self.put(n.to_le_bytes()),
            Value::I32(n) => self.put(n.to_le_bytes()),
            Value::U32(n) | Value::Fd(n) => self.put(n.to_le_bytes()),
            Value::I64(n) => self.put(n.to_le_bytes()),
            Value::U64(n) => self.put(n.to_le_bytes()),
            Value::F64(n) => self.put(n.to_le_bytes()),
            Value::Text(text) | Value::Path(text) => self.text(text),
            Value::Signature(text) => self.short_text(text),
            Value::Array(element, items) => {
                self.align(4);
                let at = self.bytes.len();
                self.bytes.extend([0; 4]);
                self.align(alignment(element));
                let start = self.bytes.len();
                items.iter().for_each(|item| self.write(item));
                let bytes = length(self.bytes.len() - start).to_le_bytes();
                self.bytes[at..at + 4].copy_from_slice(&bytes);
            }
            Value::Struct(fields) => {
                self.align(8);
                fields.iter().for_each(|field| self.write(field));
            }
            Value::Entry(both) => {
                self.align(8);
                self.write(&both.0);
                self.write(&both.1);
            }
            Value::Variant(inner) => {
                self.short_text(&inner.signature());
                self.write(inner);
            }
        }
    }
}

/// Nothing we write is longer than a length can say.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'y' | b'g' | b'v') => 1,
        Some(b'n' | b'q') => 2,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 4,
    }
}

/// Reads values; positions count from where the reader began.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl<'a> Reader<'a> {
    /// From the first byte on; `big`: the big end comes first.
    pub fn new(bytes: &'a [u8], big: bool) -> Self {
        Self { bytes, at: 0, big }
    }

    /// How far it is.
    pub fn position(&self) -> usize {
        self.at
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or(Malformed("a length"))?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed("it ends early"))?;
        self.at = end;
        Ok(taken)
    }

    /// Skips to a multiple of `to`.
    pub fn align(&mut self, to: usize) -> Result<()> {
        self.take(self.at.next_multiple_of(to) - self.at).map(drop)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.align(N)?;
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        if self.big {
            bytes.reverse();
        }
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.number().map(u32::from_le_bytes)
    }

    fn text(&mut self, length: usize) -> Result<String> {
        let text = self.take(length)?;
        if self.take(1)? != [0] {
            return Err(Malformed("a text without an end"));
        }
        String::from_utf8(text.to_vec()).map_err(|_| Malformed("a text that is not UTF-8"))
    }

    fn long_text(&mut self) -> Result<String> {
        let length = self.u32()?;
        self.text(size(length)?)
    }

    fn short_text(&mut self) -> Result<String> {
        let length = self.take(1)?[0];
        self.text(length.into())
    }

    /// Reads values of these types.
    pub fn read(&mut self, signature: &str) -> Result<Vec<Value>> {
        self.several(signature, 0)
    }

    fn several(&mut self, mut signature: &str, depth: u32) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        while !signature.is_empty() {
            let (one, rest) = split(signature, 0)?;
            values.push(self.one(one, depth)?);
            signature = rest;
        }
        Ok(values)
    }

    /// `signature` is one whole type.
    fn one(&mut self, signature: &str, depth: u32) -> Result<Value> {
        if depth > DEPTH {
            return Err(Malformed("types nested too deep"));
        }
        let inside = signature.get(1..).unwrap_or_default();
        Ok(match signature.as_bytes().first() {
            Some(b'y') => Value::Byte(self.take(1)?[0]),
            Some(b'b') => Value::Bool(match self.u32()? {
                0 => false,
                1 => true,
                _ => return Err(Malformed("a boolean that is neither")),
            }),
            Some(b'n') => Value::I16(self.number().map(i16::from_le_bytes)?),
            Some(b'q') => Value::U16(self.number().map(u16::from_le_bytes)?),
            Some(b'i') => Value::I32(self.number().map(i32::from_le_bytes)?),
            Some(b'u') => Value::U32(self.u32()?),
            Some(b'x') => Value::I64(self.number().map(i64::from_le_bytes)?),
            Some(b't') => Value::U64(self.number().map(u64::from_le_bytes)?),
            Some(b'd') => Value::F64(self.number().map(f64::from_le_bytes)?),
            Some(b's') => Value::Text(self.long_text()?),
            Some(b'o') => Value::Path(self.long_text()?),
            Some(b'g') => Value::Signature(self.short_text()?),
            Some(b'h') => Value::Fd(self.u32()?),
            Some(b'a') => self.array(inside, depth)?,
            Some(b'(') => {
                if inside == ")" {
                    return Err(Malformed("a structure of nothing"));
                }
                self.align(8)?;
                Value::Struct(self.several(inside.strip_suffix(')').unwrap_or(inside), depth + 1)?)
            }
            Some(b'{') => {
                self.align(8)?;
                let mut both = self.several(inside.strip_suffix('}').unwrap_or(inside), depth + 1)?;
                match (both.pop(), both.pop(), both.is_empty()) {
                    (Some(value), Some(key), true) => Value::Entry(Box::new((key, value))),
                    _ => return Err(Malformed("a map's entry without key and value")),
                }
            }
            Some(b'v') => {
                let signature = self.short_text()?;
                let (one, rest) = split(&signature, 0)?;
                if !rest.is_empty() {
                    return Err(Malformed("a variant of several types"));
                }
                Value::Variant(Box::new(self.one(one, depth + 1)?))
            }
            _ => return Err(Malformed("an unknown type")),
        })
    }

    fn array(&mut self, element: &str, depth: u32) -> Result<Value> {
        let length = self.u32()?;
        self.align(alignment(element))?;
        let end = self.at.checked_add(size(length)?).ok_or(Malformed("a length"))?;
        let mut items = Vec::new();
        while self.at < end {
            items.push(self.one(element, depth + 1)?);
        }
        if self.at != end {
            return Err(Malformed("an array of the wrong length"));
        }
        Ok(Value::Array(element.to_owned(), items))
    }
}

fn size(length: u32) -> Result<usize> {
    usize::try_from(length).map_err(|_| Malformed("a length"))
}

/// The first whole type, and the others.
fn split(signature: &str, depth: u32) -> Result<(&str, &str)> {
    if depth > DEPTH {
        return Err(Malformed("types nested too deep"));
    }
    let bad = Malformed("a type that does not end");
    let end = match signature.as_bytes().first().ok_or(bad)? {
        b'a' => {
            let (element, _) = split(signature.get(1..).ok_or(bad)?, depth + 1)?;
            1 + element.len()
        }
        open @ (b'(' | b'{') => {
            let close = if *open == b'(' { ')' } else { '}' };
            let mut at = 1;
            while !signature.get(at..).ok_or(bad)?.starts_with(close) {
                at += split(signature.get(at..).ok_or(bad)?, depth + 1)?.0.len();
            }
            at + 1
        }
        _ => 1,
    };
    signature.split_at_checked(end).ok_or(bad)
}

#[cfg(test)]
mod tests;
