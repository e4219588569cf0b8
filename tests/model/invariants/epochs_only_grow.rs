//! S1: the epochs of a group only grow, in the eyes of every node.

use super::Violation;
use crate::world::{World, group};

const PROMISE: &str = "S1: epochs of a group only grow";

/// Neither the master's epoch nor the latest begun goes back in one life of a node.
pub fn check(world: &mut World, node: usize) -> Result<(), Violation> {
    let records = world.nodes[node].supervisor.records();
    let Some(record) = records.get(&group()) else {
        return Ok(());
    };
    let now = (record.epoch(), record.last_begun());
    let known = world.oracle.nodes.entry(node).or_default();
    let before = std::mem::replace(&mut known.epochs, now);
    if before.0 > now.0 || before.1 > now.1 {
        let what = format!("node {node}: from {before:?} to {now:?}");
        return Err(Violation::new(PROMISE, what));
    }
    Ok(())
}
