//! PURE. Prometheus' text format 0.0.4, which is what every scraper of a kubelet reads.
//!
//! Two ways in: families that were made for one scrape ([`Family`], with timestamps), and the registry's OpenMetrics
//! text ([`classic`]), which differs in a few lines only.

use std::fmt::Write;

/// Content type of the format, as upstream's kubelet sends it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// What kind of metric a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Labels in the order they are shown: alphabetical.
pub type Labels<'a> = [(&'a str, &'a str)];

/// Metrics of one name.
#[derive(Clone, Debug)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    lines: String,
}

impl Family {
    /// A family without samples; it shows once it has some.
    pub fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            help,
            kind,
            lines: String::new(),
        }
    }

    /// Adds a sample; `at` is a time in Unix milliseconds.
    pub fn add(&mut self, labels: &Labels<'_>, value: f64, at: Option<i64>) {
        self.add_rendered(&render(labels), value, at);
    }

    /// As [`Family::add`], with labels that [`render`] made.
    pub fn add_rendered(&mut self, labels: &str, value: f64, at: Option<i64>) {
        let text = &mut self.lines;
        text.push_str(self.name);
        text.push_str(labels);
        text.push(' ');
        number(text, value);
        if let Some(at) = at {
            // Writing to a String cannot fail.
            let _ = write!(text, " {at}");
        }
        text.push('\n');
    }

    /// Appends the family, if it has samples.
    pub fn write(&self, text: &mut String) {
        if self.lines.is_empty() {
            return;
        }
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = write!(text, "# HELP {0} {1}\n# TYPE {0} {kind}\n", self.name, self.help);
        text.push_str(&self.lines);
    }
}

/// `{a="1",b="2"}`; nothing without labels.
pub fn render(labels: &Labels<'_>) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(name);
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

/// A number as Go prints it with `%g`: large ones with an exponent, whole ones without a point.
fn number(text: &mut String, value: f64) {
    let size = value.abs();
    let _ = if value.is_infinite() {
        write!(text, "{}Inf", if value > 0.0 { '+' } else { '-' })
    } else if value.is_nan() {
        write!(text, "NaN")
    } else if size != 0.0 && !(1e-4..1e6).contains(&size) {
        // Rust writes 1.5e9 and 1e-7; Go writes 1.5e+09 and 1e-07.
        let short = format!("{value:e}");
        let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
        write!(text, "{digits}e{sign}{exponent:0>2}")
    } else {
        write!(text, "{value}")
    };
}

/// OpenMetrics text of our registry in the classic format: counters are named with their `_total`, whole numbers have
/// no `.0`, help has the final stop that the registry appends taken off, and there is no end mark.
pub fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None::<(&str, &str)>;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let kind = if kind == "unknown" { "untyped" } else { kind };
            let words = help
                .take()
                .filter(|(of, _)| *of == name)
                .map_or("", |(_, words)| words);
            let words = words.strip_suffix('.').unwrap_or(words);
            let _ = write!(
                text,
                "# HELP {name}{suffix} {words}\n# TYPE {name}{suffix} {kind}\n"
            );
        } else if !line.starts_with('#') {
            sample(&mut text, line);
        }
    }
    text
}

/// A sample's line, with the value and a bucket's bound in the classic form.
fn sample(text: &mut String, line: &str) {
    let Some((series, value)) = line.rsplit_once(' ') else {
        return;
    };
    match series.split_once("le=\"") {
        Some((before, rest)) if series.contains("_bucket{") => {
            let (bound, after) = rest.split_once('"').unwrap_or((rest, ""));
            let bound = bound.strip_suffix(".0").unwrap_or(bound);
            let _ = write!(text, "{before}le=\"{bound}\"{after}");
        }
        _ => text.push_str(series),
    }
    text.push(' ');
    match value.parse::<f64>() {
        Ok(value) => number(text, value),
        Err(_) => text.push_str(value),
    }
    text.push('\n');
}

#[cfg(test)]
mod tests;
