//! Which client is to be made to read its file again, and when. Owns no clock.

use std::time::{Duration, Instant};

use crate::model::Epoch;

/// Pause after the first failure.
const RETRY_DELAY_MIN: Duration = Duration::from_secs(1);

/// Longest pause between two attempts: how often an operator is reminded.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

/// The reloads of all targets, by their place in the settings.
#[derive(Debug)]
pub struct Reloads(Vec<Reload>);

/// `Quiet` → `Due` when the file was rewritten → `Running` → `Quiet` when it succeeded, or `Due` again,
/// later when it failed and at once when the file was rewritten meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reload {
    Quiet,
    Due {
        epoch: Epoch,
        failures: u32,
        at: Instant,
    },
    Running {
        epoch: Epoch,
        failures: u32,
        /// The epoch of a file that the command may have come too early for.
        newer: Option<Epoch>,
    },
}

impl Reloads {
    /// Nobody is to read anything.
    #[must_use]
    pub fn new(targets: usize) -> Self {
        Self(vec![Reload::Quiet; targets])
    }

    /// The target's file was rewritten for `epoch`, or nobody knows whether its reader has seen it.
    pub fn want(&mut self, index: usize, epoch: Epoch, now: Instant) {
        let reload = &mut self.0[index];
        *reload = match *reload {
            Reload::Quiet | Reload::Due { .. } => Reload::Due {
                epoch,
                failures: 0,
                at: now,
            },
            Reload::Running {
                epoch: running,
                failures,
                ..
            } => Reload::Running {
                epoch: running,
                failures,
                newer: Some(epoch),
            },
        };
    }

    /// A target whose client is to read its file again now: the one that has waited longest.
    #[must_use]
    pub fn due(&self, now: Instant) -> Option<(usize, Epoch)> {
        let (at, index, epoch) = self.all_due().min()?;
        (at <= now).then_some((index, epoch))
    }

    /// When the next one is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.all_due().map(|(at, ..)| at).min()
    }

    fn all_due(&self) -> impl Iterator<Item = (Instant, usize, Epoch)> {
        let reloads = self.0.iter().enumerate();
        reloads.filter_map(|(index, reload)| match reload {
            Reload::Due { epoch, at, .. } => Some((*at, index, *epoch)),
            Reload::Quiet | Reload::Running { .. } => None,
        })
    }

    /// The command of a due target has begun.
    pub fn begin(&mut self, index: usize) {
        let reload = &mut self.0[index];
        if let Reload::Due {
            epoch, failures, ..
        } = *reload
        {
            *reload = Reload::Running {
                epoch,
                failures,
                newer: None,
            };
        }
    }

    /// The command ended; whether its client has read the newest file.
    pub fn end(&mut self, index: usize, succeeded: bool, now: Instant) -> bool {
        let reload = &mut self.0[index];
        let Reload::Running {
            epoch,
            failures,
            newer,
        } = *reload
        else {
            return false;
        };
        let failures = failures.saturating_add(1);
        *reload = match newer {
            Some(epoch) => Reload::Due {
                epoch,
                failures: 0,
                at: now,
            },
            None if succeeded => Reload::Quiet,
            None => Reload::Due {
                epoch,
                failures,
                at: now + pause(failures),
            },
        };
        *reload == Reload::Quiet
    }

    /// Gives up what has failed before: only what was never tried is still due.
    pub fn drop_retries(&mut self) {
        for reload in &mut self.0 {
            if let Reload::Due { failures: 1.., .. } = reload {
                *reload = Reload::Quiet;
            }
        }
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (RETRY_DELAY_MIN * 2u32.pow(doublings)).min(RETRY_DELAY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_that_succeeds_is_done_once() {
        let (mut reloads, now) = (Reloads::new(2), Instant::now());
        assert_eq!((reloads.due(now), reloads.next()), (None, None));
        reloads.want(1, Epoch(3), now);
        assert_eq!(reloads.due(now), Some((1, Epoch(3))));
        reloads.begin(1);
        assert_eq!(reloads.due(now), None);
        assert!(reloads.end(1, true, now));
        assert_eq!(reloads.next(), None);
        assert!(!reloads.end(1, true, now));
    }

    #[test]
    fn a_reload_that_fails_is_tried_again_after_growing_pauses() {
        let (mut reloads, mut now) = (Reloads::new(1), Instant::now());
        reloads.want(0, Epoch(1), now);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            reloads.begin(0);
            assert!(!reloads.end(0, false, now));
            assert_eq!(reloads.next(), Some(now + Duration::from_secs(seconds)));
            assert_eq!(reloads.due(now), None);
            now += Duration::from_secs(seconds);
        }
        // News is not made to wait.
        reloads.begin(0);
        reloads.end(0, false, now);
        reloads.want(0, Epoch(2), now);
        assert_eq!(reloads.due(now), Some((0, Epoch(2))));
    }

    #[test]
    fn a_file_rewritten_while_its_reload_runs_is_reloaded_again_whatever_came_of_it() {
        for succeeded in [true, false] {
            let (mut reloads, now) = (Reloads::new(1), Instant::now());
            reloads.want(0, Epoch(1), now);
            reloads.begin(0);
            reloads.want(0, Epoch(2), now);
            assert_eq!(reloads.due(now), None, "two at once would race");
            assert!(!reloads.end(0, succeeded, now));
            assert_eq!(reloads.due(now), Some((0, Epoch(2))));
        }
    }

    #[test]
    fn a_stop_waits_for_no_retry() {
        let (mut reloads, now) = (Reloads::new(2), Instant::now());
        reloads.want(0, Epoch(1), now);
        reloads.begin(0);
        reloads.end(0, false, now);
        reloads.want(1, Epoch(1), now);
        reloads.drop_retries();
        assert_eq!(reloads.due(now + RETRY_DELAY_MAX), Some((1, Epoch(1))));
        reloads.begin(1);
        assert_eq!(reloads.next(), None);
    }
}
