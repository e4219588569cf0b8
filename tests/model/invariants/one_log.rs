//! S3: what is committed is the same everywhere.

use super::Violation;
use crate::world::World;

const PROMISE: &str = "S3: what is committed is the same everywhere";

/// A node's state is the one to which the entries lead that it has applied.
pub fn check(world: &World, node: usize) -> Result<(), Violation> {
    let held = &world.nodes[node];
    if held.supervisor.records() == world.log.state_at(held.applied) {
        return Ok(());
    }
    let what = format!("{} at entry {} has another state", held.name, held.applied);
    Err(Violation::new(PROMISE, what))
}
