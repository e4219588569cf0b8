//! Spans, sizes, moments and foreign text as a person reads them.

use std::time::{Duration, SystemTime};

use crate::model::UnixTime;

/// `340 ms`, `3.2 s`, `5 min`, `2 h 5 min`, `4 d 2 h`.
pub fn span(milliseconds: u64) -> String {
    const SECOND: u64 = 1000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| {
        let first = milliseconds / large;
        match milliseconds % large / small {
            0 => format!("{first} {large_unit}"),
            second => format!("{first} {large_unit} {second} {small_unit}"),
        }
    };
    match milliseconds {
        0..SECOND => format!("{milliseconds} ms"),
        SECOND..MINUTE => {
            let tenths = milliseconds / 100;
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        MINUTE..HOUR => two(MINUTE, "min", SECOND, "s"),
        HOUR..DAY => two(HOUR, "h", MINUTE, "min"),
        DAY.. => two(DAY, "d", HOUR, "h"),
    }
}

/// `12 B`, `1.5 KiB`, `3.0 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut size = count as f64 / 1024.0;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    while size >= 1024.0
        && let Some(larger) = units.next()
    {
        size /= 1024.0;
        unit = larger;
    }
    format!("{size:.1} {unit}")
}

/// `2026-02-02T02:40:00.123Z`.
pub fn moment(at: UnixTime) -> String {
    // Year 9999 is as far as that form goes.
    let latest = Duration::from_secs(253_402_300_799);
    let since = Duration::from_millis(at.0).min(latest);
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).to_string()
}

/// Text from outside without what a terminal would obey.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                '?'
            } else {
                character
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_at_most_two_units() {
        for (milliseconds, expected) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1.0 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min"),
            (61_000, "1 min 1 s"),
            (7_500_000, "2 h 5 min"),
            (86_400_000, "1 d"),
            (u64::MAX, "213503982334 d 14 h"),
        ] {
            assert_eq!(span(milliseconds), expected);
        }
    }

    #[test]
    fn bytes_are_scaled_by_1024() {
        for (count, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (3 << 20, "3.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn any_moment_can_be_written() {
        for (at, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_770_000_000_123, "2026-02-02T02:40:00.123Z"),
            (u64::MAX, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(moment(UnixTime(at)), expected);
        }
    }

    #[test]
    fn a_terminal_obeys_nothing_in_plain_text() {
        assert_eq!(plain("a\u{1b}[2J\r\nb\u{9b}ü"), "a?[2J??b?ü");
    }
}
