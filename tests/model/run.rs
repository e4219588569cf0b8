//! One schedule from its script to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::header::Header;
use crate::invariants::Violation;
use crate::settled::{self, EXCUSED_AFTER, HOLDS_FOR, SETTLES_WITHIN};
use crate::transcript::Transcript;
use crate::world::World;

/// Between two looks at whether the group has settled, and between two attempts to end a pause.
const LOOK: u64 = 50_000;
const RESUME: u64 = 1_000_000;

/// How a schedule ended.
pub struct Outcome {
    pub transcript: Transcript,
    /// The promise that was broken, and how.
    pub broken: Option<String>,
    pub promise: Option<&'static str>,
    pub steps: u64,
    /// Epochs that began, were done, were aborted.
    pub epochs: [u64; 3],
    /// Microseconds from the last fault.
    pub settled_after: Option<u64>,
    /// Why only an operator could mend what came of it.
    pub excuse: Option<String>,
}

/// Plays a script, and what follows it.
pub fn play(script: &str, is_told: bool) -> Outcome {
    let header = Header::read(script);
    let mut world = World::new(&header, is_told);
    let calm_at = world.schedule(&header);
    let ended = catch_unwind(AssertUnwindSafe(|| carry_on(&mut world, calm_at)));
    let (settled_after, excuse, panicked) = match ended {
        Ok((settled_after, excuse)) => (settled_after, excuse, None),
        Err(panic) => (None, None, Some(message(&*panic))),
    };
    let violation = world.violation.clone();
    let violation = panicked
        .map(|why| Violation::new("S7: nothing panics", why))
        .or(violation);
    let oracle = &world.oracle;
    Outcome {
        epochs: [oracle.begins, oracle.dones, oracle.aborts],
        broken: violation.as_ref().map(ToString::to_string),
        promise: violation.as_ref().map(|violation| violation.promise),
        steps: world.steps,
        transcript: world.transcript,
        settled_after,
        excuse,
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "no message".to_owned())
}

fn carry_on(world: &mut World, calm_at: u64) -> (Option<u64>, Option<String>) {
    world.run_until(calm_at + 1);
    let mut settled_at = None;
    let mut excused_at = None;
    let mut resumes_at = world.now;
    while world.violation.is_none() {
        if settled::is_paused(world) && world.now >= resumes_at {
            resumes_at = world.now + RESUME;
            let number = 1_000_000 + world.now;
            world.obey(&format!("ask {} {number} resume", world.nodes[0].name));
        }
        world.run_until(world.now + LOOK);
        let why = match settled::check(world) {
            Ok(()) => {
                excused_at = None;
                let since = *settled_at.get_or_insert(world.now);
                if world.now - since >= HOLDS_FOR {
                    return (Some(since - calm_at), None);
                }
                continue;
            }
            Err(why) => why,
        };
        settled_at = None;
        match settled::excuse(world) {
            Some(excuse) => {
                let since = *excused_at.get_or_insert(world.now);
                if world.now - since >= EXCUSED_AFTER {
                    world.note("", || format!("not settled ({why}): {excuse}"));
                    return (None, Some(excuse));
                }
            }
            None => excused_at = None,
        }
        if world.now > calm_at + SETTLES_WITHIN {
            world.obey("show");
            world.fail(Violation::new("L1 to L4: the group settles", why));
        }
    }
    (None, None)
}
