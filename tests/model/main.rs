//! The decision core alone, in very many short lives: random scripts in the language of the scenarios, on a
//! model log and light models of Redis servers, with faults drawn from a seed.
//!
//! Every promise is checked after every step; when the faults end, the group must settle.
//!
//! - `PROMOTERD_MODEL_SEED=123` plays one schedule, prints its script and what happens.
//! - `PROMOTERD_MODEL_SCHEDULES=N` and `PROMOTERD_MODEL_FIRST=N` play others than the usual ones.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test prints what it found and fails where it should"
)]

#[cfg(feature = "breaks")]
mod breaks;
#[path = "../scenarios/clients.rs"]
mod clients;
#[path = "../scenarios/command.rs"]
mod command;
#[path = "../scenarios/fencing.rs"]
mod fencing;
#[path = "../scenarios/header.rs"]
mod header;
#[path = "../scenarios/instance.rs"]
mod instance;
mod invariants;
#[path = "../scenarios/log.rs"]
mod log;
mod mended;
#[path = "../scenarios/node.rs"]
mod node;
#[cfg(feature = "breaks")]
mod notice;
#[path = "../scenarios/probing.rs"]
mod probing;
#[path = "../scenarios/queue.rs"]
mod queue;
#[path = "../scenarios/replication.rs"]
mod replication;
mod run;
mod schedule;
mod settled;
mod shrink;
mod tally;
#[path = "../scenarios/transcript.rs"]
mod transcript;
#[path = "../scenarios/weather.rs"]
mod weather;
#[path = "../scenarios/world.rs"]
mod world;

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{available_parallelism, scope};

use run::play;
use tally::Tally;

/// Schedules of an ordinary run of the tests.
const SCHEDULES: u64 = 2_000;
/// From so many on, everything must have happened that is counted.
const ALL_SEEN_FROM: u64 = 2_000;
/// At most so many in a hundred may end in a state that only an operator can mend.
const UNSETTLED_PERCENT_MAX: u64 = 6;

fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

#[test]
fn every_promise_holds_in_every_schedule_and_all_of_them_settle() {
    if let Some(seed) = variable("PROMOTERD_MODEL_SEED") {
        let script = schedule::draw(seed);
        let outcome = play(&script, true);
        println!("{script}----\n{}", outcome.transcript.last(usize::MAX));
        assert!(
            outcome.broken.is_none(),
            "seed {seed}: {}",
            outcome.broken.unwrap()
        );
        return;
    }
    let first = variable("PROMOTERD_MODEL_FIRST").unwrap_or(0);
    let count = variable("PROMOTERD_MODEL_SCHEDULES").unwrap_or(SCHEDULES);
    let (tally, failed) = play_all(first, count);
    tally.print();
    if let Some(seed) = failed {
        report(seed);
    }
    let unsettled: u64 = tally.unsettled.values().map(|(count, _)| count).sum();
    let allowed = count.max(ALL_SEEN_FROM) * UNSETTLED_PERCENT_MAX / 100;
    assert!(
        unsettled <= allowed,
        "{unsettled} of {count} did not settle, {allowed} may"
    );
    let missing = tally.missing();
    assert!(
        count < ALL_SEEN_FROM || missing.is_empty(),
        "never happened: {missing:?}"
    );
}

#[test]
fn the_same_seed_gives_the_same_story() {
    for seed in 0..20 {
        let script = schedule::draw(seed);
        let (one, other) = (play(&script, true), play(&script, true));
        assert_eq!(
            one.transcript.last(usize::MAX),
            other.transcript.last(usize::MAX),
            "seed {seed}"
        );
    }
    assert_ne!(schedule::draw(1), schedule::draw(2));
}

/// Plays all, on all cores, until one fails.
fn play_all(first: u64, count: u64) -> (Tally, Option<u64>) {
    let next = AtomicU64::new(first);
    let is_over = AtomicBool::new(false);
    let results = Mutex::new((Tally::default(), None::<u64>));
    let threads = available_parallelism().map_or(1, usize::from);
    scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut tally = Tally::default();
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    let outcome = play(&schedule::draw(seed), false);
                    tally.count(seed, &outcome);
                    if outcome.broken.is_some() {
                        is_over.store(true, Ordering::Relaxed);
                        let mut results = results.lock().unwrap();
                        results.1 = Some(results.1.map_or(seed, |before| before.min(seed)));
                    }
                }
                results.lock().unwrap().0.add(tally);
            });
        }
    });
    results.into_inner().unwrap()
}

/// Makes a failed schedule small, and plays it again for people to read.
fn report(seed: u64) -> ! {
    let script = shrink::shrink(&schedule::draw(seed));
    let outcome = play(&script, true);
    println!("{}", outcome.transcript.last(80));
    println!("the least script that still breaks it:\n\n{script}");
    let broken = outcome
        .broken
        .unwrap_or_else(|| "it did not fail again: something is not from the seed".to_owned());
    panic!(
        "seed {seed} breaks a promise: {broken}\n\
         replay: PROMOTERD_MODEL_SEED={seed} cargo test --test model every_promise -- --nocapture"
    );
}
