//! A group is registered only while a majority of the voters have the same settings of it, or by hand.

use super::{Step, Violation, World};

const PROMISE: &str = "a group is registered on the equal settings of a majority";

pub fn check(world: &mut World, step: &Step<'_>) -> Result<(), Violation> {
    if world.oracle.registered.len() == world.groups.len() {
        return Ok(());
    }
    let names = world.groups.iter().map(|group| &group.name);
    let new: Vec<_> = names
        .filter(|name| !world.oracle.registered.contains(*name))
        .filter(|name| world.oracle.newest_record(name).is_some())
        .cloned()
        .collect();
    for name in new {
        let (equal, needed) = world.equal_settings();
        if equal < needed && !world.oracle.adopted.contains(&name) {
            let what = format!(
                "node {} holds {name} registered with the settings of {equal} of {needed}",
                step.node
            );
            return Err(Violation::new(PROMISE, what));
        }
        world.oracle.registered.insert(name);
    }
    Ok(())
}
