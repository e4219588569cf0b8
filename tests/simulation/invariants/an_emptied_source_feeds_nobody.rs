//! S6: with the guard, an instance that lost its data never becomes the source that others copy from.

use super::{Violation, World};

const PROMISE: &str = "S6: an instance that lost its data is no source for those that have theirs";

/// A full copy of `source` to `replica` begins.
///
/// A replica that restarted a moment ago shows its master nothing yet; and where nobody has the data
/// any more the leader says so, and accepts what there is.
pub fn check(world: &mut World, replica: usize, source: usize) -> Result<(), Violation> {
    let (held, from) = (&world.servers[replica], &world.servers[source]);
    let loses_data = from.emptied && held.has_keys && !held.emptied;
    if !loses_data {
        return Ok(());
    }
    if held.shows.is_none() {
        world.tally.emptied_copies += 1;
        return Ok(());
    }
    if world.oracle.losses_accepted.contains(&(source, from.life)) {
        return Ok(());
    }
    let epoch = held.shows;
    let what = format!("server {replica} of epoch {epoch:?} copies the emptied server {source}");
    Err(Violation::new(PROMISE, what))
}
