//! S6: an instance that lost its data becomes the master only when a leader says that they are lost.

use promoterd::decision::{Action, Entry, Identity};
use promoterd::model::ReplicationId;

use super::{Step, Violation, process};
use crate::instance::Instance;
use crate::world::World;

/// From the reading of a candidate to the order that follows from it, in microseconds.
const ORDER_LASTS_MAX: u64 = 100_000;

const PROMISE: &str = "S6: an emptied instance is no master unless its loss is said to be for good";

pub fn check(world: &World, step: &Step<'_>) -> Result<(), Violation> {
    for action in step.actions {
        let Action::Propose(entry) = action else {
            continue;
        };
        if let Entry::Identify { master, .. } | Entry::Done { master, .. } = entry {
            check_master(world, step.node, master)?;
        }
    }
    Ok(())
}

/// What is named was looked at before: only as long as it still has the history that it had then.
fn check_master(world: &World, node: usize, master: &Identity) -> Result<(), Violation> {
    let is_it = |instance: &&Instance| {
        let history = ReplicationId::from_bytes([instance.history; 20]);
        process(instance) == (master.endpoint.clone(), master.run_id)
            && history == master.replication_id
    };
    let mut named = world.instances.iter().filter(is_it);
    let is_accepted = world.oracle.losses_accepted.contains(&master.run_id);
    if is_accepted || !named.any(|instance| instance.emptied) {
        return Ok(());
    }
    let what = format!("{} wants {}", world.nodes[node].name, master.endpoint);
    Err(Violation::new(PROMISE, what))
}

/// An instance accepts a promotion.
///
/// A copy that ends between its check and its promotion nobody can have known of; then it becomes no
/// committed master ([`check`]).
pub fn check_promotion(world: &World, instance: &Instance) -> Result<(), Violation> {
    let is_accepted = world.oracle.losses_accepted.contains(&instance.run_id());
    let is_copied_just_now = instance
        .copied_at
        .is_some_and(|at| at + ORDER_LASTS_MAX >= world.now);
    if is_accepted || is_copied_just_now || !instance.emptied {
        return Ok(());
    }
    Err(Violation::new(
        PROMISE,
        format!("{} is promoted", instance.name),
    ))
}
