//! S1 and S3: epochs only grow, all daemons tell the same of each, and nothing that was told vanishes.

use std::collections::BTreeMap;

use promoterd::status::OutcomeName;

use super::{Broken, Rule, Tally};
use crate::nemesis::history::{GroupHistory, Told};

/// So many failovers a daemon remembers.
const REMEMBERED: usize = 32;

pub fn check(group: &GroupHistory, tally: &mut Tally) -> Vec<Broken> {
    let mut broken = grow(group);
    let epochs = agree(group, &mut broken);
    stay(group, &epochs, &mut broken);
    for told in epochs.values() {
        tally.count_epoch(told);
    }
    broken
}

/// In one life of a node the epoch never goes back.
fn grow(group: &GroupHistory) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut newest: BTreeMap<(usize, u64), u64> = BTreeMap::new();
    for seen in &group.epochs {
        let before = newest.entry((seen.node, seen.life)).or_default();
        if seen.epoch < *before {
            let what = format!(
                "node {} went from epoch {before} to {}",
                seen.node, seen.epoch
            );
            broken.push(Broken::new(Rule::EpochsGrow, seen.heard, what));
        }
        *before = seen.epoch.max(*before);
    }
    broken
}

/// What is told of one epoch is the same for all, and an end is the end; the latest word on each.
fn agree(group: &GroupHistory, broken: &mut Vec<Broken>) -> BTreeMap<u64, Told> {
    let mut epochs: BTreeMap<u64, Told> = BTreeMap::new();
    for told in &group.told {
        let known = epochs.entry(told.epoch).or_insert_with(|| told.clone());
        let is_same = (known.from, known.to, &known.leader, known.estimate)
            == (told.from, told.to, &told.leader, told.estimate);
        let is_ended = |told: &Told| told.outcome != OutcomeName::Open;
        let ends_twice = is_ended(known) && is_ended(told) && known.outcome != told.outcome;
        let facts_differ = known.fact.is_some() && told.fact.is_some() && known.fact != told.fact;
        if !is_same || ends_twice || facts_differ {
            let what = format!("of one epoch two things are told: {known:?} and {told:?}");
            broken.push(Broken::new(Rule::DecisionsStay, told.heard, what));
        }
        if !is_ended(known) {
            known.outcome = told.outcome;
        }
        known.fact = known.fact.or(told.fact);
    }
    epochs
}

/// In the end every epoch that anybody told is there, as it was told.
fn stay(group: &GroupHistory, epochs: &BTreeMap<u64, Told>, broken: &mut Vec<Broken>) {
    let newest = epochs.keys().next_back().copied().unwrap_or(0);
    for told in epochs.values().rev().take(REMEMBERED) {
        let last = group.last_told.iter().find(|last| last.epoch == told.epoch);
        let is_kept = last.is_some_and(|last| {
            (last.from, last.to) == (told.from, told.to)
                && (told.outcome == OutcomeName::Open || last.outcome == told.outcome)
        });
        if !is_kept {
            let what = format!("it was told, and in the end there is {last:?}: {told:?}");
            broken.push(Broken::new(Rule::DecisionsStay, told.heard, what));
        }
    }
    for begun in group.begun.iter().filter(|begun| begun.epoch > newest) {
        let what = format!("it began, and no history ever named it: {begun:?}");
        broken.push(Broken::new(Rule::DecisionsStay, begun.heard, what));
    }
    let seen = group.epochs.iter().max_by_key(|seen| seen.epoch);
    if let Some(seen) = seen.filter(|seen| seen.epoch > newest.max(1)) {
        let what = format!("no history ever named the epoch of {seen:?}");
        broken.push(Broken::new(Rule::DecisionsStay, seen.heard, what));
    }
}
