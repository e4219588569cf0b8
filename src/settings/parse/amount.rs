//! Amounts: spans of time, numbers, sizes.

use std::str::FromStr;
use std::time::Duration;

use super::{InvalidValue, quote};

/// A span of time: `250ms`, `1s`, `1m 30s`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(in crate::settings) struct Span(pub(in crate::settings) Duration);

impl FromStr for Span {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |_| InvalidValue::Span(quote(text));
        humantime::parse_duration(text.trim())
            .map(Self)
            .map_err(invalid)
    }
}

/// How long a follower waits for its leader: drawn anew between the two, each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElectionTimeout {
    /// The shortest wait, at least 20 ms.
    pub min: Duration,
    /// The longest wait, above `min`, at most a minute.
    pub max: Duration,
}

impl FromStr for ElectionTimeout {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidValue::Range(quote(text));
        let (min, max) = text.split_once('-').ok_or_else(invalid)?;
        let (Ok(Span(min)), Ok(Span(max))) = (min.parse(), max.parse()) else {
            return Err(invalid());
        };
        if min < Duration::from_millis(20) || max <= min || max > Duration::from_secs(60) {
            return Err(InvalidValue::RangeBounds(quote(text)));
        }
        Ok(Self { min, max })
    }
}

/// A whole number.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(in crate::settings) struct Count(pub(in crate::settings) usize);

impl FromStr for Count {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |_| InvalidValue::Count(quote(text));
        text.trim().parse().map(Self).map_err(invalid)
    }
}

/// A number of bytes: `1048576`, `10MiB`, `10MB`; or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::settings) struct Size(pub(in crate::settings) Option<u64>);

impl FromStr for Size {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidValue::Size(quote(text));
        let lower = text.trim().to_lowercase();
        if lower == "none" {
            return Ok(Self(None));
        }
        let end = lower
            .find(|digit: char| !digit.is_ascii_digit())
            .unwrap_or(lower.len());
        let (digits, unit) = lower.split_at(end);
        let factor: u64 = match unit.trim() {
            "" | "b" => 1,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return Err(invalid()),
        };
        let number: u64 = digits.parse().map_err(|_| invalid())?;
        number
            .checked_mul(factor)
            .map(|bytes| Self(Some(bytes)))
            .ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_needs_a_unit() {
        for (text, millis) in [
            ("250ms", Some(250)),
            (" 1s ", Some(1_000)),
            ("1m 30s", Some(90_000)),
            ("0s", Some(0)),
            ("250", None),
            ("1.5s", Some(1_500)),
            ("-1s", None),
            ("99999999999999999999s", None),
            ("", None),
        ] {
            let span = text.parse().ok().map(|Span(span)| span);
            assert_eq!(span, millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn an_election_timeout_is_a_range_that_elections_can_use() {
        for (text, is_right) in [
            ("150ms-300ms", true),
            ("150ms - 300ms", true),
            ("20ms-21ms", true),
            ("1s-60s", true),
            ("19ms-300ms", false),
            ("300ms-150ms", false),
            ("300ms-300ms", false),
            ("1s-61s", false),
            ("150ms", false),
            ("150ms-", false),
            ("1ms-2ms-3ms", false),
        ] {
            assert_eq!(text.parse::<ElectionTimeout>().is_ok(), is_right, "{text}");
        }
    }

    #[test]
    fn a_size_is_a_number_of_bytes_with_or_without_a_unit() {
        for (text, bytes) in [
            ("0", Some(Some(0))),
            ("1048576", Some(Some(1 << 20))),
            ("10MiB", Some(Some(10 << 20))),
            ("10 mib", Some(Some(10 << 20))),
            ("3GB", Some(Some(3_000_000_000))),
            ("1KiB", Some(Some(1024))),
            ("1kb", Some(Some(1000))),
            ("2GiB", Some(Some(2 << 30))),
            ("7B", Some(Some(7))),
            ("none", Some(None)),
            ("MiB", None),
            ("-1", None),
            ("10M", None),
            ("18446744073709551616", None),
            ("18014398509481984KiB", None),
        ] {
            let size = text.parse().ok().map(|Size(size)| size);
            assert_eq!(size, bytes, "{text}");
        }
    }
}
