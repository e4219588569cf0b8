//! Fencing: a master is fenced as isolated only when most of its replicas do not reach it.

use promoterd::daemon::NodeAction;
use promoterd::decision::{FenceCause, Happening};
use promoterd::model::Endpoint;

use super::{Step, Violation, World};
use crate::pipes::Micros;
use crate::server::Server;

const PROMISE: &str = "a master that hears its replicas is not fenced as isolated";

/// What was acknowledged so long ago was read by the node beside the master, and counts there.
const READ: std::ops::Range<Micros> = 600_000..1_000_000;

/// Looks at the fences that this step tells of.
pub fn check(world: &World, step: &Step<'_>) -> Result<(), Violation> {
    for action in step.actions {
        if let NodeAction::Announce(Happening::Fenced {
            instance,
            cause: FenceCause::Isolated,
            ..
        }) = action
        {
            check_replicas(world, instance)?;
        }
    }
    Ok(())
}

fn check_replicas(world: &World, instance: &Endpoint) -> Result<(), Violation> {
    let Some(master) = world.server_at(instance) else {
        return Ok(());
    };
    let replicas = world
        .servers
        .iter()
        // One whose stream has ended the master does not name any more.
        .filter(|server| server.follows() == Some(master) && server.is_fed())
        .filter(|server| server.is_running());
    let acked = |server: &Server| world.now.saturating_sub(server.acked_at);
    let heard = replicas
        .filter(|server| READ.contains(&acked(server)))
        .count();
    // All others may be members too, and not heard.
    if heard * 2 >= world.servers.len() - 1 {
        let what = format!("{instance} was fenced, and {heard} of its replicas reach it");
        return Err(Violation::new(PROMISE, what));
    }
    Ok(())
}
