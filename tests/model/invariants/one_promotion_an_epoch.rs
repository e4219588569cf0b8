//! S1: at most one instance is promoted in an epoch: the process that was chosen, as it was chosen.

use promoterd::model::{Epoch, ReplicationId};

use super::{Violation, process};
use crate::world::World;

const PROMISE: &str = "S1: at most one instance is promoted in an epoch";
const NAMED: &str = "S2: what is promoted is what the committed Begin names";

/// A process accepts the promotion of `epoch`, in the state in which it is.
pub fn check(world: &mut World, name: &str, epoch: Epoch) -> Result<(), Violation> {
    let index = world.index(name).expect("an instance of the group");
    let instance = &world.instances[index];
    let accepts = process(instance);
    let what = format!("epoch {epoch} promotes {name}, life {}", instance.life);
    let Some((begin, _)) = world.oracle.begun.get(&epoch) else {
        return Err(Violation::new(NAMED, format!("{what}: it never began")));
    };
    let candidate = &begin.candidate;
    if (&candidate.endpoint, candidate.run_id) != (&accepts.0, accepts.1) {
        let what = format!("{what}: committed is {candidate:?}");
        return Err(Violation::new(NAMED, what));
    }
    let has_history =
        |history: u8| ReplicationId::from_bytes([history; 20]) == candidate.replication_id;
    let continues = instance
        .continues
        .is_some_and(|(earlier, _)| has_history(earlier));
    // A copy that it was taking may have ended since it was looked at.
    let is_less = instance.offset < candidate.offset.0 && world.weather.is_none();
    if is_less || (world.weather.is_none() && !has_history(instance.history) && !continues) {
        let what = format!("{what}: it is no more what it was, {candidate:?}");
        return Err(Violation::new(NAMED, what));
    }
    let first = world.oracle.promoted.entry(epoch);
    let first = first.or_insert_with(|| accepts.clone());
    if *first != accepts {
        let what = format!("{what}, and promoted {first:?}");
        return Err(Violation::new(PROMISE, what));
    }
    Ok(())
}
