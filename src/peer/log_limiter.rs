//! Lets a repeated log line through once a minute, with the number of those held back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Least time between two lines about the same thing.
const INTERVAL: Duration = Duration::from_secs(60);

/// Counts by `K`, of which there must be a bounded number.
#[derive(Debug)]
pub(super) struct LogLimiter<K> {
    lines: BTreeMap<K, Line>,
}

#[derive(Debug)]
struct Line {
    logged_at: Instant,
    suppressed: u64,
}

impl<K: Ord> LogLimiter<K> {
    pub(super) fn new() -> Self {
        Self {
            lines: BTreeMap::new(),
        }
    }

    /// Whether to log a line about `key` now, and then how many were held back since the last one.
    pub(super) fn admit(&mut self, key: K, now: Instant) -> Option<u64> {
        let fresh = Line {
            logged_at: now,
            suppressed: 0,
        };
        let Some(line) = self.lines.get_mut(&key) else {
            self.lines.insert(key, fresh);
            return Some(0);
        };
        if now.saturating_duration_since(line.logged_at) < INTERVAL {
            line.suppressed += 1;
            return None;
        }
        Some(std::mem::replace(line, fresh).suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_once_a_minute_and_tells_how_many_were_held_back() {
        let mut limiter = LogLimiter::new();
        let start = Instant::now();
        for (key, second, admitted) in [
            ("a", 0, Some(0)),
            ("a", 1, None),
            ("b", 2, Some(0)),
            ("a", 59, None),
            ("a", 60, Some(2)),
            ("a", 61, None),
            ("b", 119, Some(0)),
            ("a", 120, Some(1)),
        ] {
            let now = start + Duration::from_secs(second);
            assert_eq!(limiter.admit(key, now), admitted, "{key} at {second} s");
        }
    }
}
