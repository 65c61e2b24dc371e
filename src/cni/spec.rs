//! PURE. The CNI protocol: environment and stdin to a [`Request`], results and errors to JSON, per spec version.
//!
//! Versions 0.3.1, 0.4.0, 1.0.0 and 1.1.0. Unknown configuration keys are ignored, as the spec asks; keys that are
//! known and would change what the user gets, but that we do not do, are refused with code 2.

mod config;
mod result;

pub use config::{
    Attachment, Config, DATA_DIR, Ipam, PortMapping, Previous, PreviousInterface, PreviousIp, Range,
};
pub use result::{Interface, Ip, ResultRoute, Success};

use serde_json::{Value, json};
use std::fmt;
use std::path::PathBuf;

/// A supported version of the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.3.1.
    V0_3_1,
    /// 0.4.0: CHECK.
    V0_4_0,
    /// 1.0.0: addresses without the `version` key.
    V1_0_0,
    /// 1.1.0: STATUS and GC.
    V1_1_0,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];

    /// As in `cniVersion`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|v| v.as_str() == text)
    }
}

/// Error codes of the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The configuration's `cniVersion` is not supported, or does not have this command.
    IncompatibleVersion = 1,
    /// A field of the configuration asks for something we do not do.
    UnsupportedField = 2,
    /// The container is unknown; the runtime need not clean up.
    UnknownContainer = 3,
    /// A `CNI_…` variable is missing or invalid.
    InvalidEnvironment = 4,
    /// Reading or writing failed.
    Io = 5,
    /// stdin cannot be decoded.
    Decode = 6,
    /// The configuration contradicts itself.
    InvalidConfig = 7,
    /// Transient; the runtime may try again.
    TryAgainLater = 11,
    /// STATUS: ADD cannot be served.
    NotAvailable = 50,
    /// Everything else.
    Internal = 999,
}

/// An error as the spec wants it on stdout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}{details}", if details.is_empty() { "" } else { ": " })]
pub struct Error {
    /// Spec code.
    pub code: Code,
    /// Short.
    pub message: String,
    /// What exactly, with the field's or object's name.
    pub details: String,
}

impl Error {
    /// Builds an error.
    pub fn new(code: Code, message: impl Into<String>, details: impl fmt::Display) -> Self {
        Self {
            code,
            message: message.into(),
            details: details.to_string(),
        }
    }

    /// The JSON for stdout. `version` is the request's `cniVersion` where it was understood.
    pub fn to_json(&self, version: Option<Version>) -> Value {
        let version = version.unwrap_or(Version::V1_1_0).as_str();
        let mut value = json!({ "cniVersion": version, "code": self.code as u32, "msg": self.message });
        if !self.details.is_empty() {
            value["details"] = json!(self.details);
        }
        value
    }
}

/// What the runtime asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Attach a container.
    Add,
    /// Detach it; idempotent.
    Del,
    /// Is the attachment as it should be?
    Check,
    /// Can ADD be served?
    Status,
    /// Remove whatever belongs to no valid attachment.
    Gc,
    /// Which versions are supported?
    Version,
}

/// The `CNI_…` variables; unset and empty are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `CNI_COMMAND`.
    pub command: String,
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_NETNS`.
    pub netns: String,
    /// `CNI_IFNAME`.
    pub ifname: String,
}

/// The owner of an attachment: its key everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The runtime's sandbox id.
    pub container_id: String,
    /// Interface name in the container.
    pub ifname: String,
}

/// One decoded call.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `VERSION`, with the version the caller mentioned.
    Version(String),
    /// Everything else.
    Call(Box<Call>),
}

/// A call other than VERSION.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What to do.
    pub command: Command,
    /// Version the answer is written in.
    pub version: Version,
    /// Whose attachment; empty for STATUS and GC.
    pub owner: Owner,
    /// The container's network namespace; DEL may come without.
    pub netns: Option<PathBuf>,
    /// The network configuration.
    pub config: Config,
}

/// Decodes a call. The version is returned beside the error, so that the error can be written in it.
pub fn decode(environment: &Environment, stdin: &[u8]) -> Result<Request, (Option<Version>, Error)> {
    let command = command(&environment.command).map_err(|e| (None, e))?;
    if command == Command::Version {
        let said: Option<Value> = serde_json::from_slice(stdin).ok();
        let said = said.and_then(|v| v.get("cniVersion")?.as_str().map(str::to_owned));
        return Ok(Request::Version(
            said.unwrap_or_else(|| Version::V1_1_0.as_str().to_owned()),
        ));
    }
    let json = config::parse(stdin).map_err(|e| (None, e))?;
    let version = version(&json, command).map_err(|e| (None, e))?;
    let call = || -> Result<Call, Error> {
        let owner = owner(command, environment)?;
        let netns = netns(command, environment)?;
        let config = Config::decode(&json, command)?;
        Ok(Call {
            command,
            version,
            owner,
            netns,
            config,
        })
    };
    call()
        .map(|call| Request::Call(Box::new(call)))
        .map_err(|e| (Some(version), e))
}

/// The answer to VERSION.
pub fn version_json(said: &str) -> Value {
    json!({ "cniVersion": said, "supportedVersions": Version::ALL.map(Version::as_str) })
}

fn command(text: &str) -> Result<Command, Error> {
    Ok(match text {
        "ADD" => Command::Add,
        "DEL" => Command::Del,
        "CHECK" => Command::Check,
        "STATUS" => Command::Status,
        "GC" => Command::Gc,
        "VERSION" => Command::Version,
        other => {
            return Err(environment_error(
                "CNI_COMMAND",
                &format!("unknown command {other:?}"),
            ));
        }
    })
}

fn version(json: &Value, command: Command) -> Result<Version, Error> {
    let incompatible =
        |details: String| Error::new(Code::IncompatibleVersion, "incompatible CNI version", details);
    let text = match json.get("cniVersion") {
        // Before 0.2.0 the key did not exist.
        None => "0.1.0",
        Some(Value::String(text)) => text,
        Some(other) => {
            return Err(Error::new(
                Code::Decode,
                "network configuration",
                format!("cniVersion: {other} is not a string"),
            ));
        }
    };
    let version = Version::parse(text).ok_or_else(|| {
        incompatible(format!(
            "cniVersion: {text:?} is not one of {}",
            Version::ALL.map(Version::as_str).join(", ")
        ))
    })?;
    let since = match command {
        Command::Check => Version::V0_4_0,
        Command::Status | Command::Gc => Version::V1_1_0,
        _ => Version::V0_3_1,
    };
    if version < since {
        return Err(incompatible(format!(
            "cniVersion: {text:?} does not have this command, {} does",
            since.as_str()
        )));
    }
    Ok(version)
}

fn owner(command: Command, environment: &Environment) -> Result<Owner, Error> {
    let owner = Owner {
        container_id: environment.container_id.clone(),
        ifname: environment.ifname.clone(),
    };
    if matches!(command, Command::Status | Command::Gc) {
        return Ok(owner);
    }
    if !valid_id(&owner.container_id) {
        let why = format!(
            "{:?} is not letters, digits, '.', '_' and '-', starting with a letter or digit",
            owner.container_id
        );
        return Err(environment_error("CNI_CONTAINERID", &why));
    }
    if !valid_ifname(&owner.ifname) {
        return Err(environment_error(
            "CNI_IFNAME",
            &format!("{:?} is not an interface name", owner.ifname),
        ));
    }
    Ok(owner)
}

fn netns(command: Command, environment: &Environment) -> Result<Option<PathBuf>, Error> {
    let path = (!environment.netns.is_empty()).then(|| PathBuf::from(&environment.netns));
    if path.is_none() && matches!(command, Command::Add | Command::Check) {
        return Err(environment_error("CNI_NETNS", "missing"));
    }
    Ok(path)
}

fn environment_error(variable: &str, why: &str) -> Error {
    Error::new(
        Code::InvalidEnvironment,
        "invalid environment",
        format!("{variable}: {why}"),
    )
}

/// The spec's alphabet for container ids and network names; it keeps both usable as file names.
pub fn valid_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// The kernel's rules for interface names.
fn valid_ifname(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 15
        && name != "."
        && name != ".."
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c == '\0')
}

#[cfg(test)]
mod tests;
