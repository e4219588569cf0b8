//! S5: the clients' files only ever name a master of a committed epoch and never go back to an
//! older one.

use promoterd::decision::Action;

use super::Violation;
use crate::world::World;

const PROMISE: &str = "S5: files name masters of committed epochs and never go back";

/// What a node publishes was committed, is no older than what any of its lives published, and was
/// confirmed to this life as current.
pub fn check(world: &mut World, node: usize, action: &Action) -> Result<(), Violation> {
    let Action::Publish { epoch, master, .. } = action else {
        return Ok(());
    };
    let name = &world.nodes[node].name;
    let committed = world.oracle.masters.get(epoch);
    if committed != Some(master) {
        let what = format!("{name}: epoch {epoch} of {master}, committed {committed:?}");
        return Err(Violation::new(PROMISE, what));
    }
    let known = world.oracle.nodes.entry(node).or_default();
    if !known.is_confirmed {
        let what = format!("{name} publishes epoch {epoch} before anybody confirmed it");
        return Err(Violation::new(PROMISE, what));
    }
    let before = known.published.replace((*epoch, master.clone()));
    if let Some((newer, _)) = before.filter(|(before, _)| before > epoch) {
        let what = format!("{name} goes from epoch {newer} back to {epoch}");
        return Err(Violation::new(PROMISE, what));
    }
    Ok(())
}
