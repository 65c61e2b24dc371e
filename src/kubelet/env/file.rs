//! PURE. `fileKeyRef`: a variable of a file that a container has written into a volume.
//!
//! The format is a strict part of the shell's: `NAME='value'`, the value always in single quotes, as many lines as it
//! takes and nothing in it expanded; blank lines, lines that begin with `#`, and a comment after the value.

use crate::model::pod::{Container, FileKeyRef};

/// Longest line, as upstream reads them.
const MAX_LINE: usize = 64 << 10;

/// A file of variables as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EnvFile {
    /// The Pod has no such volume, or it is not set up.
    #[default]
    NoVolume,
    /// There is no such file, or none that can be read.
    Unreadable,
    /// What it holds.
    Read {
        /// Where it is on the node, for messages.
        path: Box<str>,
        /// Its first bytes.
        bytes: Box<[u8]>,
        /// It holds more than that.
        cut: bool,
    },
}

/// Volume and path of a file.
pub type Place = (Box<str>, Box<str>);

/// Where the file of a reference is.
pub(super) fn place(reference: &FileKeyRef) -> Place {
    (reference.volume_name.clone(), reference.path.clone())
}

/// The files that a container's environment needs.
pub fn files(container: &Container) -> impl Iterator<Item = Place> {
    let sources = container.env.iter().filter_map(|e| e.value_from.as_ref());
    sources.filter_map(|s| s.file_key_ref.as_ref()).map(place)
}

/// Why a reference gives no variable; the words are kubelet's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The volume is not there.
    #[error("cannot find the volume {0:?} referenced by FileKeyRef")]
    NoVolume(Box<str>),
    /// The file is not there, or it is no list of variables. What is wrong with it is for the log.
    #[error("couldn't parse env file")]
    Unreadable(#[source] Option<Malformed>),
    /// The file has no such variable, or an empty one.
    #[error("environment variable key {key:?} not found in file {path:?}")]
    NotFound {
        /// The variable.
        key: Box<str>,
        /// Where the file is on the node.
        path: Box<str>,
    },
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {cause}")]
pub struct Malformed {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub cause: &'static str,
}

/// The value of a reference; `None` when an optional variable is missing in its file.
pub(super) fn value(reference: &FileKeyRef, file: &EnvFile) -> Result<Option<String>, Error> {
    let (path, bytes, cut) = match file {
        EnvFile::NoVolume => return Err(Error::NoVolume(reference.volume_name.clone())),
        EnvFile::Unreadable => return Err(Error::Unreadable(None)),
        EnvFile::Read { path, bytes, cut } => (path, bytes, *cut),
    };
    let value = find(bytes, &reference.key, cut).map_err(|why| Error::Unreadable(Some(why)))?;
    if !value.is_empty() {
        Ok(Some(value))
    } else if reference.optional == Some(true) {
        Ok(None)
    } else {
        Err(Error::NotFound {
            key: reference.key.clone(),
            path: path.clone(),
        })
    }
}

/// The value of the first variable of this name; empty when there is none. What comes after it is not looked at.
fn find(bytes: &[u8], key: &str, cut: bool) -> Result<String, Malformed> {
    let mut lines = Lines {
        rest: bytes,
        number: 0,
    };
    while let Some(line) = lines.next_line()? {
        let line = trim_start(line);
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let wrong = |cause| Err(lines.malformed(cause));
        let Some(at) = line.iter().position(|b| *b == b'=') else {
            return wrong("missing '='");
        };
        let (name, assigned) = (&line[..at], &line[at + 1..]);
        if name.is_empty() {
            return wrong("empty variable name");
        }
        if name.last().is_some_and(|b| is_blank(*b)) {
            return wrong("whitespace before '=' is not allowed");
        }
        let wanted = name == key.as_bytes();
        if assigned.first().is_some_and(|b| is_blank(*b)) {
            // In a shell this assigns nothing, whatever follows.
            if wanted {
                return Ok(String::new());
            }
            continue;
        }
        let Some(quoted) = assigned.strip_prefix(b"'") else {
            return wrong("value must be enclosed in single quotes");
        };
        let value = lines.quoted(quoted)?;
        if wanted {
            return String::from_utf8(value).map_err(|_| lines.malformed("the value is not UTF-8 text"));
        }
    }
    if cut {
        return Err(lines.malformed("the file is too large"));
    }
    Ok(String::new())
}

struct Lines<'a> {
    rest: &'a [u8],
    /// Of the line read last.
    number: usize,
}

impl<'a> Lines<'a> {
    fn malformed(&self, cause: &'static str) -> Malformed {
        Malformed {
            line: self.number,
            cause,
        }
    }

    /// The next line without its end.
    fn next_line(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let end = self.rest.iter().position(|b| *b == b'\n');
        let line = &self.rest[..end.unwrap_or(self.rest.len())];
        if line.len() >= MAX_LINE {
            return Err(self.malformed("the line is too long"));
        }
        self.rest = &self.rest[end.map_or(self.rest.len(), |end| end + 1)..];
        Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// The text up to the closing quote, on this line or a later one.
    fn quoted(&mut self, first: &'a [u8]) -> Result<Vec<u8>, Malformed> {
        let (mut value, mut line) = (Vec::new(), first);
        loop {
            if let Some(end) = line.iter().position(|b| *b == b'\'') {
                value.extend_from_slice(&line[..end]);
                let after = trim_start(&line[end + 1..]);
                if after.is_empty() || after.starts_with(b"#") {
                    return Ok(value);
                }
                return Err(self.malformed("unexpected content after closing quote"));
            }
            value.extend_from_slice(line);
            value.push(b'\n');
            line = match self.next_line()? {
                Some(line) => line,
                None => return Err(self.malformed("unclosed single quote")),
            };
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim_start(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|b| !is_blank(*b));
    &line[start.unwrap_or(line.len())..]
}

#[cfg(test)]
mod tests;
