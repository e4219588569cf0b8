//! The stop switch: while a committed pause stands, nothing is begun and nothing repaired.

use std::collections::BTreeSet;

use promoterd::daemon::NodeAction;
use promoterd::decision::{Entry, PausedBy, ResumedBy};
use promoterd::model::GroupName;

use super::{Oracle, Step, Violation, World};

const PROMISE: &str = "nothing is begun and nothing repaired while a committed pause stands";

/// Follows the pauses by the entries alone, and compares what counted.
pub fn check_entry(oracle: &mut Oracle, entry: &Entry, fits: bool) -> Result<(), Violation> {
    let group = entry.group().clone();
    let standing = oracle.pauses.get(&group).copied();
    match entry {
        Entry::Begin(begin) if fits && standing.is_some() => {
            let what = format!("{group} epoch {} began", begin.epoch);
            return Err(Violation::new(PROMISE, what));
        }
        Entry::Pause(pause) => match &pause.by {
            PausedBy::Admin { operation, .. } if oracle.operations.insert(*operation) => {
                oracle.pauses.insert(group, Some(*operation));
            }
            PausedBy::Flapping { .. } if standing.is_none() => {
                oracle.pauses.insert(group, None);
            }
            PausedBy::Admin { .. } | PausedBy::Flapping { .. } => {}
        },
        Entry::Resume(resume) => match &resume.by {
            ResumedBy::Admin { operation, .. } => {
                if oracle.operations.insert(*operation) {
                    oracle.pauses.remove(&group);
                }
            }
            ResumedBy::Expiry { of } => {
                if standing == Some(Some(*of)) {
                    oracle.pauses.remove(&group);
                }
            }
            ResumedBy::Replaced => {
                let what = format!("{group}: nobody logs {resume:?}");
                return Err(Violation::new(PROMISE, what));
            }
        },
        Entry::Begin(_)
        | Entry::Register { .. }
        | Entry::Adopt(_)
        | Entry::Members { .. }
        | Entry::Identify { .. }
        | Entry::Done { .. }
        | Entry::Abort { .. }
        | Entry::Settled { .. }
        | Entry::Returned { .. }
        | Entry::Limits { .. }
        | Entry::Guarded { .. }
        | Entry::Lease { .. }
        | Entry::GiveUp(_) => {}
    }
    Ok(())
}

/// A node to which a pause stands before and after this step orders nobody to follow in it.
pub fn check(world: &mut World, step: &Step<'_>) -> Result<(), Violation> {
    let Some(running) = &world.hosts[step.node].node else {
        return Ok(());
    };
    let mut standing = BTreeSet::new();
    for (group, record) in running.supervisor().records().iter() {
        if record.pause().is_some() {
            standing.insert(group.clone());
        }
    }
    let before = world.oracle.pausing.insert(step.node, standing.clone());
    let stood = |group: &GroupName| {
        let before = before.as_ref().is_some_and(|before| before.contains(group));
        before && standing.contains(group)
    };
    for action in step.actions {
        let group = match action {
            NodeAction::Follow(order) => &order.group,
            NodeAction::Guard(order) => &order.group,
            NodeAction::Rescue(order) => &order.group,
            NodeAction::Probe(_)
            | NodeAction::Hold(_)
            | NodeAction::Send(..)
            | NodeAction::Persist(_)
            | NodeAction::Publish { .. }
            | NodeAction::Announce(_)
            | NodeAction::Answer(_)
            | NodeAction::Belong(_)
            | NodeAction::Leave(_) => continue,
        };
        if stood(group) {
            let what = format!("node {} orders {action:?}", step.node);
            return Err(Violation::new(PROMISE, what));
        }
    }
    Ok(())
}
