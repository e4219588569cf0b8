//! S2: nothing is promoted without a committed `Begin` entry that names it.

use promoterd::decision::{Action, ProbeCommand};

use super::{Violation, knows_epoch};
use crate::world::World;

const PROMISE: &str = "S2: nothing is promoted without a committed Begin that names it";

/// Whoever sends a promotion has applied the `Begin` of that epoch, nothing that ended it, and sends it to
/// the candidate.
pub fn check(world: &World, node: usize, action: &Action) -> Result<(), Violation> {
    let Action::Probe(probe) = action else {
        return Ok(());
    };
    let ProbeCommand::Promote(order) = &probe.command else {
        return Ok(());
    };
    let epoch = order.epoch();
    let named = world.oracle.begun.get(&epoch);
    let is_named = named.is_some_and(|(begin, _)| begin.candidate.endpoint == probe.endpoint);
    if is_named && knows_epoch(world, node, epoch) == Some(true) {
        return Ok(());
    }
    let name = &world.nodes[node].name;
    let what = format!("{name} promotes {} in epoch {epoch}", probe.endpoint);
    Err(Violation::new(PROMISE, what))
}
