//! PURE. kubelet's wording for everything that happens to an image (facts: v1.36 `pkg/kubelet/images`).

use super::reference::ReferenceError;
use super::{ImageError, ImageEvent};
use crate::api::EventType;
use crate::cri;
use std::time::Duration;

/// A name that cannot be parsed can only be repaired by changing the spec; asking again is cheap all the same.
const RARELY: Duration = Duration::from_secs(60);
/// An image may appear by other hands.
const SOMETIMES: Duration = Duration::from_secs(10);

fn normal(reason: &'static str, message: String) -> ImageEvent {
    ImageEvent {
        kind: EventType::Normal,
        reason,
        message,
    }
}

fn warning(reason: &'static str, message: String) -> ImageEvent {
    ImageEvent {
        kind: EventType::Warning,
        reason,
        message,
    }
}

fn error(reason: &'static str, message: String, retry_after: Duration) -> ImageError {
    ImageError {
        reason,
        message,
        retry_after,
    }
}

pub(super) fn invalid_name(image: &str, cause: &ReferenceError) -> (ImageEvent, ImageError) {
    let message =
        format!("Failed to apply default image tag {image:?}: couldn't parse image name {image:?}: {cause}");
    (
        warning("InspectFailed", message.clone()),
        error("InvalidImageName", message, RARELY),
    )
}

pub(super) fn inspect_failed(image: &str, cause: &cri::Error) -> (ImageEvent, ImageError) {
    let message = format!("Failed to inspect image {image:?}: {}", cause.grpc_text());
    (
        warning("InspectFailed", message.clone()),
        error("ImageInspectError", message, SOMETIMES),
    )
}

pub(super) fn never_pull(image: &str) -> (ImageEvent, ImageError) {
    let message = format!("Container image {image:?} is not present with pull policy of Never");
    (
        warning("ErrImageNeverPull", message.clone()),
        error("ErrImageNeverPull", message, SOMETIMES),
    )
}

pub(super) fn already_present(image: &str) -> ImageEvent {
    normal(
        "Pulled",
        format!("Container image {image:?} already present on machine and can be accessed by the pod"),
    )
}

pub(super) fn pulling(image: &str) -> ImageEvent {
    normal("Pulling", format!("Pulling image {image:?}"))
}

pub(super) fn pulled(image: &str, took: Duration, with_waiting: Duration, bytes: u64) -> ImageEvent {
    let (took, with_waiting) = (go_duration(took), go_duration(with_waiting));
    normal(
        "Pulled",
        format!(
            "Successfully pulled image {image:?} in {took} ({with_waiting} including waiting). Image size: {bytes} bytes."
        ),
    )
}

pub(super) fn back_off(image: &str, last: &str, rest: Duration) -> (ImageEvent, ImageError) {
    let message = format!("Back-off pulling image {image:?}");
    (
        normal("BackOff", message.clone()),
        error("ImagePullBackOff", format!("{message}: {last}"), rest),
    )
}

/// The caller fills in `retry_after`.
pub(super) fn pull_failed(image: &str, causes: &[String]) -> (ImageEvent, ImageError) {
    let cause = joined(causes);
    let event = warning("Failed", format!("Failed to pull image {image:?}: {cause}"));
    let because = |name: &'static str, words: &str| {
        let rest = cause.strip_prefix(name)?;
        let message = format!("image pull failed for {image} because the {words}{rest}");
        Some(error(name, message, Duration::ZERO))
    };
    let error = because("RegistryUnavailable", "registry is unavailable")
        .or_else(|| because("SignatureValidationFailed", "signature validation failed"))
        .unwrap_or_else(|| error("ErrImagePull", cause.clone(), Duration::ZERO));
    (event, error)
}

/// The Event every failure to make a container ends with.
pub(super) fn container_failed(error: &ImageError) -> ImageEvent {
    warning("Failed", format!("Error: {}", error.reason))
}

/// One error as it is, several as a list without repetitions.
fn joined(causes: &[String]) -> String {
    let mut texts: Vec<&str> = Vec::new();
    for text in causes {
        if !texts.contains(&&**text) {
            texts.push(text);
        }
    }
    match &*texts {
        [one] => (*one).to_owned(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// A duration in Go's words, cut to milliseconds: `1m2.5s`, `1.234s`, `250ms`, `0s`.
fn go_duration(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    if seconds == 0 {
        return if millis == 0 {
            "0s".into()
        } else {
            format!("{millis}ms")
        };
    }
    let fraction = format!("{millis:03}");
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}{dot}{fraction}s"),
        (0, _) => format!("{minutes}m{rest}{dot}{fraction}s"),
        _ => format!("{hours}h{minutes}m{rest}{dot}{fraction}s"),
    }
}

#[cfg(test)]
mod tests;
