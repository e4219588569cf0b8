//! A node's part in the birth of its cluster, and whether a peer's state directory may be counted.

use std::time::{Duration, Instant};

use super::{Node, NodeAction, Turn};
use crate::consensus::{Batch, Body, Heard, Message, Promise, Standing, Waiting};
use crate::model::{ClusterId, Endpoint, Incarnation, Life, NodeId};
use crate::peer::{Dismissal, PeerMessage};

/// How often a node that is no voter yet says so.
const ANNOUNCE_INTERVAL: Duration = Duration::from_millis(500);

/// Random names of one process, drawn outside.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// This process.
    pub life: Life,
    /// The cluster's id, should this node have to name it.
    pub cluster: ClusterId,
}

impl Node {
    /// Says where clients reach its Sentinel endpoint, if it has one.
    #[must_use]
    pub fn with_sentinel(mut self, sentinel: Option<Endpoint>) -> Self {
        self.supervisor = self.supervisor.with_sentinel(sentinel);
        self
    }

    /// The cluster that this node's state directory belongs to; none before it is born.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.membership.seat().cluster()
    }

    /// This node's state directory.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.membership.seat().incarnation
    }

    /// What this node waits for before it is a voter; none when it is one.
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting> {
        self.membership.waiting(self.engine.standing())
    }

    pub(super) fn announce_to(&self, peer: &NodeId, turn: &mut Turn) {
        let announcement = self.membership.announcement(self.engine.standing());
        let message = PeerMessage::Announce(announcement);
        turn.actions.push(NodeAction::Send(peer.clone(), message));
    }

    fn announce_to_all(&self, turn: &mut Turn) {
        for peer in &self.peers {
            self.announce_to(peer, turn);
        }
    }

    /// The moment at which to say again that this node is no voter.
    pub(super) fn announcement_due(&self) -> Option<Instant> {
        (self.engine.standing() != Standing::Voter).then_some(self.announce_at)
    }

    pub(super) fn announce_when_due(&mut self, turn: &mut Turn) {
        if self.announcement_due().is_some_and(|at| at <= turn.now) {
            self.announce_at = turn.now + ANNOUNCE_INTERVAL;
            self.announce_to_all(turn);
        }
    }

    pub(super) fn on_announced(
        &mut self,
        peer: &NodeId,
        life: Life,
        announcement: crate::consensus::Announcement,
        turn: &mut Turn,
    ) {
        let incarnation = announcement.seat.incarnation;
        let standing = announcement.standing;
        let cluster = announcement.seat.cluster();
        let dismiss = |why, turn: &mut Turn| {
            let message = PeerMessage::Dismiss {
                incarnation,
                life,
                why,
            };
            turn.actions.push(NodeAction::Send(peer.clone(), message));
        };
        match self.membership.hear(peer, life, announcement) {
            Heard::Ignored => {}
            Heard::Outdated => {
                tracing::warn!(%peer, %incarnation, "the peer's state directory is an older copy: it must rejoin");
                dismiss(Dismissal::Outdated, turn);
            }
            Heard::Taken if self.engine.seats().is_former(incarnation) => {
                tracing::warn!(%peer, %incarnation, "another state directory took the place of the peer's");
                dismiss(Dismissal::Superseded, turn);
            }
            Heard::Taken if standing == Standing::Unborn => {
                // It may not have heard yet that the cluster is born.
                if self.engine.standing() == Standing::Voter {
                    self.announce_to(peer, turn);
                }
            }
            Heard::Taken => {
                let is_ours = cluster.is_some() && cluster == self.cluster();
                if is_ours && standing == Standing::Rejoining {
                    self.let_rejoin(peer, incarnation);
                }
            }
        }
    }

    /// Where this node leads: sends a peer all entries anew, and proposes to count it.
    fn let_rejoin(&mut self, peer: &NodeId, incarnation: Incarnation) {
        let recognised = self
            .engine
            .recognise(peer, incarnation, Standing::Rejoining);
        if recognised.is_ok()
            && let Err(error) = self.engine.propose_rejoin(peer, incarnation)
        {
            tracing::debug!(%peer, %error, "rejoin not proposed");
        }
    }

    /// Whether an engine's message may be taken in: from the process and the state directory that the
    /// link is with.
    pub(super) fn may_take_in(
        &mut self,
        peer: &NodeId,
        life: Life,
        sender: (Incarnation, Standing),
        body: &Body,
        turn: &mut Turn,
    ) -> bool {
        let (incarnation, standing) = sender;
        let announced = self.membership.announced(peer, life);
        let is_known = announced.is_some_and(|announced| {
            announced.seat.incarnation == incarnation && announced.seat.cluster() == self.cluster()
        });
        if !is_known {
            // What it announced since may be lost, or still on its way.
            if self.membership.is_current(peer, life) {
                let message = PeerMessage::Introduce;
                turn.actions.push(NodeAction::Send(peer.clone(), message));
            }
            return false;
        }
        if !body.is_answer() {
            return standing == Standing::Voter;
        }
        match self.engine.recognise(peer, incarnation, standing) {
            Ok(()) => true,
            Err(refused) => {
                self.note_refused(peer.clone(), &refused);
                false
            }
        }
    }

    /// What a voter answered it must still know when it comes back.
    pub(super) fn note_answer(&mut self, peer: &NodeId, life: Life, message: &Message) {
        let term = message.term;
        let promise = match message.body {
            Body::Appended { index, .. } => Promise { term, index },
            Body::Vote { granted: true, .. } => Promise {
                term,
                ..Promise::default()
            },
            Body::Append { .. }
            | Body::AppendRefused { .. }
            | Body::Heartbeat { .. }
            | Body::HeartbeatAnswer { .. }
            | Body::RequestPreVote { .. }
            | Body::PreVote { .. }
            | Body::RequestVote { .. }
            | Body::Vote { .. }
            | Body::Snapshot { .. }
            | Body::StandNow => return,
        };
        self.membership.note_promise(peer, life, promise);
    }

    /// A peer knows more of this node's state directory than the directory itself.
    pub(super) fn on_dismissed(
        &mut self,
        incarnation: Incarnation,
        life: Life,
        why: Dismissal,
        turn: &mut Turn,
    ) {
        if incarnation == self.incarnation() && life == self.life {
            turn.actions.push(NodeAction::Leave(why));
        }
    }

    /// Writes the next step of the birth down, if there is one.
    pub(super) fn advance_birth(&mut self, turn: &mut Turn) {
        if let Some(seat) = self.membership.next_seat() {
            turn.actions.push(NodeAction::Persist(Batch::Begin(seat)));
        }
    }

    /// A step of the birth is on disk; false when something else was written.
    pub(super) fn on_seat_written(&mut self, turn: &mut Turn) -> bool {
        if !self.membership.written() {
            return false;
        }
        if let Some(cluster) = self.cluster() {
            self.engine.take_seat(self.membership.seat());
            turn.actions.push(NodeAction::Belong(cluster));
            let incarnation = self.incarnation();
            if self.engine.standing() == Standing::Voter {
                tracing::info!(%cluster, %incarnation, "a new cluster begins");
            } else {
                tracing::warn!(%cluster, %incarnation, "the state directory is new: asking to rejoin the cluster");
            }
        }
        self.announce_to_all(turn);
        true
    }

    /// Tells the others when this node becomes a voter.
    pub(super) fn note_standing(&mut self, turn: &mut Turn) {
        let standing = self.engine.standing();
        if self.told_standing != standing {
            self.told_standing = standing;
            self.announce_to_all(turn);
        }
    }
}
