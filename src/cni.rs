//! The CNI plugin role.

use std::process::ExitCode;

/// True when the process was started as a CNI plugin.
pub fn is_plugin_call() -> bool {
    std::env::var_os("CNI_COMMAND").is_some()
}

/// Runs one CNI call: environment and stdin in, result or error JSON on stdout.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
