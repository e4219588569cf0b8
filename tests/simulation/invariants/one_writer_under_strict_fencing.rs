//! S4 with `strict`: at no instant do two instances of a group take writes.

use promoterd::decision::Fencing;

use super::{Violation, World};
use crate::server::Server;

pub const PROMISE: &str = "S4: with strict fencing no two instances take writes";

/// Looks at every server, after whatever happened.
pub fn check(world: &World) -> Result<(), Violation> {
    let strict = world
        .groups
        .iter()
        .filter(|group| group.policy.fencing == Fencing::Strict);
    for group in strict {
        let writes = |server: &Server| server.is_writable() && !server.is_fenced();
        let servers = group.servers.iter();
        let mut writers = servers.filter(|index| writes(&world.servers[**index]));
        if let (Some(one), Some(other)) = (writers.next(), writers.next()) {
            let what = format!("servers {one} and {other} do");
            return Err(Violation::new(PROMISE, what));
        }
    }
    Ok(())
}
