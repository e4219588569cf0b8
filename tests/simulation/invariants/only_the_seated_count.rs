//! A state directory votes and acknowledges only as one of those that the cluster began with, or once
//! its rejoin is committed; and only one cluster ever begins.

use promoterd::consensus::{Batch, Stage, Standing};
use promoterd::daemon::NodeAction;
use promoterd::peer::PeerMessage;

use super::{Oracle, Step, Violation, World};

const PROMISE: &str = "an emptied voter counts for nothing before it has rejoined";

pub fn check(world: &mut World, step: &Step<'_>) -> Result<(), Violation> {
    let oracle = &mut world.oracle;
    for action in step.actions {
        match action {
            NodeAction::Persist(Batch::Begin(seat)) => note_birth(oracle, &seat.stage)?,
            NodeAction::Send(
                _,
                PeerMessage::Engine {
                    incarnation,
                    standing: Standing::Voter,
                    message,
                },
            ) => {
                let is_founder = oracle
                    .born
                    .as_ref()
                    .is_some_and(|(_, founders)| founders.contains(incarnation));
                if !is_founder && !oracle.let_in.contains(incarnation) {
                    let what = format!("node {} says {message:?}", step.node);
                    return Err(Violation::new(PROMISE, what));
                }
            }
            NodeAction::Send(..)
            | NodeAction::Hold(_)
            | NodeAction::Probe(_)
            | NodeAction::Follow(_)
            | NodeAction::Guard(_)
            | NodeAction::Rescue(_)
            | NodeAction::Answer(_)
            | NodeAction::Persist(_)
            | NodeAction::Publish { .. }
            | NodeAction::Announce(_)
            | NodeAction::Belong(_)
            | NodeAction::Leave(_) => {}
        }
    }
    Ok(())
}

fn note_birth(oracle: &mut Oracle, stage: &Stage) -> Result<(), Violation> {
    let Stage::Member { cluster, founders } = stage else {
        return Ok(());
    };
    let born = (*cluster, founders.values().copied().collect());
    let known = oracle.born.get_or_insert_with(|| born.clone());
    if *known == born {
        return Ok(());
    }
    let what = format!("{known:?} began, and {born:?}");
    Err(Violation::new("only one cluster ever begins", what))
}
