//! PURE. What came of a command: the runtime's `Status` (version 4 of the protocol), and the one the client of a
//! WebSocket is told.
//!
//! Upstream's kubelet reads the first as kubectl would and writes the second from what it understood, so messages of
//! errors are said to be internal twice. Clients may read them; the words are the same here.

use serde::Deserialize;
use serde_json::{Value, json};

/// More than a `Status` has.
const MOST: usize = 64 << 10;
const NON_ZERO: &str = "NonZeroExitCode";
const EXIT_CODE: &str = "ExitCode";

/// A `Status`, as its bytes come.
#[derive(Debug, Default)]
pub(super) struct Gathered(Vec<u8>);

impl Gathered {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let room = MOST - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The `Status` for the client.
    pub(super) fn status(&self) -> Vec<u8> {
        let status = match read(&self.0) {
            Ok(Outcome::Good) => json!({"metadata": {}, "status": "Success"}),
            Ok(Outcome::Exited(code)) => exited(code),
            Err(error) => internal(&error),
        };
        status.to_string().into_bytes()
    }
}

/// The `Status` for a session that did not come about.
pub(super) fn failed(error: &str) -> Vec<u8> {
    internal(error).to_string().into_bytes()
}

fn exited(code: u8) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
        "reason": NON_ZERO,
        "details": {"causes": [{"reason": EXIT_CODE, "message": code.to_string()}]},
    })
}

fn internal(error: &str) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {error}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": error}]},
        "code": 500,
    })
}

enum Outcome {
    Good,
    Exited(u8),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    status: String,
    reason: String,
    message: String,
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

/// What the runtime says. No word is an error: upstream takes it for a success, so that a command seems to have gone
/// well when the runtime dies under it.
fn read(bytes: &[u8]) -> Result<Outcome, String> {
    if bytes.is_empty() {
        return Err("the container runtime ended the session without a status".to_owned());
    }
    let wrong = |what: String| format!("error stream protocol error: {what}");
    let status: Status = serde_json::from_slice(bytes)
        .map_err(|e| wrong(format!("{e} in {:?}", String::from_utf8_lossy(bytes))))?;
    match &*status.status {
        "Success" => Ok(Outcome::Good),
        "Failure" if status.reason == NON_ZERO => {
            let details = status
                .details
                .ok_or_else(|| wrong("details must be set".into()))?;
            let cause = details.causes.iter().find(|cause| cause.reason == EXIT_CODE);
            let cause = cause.ok_or_else(|| wrong(format!("no {EXIT_CODE} cause given")))?;
            let code = cause.message.parse();
            let code = code.map_err(|_| wrong(format!("invalid exit code value {:?}", cause.message)))?;
            Ok(Outcome::Exited(code))
        }
        "Failure" => Err(status.message),
        _ => Err(wrong("unknown error".into())),
    }
}

#[cfg(test)]
mod tests;
