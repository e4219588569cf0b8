//! CLOCK_BOOTTIME, which goes on while the host is suspended, and the moments of the daemon on it.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Two clocks are never read at once; what is less than this is no suspend.
const SUSPEND_MIN: Duration = Duration::from_millis(1);

/// A moment of CLOCK_BOOTTIME, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BootMoment(pub u64);

impl BootMoment {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        Self::from(read(ClockId::Boottime))
    }

    /// The span from `earlier` to this moment; nothing when that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment so much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(span)))
    }
}

impl From<Duration> for BootMoment {
    fn from(since_boot: Duration) -> Self {
        Self(nanoseconds(since_boot))
    }
}

/// How the moments of this process ([`Instant`], CLOCK_MONOTONIC) lie on CLOCK_BOOTTIME.
///
/// Every reading errs, if at all, to the earlier moment: the clock that makes a moment later when it is
/// read late is read first.
#[derive(Debug)]
pub struct BootClock {
    anchor: Instant,
    /// CLOCK_MONOTONIC at the anchor, or a little less.
    anchor_monotonic: Duration,
    /// How far CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC, or a little less.
    offset: Duration,
}

/// A [`BootClock`] as it stood at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootReading {
    anchor: Instant,
    anchor_boot: Duration,
}

impl Default for BootClock {
    fn default() -> Self {
        Self::new()
    }
}

impl BootClock {
    /// Reads the clocks for the first time.
    #[must_use]
    pub fn new() -> Self {
        /// One of them is hardly ever interrupted.
        const READINGS: usize = 4;
        let anchor = Instant::now();
        let monotonic = (0..READINGS).map(|_| {
            let read = read(ClockId::Monotonic);
            read.saturating_sub(anchor.elapsed())
        });
        let offsets = (0..READINGS).map(|_| offset());
        Self {
            anchor,
            anchor_monotonic: monotonic.max().unwrap_or_default(),
            offset: offsets.max().unwrap_or_default(),
        }
    }

    /// How long the host was suspended since this was last asked; to be asked at the start of each turn
    /// of the loop, before anything is done with an [`Instant`] of an earlier turn.
    pub fn slept(&mut self) -> Option<Duration> {
        self.take_in(offset())
    }

    fn take_in(&mut self, offset: Duration) -> Option<Duration> {
        // It never shrinks: a smaller one was read with an interruption.
        let span = offset.saturating_sub(self.offset);
        self.offset += span;
        (span >= SUSPEND_MIN).then_some(span)
    }

    /// The clock as of the last [`slept`](Self::slept): a suspend since then makes no moment later.
    #[must_use]
    pub fn reading(&self) -> BootReading {
        BootReading {
            anchor: self.anchor,
            anchor_boot: self.anchor_monotonic + self.offset,
        }
    }
}

impl BootReading {
    /// Where `at` lies on CLOCK_BOOTTIME; never later.
    #[must_use]
    pub fn moment(&self, at: Instant) -> BootMoment {
        let since_boot = match at.checked_duration_since(self.anchor) {
            Some(after) => self.anchor_boot.saturating_add(after),
            None => self
                .anchor_boot
                .saturating_sub(self.anchor.duration_since(at)),
        };
        BootMoment::from(since_boot)
    }
}

fn offset() -> Duration {
    let boot = read(ClockId::Boottime);
    boot.saturating_sub(read(ClockId::Monotonic))
}

fn read(clock: ClockId) -> Duration {
    // Neither clock is ever negative.
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_moment_is_never_put_later_than_it_is_and_hardly_earlier() {
        let reading = BootClock::new().reading();
        let mut earliest = Duration::MAX;
        for _ in 0..1000 {
            let moment = reading.moment(Instant::now());
            let now = BootMoment::now();
            assert!(moment <= now, "{moment:?} {now:?}");
            earliest = earliest.min(now.since(moment));
        }
        assert!(earliest < Duration::from_micros(100), "{earliest:?}");
    }

    #[test]
    fn moments_before_the_first_reading_and_spans_are_kept() {
        let clock = BootClock::new();
        let (reading, now) = (clock.reading(), Instant::now());
        let moment = reading.moment(now);
        assert_eq!(reading.moment(now + SECOND), moment.after(SECOND));
        let before = now.checked_sub(SECOND).unwrap();
        assert_eq!(moment.since(reading.moment(before)), SECOND);
    }

    #[test]
    fn a_suspend_is_told_once_and_moves_only_later_readings() {
        let mut clock = BootClock::new();
        let (before, now) = (clock.reading(), Instant::now());
        let offset = clock.offset;
        assert_eq!(clock.take_in(offset), None);
        assert_eq!(clock.take_in(offset + SECOND), Some(SECOND));
        assert_eq!(clock.take_in(offset + SECOND), None);
        assert_eq!(
            clock.reading().moment(now),
            before.moment(now).after(SECOND)
        );
    }

    #[test]
    fn clocks_that_were_read_with_an_interruption_tell_of_no_suspend() {
        let mut clock = BootClock::new();
        let offset = clock.offset;
        for read in [offset / 2, offset, offset + SUSPEND_MIN / 2, offset] {
            assert_eq!(clock.take_in(read), None, "{read:?}");
        }
        let reading = clock.reading();
        assert_eq!(clock.take_in(offset), None);
        assert_eq!(clock.reading(), reading);
    }
}
