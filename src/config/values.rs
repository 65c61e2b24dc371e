//! PURE. Values as Kubernetes writes them: Go durations, quantities, Go's booleans.

use std::time::Duration;

/// Nanoseconds of Go's duration units, longest name first.
const UNITS: &[(&str, u128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Go's duration (`1m30s`, `1.5h`, `300ms`, `0`), in nanoseconds; `None` when it is none or overflows 64 bits.
pub(super) fn duration_nanos(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: u128 = 0;
    while !rest.is_empty() || total == 0 {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 40 {
            return None;
        }
        let end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        let nanos = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total = total.checked_add(whole.checked_mul(nanos)?)?;
        let mut place = nanos;
        for digit in fraction.bytes() {
            place /= 10;
            total = total.checked_add(u128::from(digit - b'0') * place)?;
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let total = i64::try_from(total).ok()?;
    Some(if negative { -total } else { total })
}

/// Go's duration (`1m30s`, `1.5h`, `300ms`, `0`); `None` when it is none or negative.
pub fn duration(text: &str) -> Option<Duration> {
    Some(Duration::from_nanos(u64::try_from(duration_nanos(text)?).ok()?))
}

/// What a quantity's suffix multiplies with, as a power of ten or of two.
const SUFFIXES: &[(&str, u128, u128)] = &[
    ("", 1, 1),
    ("n", 1, 1_000_000_000),
    ("u", 1, 1_000_000),
    ("m", 1, 1_000),
    ("k", 1_000, 1),
    ("M", 1_000_000, 1),
    ("G", 1_000_000_000, 1),
    ("T", 1_000_000_000_000, 1),
    ("P", 1_000_000_000_000_000, 1),
    ("E", 1_000_000_000_000_000_000, 1),
    ("Ki", 1 << 10, 1),
    ("Mi", 1 << 20, 1),
    ("Gi", 1 << 30, 1),
    ("Ti", 1 << 40, 1),
    ("Pi", 1 << 50, 1),
    ("Ei", 1 << 60, 1),
];

/// A quantity (`10Mi`, `1.5G`, `1e6`) rounded up to whole units; `None` when it is none, negative or beyond 64 bits.
pub(super) fn quantity(text: &str) -> Option<i64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || fraction.len() > 9 {
        return None;
    }
    let (times, parts) = factor(suffix)?;
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let parts = parts * 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    i64::try_from(digits.checked_mul(times)?.div_ceil(parts)).ok()
}

fn factor(suffix: &str) -> Option<(u128, u128)> {
    if let Some((_, times, parts)) = SUFFIXES.iter().find(|(name, ..)| *name == suffix) {
        return Some((*times, *parts));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = 10_u128.checked_pow(exponent.unsigned_abs())?;
    // Beyond 18 digits nothing that fits 64 bits is left.
    (exponent.abs() <= 18).then_some(if exponent < 0 { (1, power) } else { (power, 1) })
}

/// The words Go's `strconv.ParseBool` takes.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
