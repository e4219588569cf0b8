//! Many schedules on all cores, until one breaks a promise.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{available_parallelism, scope};
use std::time::{Duration, Instant};

use super::run::run_about;
use super::tally::Tally;
use super::theme::Theme;
use super::transcript::Wanted;

/// Time between two lines that say how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// What came of them.
struct Results {
    tally: Tally,
    failed: Option<u64>,
    told_at: Instant,
}

/// Runs `count` schedules about `theme` from `first` on; gives what happened, and the first seed that broke a promise.
/// Where they `tell`, they say every few seconds how far they are.
pub fn run_all(theme: Theme, first: u64, count: u64, tell: bool) -> (Tally, Option<u64>) {
    let next = AtomicU64::new(first);
    let is_over = AtomicBool::new(false);
    let started = Instant::now();
    let results = Mutex::new(Results {
        tally: Tally::default(),
        failed: None,
        told_at: started,
    });
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
                    if outcome.broken.is_some() {
                        is_over.store(true, Ordering::Relaxed);
                        results.failed = Some(results.failed.map_or(seed, |it| it.min(seed)));
                    }
                    if tell && results.told_at.elapsed() >= TOLD_EVERY {
                        results.told_at = Instant::now();
                        println!("{}", results.tally.summary(started.elapsed()));
                    }
                }
            });
        }
    });
    let results = results.into_inner().unwrap();
    (results.tally, results.failed)
}
