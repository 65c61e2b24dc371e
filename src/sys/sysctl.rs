//! Kernel settings under `/proc/sys`, as the calling thread's namespaces see them.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// A setting could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("sysctl {name}: {cause}")]
pub struct Error {
    /// Path below `/proc/sys`.
    pub name: String,
    /// The kernel's answer.
    pub cause: io::Error,
}

fn path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

/// Reads a setting; `name` is the path below `/proc/sys` (`net/ipv4/ip_forward`). `None` when this kernel does not
/// have it.
pub fn get(name: &str) -> Result<Option<String>, Error> {
    match fs::read_to_string(path(name)) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error {
            name: name.to_owned(),
            cause,
        }),
    }
}

/// Makes sure that a setting has a value, and writes only when it has another one. Returns false when this kernel
/// does not have the setting.
pub fn ensure(name: &str, value: &str) -> Result<bool, Error> {
    match get(name)? {
        None => Ok(false),
        Some(now) if now == value => Ok(true),
        Some(_) => {
            fs::write(path(name), value).map_err(|cause| Error {
                name: name.to_owned(),
                cause,
            })?;
            Ok(true)
        }
    }
}
