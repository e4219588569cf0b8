//! Who is counted: voters whose state directory has its seat. The others are only brought up to date.
//!
//! A voter that lost its state may have acknowledged entries and cast votes that it no longer knows of,
//! so its new state directory speaks for it only once a majority of the *others* has committed its
//! [`Rejoin`], and it holds everything up to there. Until then it keeps silent about votes itself, and a
//! leader has a stand-in count for it that never answers, while the voter is a learner.

use raft::StateRole;
use raft::eraftpb::{ConfChange, ConfChangeType};

use super::engine::Engine;
use super::entry::LogEntry;
use super::guard::Refused;
use super::message::Body;
use super::seat::{Promise, Rejoin, Seat, Seats, Stage, Standing};
use super::status::{Outgoing, ProposeError, Role};
use crate::breaks::{Break, is_broken};
use crate::model::{Incarnation, NodeId};

impl Engine {
    /// What may be counted of what this node says.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Who may speak for which voter, as far as entries were handed out.
    #[must_use]
    pub fn seats(&self) -> &Seats {
        &self.seats
    }

    /// How far this node's promises to others go.
    #[must_use]
    pub fn promise(&self) -> Promise {
        let raft = &self.raft.raft;
        let mut promise = self.promised.max(Promise {
            term: self.durable.term,
            ..Promise::default()
        });
        if raft.state == StateRole::Leader {
            let term = crate::model::Term(raft.term);
            let index = crate::model::LogIndex(raft.raft_log.persisted);
            promise = promise.max(Promise { term, index });
        }
        promise
    }

    /// Takes part from now on, as the member that `seat` says this is.
    pub fn take_seat(&mut self, seat: &Seat) {
        if let Stage::Member { founders, .. } = &seat.stage {
            self.seats = Seats::of(founders.clone());
            self.incarnation = seat.incarnation;
            self.awake = true;
            self.settle_standing();
        }
    }

    /// Takes over who is seated, along with the state of a snapshot.
    pub fn install_seats(&mut self, seats: Seats) {
        self.seats = seats;
        self.settle_standing();
    }

    /// Takes note of which state directory answers for `peer`, and whether it may be counted. What is no
    /// answer counts for nothing, and needs no leave: whoever was not told yet of a rejoin still has to
    /// take entries from that voter.
    ///
    /// # Errors
    /// [`Refused`] when nothing that it says may be taken in.
    pub fn recognise(
        &mut self,
        peer: &NodeId,
        incarnation: Incarnation,
        standing: Standing,
    ) -> Result<(), Refused> {
        self.forget_learners();
        let from = || peer.clone();
        let Some(number) = self.voters.number(peer) else {
            return Err(Refused::NotAVoter { from: from() });
        };
        match standing {
            Standing::Unborn => Err(Refused::NotSeated { from: from() }),
            Standing::Rejoining if self.seats.is_former(incarnation) => {
                Err(Refused::Superseded { from: from() })
            }
            Standing::Rejoining if self.raft.raft.state != StateRole::Leader => {
                Err(Refused::NotSeated { from: from() })
            }
            Standing::Rejoining => {
                self.make_learner(number, incarnation);
                Ok(())
            }
            Standing::Voter if self.seat_of(peer) != Some(incarnation) => {
                Err(Refused::Superseded { from: from() })
            }
            Standing::Voter => {
                self.make_voter(number);
                Ok(())
            }
        }
    }

    /// Proposes that the state directory `incarnation` speaks for `peer`, unless that is so, or on its
    /// way.
    ///
    /// # Errors
    /// [`ProposeError`] when it was certainly not taken.
    pub fn propose_rejoin(
        &mut self,
        peer: &NodeId,
        incarnation: Incarnation,
    ) -> Result<(), ProposeError> {
        let status = self.status();
        if status.role != Role::Leader || !status.established {
            let leader = status.leader;
            return Err(ProposeError::NotLeader { leader });
        }
        if self.seat_of(peer) == Some(incarnation) || self.seats.is_former(incarnation) {
            return Ok(());
        }
        let rejoin = Rejoin {
            node: peer.clone(),
            incarnation,
        };
        self.raft
            .propose(Vec::new(), rejoin.encode())
            .map_err(|_| ProposeError::Backlogged)
    }

    /// The incarnation that speaks for `peer`, as the end of our log has it: a seat is lost with the
    /// entry's arrival, so that no two state directories are counted for one voter in one term.
    fn seat_of(&self, peer: &NodeId) -> Option<Incarnation> {
        let pending = self.rejoins.values().rfind(|rejoin| rejoin.node == *peer);
        pending.map_or_else(|| self.seats.get(peer), |rejoin| Some(rejoin.incarnation))
    }

    pub(super) fn settle_standing(&mut self) {
        let own = self.seats.get(&self.settings.node);
        self.standing = if !self.awake {
            Standing::Unborn
        } else if own == Some(self.incarnation) || is_broken(Break::EmptiedVoterCounts) {
            Standing::Voter
        } else {
            Standing::Rejoining
        };
        if self.standing == Standing::Voter {
            self.stand_alone();
        }
    }

    /// Takes note of the rejoins among entries that now are the end of the log.
    pub(super) fn note_rejoins(&mut self, entries: &[LogEntry]) {
        if let Some(first) = entries.first() {
            self.rejoins.split_off(&first.index);
        }
        let found = entries.iter().filter_map(|entry| {
            let rejoin = Rejoin::decode(&entry.payload)?;
            Some((entry.index, rejoin))
        });
        self.rejoins.extend(found);
    }

    /// Applies a committed entry if it is the engine's own.
    pub(super) fn apply_rejoin(&mut self, entry: &LogEntry) -> Option<Rejoin> {
        let rejoin = Rejoin::decode(&entry.payload)?;
        self.rejoins.remove(&entry.index);
        self.seats.apply(rejoin.clone());
        self.settle_standing();
        // It must find itself seated after a restart too, while nobody is there to tell it.
        self.keep_commit |= rejoin.node == self.settings.node;
        Some(rejoin)
    }

    pub(super) fn note_promises(&mut self, sent: &[Outgoing]) {
        for (_, message) in sent {
            if let Body::Appended { index, .. } = message.body {
                let term = message.term;
                self.promised = self.promised.max(Promise { term, index });
            }
        }
    }

    /// Lets a stand-in that never answers count for a voter, which gets all entries anew.
    fn make_learner(&mut self, number: u64, incarnation: Incarnation) {
        let before = self.learners.insert(number, incarnation);
        if before == Some(incarnation) {
            return;
        }
        let stand_in = self.stand_in(number);
        // At each step as many voters are needed as before, or more.
        self.reconfigure(ConfChangeType::AddNode, stand_in);
        self.reconfigure(ConfChangeType::RemoveNode, number);
        self.reconfigure(ConfChangeType::AddLearnerNode, number);
        if let Some(progress) = self.raft.raft.mut_prs().get_mut(stand_in) {
            progress.recent_active = false;
        }
        self.snapshots_sent.remove(&number);
    }

    fn make_voter(&mut self, number: u64) {
        if self.learners.remove(&number).is_some() {
            self.reconfigure(ConfChangeType::AddNode, number);
            self.reconfigure(ConfChangeType::RemoveNode, self.stand_in(number));
        }
    }

    /// Only a leader has learners: whoever stands for election asks all, and who may not vote will not.
    pub(super) fn forget_learners(&mut self) {
        if self.raft.raft.state == StateRole::Leader {
            return;
        }
        while let Some((number, _)) = self.learners.first_key_value() {
            let number = *number;
            self.make_voter(number);
        }
    }

    fn stand_in(&self, number: u64) -> u64 {
        u64::from(self.voters.count()) + number
    }

    fn reconfigure(&mut self, kind: ConfChangeType, number: u64) {
        let mut change = ConfChange {
            node_id: number,
            ..ConfChange::default()
        };
        change.set_change_type(kind);
        let changed = self.raft.apply_conf_change(&change);
        assert!(
            changed.is_ok(),
            "one voter changes at a time, and some are left"
        );
    }
}
