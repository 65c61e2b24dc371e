//! PURE. Registry credentials: docker's configuration formats, which entries are for an image, and where they come from
//! (facts: v1.36 `pkg/credentialprovider`).

use crate::cri::v1;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// Docker's registry, as its credentials name it.
const DEFAULT_REGISTRY: &str = "index.docker.io";

/// A user's name and password at a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// User name; may be empty.
    pub username: String,
    /// Password; may be empty.
    pub password: String,
    /// Mail address, which only takes part in the hash.
    pub email: String,
}

/// Logins by registry, or path in a registry.
pub type Logins = BTreeMap<String, Login>;

/// Whose credentials they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The node's: every Pod on it may use them.
    #[default]
    Node,
    /// A Secret's.
    Secret(Coordinates),
    /// What a credential provider gave for a service account.
    ServiceAccount(Coordinates),
}

/// An object in the cluster, and no other one of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Coordinates {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// UID.
    pub uid: Box<str>,
}

/// A login for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// What the registry is told.
    pub login: Login,
    /// Where it comes from.
    pub origin: Origin,
}

/// Never prints a password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl Login {
    /// As the runtime takes it.
    pub fn auth(&self) -> v1::AuthConfig {
        v1::AuthConfig {
            username: self.username.clone(),
            password: self.password.clone(),
            ..v1::AuthConfig::default()
        }
    }

    /// SHA-256 of it, by which it is known again: upstream's hash of its own JSON.
    pub fn hash(&self) -> String {
        let fields = [
            ("username", &self.username),
            ("password", &self.password),
            ("email", &self.email),
        ];
        let given: Vec<String> = fields
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("\"{name}\":{}", go_string(value)))
            .collect();
        hex(&Sha256::digest(format!("{{{}}}", given.join(","))))
    }
}

/// A JSON string as Go writes it, which escapes what HTML would mistake.
fn go_string(text: &str) -> String {
    let escaped = serde_json::Value::from(text).to_string();
    escaped
        .replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// One entry of a docker configuration.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    email: String,
    auth: String,
}

#[derive(Deserialize)]
struct ConfigJson {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
}

/// Why a docker configuration cannot be read. Says nothing of what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Not JSON of this shape.
    #[error("it is not a docker configuration in JSON (line {line}, column {column})")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The field `auth` is no `user:password` in base64.
    #[error("auth of {0:?} is not USER:PASSWORD in base64")]
    Auth(String),
}

/// Reads `.dockerconfigjson`, also known as `config.json`.
pub fn parse_config_json(text: &[u8]) -> Result<Logins, FormatError> {
    let config: ConfigJson = serde_json::from_slice(text).map_err(|e| json_error(&e))?;
    logins(config.auths.unwrap_or_default())
}

/// Reads the older `.dockercfg`.
pub fn parse_dockercfg(text: &[u8]) -> Result<Logins, FormatError> {
    let entries: Option<BTreeMap<String, Entry>> =
        serde_json::from_slice(text).map_err(|e| json_error(&e))?;
    logins(entries.unwrap_or_default())
}

fn json_error(error: &serde_json::Error) -> FormatError {
    FormatError::Json {
        line: error.line(),
        column: error.column(),
    }
}

fn logins(entries: BTreeMap<String, Entry>) -> Result<Logins, FormatError> {
    entries
        .into_iter()
        .map(|(place, entry)| match login(entry) {
            Some(login) => Ok((place, login)),
            None => Err(FormatError::Auth(place)),
        })
        .collect()
}

/// `auth` goes before the separate fields.
fn login(entry: Entry) -> Option<Login> {
    let (username, password) = match &*entry.auth {
        "" => (entry.username, entry.password),
        auth => {
            let engine = if auth.trim().ends_with('=') {
                STANDARD
            } else {
                STANDARD_NO_PAD
            };
            // Go's decoder passes over line ends.
            let packed: String = auth.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            let text = String::from_utf8(engine.decode(packed).ok()?).ok()?;
            let (username, password) = text.split_once(':')?;
            (username.to_owned(), password.to_owned())
        }
    };
    Some(Login {
        username,
        password,
        email: entry.email,
    })
}

/// Credentials of one source, by place.
#[derive(Clone, Debug, Default)]
pub struct Keyring(BTreeMap<String, Vec<Credential>>);

impl Keyring {
    /// Takes over logins.
    pub fn add(&mut self, origin: &Origin, logins: Logins) {
        for (place, login) in logins {
            if let Some(place) = key(&place) {
                let origin = origin.clone();
                self.0
                    .entry(place)
                    .or_default()
                    .push(Credential { login, origin });
            }
        }
    }

    /// All credentials for a repository (`host/path`, without tag), the most specific first. Those of Docker's own
    /// registry are for images without a registry, too.
    pub fn look_up(&self, repository: &str) -> Vec<Credential> {
        let hits: Vec<Credential> = self
            .0
            .iter()
            .rev()
            .filter(|(place, _)| matches(place, repository))
            .flat_map(|(_, credentials)| credentials.clone())
            .collect();
        match self.0.get(DEFAULT_REGISTRY) {
            Some(dockers) if hits.is_empty() && is_dockers(repository) => dockers.clone(),
            _ => hits,
        }
    }
}

/// `https://index.docker.io/v1/` → `index.docker.io`; `None` for what is no place.
fn key(place: &str) -> Option<String> {
    let bare = place
        .strip_prefix("https://")
        .or_else(|| place.strip_prefix("http://"))
        .unwrap_or(place);
    let (host, path) = split(bare)?;
    let path = match path {
        versioned if versioned.starts_with("/v1/") || versioned.starts_with("/v2/") => &versioned[3..],
        other => other,
    };
    Some(if path == "/" {
        host.to_owned()
    } else {
        format!("{host}{path}")
    })
}

/// Host with port, and path with its slash; `None` when Go would not take it for a URL.
fn split(place: &str) -> Option<(&str, &str)> {
    let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let port_ok = host
        .rsplit_once(':')
        .is_none_or(|(_, port)| port.ends_with(']') || port.bytes().all(|b| b.is_ascii_digit()));
    let bad = |c: char| {
        c.is_control()
            || matches!(
                c,
                ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' | '%'
            )
    };
    (port_ok && !host.contains(bad) && !path.contains(char::is_control)).then_some((host, path))
}

/// Whether a pattern could ever match: Go would take it for a URL.
pub fn is_pattern(place: &str) -> bool {
    split(place).is_some()
}

/// Whether a pattern (host with `*` within its parts, port, start of a path) is about an image.
pub fn matches(pattern: &str, image: &str) -> bool {
    let (Some((pattern_host, pattern_path)), Some((host, path))) = (split(pattern), split(image)) else {
        return false;
    };
    let ((pattern_name, pattern_port), (name, port)) = (port(pattern_host), port(host));
    let parts: (Vec<&str>, Vec<&str>) = (pattern_name.split('.').collect(), name.split('.').collect());
    pattern_port == port
        && parts.0.len() == parts.1.len()
        && path.starts_with(pattern_path)
        && parts.0.iter().zip(&parts.1).all(|(glob, text)| fits(glob, text))
}

fn port(host: &str) -> (&str, &str) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, ""),
    }
}

/// `*` stands for any text.
fn fits(glob: &str, text: &str) -> bool {
    let Some((start, rest)) = glob.split_once('*') else {
        return glob == text;
    };
    let Some(text) = text.strip_prefix(start) else {
        return false;
    };
    let mut middle: Vec<&str> = rest.split('*').collect();
    let end = middle.pop().unwrap_or_default();
    let mut left = text;
    for piece in middle {
        let Some(at) = left.find(piece) else {
            return false;
        };
        left = &left[at + piece.len()..];
    }
    left.ends_with(end)
}

/// Docker's own registry is meant where none is named.
fn is_dockers(image: &str) -> bool {
    match image.split_once('/') {
        None => !image.is_empty(),
        Some(("", _)) => false,
        Some(("docker.io" | "index.docker.io", _)) => true,
        Some((first, _)) => !first.contains(['.', ':']),
    }
}

#[cfg(test)]
mod tests;
