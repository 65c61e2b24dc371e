//! PURE. When the last shutdown began and ended: kubelet's file `graceful_node_shutdown_state`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The file below kubelet's root directory.
pub const FILE: &str = "graceful_node_shutdown_state";

/// Go's zero time, which stands for never.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The last shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// When it began.
    pub start: Option<Timestamp>,
    /// When all Pods had ended, or their time had.
    pub end: Option<Timestamp>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Text {
    start_time: String,
    end_time: String,
}

impl Record {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text: Text = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let time = |name: &str, text: &str| match text {
            "" | NEVER => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|error| format!("{name}: {text:?}: {error}")),
        };
        Ok(Self {
            start: time("startTime", &text.start_time)?,
            end: time("endTime", &text.end_time)?,
        })
    }

    /// The file's text.
    pub fn render(&self) -> String {
        let time = |time: Option<Timestamp>| time.map_or(NEVER.to_owned(), |time| time.to_string());
        let text = Text {
            start_time: time(self.start),
            end_time: time(self.end),
        };
        // Two texts always have a JSON form.
        serde_json::to_string(&text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_kubelets() {
        let at = |text: &str| Some(text.parse::<Timestamp>().expect("a time"));
        for (text, start, end) in [
            (
                r#"{"startTime":"2026-01-02T03:04:05.5Z","endTime":"0001-01-01T00:00:00Z"}"#,
                at("2026-01-02T03:04:05.5Z"),
                None,
            ),
            (
                r#"{"startTime":"2026-01-02T03:04:05.5+02:00","endTime":"2026-01-02T03:04:06Z"}"#,
                at("2026-01-02T01:04:05.5Z"),
                at("2026-01-02T03:04:06Z"),
            ),
            ("{}", None, None),
        ] {
            let record = Record { start, end };
            assert_eq!(Record::parse(text), Ok(record), "{text}");
            assert_eq!(Record::parse(&record.render()), Ok(record), "{text}");
        }
        assert_eq!(
            Record::default().render(),
            r#"{"startTime":"0001-01-01T00:00:00Z","endTime":"0001-01-01T00:00:00Z"}"#
        );
        for bad in ["", "1", r#"{"startTime":"soon"}"#] {
            assert!(Record::parse(bad).is_err(), "{bad}");
        }
    }
}
