//! The composition root.

use std::process::ExitCode;

/// Runs the agent or a tool.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
