//! S7: what one event causes is bounded.

use super::{Step, Violation};
use crate::world::World;

const PROMISE: &str = "S7: nothing makes a node spin";

/// Far more than an event ever caused.
const ACTIONS_MAX: usize = 200;

pub fn check(world: &World, step: &Step<'_>) -> Result<(), Violation> {
    if step.actions.len() <= ACTIONS_MAX {
        return Ok(());
    }
    let (name, count) = (&world.nodes[step.node].name, step.actions.len());
    Err(Violation::new(
        PROMISE,
        format!("{name}: {count} actions at once"),
    ))
}
