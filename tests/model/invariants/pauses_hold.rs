//! The stop switch: while a committed pause stands, nothing is begun and nothing repaired.

use promoterd::decision::{Action, Entry, PausedBy, ResumedBy};

use super::{Oracle, Step, Violation};
use crate::world::{World, group};

const PROMISE: &str = "nothing is begun and nothing repaired while a committed pause stands";

/// Follows the pauses by the entries alone, and compares what counted.
pub fn check_entry(oracle: &mut Oracle, entry: &Entry, fits: bool) -> Result<(), Violation> {
    if let Entry::Begin(begin) = entry
        && fits
        && oracle.pause.is_some()
    {
        let what = format!("epoch {} began", begin.epoch);
        return Err(Violation::new(PROMISE, what));
    }
    if let Entry::Pause(pause) = entry {
        match &pause.by {
            PausedBy::Admin { operation, .. } if oracle.operations.insert(*operation) => {
                oracle.pause = Some(Some(*operation));
            }
            PausedBy::Flapping { .. } if oracle.pause.is_none() => oracle.pause = Some(None),
            PausedBy::Admin { .. } | PausedBy::Flapping { .. } => {}
        }
    }
    if let Entry::Resume(resume) = entry {
        let ends = match &resume.by {
            ResumedBy::Admin { operation, .. } => oracle.operations.insert(*operation),
            ResumedBy::Expiry { of } => oracle.pause == Some(Some(*of)),
            ResumedBy::Replaced => false,
        };
        if ends {
            oracle.pause = None;
        }
    }
    Ok(())
}

/// A node to which a pause stands before and after this step orders nobody to follow in it.
pub fn check(world: &mut World, step: &Step<'_>) -> Result<(), Violation> {
    let records = world.nodes[step.node].supervisor.records();
    let record = records.get(&group());
    let is_pausing = record.is_some_and(|record| record.pause().is_some());
    let known = world.oracle.nodes.entry(step.node).or_default();
    let was_pausing = std::mem::replace(&mut known.is_pausing, is_pausing);
    if !was_pausing || !is_pausing {
        return Ok(());
    }
    let repairs = |action: &&Action| {
        matches!(
            action,
            Action::Follow(_) | Action::Guard(_) | Action::Rescue(_)
        )
    };
    match step.actions.iter().find(repairs) {
        None => Ok(()),
        Some(action) => {
            let what = format!("{} orders {action:?}", world.nodes[step.node].name);
            Err(Violation::new(PROMISE, what))
        }
    }
}
