//! Makes a schedule that breaks a promise small: what can be left out while the same promise still
//! breaks is left out.

use std::time::{Duration, Instant};

use super::narrowing::Narrowing;
use super::run::{Outcome, run_part};
use super::theme::Theme;
use super::transcript::Wanted;

/// Longest time that is spent on it.
const PATIENCE: Duration = Duration::from_secs(40);

/// The smallest part of the schedule found that breaks the promise that `whole` broke.
pub fn shrink(seed: u64, theme: Theme, whole: &Outcome) -> Narrowing {
    let Some(broken) = &whole.broken else {
        return Narrowing::whole(theme);
    };
    let mut search = Search {
        seed,
        promise: broken.promise,
        until: Instant::now() + PATIENCE,
        best: Narrowing::whole(theme),
    };
    search.leave_out_groups(whole.groups);
    search.try_with(|part| part.is_calm = true);
    search.leave_out_injections(whole.injected.clone());
    search.best
}

struct Search {
    seed: u64,
    promise: &'static str,
    until: Instant,
    best: Narrowing,
}

impl Search {
    /// Keeps a change if the promise still breaks.
    fn try_with(&mut self, change: impl FnOnce(&mut Narrowing)) -> bool {
        if Instant::now() > self.until {
            return false;
        }
        let mut part = self.best.clone();
        change(&mut part);
        let outcome = run_part(self.seed, Wanted::Nothing, part.clone());
        let is_same = |broken: &super::invariants::Violation| broken.promise == self.promise;
        let is_kept = outcome.broken.as_ref().is_some_and(is_same);
        if is_kept {
            self.best = part;
        }
        is_kept
    }

    fn leave_out_groups(&mut self, groups: usize) {
        for fewer in 1..groups {
            if self.try_with(|part| part.groups = Some(fewer)) {
                return;
            }
        }
    }

    /// In ever smaller pieces, until none can be left out any more.
    fn leave_out_injections(&mut self, mut kept: Vec<u64>) {
        let mut length = kept.len();
        while length > 0 {
            let mut has_shrunk = false;
            let mut from = 0;
            while from < kept.len() {
                let mut fewer = kept.clone();
                fewer.drain(from..(from + length).min(kept.len()));
                let only = Some(fewer.iter().copied().collect());
                if self.try_with(|part| part.only = only) {
                    kept = fewer;
                    has_shrunk = true;
                } else {
                    from += length;
                }
            }
            if !has_shrunk {
                length /= 2;
            }
            length = length.min(kept.len());
        }
    }
}
