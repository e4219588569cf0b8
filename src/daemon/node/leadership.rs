//! Who leads, what of it the core hears, and whether this node keeps up with what the leader commits.

use std::time::{Duration, Instant};

use super::{Node, Turn};
use crate::consensus::Status;
use crate::decision::{Event, Happening};
use crate::model::{LogIndex, NodeId, Term};

/// What a leader named as committed is applied within this, or the node's disk is stuck.
const LAG_MAX: Duration = Duration::from_secs(1);

/// What leaders named as committed, and what of it was applied here.
#[derive(Debug, Default)]
pub(super) struct Abreast {
    /// The leader, in its term, of which something committed was applied after it was named.
    with: Option<(NodeId, Term)>,
    /// The oldest index that a leader named and that is not applied yet.
    named: Option<Named>,
}

#[derive(Debug)]
struct Named {
    by: (NodeId, Term),
    committed: LogIndex,
    at: Instant,
}

impl Abreast {
    /// The leader of `status` said what is committed.
    pub(super) fn hear(&mut self, status: &Status, committed: LogIndex, now: Instant) {
        let Some(leader) = status.leader.clone() else {
            return;
        };
        let by = (leader, status.term);
        if self.named.as_ref().is_none_or(|named| named.by != by) {
            self.named = Some(Named {
                by,
                committed,
                at: now,
            });
        }
    }

    /// Looks at how far the node is after a turn.
    pub(super) fn look(&mut self, status: &Status) {
        let reached = |named: &mut Named| status.applied >= named.committed;
        if let Some(named) = self.named.take_if(reached) {
            self.with = Some(named.by);
        }
    }

    /// Whether all is applied that the leader of `status` had committed a moment ago.
    pub(super) fn is_current(&self, status: &Status, now: Instant) -> bool {
        let is_with = self.with.as_ref().is_some_and(|(leader, term)| {
            status.leader.as_ref() == Some(leader) && status.term == *term
        });
        let is_late = |named: &Named| now.saturating_duration_since(named.at) >= LAG_MAX;
        status.established || (is_with && !self.named.as_ref().is_some_and(is_late))
    }
}

impl Node {
    /// Whether what this node has applied is all that a leader had committed a moment ago: not after a cut
    /// before the leader said how far it is, nor while the log cannot be written here.
    #[must_use]
    pub fn is_current(&self, now: Instant) -> bool {
        self.supervisor.is_confirmed() && self.abreast.is_current(&self.engine.status(), now)
    }

    /// Whoever leads no longer must know it before it hears anything else: while it slept, another
    /// may have carried its mandate on.
    pub(super) fn note_deposed(&mut self, turn: &mut Turn) {
        let was_leading = self.told.as_ref().is_some_and(|(_, _, leading)| *leading);
        if was_leading && !self.engine.status().established {
            self.note_leadership(turn);
        }
    }

    pub(super) fn note_leadership(&mut self, turn: &mut Turn) {
        let status = self.engine.status();
        let told = (status.leader.clone(), status.term, status.established);
        if self.told.as_ref() == Some(&told) {
            return;
        }
        let before = self.told.replace(told);
        let leader_before = before.as_ref().and_then(|(leader, _, _)| leader.clone());
        if leader_before != status.leader {
            turn.announce(Happening::LeaderChanged {
                leader: status.leader,
                term: status.term,
            });
        }
        let event = Event::LeadershipChanged {
            leading: status.established,
        };
        turn.pending.extend(self.supervisor.handle(event, turn.now));
    }

    /// The state is current once all is applied that a leader of this time had committed.
    pub(super) fn confirm(&mut self, turn: &mut Turn) {
        let status = self.engine.status();
        let confirmed = status.established
            || self
                .confirm_at
                .is_some_and(|committed| status.applied >= committed);
        if confirmed && self.supervisor.awaits_confirmation() {
            // What a leader said before anything more happened confirms nothing of it.
            self.confirm_at = None;
            turn.pending
                .extend(self.supervisor.handle(Event::Confirmed, turn.now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::Role;

    fn status(leader: Option<&str>, term: u64, applied: u64) -> Status {
        Status {
            term: Term(term),
            leader: leader.map(|leader| leader.parse().unwrap()),
            role: Role::Follower,
            committed: LogIndex(applied),
            applied: LogIndex(applied),
            established: false,
        }
    }

    #[test]
    fn a_follower_is_current_once_it_has_applied_what_this_leader_had_committed() {
        let now = Instant::now();
        let mut abreast = Abreast::default();
        for (heard, leader, term, applied, expected) in [
            (None, None, 1, 5, false),
            // It is heard, and has said nothing yet.
            (None, Some("a"), 2, 5, false),
            (Some(7), Some("a"), 2, 5, false),
            (None, Some("a"), 2, 6, false),
            (None, Some("a"), 2, 7, true),
            // A little behind is no reason for doubt.
            (Some(9), Some("a"), 2, 7, true),
            (None, None, 2, 9, false),
            (None, Some("a"), 2, 9, true),
            (None, Some("a"), 3, 9, false),
            (Some(8), Some("a"), 3, 9, true),
            (None, Some("b"), 4, 9, false),
        ] {
            let status = status(leader, term, applied);
            if let Some(committed) = heard {
                abreast.hear(&status, LogIndex(committed), now);
            }
            abreast.look(&status);
            let found = abreast.is_current(&status, now);
            assert_eq!(found, expected, "{leader:?} {term} {applied}");
        }
    }

    #[test]
    fn what_is_named_and_not_applied_for_long_makes_it_out_of_date_until_it_is() {
        let start = Instant::now();
        let mut abreast = Abreast::default();
        let at = |ms| start + Duration::from_millis(ms);
        for (ms, named, applied, expected) in [
            (0, 5, 5, true),
            (500, 6, 5, true),
            // The same disk is stuck, whatever else is named meanwhile.
            (1000, 7, 5, true),
            (1499, 7, 5, true),
            (1500, 7, 5, false),
            (9000, 8, 5, false),
            (9100, 8, 8, true),
        ] {
            let status = status(Some("a"), 2, applied);
            abreast.hear(&status, LogIndex(named), at(ms));
            abreast.look(&status);
            assert_eq!(abreast.is_current(&status, at(ms)), expected, "{ms}");
        }
    }

    #[test]
    fn an_established_leader_is_current_by_itself() {
        let now = Instant::now();
        let leading = Status {
            established: true,
            ..status(Some("me"), 2, 0)
        };
        assert!(Abreast::default().is_current(&leading, now));
    }
}
