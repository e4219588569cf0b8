//! One schedule from its seed to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::invariants::Violation;
use super::narrowing::Narrowing;
use super::settled::{self, EXCUSED_AFTER, HOLDS_FOR, SETTLES_WITHIN};
use super::tally::Tally;
use super::theme::Theme;
use super::transcript::Wanted;
use super::world::World;

/// How a run ended.
pub struct Outcome {
    pub hash: u64,
    pub tally: Tally,
    pub lines: Vec<String>,
    /// The promise that was broken, if one was.
    pub broken: Option<Violation>,
    /// What was done to it, by number, and how many groups it has.
    pub injected: Vec<u64>,
    pub groups: usize,
}

/// Runs the schedule that `seed` names.
pub fn run(seed: u64, wanted: Wanted) -> Outcome {
    run_about(Theme::Everything, seed, wanted)
}

/// Runs the schedule about `theme` that `seed` names.
pub fn run_about(theme: Theme, seed: u64, wanted: Wanted) -> Outcome {
    run_part(seed, wanted, Narrowing::whole(theme))
}

/// Runs a part of it.
pub fn run_part(seed: u64, wanted: Wanted, narrowing: Narrowing) -> Outcome {
    let mut world = World::new(seed, wanted, narrowing);
    let ended = catch_unwind(AssertUnwindSafe(|| carry_on(&mut world)));
    let broken = match ended {
        Ok(()) => world.violation.take(),
        Err(panic) => Some(Violation::new("S7: nothing panics", message(&*panic))),
    };
    world.tally.schedules = 1;
    for host in &world.hosts {
        if let Some(running) = &host.node {
            world.tally.hear_transitions(running.supervisor());
        }
    }
    Outcome {
        hash: world.transcript.hash(),
        tally: world.tally,
        lines: world.transcript.into_lines(),
        broken,
        injected: world.plan.injected,
        groups: world.shape.groups,
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "no message".to_owned())
}

fn carry_on(world: &mut World) {
    let quiet_from = world.plan.faults_until;
    world.run_until(quiet_from);
    if world.narrowing.is_brief {
        return;
    }
    let mut settled_at = None;
    let mut excused_at = None;
    while world.violation.is_none() {
        world.run_until(world.now + 50_000);
        let why = match settled::check(world) {
            Ok(()) => {
                excused_at = None;
                let since = *settled_at.get_or_insert(world.now);
                if world.now - since >= HOLDS_FOR {
                    let after = (since - quiet_from) / 1000;
                    *world.tally.settled_after.entry(after).or_default() += 1;
                    return;
                }
                continue;
            }
            Err(why) => why,
        };
        settled_at = None;
        if let Some(excuse) = settled::excuse(world) {
            let since = *excused_at.get_or_insert(world.now);
            if world.now - since >= EXCUSED_AFTER {
                world.note(|| format!("not settled ({why}): {excuse}"));
                let seed = world.seed;
                world.tally.unsettled.insert(excuse, (1, vec![seed]));
                return;
            }
        } else {
            excused_at = None;
        }
        if world.now > quiet_from + SETTLES_WITHIN {
            world.fail(Violation::new("L1 to L4: the cluster settles", why));
        }
    }
}
