//! Each host's own clock: it begins anywhere, and it may run fast or slow.
//!
//! It is the daemon's, which stands still while its host is suspended (`CLOCK_MONOTONIC`). Between the hosts
//! nothing but the length of spans can be compared, and that only as far as the drift allows.

use std::time::{Duration, Instant};

use promoterd::model::{SplitMix, UnixTime};

use super::pipes::Micros;

const MILLION: u128 = 1_000_000;
/// Largest drift of a clock's rate, in millionths.
pub const DRIFT_MAX: u64 = 50_000;
/// What the wall clocks say when a run begins, in milliseconds since 1970.
const WALL: u64 = 1_700_000_000_000;

/// The clock of one host.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// What it says when a run begins.
    base: Instant,
    /// Its microseconds in a million of the world's.
    rate: u64,
    /// How long its host has slept, and since when it does.
    slept: Micros,
    asleep_since: Option<Micros>,
}

impl Clock {
    /// One whose rate differs from the world's by at most `drift` millionths. It has been running for a
    /// while: views reach into the past, and a clock that began just now has none.
    pub fn draw(drift: u64, random: &mut SplitMix) -> Self {
        let began = Duration::from_micros(1_000_000_000 + random.below(100_000_000_000));
        Self {
            base: Instant::now() + began,
            rate: 1_000_000 - drift + random.below(2 * drift + 1),
            slept: 0,
            asleep_since: None,
        }
    }

    /// One that is mostly as wrong as it may be.
    pub fn draw_wrong(drift: u64, random: &mut SplitMix) -> Self {
        let drawn = Self::draw(drift, random);
        let rate = match random.below(3) {
            0 => 1_000_000 - drift,
            1 => 1_000_000 + drift,
            _ => drawn.rate,
        };
        Self { rate, ..drawn }
    }

    /// What it says at `now`.
    pub fn read(&self, now: Micros) -> Instant {
        let now = self.asleep_since.unwrap_or(now);
        self.base + Duration::from_micros(self.passed(now - self.slept))
    }

    /// What the wall clock beside it says, for people.
    pub fn wall(&self, now: Micros) -> UnixTime {
        UnixTime(WALL + self.passed(now) / 1000)
    }

    /// Its host falls asleep.
    pub fn stop(&mut self, now: Micros) {
        self.asleep_since.get_or_insert(now);
    }

    /// Its host wakes.
    pub fn go_on(&mut self, now: Micros) {
        self.slept += self.asleep_since.take().map_or(0, |since| now - since);
    }

    /// The first microsecond of the world at which it says `at` or more.
    pub fn reaches(&self, at: Instant) -> Micros {
        let span = at.saturating_duration_since(self.base);
        let own = span.as_nanos().div_ceil(1000);
        let world = (own * MILLION).div_ceil(u128::from(self.rate));
        Micros::try_from(world).expect("centuries do not pass") + self.slept
    }

    /// How far it goes in a span of the world.
    fn passed(&self, span: Micros) -> Micros {
        let own = u128::from(span) * u128::from(self.rate) / MILLION;
        Micros::try_from(own).expect("centuries do not pass")
    }
}

#[test]
fn a_deadline_is_reached_at_the_first_microsecond_that_a_clock_says_it() {
    for rate in [950_000, 999_999, 1_000_000, 1_000_001, 1_050_000] {
        let base = Instant::now();
        let clock = Clock {
            base,
            rate,
            slept: 0,
            asleep_since: None,
        };
        for own in [0, 1, 2, 19, 20, 21, 999_999, 1_000_000, 60_000_007] {
            let at = base + Duration::from_micros(own);
            let world = clock.reaches(at);
            assert!(clock.read(world) >= at, "{rate}: {own}");
            assert!(world == 0 || clock.read(world - 1) < at, "{rate}: {own}");
        }
    }
}

#[test]
fn a_clock_stands_still_while_its_host_sleeps() {
    let base = Instant::now();
    let mut clock = Clock {
        base,
        rate: 1_000_000,
        slept: 0,
        asleep_since: None,
    };
    clock.stop(100);
    clock.stop(150);
    assert_eq!(clock.read(170), base + Duration::from_micros(100));
    clock.go_on(200);
    clock.go_on(300);
    assert_eq!(clock.read(310), base + Duration::from_micros(210));
    assert_eq!(clock.reaches(base + Duration::from_micros(210)), 310);
}
