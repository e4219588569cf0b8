//! S1: the epochs of a group only grow, in the eyes of every node.

use super::{Violation, World};

const PROMISE: &str = "S1: epochs of a group only grow";

/// Neither the master's epoch nor the latest begun goes back in one life of a node.
pub fn check(world: &mut World, node: usize) -> Result<(), Violation> {
    let Some(running) = &world.hosts[node].node else {
        return Ok(());
    };
    for (name, record) in running.supervisor().records().iter() {
        let now = (record.epoch(), record.last_begun());
        let before = world.oracle.epochs.insert((node, name.clone()), now);
        if before.is_some_and(|before| before.0 > now.0 || before.1 > now.1) {
            let what = format!("{name} at node {node}: from {before:?} to {now:?}");
            return Err(Violation::new(PROMISE, what));
        }
    }
    Ok(())
}
