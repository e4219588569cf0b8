//! S6: with the guard, an instance that lost its data never becomes the source that others copy from; but
//! for one whom somebody made a replica of another by hand, which no guard keeps from throwing away its data.

use super::Violation;
use crate::instance::Instance;
use crate::world::World;

const PROMISE: &str = "S6: an instance that lost its data is no source for those that have theirs";

/// A full copy of `source` begins. A replica that restarted a moment ago shows its master nothing yet.
pub fn check(world: &World, replica: usize, source: &Instance) -> Result<(), Violation> {
    let replica = &world.instances[replica];
    let loses_data = source.emptied && replica.has_keys && !replica.emptied;
    let is_accepted = world.oracle.losses_accepted.contains(&source.run_id());
    if !loses_data || is_accepted || replica.shows.is_none() || source.is_misled {
        return Ok(());
    }
    let (name, epoch) = (&replica.name, replica.shows);
    let what = format!(
        "{name}, which shows epoch {epoch:?}, copies the emptied {}",
        source.name
    );
    Err(Violation::new(PROMISE, what))
}
