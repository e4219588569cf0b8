//! Many schedules on all cores: until one breaks a promise, or on and on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{available_parallelism, scope};
use std::time::{Duration, Instant};

use super::run::run_about;
use super::tally::Tally;
use super::theme::Theme;
use super::transcript::Wanted;

/// Time between two lines that say how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// When it is over, if there is still something left.
#[derive(Debug)]
pub enum Goes<'a> {
    /// With the first schedule that breaks a promise.
    UntilBroken,
    /// Once this is set. Until then it says every few seconds how far it is, and names each schedule that
    /// breaks a promise.
    On(&'a AtomicBool),
}

/// What came of them: what happened, and the seeds that broke a promise.
#[derive(Debug, Default)]
pub struct Results {
    pub tally: Tally,
    pub broken: Vec<u64>,
    told_after: Duration,
}

/// Runs `count` schedules about `theme` from `first` on.
pub fn run_all(theme: Theme, first: u64, count: u64, goes: &Goes<'_>) -> Results {
    let next = AtomicU64::new(first);
    let is_broken = AtomicBool::new(false);
    let is_over = match goes {
        Goes::UntilBroken => &is_broken,
        Goes::On(is_told) => is_told,
    };
    let started = Instant::now();
    let results = Mutex::new(Results::default());
    let threads = available_parallelism().map_or(1, usize::from);
    scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - first >= count {
                        return;
                    }
                    let outcome = run_about(theme, seed, Wanted::Nothing);
                    let mut results = results.lock().unwrap();
                    results.tally.add(outcome.tally);
                    if let Some(broken) = outcome.broken {
                        is_broken.store(true, Ordering::Relaxed);
                        results.broken.push(seed);
                        println!("seed {seed} breaks a promise: {broken}");
                    }
                    if let Goes::On(_) = goes {
                        results.tell(started.elapsed());
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.broken.sort_unstable();
    results
}

impl Results {
    fn tell(&mut self, took: Duration) {
        if took < self.told_after {
            return;
        }
        self.told_after = took + TOLD_EVERY;
        let broken = self.broken.len();
        println!("{}, broken {broken}", self.tally.summary(took));
    }
}
