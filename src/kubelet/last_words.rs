//! What a container said before it ended: its termination message file, or the end of its log.
//!
//! The file's name follows from container and attempt, so nothing has to be remembered to find it.

use crate::kubelet::context::Context;
use crate::kubelet::dirs::Dirs;
use crate::kubelet::observed::{ContainerState, Observed, RunState};
use crate::kubelet::volume::{blocking, mounts};
use crate::model::pod::{Pod, TerminationMessagePolicy};
use crate::sys::fs;
use std::path::{Path, PathBuf};

/// Most bytes of the message file.
const MAX_FILE: u64 = 4096;
/// Most bytes and lines of the log.
const MAX_LOG: usize = 2048;
const MAX_LINES: usize = 80;
/// How much of the log is read to find those lines; its own words stand beside them.
const LOG_TAIL: u64 = 32 << 10;

/// Adds their last words to the messages of containers that have ended.
pub async fn add(context: &Context, pod: &Pod, observed: &mut Observed) {
    for ended in observed
        .containers
        .iter_mut()
        .filter(|c| c.state == RunState::Exited)
    {
        let Some(place) = place(context, pod, ended) else {
            continue;
        };
        let said = blocking(move || Ok(place.read())).await.unwrap_or_default();
        if said.is_empty() {
            continue;
        }
        ended.message = if ended.message.is_empty() {
            said.into()
        } else {
            format!("{}: {said}", ended.message).into()
        };
    }
}

/// Where to look.
struct Place {
    file: PathBuf,
    /// Read when the file says nothing.
    log: Option<PathBuf>,
}

fn place(context: &Context, pod: &Pod, ended: &ContainerState) -> Option<Place> {
    let (spec, _) = pod.container(&ended.name)?;
    let meta = &pod.metadata;
    let fallback = spec.termination_message_policy == TerminationMessagePolicy::FallbackToLogsOnError;
    let log = || {
        let dir = context.dirs.pod_log(&meta.namespace, &meta.name, &meta.uid);
        dir.join(Dirs::container_log(&ended.name, ended.attempt))
    };
    Some(Place {
        file: mounts::termination_file(&context.dirs, &meta.uid, &ended.name, ended.attempt),
        log: (fallback && ended.exit_code != 0).then(log),
    })
}

impl Place {
    /// Nothing to read is nothing said.
    fn read(&self) -> String {
        let read = |path: &Path, limit| {
            let bytes = fs::tail(path, limit).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let said = read(&self.file, MAX_FILE);
        match &self.log {
            Some(log) if said.is_empty() => log_end(&read(log, LOG_TAIL)),
            _ => said,
        }
    }
}

/// PURE. The last lines of a log in the CRI's format: `<time> <stream> <P|F> <text>`.
fn log_end(log: &str) -> String {
    let mut text = String::new();
    for line in log.lines() {
        let mut fields = line.splitn(4, ' ');
        let (Some(_), Some("stdout" | "stderr"), Some(tag), said) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        text.push_str(said.unwrap_or_default());
        if tag.starts_with('F') {
            text.push('\n');
        }
    }
    let from_line = text
        .rmatch_indices('\n')
        .nth(MAX_LINES)
        .map_or(0, |(at, _)| at + 1);
    let mut from = from_line.max(text.len().saturating_sub(MAX_LOG));
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.split_off(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_the_last_lines_without_the_runtimes_words() {
        let log = "cut off F nothing\n2026-11-21T10:00:00Z stdout F one\n2026-11-21T10:00:01Z stderr P tw\n2026-11-21T10:00:02Z stderr F o\n";
        assert_eq!(log_end(log), "one\ntwo\n");
        let many: String = (0..100).map(|n| format!("t stdout F {n}\n")).collect();
        assert_eq!(log_end(&many).lines().count(), MAX_LINES);
        let long = format!("t stdout F {}\n", "ä".repeat(2000));
        assert!(log_end(&long).len() <= MAX_LOG);
    }
}
