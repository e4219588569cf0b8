//! Who acts: the leader alone, once it has applied all that was ever committed.

use promoterd::daemon::NodeAction;
use promoterd::decision::ProbeCommand;

use super::{Step, Violation, World};

const PROMISE: &str = "only an established leader acts";

/// Whoever promotes or repoints is an established leader at that moment.
pub fn check(world: &World, step: &Step<'_>) -> Result<(), Violation> {
    let acts = |action: &&NodeAction| match action {
        NodeAction::Probe(probe) => matches!(probe.command, ProbeCommand::Promote(_)),
        NodeAction::Follow(_) | NodeAction::Guard(_) => true,
        // Whoever is beside an old master saves what it has.
        NodeAction::Rescue(_)
        | NodeAction::Send(..)
        | NodeAction::Hold(_)
        | NodeAction::Persist(_)
        | NodeAction::Publish { .. }
        | NodeAction::Belong(_)
        | NodeAction::Leave(_)
        | NodeAction::Announce(_)
        | NodeAction::Answer(_) => false,
    };
    let Some(act) = step.actions.iter().find(acts) else {
        return Ok(());
    };
    let running = world.hosts[step.node].node.as_ref();
    let status = running.map(|node| node.engine_status());
    if status.as_ref().is_some_and(|status| status.established) {
        return Ok(());
    }
    let what = format!("node {} is {status:?} and does {act:?}", step.node);
    Err(Violation::new(PROMISE, what))
}
