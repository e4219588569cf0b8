//! Who acts: the leader alone, from when it is told so until it is told otherwise.

use promoterd::decision::{Action, ProbeCommand};

use super::Violation;
use crate::world::World;

const PROMISE: &str = "only an established leader acts";

pub fn check(world: &World, node: usize, action: &Action) -> Result<(), Violation> {
    let promotes = matches!(
        action,
        Action::Probe(probe) if matches!(probe.command, ProbeCommand::Promote(_))
    );
    let orders = matches!(
        action,
        Action::Follow(_) | Action::Guard(_) | Action::Propose(_)
    );
    if !(promotes || orders) || world.nodes[node].leads {
        return Ok(());
    }
    let what = format!(
        "{} does not lead and does {action:?}",
        world.nodes[node].name
    );
    Err(Violation::new(PROMISE, what))
}
