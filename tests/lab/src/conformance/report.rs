//! PURE: what ginkgo reports of a run, judged test by test.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A test that was selected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    /// The special interest group that owns it, `sig-node`.
    pub sig: String,
    /// The source file below `test/e2e`, without its ending: `common/node/pods`.
    pub area: String,
    /// Its whole name.
    pub name: String,
}

/// How a test ended, all attempts considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At the first attempt.
    Passed,
    /// It failed, with this message, and passed when it was run again.
    Flaky(String),
    /// With the message of its last attempt.
    Failed(String),
    /// By itself, saying why.
    Skipped(String),
    /// The run ended before its turn.
    NotRun,
}

/// A test, how it ended and how long its last attempt took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The test.
    pub test: Test,
    /// How it ended.
    pub verdict: Verdict,
    /// Milliseconds.
    pub took_ms: u64,
}

/// What one run of ginkgo says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    outcomes: BTreeMap<String, Outcome>,
    /// What failed around the tests: before all of them, or the run as a whole.
    pub around: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    state: State,
    message: String,
    took_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Passed,
    Skipped,
    Failed,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Suite {
    spec_reports: Option<Vec<Spec>>,
    special_suite_failure_reasons: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    leaf_node_text: String,
    leaf_node_location: Location,
    state: String,
    #[serde(default)]
    run_time: u64,
    failure: Option<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Location {
    #[serde(default)]
    file_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    #[serde(default)]
    message: String,
}

impl Spec {
    fn is_test(&self) -> bool {
        self.leaf_node_type == "It"
    }

    fn name(&self) -> String {
        let above = self.container_hierarchy_texts.iter().flatten();
        let words = above.chain([&self.leaf_node_text]);
        words
            .filter(|word| !word.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn message(&self) -> String {
        self.failure
            .as_ref()
            .map(|failure| failure.message.clone())
            .unwrap_or_default()
    }

    fn state(&self) -> Option<State> {
        match self.state.as_str() {
            "passed" => Some(State::Passed),
            // Without a message it was not selected.
            "skipped" if self.failure.is_some() => Some(State::Skipped),
            "skipped" | "pending" | "" => None,
            _ => Some(State::Failed),
        }
    }

    fn test(&self) -> Test {
        let name = self.name();
        let sig = name
            .split_once("[sig-")
            .and_then(|(_, rest)| rest.split_once(']'));
        Test {
            sig: sig.map_or_else(|| "other".to_owned(), |(sig, _)| format!("sig-{sig}")),
            area: area(&self.leaf_node_location.file_name),
            name,
        }
    }
}

/// The tests a dry run has selected, from its JSON report: sorted.
pub fn selected(json: &str) -> serde_json::Result<Vec<Test>> {
    let mut tests: Vec<Test> = specs(json)?
        .iter()
        .filter(|spec| spec.is_test() && spec.state() == Some(State::Passed))
        .map(Spec::test)
        .collect();
    tests.sort();
    Ok(tests)
}

/// What ginkgo's JSON report says of a run.
pub fn run(json: &str) -> serde_json::Result<Run> {
    let suites: Vec<Suite> = serde_json::from_str(json)?;
    let mut run = Run::default();
    for suite in suites {
        let reasons = suite.special_suite_failure_reasons.into_iter().flatten();
        run.around.extend(reasons);
        for spec in suite.spec_reports.into_iter().flatten() {
            let Some(state) = spec.state() else { continue };
            if spec.is_test() {
                let outcome = Outcome {
                    state,
                    message: spec.message(),
                    took_ms: spec.run_time / 1_000_000,
                };
                run.outcomes.insert(spec.name(), outcome);
            } else if state == State::Failed {
                run.around.push(format!(
                    "{}: {}",
                    spec.leaf_node_type,
                    first_line(&spec.message())
                ));
            }
        }
    }
    Ok(run)
}

impl Run {
    /// Names of the tests that failed.
    pub fn failed(&self) -> Vec<&str> {
        let failed = self
            .outcomes
            .iter()
            .filter(|(_, outcome)| outcome.state == State::Failed);
        failed.map(|(name, _)| name.as_str()).collect()
    }
}

/// Judges every selected test by the first run and, where it was run again, the second.
pub fn judge(tests: Vec<Test>, first: &Run, again: &Run) -> Vec<Judged> {
    let judged = tests.into_iter().map(|test| {
        let (once, twice) = (first.outcomes.get(&test.name), again.outcomes.get(&test.name));
        let verdict = match (once, twice) {
            (None, None) => Verdict::NotRun,
            (Some(once), Some(twice)) if once.state == State::Failed && twice.state == State::Passed => {
                Verdict::Flaky(once.message.clone())
            }
            (_, Some(last)) | (Some(last), None) => match last.state {
                State::Passed => Verdict::Passed,
                State::Skipped => Verdict::Skipped(last.message.clone()),
                State::Failed => Verdict::Failed(last.message.clone()),
            },
        };
        let took_ms = twice.or(once).map_or(0, |last| last.took_ms);
        Judged {
            test,
            verdict,
            took_ms,
        }
    });
    judged.collect()
}

/// The first line that says something, cut to a readable length; where it says only that time was up or that something
/// was expected, the next one too.
pub fn first_line(message: &str) -> String {
    const LENGTH: usize = 220;
    const NOTHING_SAID: &[&str] = &["Timed out after", "Told to stop trying", "Expected"];
    let mut lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut line = lines.next().unwrap_or("(no message)").to_owned();
    if NOTHING_SAID.iter().any(|words| line.starts_with(words))
        && let Some(next) = lines.next()
    {
        line = format!("{line} {next}");
    }
    let mut short: String = line.chars().take(LENGTH).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

/// A regular expression that selects exactly these tests.
pub fn focus(names: &[&str]) -> String {
    let parts: Vec<String> = names.iter().map(|name| format!("{}$", escaped(name))).collect();
    parts.join("|")
}

pub(super) fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    for letter in name.chars() {
        if r"\.+*?()|[]{}^$".contains(letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

fn area(file: &str) -> String {
    let below = file.split_once("/test/e2e/").map_or(file, |(_, below)| below);
    below.trim_end_matches(".go").to_owned()
}

fn specs(json: &str) -> serde_json::Result<Vec<Spec>> {
    let suites: Vec<Suite> = serde_json::from_str(json)?;
    Ok(suites
        .into_iter()
        .flat_map(|suite| suite.spec_reports.into_iter().flatten())
        .collect())
}

#[cfg(test)]
mod tests;
