//! Who was once a member of the group stays one: with a dead master the log alone knows the replicas.

use super::Violation;
use crate::world::{World, group};

const PROMISE: &str = "members of a group are not forgotten";

/// Compares the newest state with the one before it.
pub fn check(world: &World) -> Result<(), Violation> {
    let length = world.log.length();
    let members = |length: usize| {
        let record = world.log.state_at(length).get(&group());
        record.map(|record| record.members())
    };
    let Some(before) = length.checked_sub(1).and_then(members) else {
        return Ok(());
    };
    let now = members(length);
    if now.is_some_and(|now| before.is_subset(now)) {
        return Ok(());
    }
    Err(Violation::new(
        PROMISE,
        format!("from {before:?} to {now:?}"),
    ))
}
