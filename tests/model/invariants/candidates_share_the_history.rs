//! Only who has the group's data is promoted: a candidate's history is the logged one, one that goes on
//! from it, or the one from which it went on.

use promoterd::decision::Begin;
use promoterd::model::ReplicationId;

use super::{Oracle, Violation};
use crate::world::World;

const PROMISE: &str =
    "a candidate has the group's history, or the loss of it was said to be for good";

/// A `Begin` is committed that counts.
pub fn check(world: &World, begin: &Begin) -> Result<(), Violation> {
    let is_accepted = world
        .oracle
        .losses_accepted
        .contains(&begin.candidate.run_id);
    let (has, logged) = (begin.candidate.replication_id, begin.from.replication_id);
    let is_shared = is_from(&world.oracle, has, logged) || is_from(&world.oracle, logged, has);
    if is_accepted || is_shared {
        return Ok(());
    }
    let what = format!(
        "epoch {}: {:?}, and logged is {logged}",
        begin.epoch, begin.candidate
    );
    Err(Violation::new(PROMISE, what))
}

/// Whether `later` is `earlier`, or went on from it.
fn is_from(oracle: &Oracle, later: ReplicationId, earlier: ReplicationId) -> bool {
    let id = |history: u8| ReplicationId::from_bytes([history; 20]);
    let mut history = (0..=u8::MAX).find(|history| id(*history) == later);
    for _ in 0..=u8::MAX {
        let Some(current) = history else {
            return false;
        };
        if id(current) == earlier {
            return true;
        }
        history = oracle.parents.get(&current).copied();
    }
    false
}
