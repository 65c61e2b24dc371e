//! PURE: how far ginkgo has come, from what it prints.

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tests that have ended.
    pub done: usize,
    /// Those of them that failed.
    pub failed: usize,
    pending: Vec<u8>,
    name_follows: bool,
}

impl Progress {
    /// Takes the next piece of output; returns the names of tests that have failed in it.
    pub fn feed(&mut self, piece: &[u8]) -> Vec<String> {
        self.pending.extend_from_slice(piece);
        let Some(end) = self.pending.iter().rposition(|&byte| byte == b'\n') else {
            return Vec::new();
        };
        let whole: Vec<u8> = self.pending.drain(..=end).collect();
        let lines = String::from_utf8_lossy(&whole);
        lines.lines().filter_map(|line| self.line(line)).collect()
    }

    fn line(&mut self, line: &str) -> Option<String> {
        if std::mem::take(&mut self.name_follows) {
            return Some(line.trim().to_owned());
        }
        if let Some(state) = line.strip_prefix("• [") {
            self.done += 1;
            let bad = ["FAILED", "PANICKED", "TIMEDOUT", "INTERRUPTED", "ABORTED"];
            if bad.iter().any(|word| state.starts_with(word)) {
                self.failed += 1;
                self.name_follows = true;
            }
        } else if line.starts_with('•') {
            self.done += line.chars().take_while(|&letter| letter == '•').count();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_count_and_failures_have_names() {
        let mut progress = Progress::default();
        assert_eq!(
            progress.feed("Running in parallel\n•••\n--".as_bytes()),
            Vec::<String>::new()
        );
        assert_eq!(progress.done, 3);
        assert_eq!(
            progress.feed("----\n• [FAILED] [12.3".as_bytes()),
            Vec::<String>::new()
        );
        let names = progress.feed(" seconds]\n[sig-node] Pods should run [Conformance]\nsome • text\n•\n[SynchronizedAfterSuite] PASSED [0.1 seconds]\n".as_bytes());
        assert_eq!(names, ["[sig-node] Pods should run [Conformance]"]);
        assert_eq!((progress.done, progress.failed), (5, 1));
    }

    #[test]
    fn a_slow_success_has_a_line_of_its_own() {
        let mut progress = Progress::default();
        progress.feed("• [SLOW TEST] [61.0 seconds]\n• [61.0 seconds]\n".as_bytes());
        assert_eq!((progress.done, progress.failed), (2, 0));
    }
}
