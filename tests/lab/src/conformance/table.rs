//! PURE: the one-page table of a conformance run, as text and as markdown.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::report::{Judged, Verdict, first_line};

/// What was run, for the head of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// `rustlet` or `upstream`.
    pub agent: String,
    /// The suite's version, `v1.36.3`.
    pub version: String,
    /// What was selected, `Conformance && !Serial`.
    pub selection: String,
    /// Tests at once.
    pub procs: usize,
    /// Seconds the whole run took.
    pub seconds: u64,
    /// What failed around the tests.
    pub around: Vec<String>,
    /// Images of the suite that are not made here.
    pub missing_images: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    flaky: usize,
    failed: usize,
    skipped: usize,
    not_run: usize,
}

impl Counts {
    fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Flaky(_) => self.flaky += 1,
            Verdict::Failed(_) => self.failed += 1,
            Verdict::Skipped(_) => self.skipped += 1,
            Verdict::NotRun => self.not_run += 1,
        }
    }

    fn total(self) -> usize {
        self.passed + self.flaky + self.failed + self.skipped + self.not_run
    }

    fn columns(self) -> [usize; 6] {
        [
            self.total(),
            self.passed,
            self.flaky,
            self.failed,
            self.skipped,
            self.not_run,
        ]
    }

    fn all_passed(self) -> bool {
        self.passed == self.total()
    }
}

const COLUMNS: [&str; 6] = ["tests", "passed", "flaky", "failed", "skipped", "not run"];

/// Sums of each group and of each area in it.
struct Sums {
    groups: BTreeMap<String, (Counts, BTreeMap<String, Counts>)>,
    all: Counts,
}

fn sums(judged: &[Judged]) -> Sums {
    let mut sums = Sums {
        groups: BTreeMap::new(),
        all: Counts::default(),
    };
    for Judged { test, verdict, .. } in judged {
        let (group, areas) = sums.groups.entry(test.sig.clone()).or_default();
        group.add(verdict);
        areas.entry(test.area.clone()).or_default().add(verdict);
        sums.all.add(verdict);
    }
    sums
}

/// Whether nothing failed, flaky tests included in what did not.
pub fn good(judged: &[Judged], head: &Head) -> bool {
    let all = sums(judged).all;
    head.around.is_empty() && all.failed == 0 && all.not_run == 0 && all.total() > 0
}

/// For the terminal: groups, below each the areas where not all passed, then what failed.
pub fn text(head: &Head, judged: &[Judged]) -> String {
    let sums = sums(judged);
    let mut out = format!("{}\n\n{:40}", title(head), "");
    COLUMNS
        .iter()
        .for_each(|column| out.push_str(&format!("{column:>9}")));
    out.push('\n');
    for (sig, (counts, areas)) in &sums.groups {
        row(&mut out, sig, *counts);
        let notable = areas.iter().filter(|(_, counts)| !counts.all_passed());
        for (area, counts) in notable {
            row(&mut out, &format!("  {area}"), *counts);
        }
    }
    row(&mut out, "all", sums.all);
    for (heading, lines) in details(head, judged) {
        let _ = write!(out, "\n{heading}\n");
        for (name, line) in lines {
            let _ = writeln!(out, "  {name}");
            if !line.is_empty() {
                let _ = writeln!(out, "      {line}");
            }
        }
    }
    out + "\n" + &images(head, judged)
}

fn row(out: &mut String, name: &str, counts: Counts) {
    let _ = write!(out, "{name:40}");
    for (column, count) in counts.columns().into_iter().enumerate() {
        // Nothing is easier to read than a zero where none is expected.
        let shown = if count == 0 && column > 1 {
            "-".to_owned()
        } else {
            count.to_string()
        };
        let _ = write!(out, "{shown:>9}");
    }
    out.push('\n');
}

/// For a document: every group and every area.
pub fn markdown(head: &Head, judged: &[Judged]) -> String {
    let sums = sums(judged);
    let mut out = format!("{}\n\n| |", title(head));
    COLUMNS
        .iter()
        .for_each(|column| out.push_str(&format!(" {column} |")));
    out.push_str("\n|---|---:|---:|---:|---:|---:|---:|\n");
    let line = |out: &mut String, name: &str, counts: Counts| {
        let _ = write!(out, "| {name} |");
        for count in counts.columns() {
            let _ = write!(out, " {count} |");
        }
        out.push('\n');
    };
    for (sig, (counts, areas)) in &sums.groups {
        line(&mut out, &format!("**{sig}**"), *counts);
        for (area, counts) in areas {
            line(&mut out, area, *counts);
        }
    }
    line(&mut out, "**all**", sums.all);
    for (heading, lines) in details(head, judged) {
        let _ = write!(out, "\n### {heading}\n\n");
        for (name, line) in lines {
            let said = if line.is_empty() {
                String::new()
            } else {
                format!(": `{}`", line.replace('`', "'"))
            };
            let _ = writeln!(out, "- {name}{said}");
        }
    }
    out + "\n" + &images(head, judged)
}

fn title(head: &Head) -> String {
    format!(
        "Kubernetes {} conformance on {}: two nodes, {}, {} at once, {}m{:02}s",
        head.version,
        head.agent,
        head.selection,
        head.procs,
        head.seconds / 60,
        head.seconds % 60
    )
}

/// Headings and what is below each: a name and a line about it.
fn details(head: &Head, judged: &[Judged]) -> Vec<(String, Vec<(String, String)>)> {
    let pick = |line: &dyn Fn(&Verdict) -> Option<String>| -> Vec<(String, String)> {
        judged
            .iter()
            .filter_map(|one| Some((one.test.name.clone(), line(&one.verdict)?)))
            .collect()
    };
    let named = |names: &[String]| names.iter().map(|name| (name.clone(), String::new())).collect();
    let failed = pick(&|verdict| match verdict {
        Verdict::Failed(message) => Some(first_line(message)),
        _ => None,
    });
    let flaky = pick(&|verdict| match verdict {
        Verdict::Flaky(message) => Some(first_line(message)),
        _ => None,
    });
    let skipped = pick(&|verdict| match verdict {
        Verdict::Skipped(reason) => Some(first_line(reason)),
        _ => None,
    });
    let not_run = pick(&|verdict| (*verdict == Verdict::NotRun).then(String::new));
    let parts = [
        ("Around the tests".to_owned(), named(&head.around)),
        ("Failed".to_owned(), failed),
        ("Flaky: failed first, passed when run again".to_owned(), flaky),
        ("Skipped by themselves".to_owned(), skipped),
        ("Not run".to_owned(), not_run),
        (
            "Blocked: needs an image that is not made here".to_owned(),
            blocked(head, judged),
        ),
    ];
    parts.into_iter().filter(|(_, lines)| !lines.is_empty()).collect()
}

/// How many images are missing, and whether it matters.
fn images(head: &Head, judged: &[Judged]) -> String {
    let blocks = if blocked(head, judged).is_empty() {
        "no failed test names one of them"
    } else {
        "the tests they block are above"
    };
    format!(
        "{} of the suite's images are not made here (images.txt); {blocks}.\n",
        head.missing_images.len()
    )
}

/// Failed tests that speak of an image nobody made.
fn blocked(head: &Head, judged: &[Judged]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for image in &head.missing_images {
        for one in judged {
            if let Verdict::Failed(message) = &one.verdict
                && message.contains(image.as_str())
            {
                found.push((one.test.name.clone(), image.clone()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
