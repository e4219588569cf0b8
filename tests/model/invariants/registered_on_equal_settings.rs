//! A group is registered only while a majority of the voters have the same settings of it.

use promoterd::decision::Entry;

use super::Violation;
use crate::world::World;

const PROMISE: &str = "a group is registered on the equal settings of a majority";

pub fn check(world: &World, entry: &Entry) -> Result<(), Violation> {
    if matches!(entry, Entry::Adopt(_)) || world.nodes.is_empty() {
        return Ok(());
    }
    let alike = |one: &crate::node::Node| {
        let same = world.nodes.iter().filter(|it| it.policy == one.policy);
        same.count()
    };
    let most = world.nodes.iter().map(alike).max().unwrap_or(0);
    let needed = world.nodes.len() / 2 + 1;
    if most >= needed {
        return Ok(());
    }
    Err(Violation::new(
        PROMISE,
        format!("{most} of {needed}: {entry:?}"),
    ))
}
