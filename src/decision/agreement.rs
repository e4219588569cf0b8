//! Objectively down: one proof, or a quorum of fresh views, unless a sign of life speaks against it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::entry::Evidence;
use super::health::{Cause, Health};
use super::policy::GroupPolicy;
use super::view::HeldView;
use crate::breaks::{Break, is_broken};
use crate::model::NodeId;

/// A dead master's stream is at its end after so many readings of a replica.
const READINGS: u32 = 4;

/// What the voters' views come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody holds it down.
    NotDown,
    /// Some hold it down, too few to act.
    Short {
        /// How many do.
        views: usize,
        /// How many are needed.
        needed: usize,
    },
    /// Enough would, yet there is a sign of life, or it is too soon after a failover.
    Vetoed {
        /// By what.
        veto: Veto,
        /// When it no longer holds, if time alone can end it.
        until: Option<Instant>,
    },
    /// Objectively down.
    Down {
        /// Why.
        evidence: Evidence,
        /// The earliest moment of the evidence.
        since: Instant,
    },
}

/// What speaks against a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Veto {
    /// It answered a voter's ping that was sent after the evidence.
    Answered,
    /// A replica received more of its stream after the evidence.
    StreamMoves,
    /// `cooldown` after a failover: silence does not act yet.
    Cooldown,
}

/// What the judge knows beside the views.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Until when `silent` does not act.
    pub cooldown_until: Option<Instant>,
    /// Now.
    pub now: Instant,
}

/// Judges by `views`: those of all voters that count at this moment, our own included.
#[must_use]
pub fn judge(
    views: &BTreeMap<NodeId, HeldView>,
    policy: &GroupPolicy,
    circumstances: Circumstances,
) -> Verdict {
    let held: Vec<(&NodeId, Cause, Instant)> = views
        .iter()
        .filter_map(|(node, view)| match view.health {
            Health::Down { cause, since } => Some((node, cause, since)),
            Health::Unknown | Health::Up | Health::Suspected { .. } => None,
        })
        .collect();
    if held.is_empty() {
        return Verdict::NotDown;
    }
    let proof = held
        .iter()
        .find(|(_, cause, since)| cause.is_proof() && !is_contradicted(views, *cause, *since));
    if let Some(proof) = proof {
        return down(&held, proof.1, 1);
    }
    let missing = usize::from(is_broken(Break::QuorumOneShort));
    let needed = policy.quorum.saturating_sub(missing);
    if held.len() < needed {
        return Verdict::Short {
            views: held.len(),
            needed,
        };
    }
    let mut counted = Vec::new();
    let mut first_veto = None;
    for (node, cause, since) in held {
        match veto(views, cause, since, policy, circumstances) {
            None => counted.push((node, cause, since)),
            Some(veto) => first_veto = first_veto.or(Some(veto)),
        }
    }
    match (counted.len() >= needed, first_veto) {
        (true, _) => {
            let cause = counted.iter().map(|(_, cause, _)| *cause).min();
            down(&counted, cause.unwrap_or(Cause::Silent), needed)
        }
        (false, Some((veto, until))) => Verdict::Vetoed { veto, until },
        (false, None) => Verdict::Short {
            views: counted.len(),
            needed,
        },
    }
}

fn down(held: &[(&NodeId, Cause, Instant)], cause: Cause, needed: usize) -> Verdict {
    let views = held
        .iter()
        .map(|(node, cause, _)| ((*node).clone(), *cause))
        .collect();
    let since = held.iter().map(|(_, _, since)| *since).min();
    Verdict::Down {
        evidence: Evidence {
            cause,
            views,
            needed,
        },
        since: since.expect("a verdict rests on at least one view"),
    }
}

/// Whether the logged process answered somebody after one node found another in its place: then that
/// node reached another server, by a name or an address that means something else there. Its view
/// counts as any other.
fn is_contradicted(views: &BTreeMap<NodeId, HeldView>, cause: Cause, since: Instant) -> bool {
    cause == Cause::Restarted && has_answered(views, since)
}

fn has_answered(views: &BTreeMap<NodeId, HeldView>, since: Instant) -> bool {
    views
        .values()
        .filter(|view| view.health == Health::Up)
        .any(|view| view.answered.is_some_and(|at| at > since))
}

/// What speaks against one view, and until when at most.
fn veto(
    views: &BTreeMap<NodeId, HeldView>,
    cause: Cause,
    since: Instant,
    policy: &GroupPolicy,
    circumstances: Circumstances,
) -> Option<(Veto, Option<Instant>)> {
    match cause {
        Cause::Exited | Cause::Restarted => None,
        Cause::Gone => {
            // A firewall that rejects with resets looks just like death, to those behind it.
            let silent_at = since + policy.down_after;
            let sign = if has_answered(views, since) {
                Some((Veto::Answered, silent_at))
            } else {
                // What was on its way arrives within a few readings.
                let lasts = policy.info_interval_in_doubt() * READINGS;
                let until = moved_after(views, since).map(|at| (at + lasts).min(silent_at));
                until.map(|until| (Veto::StreamMoves, until))
            };
            // It is as lost as a silent one when it answered this voter no more for as long.
            if circumstances.now >= silent_at {
                return sign
                    .and_then(|_| veto_of_silence(views, cause, since, policy, circumstances));
            }
            sign.filter(|(_, until)| circumstances.now < *until)
                .map(|(sign, until)| (sign, Some(until)))
        }
        Cause::Silent | Cause::WrongRole | Cause::Unleased => {
            veto_of_silence(views, cause, since, policy, circumstances)
        }
    }
}

fn veto_of_silence(
    views: &BTreeMap<NodeId, HeldView>,
    cause: Cause,
    since: Instant,
    policy: &GroupPolicy,
    circumstances: Circumstances,
) -> Option<(Veto, Option<Instant>)> {
    if let Some(until) = circumstances
        .cooldown_until
        .filter(|until| *until > circumstances.now)
    {
        return Some((Veto::Cooldown, Some(until)));
    }
    if matches!(cause, Cause::WrongRole | Cause::Unleased) {
        return None;
    }
    // What was on its way when it fell silent may still arrive for a while. What comes later is a sign of
    // life as good as a reply.
    let moved = moved_after(views, since + policy.down_after / 2)?;
    let ends = since + policy.down_after + policy.replica_veto_max;
    let until = (moved + policy.down_after).min(ends);
    (circumstances.now < until).then_some((Veto::StreamMoves, Some(until)))
}

/// When a replica last received more of the stream, if that was later than `since`.
fn moved_after(views: &BTreeMap<NodeId, HeldView>, since: Instant) -> Option<Instant> {
    let moved = views.values().filter_map(|view| view.moving_since).max();
    moved.filter(|at| *at > since)
}

#[cfg(test)]
#[path = "agreement_tests.rs"]
mod tests;
