//! Whole clusters in virtual time: the real daemons less their I/O, on simulated disks, networks and
//! Redis servers, with faults drawn from a seed.
//!
//! Every promise is checked after every step; when the faults end, everything must settle.
//!
//! - `PROMOTERD_SIM_SEED=123` replays one schedule and prints what happens.
//! - `PROMOTERD_SIM_ONLY=3,7` leaves out all faults but these, `PROMOTERD_SIM_GROUPS=1` all groups but
//!   the first, `PROMOTERD_SIM_CALM=1` the drift of the clocks and the loss of messages.
//! - `PROMOTERD_SIM_THEME=leases` or `=disks` replays one of those that are about that alone.
//! - `PROMOTERD_SIM_SCHEDULES=N` and `PROMOTERD_SIM_FIRST=N` run others than the usual ones.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test prints what it found and fails where it should"
)]

mod birth;
#[cfg(feature = "breaks")]
mod breaks;
mod clients;
mod clock;
mod disk;
mod faults;
mod fencers;
mod files;
mod happens;
mod host;
mod invariants;
mod machines;
mod narrowing;
mod operators;
mod orders;
mod peers;
mod pipes;
mod probes;
#[path = "../scenarios/queue.rs"]
mod queue;
mod replication;
mod run;
mod runs;
mod server;
mod settings;
mod settled;
mod shape;
mod shrink;
mod streams;
mod tally;
mod theme;
mod transcript;
mod work;
mod world;

use std::env;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use faults::{Fault, Injection};
use narrowing::Narrowing;
use run::{run, run_about, run_part};
use runs::{Goes, Results, run_all};
use shrink::shrink;
use tally::Tally;
use theme::Theme;
use transcript::Wanted;

/// Schedules of an ordinary run of the tests; `tests/run simulate` runs many more.
const SCHEDULES: u64 = 500;
/// The same of those about one promise alone.
const SCHEDULES_ABOUT_LEASES: u64 = 300;
const SCHEDULES_ABOUT_DISKS: u64 = 200;
/// So many reach everything that they are there for.
const ENOUGH: u64 = 5_000;
/// At most so many in a hundred may end in a state that only an operator can mend.
const UNSETTLED_PERCENT_MAX: u64 = 1;
const REPLAY: &str = "cargo test --test simulation every_promise -- --nocapture";

fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

#[test]
fn every_promise_holds_in_every_schedule_and_all_of_them_settle() {
    if let Some(seed) = variable("PROMOTERD_SIM_SEED") {
        return replay(seed);
    }
    let first = variable("PROMOTERD_SIM_FIRST").unwrap_or(0);
    let count = variable("PROMOTERD_SIM_SCHEDULES").unwrap_or(SCHEDULES);
    let Results { tally, broken, .. } =
        run_all(Theme::Everything, first, count, &Goes::UntilBroken);
    tally.print();
    if let Some(seed) = broken.first() {
        report(*seed, Theme::Everything);
    }
    let unsettled = tally.left_to_operators();
    // A few say nothing about a share.
    let allowed = count.max(ENOUGH) * UNSETTLED_PERCENT_MAX / 100;
    assert!(
        unsettled <= allowed,
        "{unsettled} of {count} did not settle, {allowed} may"
    );
    let missing = tally.missing();
    assert!(
        count < ENOUGH || missing.is_empty(),
        "never happened: {missing:?}"
    );
}

#[test]
#[ignore = "runs until it is stopped: tests/simulate"]
fn endless() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // Other schedules each time.
    let first = variable("PROMOTERD_SIM_FIRST").unwrap_or(now.as_secs() << 24);
    let count = variable("PROMOTERD_SIM_SCHEDULES").unwrap_or(u64::MAX);
    let theme = Theme::from_environment();
    let is_told = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one ends it at once.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&is_told)).unwrap();
        flag::register(signal, Arc::clone(&is_told)).unwrap();
    }
    println!("schedules from {first} on");
    let started = Instant::now();
    let Results { tally, broken, .. } = run_all(theme, first, count, &Goes::On(&is_told));
    println!("{}", tally.summary(started.elapsed()));
    tally.print();
    assert!(
        broken.is_empty(),
        "these break a promise: {broken:?}\n\
         look at each: {}PROMOTERD_SIM_FIRST=SEED PROMOTERD_SIM_SCHEDULES=1 {REPLAY}",
        theme.variables(),
    );
}

#[test]
fn under_strict_fencing_no_two_instances_take_writes_whatever_fails_beside_the_master() {
    play_about(
        Theme::Leases,
        "PROMOTERD_SIM_LEASES",
        SCHEDULES_ABOUT_LEASES,
    );
}

#[test]
fn what_was_promised_is_on_the_disks_whenever_the_power_is_cut() {
    play_about(Theme::Disks, "PROMOTERD_SIM_DISKS", SCHEDULES_ABOUT_DISKS);
}

/// Runs as many schedules as the variable says, or else so many.
fn play_about(theme: Theme, schedules: &str, usual: u64) {
    let first = variable("PROMOTERD_SIM_FIRST").unwrap_or(0);
    let count = variable(schedules).unwrap_or(usual);
    let Results { tally, broken, .. } = run_all(theme, first, count, &Goes::UntilBroken);
    tally.print();
    if let Some(seed) = broken.first() {
        report(*seed, theme);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        let (one, other) = (run(seed, Wanted::Nothing), run(seed, Wanted::Last));
        assert_eq!(one.hash, other.hash, "seed {seed}");
    }
    assert_ne!(run(1, Wanted::Nothing).hash, run(2, Wanted::Nothing).hash);
}

#[test]
fn to_leave_faults_out_changes_none_of_the_others() {
    for seed in [3, 4] {
        let whole = run(seed, Wanted::Nothing);
        let mut alone = Tally::default();
        for ordinal in &whole.injected {
            let only = Some([*ordinal].into());
            let part = Narrowing {
                only,
                ..Narrowing::default()
            };
            let outcome = run_part(seed, Wanted::Nothing, part);
            assert_eq!(outcome.injected, [*ordinal], "seed {seed}");
            alone.add(outcome.tally);
        }
        // Each moment that a sabotage disturbs counts too.
        let kinds = |tally: &Tally| {
            let kinds = tally.injections.iter();
            let kinds = kinds.filter(|(kind, _)| **kind != Injection::Fault(Fault::Sabotage));
            kinds
                .map(|(kind, count)| (*kind, *count))
                .collect::<Vec<_>>()
        };
        assert!(!kinds(&alone).is_empty());
        assert_eq!(kinds(&alone), kinds(&whole.tally), "seed {seed}");
    }
}

/// Runs one schedule, or the part of it that the environment names, and prints what happens.
fn replay(seed: u64) {
    let outcome = run_part(seed, Wanted::Everything, Narrowing::from_environment());
    println!("trace {:016x}", outcome.hash);
    if let Some(broken) = outcome.broken {
        panic!("seed {seed}: {broken}");
    }
}

/// Makes a failed schedule small, and runs what is left again, for people to read.
fn report(seed: u64, theme: Theme) -> ! {
    let whole = run_about(theme, seed, Wanted::Nothing);
    let Some(broken) = &whole.broken else {
        panic!("seed {seed} did not fail again: something is not from the seed");
    };
    let part = shrink(seed, theme, &whole);
    let shrunk = run_part(seed, Wanted::Last, part.clone());
    for line in &shrunk.lines {
        println!("{line}");
    }
    panic!(
        "seed {seed} breaks a promise: {broken}\n\
         replay: {}PROMOTERD_SIM_SEED={seed} {REPLAY}\n\
         the same with {} of {} faults: PROMOTERD_SIM_SEED={seed} {}{REPLAY}",
        theme.variables(),
        shrunk.injected.len(),
        whole.injected.len(),
        part.variables(),
    );
}
