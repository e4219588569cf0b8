//! What peers say to a node, and what its engine says to them.

use std::mem::discriminant;

use super::{Node, NodeAction, Turn};
use crate::consensus::{Outgoing, Refused};
use crate::decision::Event;
use crate::model::{Life, NodeId};
use crate::peer::{PeerMessage, PeerReport};

impl Node {
    pub(super) fn on_message(
        &mut self,
        peer: NodeId,
        life: Life,
        message: PeerMessage,
        turn: &mut Turn,
    ) {
        self.supervisor.hear(&peer, turn.now);
        match message {
            PeerMessage::Engine {
                incarnation,
                standing,
                message,
            } => {
                let sender = (incarnation, standing);
                if !self.may_take_in(&peer, life, sender, &message.body, turn) {
                    return;
                }
                self.note_answer(&peer, life, &message);
                if let Err(refused) = self.engine.receive(&peer, message) {
                    self.note_refused(peer, &refused);
                }
            }
            PeerMessage::Lease(message) => {
                let event = Event::Leased { peer, message };
                turn.pending.extend(self.supervisor.handle(event, turn.now));
            }
            PeerMessage::Request(request) => {
                let event = Event::Forwarded(request);
                turn.pending.extend(self.supervisor.handle(event, turn.now));
            }
            PeerMessage::Announce(announcement) => {
                self.on_announced(&peer, life, announcement, turn);
            }
            PeerMessage::Introduce => self.announce_to(&peer, turn),
            PeerMessage::Dismiss {
                incarnation,
                life,
                why,
            } => self.on_dismissed(incarnation, life, why, turn),
            PeerMessage::Report(PeerReport {
                report,
                committed,
                promise,
            }) => {
                self.membership.note_promise(&peer, life, promise);
                // One that was deposed and has not heard of it names an index of the past.
                let status = self.engine.status();
                if let Some(committed) = committed.filter(|_| status.leader.as_ref() == Some(&peer))
                {
                    self.confirm_at = Some(committed);
                    self.abreast.hear(&status, committed, turn.now);
                }
                let event = Event::PeerReported { peer, life, report };
                turn.pending.extend(self.supervisor.handle(event, turn.now));
            }
        }
    }

    /// A peer that contradicts what this node knows is told of once, until another one does.
    pub(super) fn note_refused(&mut self, peer: NodeId, refused: &Refused) {
        let kind = (peer, discriminant(refused));
        let peer = &kind.0;
        if !refused.is_alarming() || self.refused.as_ref() == Some(&kind) {
            tracing::debug!(%peer, %refused, "message refused");
            return;
        }
        tracing::warn!(%peer, "message refused: {refused}");
        self.refused = Some(kind);
    }

    pub(super) fn send(&self, outgoing: Vec<Outgoing>, turn: &mut Turn) {
        let (incarnation, standing) = (self.incarnation(), self.engine.standing());
        turn.actions
            .extend(outgoing.into_iter().map(|(to, message)| {
                let message = PeerMessage::Engine {
                    incarnation,
                    standing,
                    message,
                };
                NodeAction::Send(to, message)
            }));
    }
}
