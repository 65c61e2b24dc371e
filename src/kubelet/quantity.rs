//! PURE. Kubernetes quantities (`100m`, `1.5Gi`, `2e3`) as exact numbers.
//!
//! An amount is held in units of 10⁻⁹; what is finer is rounded away from zero, as the API does.

use crate::model::pod::Quantity;
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// A quantity that does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no quantity: {cause}")]
pub struct Error {
    /// The text as written.
    pub text: Box<str>,
    /// What is wrong with it.
    pub cause: &'static str,
}

const NANO: i128 = 1_000_000_000;
const MILLI: i128 = 1_000_000;

/// An exact amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// A whole number.
    pub fn whole(count: i64) -> Self {
        Self(i128::from(count) * NANO)
    }
    /// Thousandths.
    pub fn milli_of(count: i64) -> Self {
        Self(i128::from(count) * MILLI)
    }
    /// Whole units, rounded up; the largest `i64` when it does not fit.
    pub fn value(self) -> i64 {
        saturate(div_up(self.0, NANO))
    }
    /// Thousandths, rounded up; the largest `i64` when it does not fit.
    pub fn milli(self) -> i64 {
        saturate(div_up(self.0, MILLI))
    }
    /// True for more than nothing.
    pub fn is_positive(self) -> bool {
        self.0 > 0
    }
    /// Nothing, or less.
    pub fn is_zero(self) -> bool {
        self.0 <= 0
    }
    /// The difference of two amounts, never less than nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }
    /// The sum of two amounts.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Parses a quantity.
pub fn parse(quantity: &Quantity) -> Result<Amount, Error> {
    let text = &*quantity.0;
    amount(text).map_err(|cause| Error {
        text: text.into(),
        cause,
    })
}

/// The amount of a resource in `requests` or `limits`; nothing when it is not named. The API server has validated
/// quantities, so one that does not parse counts as nothing too.
pub fn of(list: &BTreeMap<Box<str>, Quantity>, resource: &str) -> Amount {
    list.get(resource).and_then(|q| parse(q).ok()).unwrap_or_default()
}

/// An amount of a resource as a status has it: bytes with binary suffixes, everything else, and fractions, with decimal
/// ones.
pub fn text(resource: &str, amount: Amount) -> String {
    let parts = [("m", MILLI), ("u", 1000), ("n", 1)];
    let fraction = amount.0 % NANO != 0;
    if let Some((suffix, unit)) = parts
        .into_iter()
        .find(|(_, unit)| fraction && amount.0 % unit == 0)
    {
        return format!("{}{suffix}", amount.0 / unit);
    }
    match resource {
        "cpu" | "pods" | "pid" => decimal(amount.value()),
        _ => binary(amount.value()),
    }
}

/// A number of bytes as Go's `BinarySI` writes it: `100Mi`, `1023`.
pub fn binary(value: i64) -> String {
    if value.unsigned_abs() < 1024 {
        return decimal(value);
    }
    scaled(value, 1024, &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])
}

/// A number as Go's `DecimalSI` writes it: `12k`, `12345`.
pub fn decimal(value: i64) -> String {
    scaled(value, 1000, &["", "k", "M", "G", "T", "P", "E"])
}

fn scaled(mut value: i64, step: i64, suffixes: &[&str]) -> String {
    let mut at = 0;
    while value != 0 && value % step == 0 && at + 1 < suffixes.len() {
        value /= step;
        at += 1;
    }
    format!("{value}{}", suffixes[at])
}

fn amount(text: &str) -> Result<Amount, &'static str> {
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return Err("it has no digits");
    }
    if fraction.contains('.') {
        return Err("it has two decimal points");
    }
    let (base, exponent) = scale(suffix)?;
    let digits: String = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    if digits.len() > 30 {
        return Err("it has too many digits");
    }
    let digits: i128 = if digits.is_empty() {
        0
    } else {
        digits.parse().map_err(|_| "it has no digits")?
    };
    let places = i32::try_from(fraction.len()).map_err(|_| "it has too many digits")?;
    let scaled = digits.checked_mul(base).ok_or("it is too large")?;
    let nanos = shift(scaled, exponent - places + 9)?;
    Ok(Amount(if negative { -nanos } else { nanos }))
}

/// Factor and power of ten of a suffix.
fn scale(suffix: &str) -> Result<(i128, i32), &'static str> {
    let exponent = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => return binary_or_exponent(suffix),
    };
    Ok((1, exponent))
}

fn binary_or_exponent(suffix: &str) -> Result<(i128, i32), &'static str> {
    let power = match suffix {
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        "Ti" => 40,
        "Pi" => 50,
        "Ei" => 60,
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E']).ok_or("its suffix is not known")?;
            let exponent: i32 = exponent.parse().map_err(|_| "its exponent is not a number")?;
            return if exponent.abs() <= 30 {
                Ok((1, exponent))
            } else {
                Err("its exponent is too large")
            };
        }
    };
    Ok((1 << power, 0))
}

fn shift(number: i128, exponent: i32) -> Result<i128, &'static str> {
    let power = 10_i128
        .checked_pow(exponent.unsigned_abs())
        .ok_or("it is too large")?;
    if exponent < 0 {
        Ok(div_up(number, power))
    } else {
        number.checked_mul(power).ok_or("it is too large")
    }
}

/// Division that rounds away from zero.
fn div_up(number: i128, by: i128) -> i128 {
    let whole = number / by;
    if number % by == 0 {
        whole
    } else {
        whole + number.signum()
    }
}

fn saturate(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}
