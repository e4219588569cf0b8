//! The net catches fish: each rule that is broken on purpose is noticed, and soon.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{available_parallelism, scope};

use promoterd::breaks::{Break, with_broken};

/// Breaks each rule in turn and plays schedules, until `broken` says how one of them breaks a promise; fails
/// if that takes more than the number stated with the rule.
pub fn assert_each_is_noticed(
    rules: &[(Break, u64)],
    broken: impl Fn(u64) -> Option<String> + Sync,
) {
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    let threads = available_parallelism().map_or(1, usize::from);
    scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((rule, within)) = rules.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut seeds = 0..*within;
                    let first =
                        seeds.find_map(|seed| Some((seed, with_broken(*rule, || broken(seed))?)));
                    match first {
                        Some((seed, how)) => {
                            let after = seed + 1;
                            println!(
                                "{rule:?}: noticed after {after} of {within} schedules: {how}"
                            );
                        }
                        None => missed.lock().unwrap().push(*rule),
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
