//! What a node says and logs of a promotion is true: an answer that belongs to another epoch, or none,
//! makes no master.

use promoterd::decision::{Action, Entry, Happening};

use super::Violation;
use crate::instance::Instance;
use crate::world::World;

const PROMISE: &str = "what is said of a promotion happened";

pub fn check(world: &World, node: usize, action: &Action) -> Result<(), Violation> {
    let name = &world.nodes[node].name;
    if let Action::Announce(Happening::Promoted { epoch, master, .. }) = action {
        let promoted = world.oracle.promoted.get(epoch);
        if promoted.is_none_or(|(endpoint, _)| endpoint != master) {
            let what = format!("{name} says {master} is promoted in epoch {epoch}: {promoted:?}");
            return Err(Violation::new(PROMISE, what));
        }
    }
    if let Action::Propose(Entry::Done { epoch, master, .. }) = action {
        let begun = world.oracle.begun.get(epoch).map_or(0, |(_, at)| *at);
        let is_it = |it: &Instance| it.run_id() == master.run_id && it.follows.is_none();
        let is_master = world.instances.iter().any(is_it);
        let was_master = world.oracle.mastered.get(&master.run_id);
        if !is_master && was_master.is_none_or(|at| *at < begun) {
            let what = format!("{name}: epoch {epoch} is done, and {master:?} was no master");
            return Err(Violation::new(PROMISE, what));
        }
    }
    Ok(())
}
