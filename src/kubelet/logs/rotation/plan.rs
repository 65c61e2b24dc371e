//! PURE. What to do about one log that has grown too large: its directory's names and the time → steps, in order.

use crate::kubelet::logs::names::{self, Rotated};

/// How large and how many logs may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// Bytes from which on a log is rotated.
    pub(super) max_size: u64,
    /// Most files of one container, the one it writes included; at least 2.
    pub(super) max_files: usize,
}

/// One step; a step that fails ends the rotation, and the next round begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Remove a file.
    Remove(String),
    /// Compress a rotated log by way of its temporary name, and remove the original.
    Compress(Rotated),
    /// Rename the log to this name and have the runtime write a new one; when it does not, rename it back.
    Rotate(String),
}

/// Steps for a log of this name. `now` is the local time as `20060102-150405`.
pub(super) fn steps<'a>(
    log: &str,
    names: impl IntoIterator<Item = &'a str>,
    policy: Policy,
    now: &str,
) -> Vec<Step> {
    let found = names::sort(log, names);
    let mut steps: Vec<Step> = found.unused.into_iter().map(Step::Remove).collect();
    // Beside these there will be the one that is rotated now and the one the container writes.
    let keep = policy.max_files.saturating_sub(2);
    let excess = found.rotated.len().saturating_sub(keep);
    for (number, rotated) in found.rotated.into_iter().enumerate() {
        if number < excess {
            steps.push(Step::Remove(rotated.name()));
        } else if !rotated.gz {
            steps.push(Step::Compress(rotated));
        }
    }
    steps.push(Step::Rotate(format!("{log}.{now}")));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&str], max_files: usize) -> Vec<String> {
        let policy = Policy {
            max_size: 1,
            max_files,
        };
        let steps = steps("0.log", names.iter().copied(), policy, "20261121-160000");
        steps
            .into_iter()
            .map(|step| match step {
                Step::Remove(name) => format!("remove {name}"),
                Step::Compress(rotated) => format!("compress {}", rotated.name()),
                Step::Rotate(name) => format!("rotate to {name}"),
            })
            .collect()
    }

    const ROTATE: &str = "rotate to 0.log.20261121-160000";

    #[test]
    fn the_newest_rotated_log_is_compressed_one_round_later() {
        assert_eq!(told(&["0.log"], 5), [ROTATE]);
        assert_eq!(told(&["0.log", "0.log.1"], 5), ["compress 0.log.1", ROTATE]);
        assert_eq!(
            told(&["0.log", "0.log.1.gz", "0.log.2"], 5),
            ["compress 0.log.2", ROTATE]
        );
    }

    #[test]
    fn the_oldest_go_so_that_the_new_one_fits() {
        let full = ["0.log", "0.log.1.gz", "0.log.2.gz", "0.log.3.gz", "0.log.4"];
        assert_eq!(told(&full, 5), ["remove 0.log.1.gz", "compress 0.log.4", ROTATE]);
        assert_eq!(
            told(&full, 2),
            [
                "remove 0.log.1.gz",
                "remove 0.log.2.gz",
                "remove 0.log.3.gz",
                "remove 0.log.4",
                ROTATE
            ]
        );
    }

    #[test]
    fn what_a_crash_left_behind_goes_first() {
        assert_eq!(
            told(&["0.log", "0.log.1", "0.log.1.gz", "0.log.2.tmp", "0.log.2"], 5),
            ["remove 0.log.2.tmp", "remove 0.log.1", "compress 0.log.2", ROTATE]
        );
    }

    #[test]
    fn never_more_files_than_allowed_and_the_newest_are_kept() {
        for count in 0..8 {
            for max_files in 2..6 {
                let rotated: Vec<String> = (0..count).map(|n| format!("0.log.{n}.gz")).collect();
                let names = rotated.iter().map(String::as_str).chain(["0.log"]);
                let policy = Policy {
                    max_size: 1,
                    max_files,
                };
                let gone: Vec<_> = steps("0.log", names, policy, "9")
                    .into_iter()
                    .filter(|s| matches!(s, Step::Remove(_)))
                    .collect();
                let want: Vec<_> = rotated
                    .iter()
                    .take((count + 2usize).saturating_sub(max_files))
                    .cloned()
                    .map(Step::Remove)
                    .collect();
                assert_eq!(gone, want, "{count} rotated, at most {max_files}");
            }
        }
    }
}
