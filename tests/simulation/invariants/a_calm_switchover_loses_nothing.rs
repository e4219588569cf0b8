//! A switchover during which nothing but daemons fails loses no acknowledged write.

use promoterd::decision::{Fencing, Outcome};

use super::{Violation, World};
use crate::server::Process;

const PROMISE: &str = "a planned switchover loses nothing that was acknowledged";

/// From the moment at which a master is first told to hold writes to `Begin`, at most.
const TAKES_MAX: u64 = 1_200_000;

/// The old master `index` is about to follow `master`: what it acknowledged until now is all that it ever
/// will, and what is not in the history of the new one is lost.
///
/// Daemons may have failed in any way meanwhile; without a fence they may only have been quick, which is
/// not looked at here.
pub fn check(world: &mut World, index: usize, master: usize) -> Result<(), Violation> {
    let (old, new) = (&world.servers[index], &world.servers[master]);
    let group = &world.groups[old.group];
    let Some(last) = world
        .oracle
        .newest_record(&group.name)
        .and_then(|record| record.failovers().back())
    else {
        return Ok(());
    };
    let begin = &last.begin;
    let is_switchover = last.outcome == Outcome::Done
        && begin.asked().is_some()
        && begin.from.run_id == old.run_id
        && begin.candidate.run_id == new.run_id
        && group.policy.fencing == Fencing::Fast;
    if !is_switchover {
        return Ok(());
    }
    let members = group.servers.iter().map(|member| &world.servers[*member]);
    let is_calm = group.disturbed_at + TAKES_MAX < group.begun_at
        && world.pipes.cut_paths().is_empty()
        && members
            .clone()
            .all(|server| server.process == Process::Running && !server.denies);
    let Some((id, parted_at)) = new.history.continues.filter(|_| is_calm) else {
        return Ok(());
    };
    world.tally.switched_calmly += 1;
    let (old, new) = (&world.servers[index], &world.servers[master]);
    let lost = (old.history.offset.0 + 1).saturating_sub(parted_at.0);
    if id == old.history.id && lost > 0 {
        let what = format!(
            "server {index} acknowledged {lost} bytes more than server {master} has: {:?}, {:?}",
            old.history, new.history
        );
        return Err(Violation::new(PROMISE, what));
    }
    Ok(())
}
