//! S7: a node never spins: what one event causes is bounded, and time passes between wakes.

use super::{Step, Violation, World};

const PROMISE: &str = "S7: nothing makes a node spin";

/// Far more than an event ever caused.
const ACTIONS_MAX: usize = 400;
/// Far more events than ever came to one node in one microsecond, but those after a pause.
const STEPS_MAX: u32 = 3_000;
/// What a node decides when it is woken may have it look at once at something else, and no more.
const WOKEN_IN_VAIN_MAX: u32 = 1;

pub fn check(world: &mut World, step: &Step<'_>) -> Result<(), Violation> {
    let now = world.now;
    let instant = world.instant(step.node);
    let host = &mut world.hosts[step.node];
    if step.actions.len() > ACTIONS_MAX {
        let what = format!("node {}: {} actions at once", step.node, step.actions.len());
        return Err(Violation::new(PROMISE, what));
    }
    host.busy = match host.busy {
        (at, count) if at == now => (now, count + 1),
        (_, _) => (now, 1),
    };
    if host.busy.1 > STEPS_MAX {
        let what = format!("node {}: {} steps at one moment", step.node, host.busy.1);
        return Err(Violation::new(PROMISE, what));
    }
    let deadline = host
        .node
        .as_ref()
        .and_then(promoterd::daemon::Node::next_deadline);
    if !step.was_deadline {
        return Ok(());
    }
    let overdue = deadline.filter(|due| due.at <= instant);
    host.woken_in_vain = overdue.map_or(0, |_| host.woken_in_vain + 1);
    if let Some(deadline) = overdue.filter(|_| host.woken_in_vain > WOKEN_IN_VAIN_MAX) {
        let late = instant.duration_since(deadline.at);
        let what = format!(
            "node {} was woken and is due at once again: {deadline:?}, {late:?} ago",
            step.node
        );
        return Err(Violation::new(PROMISE, what));
    }
    Ok(())
}
