//! S2: nothing is promoted without a committed `Begin` entry that names it.

use promoterd::daemon::NodeAction;
use promoterd::decision::ProbeCommand;

use super::{Step, Violation, World};

const PROMISE: &str = "S2: nothing is promoted without a committed Begin that names it";

/// Whoever sends a promotion has seen the `Begin` of that epoch committed, and sends it to the
/// candidate.
pub fn check(world: &mut World, step: &Step<'_>) -> Result<(), Violation> {
    for action in step.actions {
        let NodeAction::Probe(probe) = action else {
            continue;
        };
        let ProbeCommand::Promote(order) = &probe.command else {
            continue;
        };
        let key = (probe.group.clone(), order.epoch());
        let Some(begin) = world.oracle.mandates.get(&key) else {
            let what = format!("node {} promotes in {key:?}, which never began", step.node);
            return Err(Violation::new(PROMISE, what));
        };
        if begin.candidate.endpoint != probe.endpoint {
            let what = format!("node {} promotes {} in {key:?}", step.node, probe.endpoint);
            return Err(Violation::new(PROMISE, what));
        }
        if begin.leader != world.hosts[step.node].id
            && world.oracle.resumed.insert(key, step.node).is_none()
        {
            world.tally.resumed += 1;
        }
    }
    Ok(())
}
