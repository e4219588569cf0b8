//! S6: an instance that lost its data becomes the master only when a leader says that they are lost.

use promoterd::decision::{Action, Entry};
use promoterd::model::{Endpoint, RunId};

use super::{Step, Violation, process};
use crate::world::World;

const PROMISE: &str = "S6: an emptied instance is no master unless its loss is said to be for good";

pub fn check(world: &World, step: &Step<'_>) -> Result<(), Violation> {
    for action in step.actions {
        let Action::Propose(entry) = action else {
            continue;
        };
        let named = match entry {
            Entry::Identify { master, .. } => (&master.endpoint, master.run_id),
            Entry::Begin(begin) => (&begin.candidate.endpoint, begin.candidate.run_id),
            _ => continue,
        };
        check_process(world, step.node, named)?;
    }
    Ok(())
}

fn check_process(
    world: &World,
    node: usize,
    (endpoint, run_id): (&Endpoint, RunId),
) -> Result<(), Violation> {
    let is_emptied = world
        .instances
        .iter()
        .any(|instance| instance.emptied && process(instance) == (endpoint.clone(), run_id));
    if !is_emptied || world.oracle.losses_accepted.contains(&run_id) {
        return Ok(());
    }
    let what = format!("{} wants {endpoint}", world.nodes[node].name);
    Err(Violation::new(PROMISE, what))
}
