//! A promotion that was answered happened: its epoch ends as done, or as lost after it.

use promoterd::decision::{AbortReason, Action, Entry};

use super::Violation;
use crate::world::World;

const PROMISE: &str = "a promotion that was answered is not aborted as if it had not been";

pub fn check(world: &World, node: usize, action: &Action) -> Result<(), Violation> {
    let Action::Propose(Entry::Abort { epoch, why, .. }) = action else {
        return Ok(());
    };
    let is_honest = matches!(
        why,
        AbortReason::LostAfterPromotion(_) | AbortReason::CandidateChanged(_)
    );
    let known = world.oracle.nodes.get(&node);
    if is_honest || known.is_none_or(|known| !known.answered.contains(epoch)) {
        return Ok(());
    }
    let what = format!("{} aborts epoch {epoch}: {why}", world.nodes[node].name);
    Err(Violation::new(PROMISE, what))
}
