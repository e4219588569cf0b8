//! S5: the clients' files only ever name a master of a committed epoch and never go back to an
//! older one.

use promoterd::daemon::NodeAction;

use promoterd::model::GroupName;

use super::{Step, Violation, World};
use crate::files::Said;

const PROMISE: &str = "S5: files name masters of committed epochs and never go back";

/// What a node publishes was committed, and is no older than what any of its lives published.
pub fn check(world: &World, step: &Step<'_>) -> Result<(), Violation> {
    for action in step.actions {
        let NodeAction::Publish {
            group,
            epoch,
            master,
            ..
        } = action
        else {
            continue;
        };
        let committed = world.oracle.masters.get(&(group.clone(), *epoch));
        if committed != Some(master) {
            let node = step.node;
            let what = format!("node {node}: {group} {epoch} {master}, committed {committed:?}");
            return Err(Violation::new(PROMISE, what));
        }
        let before = world.hosts[step.node].published.get(group);
        if let Some((newer, _)) = before.filter(|(before, _)| before > epoch) {
            let what = format!("node {}: {group} from {newer} back to {epoch}", step.node);
            return Err(Violation::new(PROMISE, what));
        }
    }
    Ok(())
}

/// A file was replaced: it names a committed master too, and no older one than it did, whatever became
/// of the daemon, its journal and its state directory meanwhile.
pub fn check_file(
    world: &World,
    group: &GroupName,
    before: Option<Said>,
    said: &Said,
) -> Result<(), Violation> {
    let (epoch, master) = said;
    let committed = world.oracle.masters.get(&(group.clone(), *epoch));
    if committed != Some(master) {
        let what = format!("a file says {group} {said:?}, committed {committed:?}");
        return Err(Violation::new(PROMISE, what));
    }
    if let Some(newer) = before.filter(|before| before.0 > *epoch) {
        let what = format!("a file of {group} from {newer:?} back to {said:?}");
        return Err(Violation::new(PROMISE, what));
    }
    Ok(())
}
