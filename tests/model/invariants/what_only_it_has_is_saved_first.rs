//! `RESCUE=on`: a returning master whose history diverged is not demoted before somebody has tried to save it.

use promoterd::decision::{Divergence, FollowOrder, divergence};

use super::Violation;
use crate::world::{World, group};

const PROMISE: &str = "what only a returning master has is saved before it is demoted";

/// Longer than what the leader read of an instance is believed, in microseconds.
const READ_AGAIN_WITHIN: u64 = 1_500_000;

/// An instance carries out the order to follow.
///
/// What it was written since the leader last read it, nobody can have known.
pub fn check(world: &World, name: &str, order: &FollowOrder) -> Result<(), Violation> {
    let instance = &world.instances[world.index(name).expect("an instance of the group")];
    let is_still = world.now.saturating_sub(instance.still_since) > READ_AGAIN_WITHIN;
    let is_tried = instance.rescue_ended == Some(instance.life);
    if !world.rescues || !order.demotes || instance.follows.is_some() || !is_still || is_tried {
        return Ok(());
    }
    let (_, records) = world.log.newest();
    let Some(record) = records.get(&group()) else {
        return Ok(());
    };
    let info = instance.info(&world.instances, true);
    match divergence(record.master(), &info) {
        Divergence::None => Ok(()),
        diverged @ (Divergence::Bytes(_) | Divergence::Unknown) => {
            let what = format!("{name} follows {}, {diverged:?}", order.master.host());
            Err(Violation::new(PROMISE, what))
        }
    }
}
