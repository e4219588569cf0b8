//! Taking over from a leader whose process has ended, without waiting for an election timeout.
//!
//! Only a hint starts it, and only pre-vote follows: peers that still hear the leader refuse, so a
//! link that broke for another reason deposes nobody.

use std::time::{Duration, Instant};

use raft::{INVALID_ID, StateRole};

use super::engine::Engine;
use super::seat::Standing;
use crate::model::NodeId;

/// Before the first candidate stands: the others hear of the same end within that time on one LAN.
const HEARD_BY_ALL: Duration = Duration::from_millis(2);
/// Between one candidate and the next: an election on one LAN, with its fsync, is over by then.
const TURN: Duration = Duration::from_millis(20);
/// How often each stands before it waits for election timeouts like everybody else.
const TURNS_MAX: u32 = 3;

/// The turns that this node still has.
#[derive(Debug)]
pub(super) struct Succession {
    at: Instant,
    left: u32,
}

impl Engine {
    /// Tells that `peer` ended its link, or the system ended it for it: most likely its process is
    /// gone. If it led, this node stands for election when its turn comes.
    pub fn peer_ended(&mut self, peer: &NodeId, now: Instant) {
        self.peer_unreachable(peer);
        let raft = &self.raft.raft;
        let follows =
            raft.state == StateRole::Follower && self.voters.number(peer) == Some(raft.leader_id);
        if !follows || self.is_installing() || self.standing() != Standing::Voter {
            return;
        }
        let term = raft.term;
        self.raft.raft.become_follower(term, INVALID_ID);
        self.draw_election_timeout();
        let ahead = self.voters.count_before(&self.settings.node, peer);
        self.succession = Some(Succession {
            at: now + HEARD_BY_ALL + TURN * ahead,
            left: TURNS_MAX,
        });
    }

    /// Stands for election if it is this node's turn, unless somebody leads by now.
    pub(super) fn succeed(&mut self, now: Instant) {
        if self.raft.raft.leader_id != INVALID_ID {
            self.succession = None;
        }
        let Some(succession) = &mut self.succession else {
            return;
        };
        if succession.at > now {
            return;
        }
        succession.left -= 1;
        succession.at = now + TURN * self.voters.count();
        if succession.left == 0 {
            self.succession = None;
        }
        if let Err(error) = self.raft.campaign() {
            tracing::debug!(%error, "did not stand for election");
        }
        self.draw_election_timeout();
    }

    pub(super) fn next_turn(&self) -> Option<Instant> {
        let nobody_leads = self.raft.raft.leader_id == INVALID_ID;
        let succession = self.succession.as_ref().filter(|_| nobody_leads)?;
        Some(succession.at)
    }
}
