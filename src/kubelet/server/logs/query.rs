//! PURE. `v1.PodLogOptions` from a query string, decoded and validated as upstream does.
//!
//! The first of several values counts; a flag is true unless its value is `0` or `false`; unknown names are ignored.
//! Upstream has `stream` behind a feature gate; here it always works.

use crate::kubelet::logs::line::{Show, Streams};
use jiff::{SignedDuration, Timestamp};
use std::borrow::Cow;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Of the instance before.
    pub(super) previous: bool,
    /// Go on as the container writes.
    pub(super) follow: bool,
    /// From the last lines on.
    pub(super) tail: Option<u64>,
    /// What is shown, and how.
    pub(super) show: Show,
}

/// A query that is not understood, or is understood and makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}: not a number")]
    Number(&'static str),
    #[error("sinceTime: not a time")]
    Time,
    #[error("tailLines: must be greater than or equal to 0")]
    NegativeTail,
    #[error("{0}: must be greater than 0")]
    NotPositive(&'static str),
    #[error("at most one of `sinceTime` or `sinceSeconds` may be specified")]
    TwoTimes,
    #[error("stream: not supported")]
    Stream,
    #[error("`tailLines` and specific `stream` are mutually exclusive for now")]
    TailOfStream,
}

impl Error {
    /// It was understood.
    pub(super) fn is_invalid(&self) -> bool {
        !matches!(self, Self::Number(_) | Self::Time)
    }
}

/// Options as they are written.
#[derive(Default)]
struct Options {
    follow: bool,
    previous: bool,
    timestamps: bool,
    since_seconds: Option<i64>,
    /// The inner is `None` for a time that is given and empty.
    since_time: Option<Option<Timestamp>>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
    stream: Option<Box<str>>,
}

/// Parses a query's pairs, in their order.
pub(super) fn parse<'a>(
    pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
    now: Timestamp,
) -> Result<Wanted, Error> {
    let pairs: Vec<_> = pairs.collect();
    let first = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| &**value)
    };
    let flag = |name: &str| first(name).is_some_and(|v| v != "0" && !v.eq_ignore_ascii_case("false"));
    let number = |name: &'static str| first(name).map(|v| int(name, v)).transpose();
    let tail_lines = match first("tail").filter(|tail| !tail.is_empty()) {
        Some("all") => None,
        Some(tail) => Some(int("tailLines", tail)?),
        None => number("tailLines")?,
    };
    let options = Options {
        follow: flag("follow"),
        previous: flag("previous"),
        timestamps: flag("timestamps"),
        since_seconds: number("sinceSeconds")?,
        since_time: first("sinceTime").map(time).transpose()?,
        tail_lines,
        limit_bytes: number("limitBytes")?,
        stream: first("stream").map(Into::into),
    };
    options.validate(now)
}

fn int(name: &'static str, value: &str) -> Result<i64, Error> {
    value.parse().map_err(|_| Error::Number(name))
}

fn time(value: &str) -> Result<Option<Timestamp>, Error> {
    if value.is_empty() || value == "null" {
        return Ok(None);
    }
    // jiff also knows other separators.
    let strict = value.as_bytes().get(10) == Some(&b'T');
    let time = value.parse().ok().filter(|_| strict);
    time.map(Some).ok_or(Error::Time)
}

impl Options {
    fn validate(self, now: Timestamp) -> Result<Wanted, Error> {
        let at_least = |value: Option<i64>, least: i64, error: Error| match value {
            Some(value) if value < least => Err(error),
            value => Ok(value.map(i64::unsigned_abs)),
        };
        let tail = at_least(self.tail_lines, 0, Error::NegativeTail)?;
        let limit = at_least(self.limit_bytes, 1, Error::NotPositive("limitBytes"))?;
        if self.since_seconds.is_some() && self.since_time.is_some() {
            return Err(Error::TwoTimes);
        }
        at_least(self.since_seconds, 1, Error::NotPositive("sinceSeconds"))?;
        let streams = match self.stream.as_deref() {
            None | Some("All") => Streams::All,
            Some("Stdout") => Streams::Stdout,
            Some("Stderr") => Streams::Stderr,
            Some(_) => return Err(Error::Stream),
        };
        if streams != Streams::All && tail.is_some() {
            return Err(Error::TailOfStream);
        }
        let ago = |seconds: i64| {
            let age = SignedDuration::from_secs(seconds);
            now.checked_sub(age).unwrap_or(Timestamp::MIN)
        };
        Ok(Wanted {
            previous: self.previous,
            follow: self.follow,
            tail,
            show: Show {
                streams,
                since: self.since_seconds.map(ago).or(self.since_time.flatten()),
                timestamps: self.timestamps,
                limit,
                // Lines that come while the last ones are read are not among them.
                lines: tail.filter(|_| !self.follow),
            },
        })
    }
}

#[cfg(test)]
mod tests;
