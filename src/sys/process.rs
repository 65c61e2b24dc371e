//! What the kernel lets this process be: how soon it is killed when memory runs out, how many files it may open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::User;
use std::{fs, io};

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// This process' `oom_score_adj`.
pub fn oom_score() -> io::Result<i64> {
    let text = fs::read_to_string(OOM_SCORE)?;
    text.trim()
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{OOM_SCORE}: {text:?}")))
}

/// Sets it. To lower it takes a privilege; to raise it takes none.
pub fn set_oom_score(score: i64) -> io::Result<()> {
    fs::write(OOM_SCORE, score.to_string())
}

/// Lets this process have that many files open, or as many as it may give itself; returns how many that is.
pub fn allow_open_files(count: u64) -> io::Result<u64> {
    if setrlimit(Resource::RLIMIT_NOFILE, count, count).is_ok() {
        return Ok(count);
    }
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(most)
}

/// Whether the machine knows a user of this name.
pub fn has_user(name: &str) -> io::Result<bool> {
    Ok(User::from_name(name)?.is_some())
}
