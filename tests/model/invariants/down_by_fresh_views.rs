//! A master is replaced on one proof, or on the views of a quorum: each sent of this epoch and this
//! process, and none that is stale.

use promoterd::decision::{Action, Begin, Cause, Entry, Grounds, Opinion, VIEW_FRESH_FOR};

use super::{KnownNode, Violation};
use crate::world::{World, group};

const PROMISE: &str = "a master is held down by one proof or by fresh views of a quorum";

/// A choice takes so long at most, in microseconds of its node's waking time, after the agreement that it
/// rests on.
pub const CHOSEN_WITHIN: u64 = 60_000;

pub fn check(world: &World, node: usize, action: &Action) -> Result<(), Violation> {
    let Action::Propose(Entry::Begin(begin)) = action else {
        return Ok(());
    };
    // To keep the master takes no view of its end.
    if begin.reinstates() {
        return Ok(());
    }
    let broken = |what: String| {
        let name = &world.nodes[node].name;
        Violation::new(PROMISE, format!("{name}, epoch {}: {what}", begin.epoch))
    };
    let Grounds::Lost(evidence) = &begin.grounds else {
        return Ok(());
    };
    let views = &evidence.views;
    let has_proof = views.iter().any(|(_, cause)| cause.is_proof());
    let needed = if has_proof {
        1
    } else {
        world.nodes.len() / 2 + 1
    };
    if views.len() < needed {
        return Err(broken(format!("{} of {needed} views", views.len())));
    }
    let known = &world.oracle.nodes[&node];
    for (peer, cause) in views {
        let is_held = if *peer == world.nodes[node].id {
            is_awake_long_enough(world, node, known, *cause)
        } else {
            is_told(world, node, known, begin, peer.as_str(), *cause)
        };
        if !is_held {
            return Err(broken(format!("{peer} does not say {cause}")));
        }
    }
    Ok(())
}

/// What this node itself did not hear while it slept is no silence.
fn is_awake_long_enough(world: &World, node: usize, known: &KnownNode, cause: Cause) -> bool {
    if cause != Cause::Silent {
        return true;
    }
    let needed = world.nodes[node].policy.down_after;
    let awake = world.now.saturating_sub(known.awake_since);
    u128::from(awake) >= needed.as_micros()
}

fn is_told(
    world: &World,
    node: usize,
    known: &KnownNode,
    begin: &Begin,
    peer: &str,
    cause: Cause,
) -> bool {
    let Some(views) = known.views.get(peer) else {
        return false;
    };
    let epoch = world.nodes[node].supervisor.records().get(&group());
    let epoch = epoch.map(promoterd::decision::GroupRecord::epoch);
    let fresh_for = u64::try_from(VIEW_FRESH_FOR.as_micros()).unwrap_or(u64::MAX);
    // A short sleep in the midst of a choice is noticed by nobody: it goes on where it was.
    let slept = known
        .nap
        .filter(|(_, woke)| woke + CHOSEN_WITHIN >= world.now);
    let chosen_within = CHOSEN_WITHIN + slept.map_or(0, |(from, woke)| woke - from);
    let ends = views.iter().skip(1).map(|(at, _)| Some(*at)).chain([None]);
    views.iter().zip(ends).any(|((at, view), replaced)| {
        let is_it = Some(view.epoch) == epoch
            && view.run_id == begin.from.run_id
            && matches!(view.opinion, Opinion::Down { cause: told, .. } if told == cause);
        let until = replaced.unwrap_or(u64::MAX).min(at + fresh_for);
        is_it && *at >= known.awake_since && until + chosen_within >= world.now
    })
}
