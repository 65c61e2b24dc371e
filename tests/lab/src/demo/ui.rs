//! How the demo looks: steps with their time, a spinner on a terminal, plain lines in a log.
//!
//! All knowledge of escape codes is here. In a log nothing is ever drawn over, and no escape code is written.

use std::io::{IsTerminal, Write};
#[cfg(test)]
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

mod spinner;

use spinner::{Spinner, columns};

/// When to use colour and a spinner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never: plain lines.
    Never,
}

impl Color {
    /// Whether standard output gets the lively form.
    pub fn wanted(self) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
                std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() && !dumb
            }
        }
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It became true.
    Ok,
    /// It did not.
    Failed,
    /// Not tried, because something before it failed.
    Skipped,
}

/// One line of the summary.
#[derive(Clone, Debug)]
pub struct Row {
    /// The part of the demo it belongs to.
    pub part: String,
    /// What became true.
    pub title: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// Text styles, empty in a log.
#[derive(Clone, Copy, Debug)]
struct Style {
    bold: &'static str,
    dim: &'static str,
    green: &'static str,
    red: &'static str,
    yellow: &'static str,
    cyan: &'static str,
    reset: &'static str,
}

const LIVELY: Style = Style {
    bold: "\x1b[1m",
    dim: "\x1b[2m",
    green: "\x1b[32m",
    red: "\x1b[31m",
    yellow: "\x1b[33m",
    cyan: "\x1b[36m",
    reset: "\x1b[0m",
};
const PLAIN: Style = Style {
    bold: "",
    dim: "",
    green: "",
    red: "",
    yellow: "",
    cyan: "",
    reset: "",
};

/// Columns for the title of a step.
const TITLE: usize = 46;

/// The demo's face.
#[derive(Debug)]
pub struct Ui {
    lively: bool,
    style: Style,
    start: Instant,
    part: String,
    rows: Vec<Row>,
    spinner: Option<Spinner>,
    /// Columns of the terminal.
    width: usize,
    out: Out,
}

/// Where lines go: standard output, or a buffer in tests.
#[derive(Clone, Debug)]
pub(super) enum Out {
    Stdout,
    #[cfg(test)]
    Buffer(Arc<Mutex<Vec<u8>>>),
}

impl Out {
    fn write(&self, text: &str) {
        match self {
            Out::Stdout => {
                let mut stdout = std::io::stdout().lock();
                // A reader that went away must not end the demo before its teardown.
                let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
            }
            #[cfg(test)]
            Out::Buffer(buffer) => buffer.lock().unwrap().extend_from_slice(text.as_bytes()),
        }
    }
}

impl Ui {
    /// A face on standard output.
    pub fn new(color: Color) -> Ui {
        Ui::on(Out::Stdout, color.wanted())
    }

    pub(super) fn on(out: Out, lively: bool) -> Ui {
        let style = if lively { LIVELY } else { PLAIN };
        Ui {
            lively,
            style,
            start: Instant::now(),
            part: String::new(),
            rows: Vec::new(),
            spinner: None,
            width: columns(),
            out,
        }
    }

    /// The first lines.
    pub fn title(&self, name: &str, line: &str) {
        let Style { bold, dim, reset, .. } = self.style;
        self.out
            .write(&format!("\n{bold}{name}{reset} {dim}· {line}{reset}\n"));
    }

    /// Begins a part of the demo.
    pub fn part(&mut self, title: &str) {
        let Style {
            bold, cyan, reset, ..
        } = self.style;
        title.clone_into(&mut self.part);
        self.out.write(&format!("\n{bold}{cyan}{title}{reset}\n"));
    }

    /// Says what is being done that may take minutes: a line of its own in a log.
    pub fn doing(&mut self, what: &str) {
        if !self.lively {
            self.out.write(&format!("{} ...  {what}\n", self.clock()));
        }
        self.waiting(what);
    }

    /// Says what is being waited for, where a line can be replaced by what comes next.
    pub fn waiting(&mut self, what: &str) {
        if self.lively {
            match &self.spinner {
                Some(spinner) => spinner.say(what),
                None => self.spinner = Some(Spinner::start(what, (self.style, self.width), self.out.clone())),
            }
        }
    }

    /// A step became true.
    pub fn done(&mut self, title: &str, took: Duration, detail: &str) {
        self.end(title, took, Outcome::Ok, detail);
    }

    /// A step did not become true; `why` may have several lines.
    pub fn failed(&mut self, title: &str, took: Duration, why: &str) {
        self.end(title, took, Outcome::Failed, "");
        let Style { red, reset, .. } = self.style;
        for line in why.lines() {
            self.out.write(&format!("      {red}{line}{reset}\n"));
        }
    }

    /// A step was not tried.
    pub fn skipped(&mut self, title: &str) {
        self.end(title, Duration::ZERO, Outcome::Skipped, "");
    }

    /// Lines that belong to the step before, such as rules.
    pub fn show(&mut self, lines: &[String]) {
        self.stop_spinner();
        let Style { dim, reset, .. } = self.style;
        for line in lines {
            self.out.write(&format!("      {dim}{line}{reset}\n"));
        }
    }

    /// Text as it is.
    pub fn say(&mut self, text: &str) {
        self.stop_spinner();
        self.out.write(&format!("{text}\n"));
    }

    /// A command to try, with a word on what it shows.
    pub fn command(&mut self, command: &str, shows: &str) {
        self.stop_spinner();
        let Style {
            green, dim, reset, ..
        } = self.style;
        let shows = if shows.is_empty() {
            String::new()
        } else {
            format!("  {dim}# {shows}{reset}")
        };
        self.out.write(&format!("  {green}{command}{reset}{shows}\n"));
    }

    /// True if a step failed or was skipped.
    pub fn any_failed(&self) -> bool {
        self.rows.iter().any(|row| row.outcome != Outcome::Ok)
    }

    /// The table of all steps.
    pub fn summary(&mut self) {
        self.stop_spinner();
        let Style { bold, dim, reset, .. } = self.style;
        let width = TITLE + 18;
        let rule = "─".repeat(width);
        self.out
            .write(&format!("\n{bold}Summary{reset}\n  {dim}{rule}{reset}\n"));
        let mut part = "";
        for row in &self.rows {
            if row.part != part {
                part = &row.part;
                self.out.write(&format!("  {bold}{part}{reset}\n"));
            }
            let time = if row.outcome == Outcome::Skipped {
                "-".to_owned()
            } else {
                seconds(row.took)
            };
            let line = format!(
                "    {} {} {time:>9}\n",
                self.mark(row.outcome),
                pad(&row.title, TITLE)
            );
            self.out.write(&line);
        }
        let good = self.rows.iter().filter(|row| row.outcome == Outcome::Ok).count();
        let total = seconds(self.start.elapsed());
        let verdict = format!("{good} of {} steps true, {total} in all", self.rows.len());
        let color = if self.any_failed() {
            self.style.red
        } else {
            self.style.green
        };
        self.out.write(&format!(
            "  {dim}{rule}{reset}\n  {bold}{color}{verdict}{reset}\n"
        ));
    }

    fn end(&mut self, title: &str, took: Duration, outcome: Outcome, detail: &str) {
        self.stop_spinner();
        let Style { dim, reset, .. } = self.style;
        let time = if outcome == Outcome::Skipped {
            String::new()
        } else {
            seconds(took)
        };
        let detail = if detail.is_empty() {
            String::new()
        } else {
            format!("  {dim}{detail}{reset}")
        };
        let line = format!("{} {time:>8}{detail}", pad(title, TITLE));
        self.out.write(&format!(
            "{}{} {}\n",
            self.margin(),
            self.mark(outcome),
            line.trim_end()
        ));
        let (part, title) = (self.part.clone(), title.to_owned());
        self.rows.push(Row {
            part,
            title,
            outcome,
            took,
        });
    }

    /// Indent on a terminal, the time since the start in a log.
    fn margin(&self) -> String {
        if self.lively {
            "  ".to_owned()
        } else {
            self.clock() + " "
        }
    }

    fn clock(&self) -> String {
        format!("[{:7.1}s]", self.start.elapsed().as_secs_f64())
    }

    fn mark(&self, outcome: Outcome) -> String {
        let Style {
            green,
            red,
            yellow,
            reset,
            ..
        } = self.style;
        match (outcome, self.lively) {
            (Outcome::Ok, true) => format!("{green}✓{reset}"),
            (Outcome::Failed, true) => format!("{red}✗{reset}"),
            (Outcome::Skipped, true) => format!("{yellow}○{reset}"),
            (Outcome::Ok, false) => "ok  ".to_owned(),
            (Outcome::Failed, false) => "FAIL".to_owned(),
            (Outcome::Skipped, false) => "skip".to_owned(),
        }
    }

    fn stop_spinner(&mut self) {
        self.spinner = None;
    }
}

/// `1.2 s`, `340 ms`, `2 min 5 s`.
fn seconds(time: Duration) -> String {
    match time.as_millis() {
        0..1000 => format!("{} ms", time.as_millis()),
        1000..100_000 => format!("{:.1} s", time.as_secs_f64()),
        _ => format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60),
    }
}

/// Pads by characters, as `format!` does; kept as a function so that titles with `→` line up.
fn pad(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

#[cfg(test)]
mod tests;
