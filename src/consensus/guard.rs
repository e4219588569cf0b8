//! Which messages the engine may see: raft-rs panics on some that contradict its state.

use thiserror::Error;

use super::entry::Position;
use super::message::{Absurd, Body, Message};
use crate::model::{LogIndex, NodeId, Term};

/// Why a message was not taken in. The engine is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// Not one of the voters, or ourselves.
    #[error(
        "message from {from}, which is no other voter: give all nodes the same PROMOTERD_PEERS"
    )]
    NotAVoter {
        /// The sender.
        from: NodeId,
    },
    /// It contradicts itself.
    #[error("message from {from} makes no sense: run the same version of promoterd on all nodes")]
    Absurd {
        /// The sender.
        from: NodeId,
        /// How.
        #[source]
        source: Absurd,
    },
    /// The leader holds that we have entries which we do not have.
    #[error(
        "leader {from} holds that this node has entry {committed}, its log ends at {last}: some of it was \
         lost; stop this node and empty its state directory, and it rejoins"
    )]
    LostEntries {
        /// The leader.
        from: NodeId,
        /// What it believes.
        committed: LogIndex,
        /// The end of our log.
        last: LogIndex,
    },
    /// A follower acknowledges what this leader never sent.
    #[error(
        "{from} acknowledges entry {index}, the leader's log ends at {last}: this node's state was lost; \
         stop it, and start it with an empty state directory"
    )]
    UnsentEntries {
        /// The follower.
        from: NodeId,
        /// What it acknowledges.
        index: LogIndex,
        /// The end of our log.
        last: LogIndex,
    },
    /// A vote, although we have not asked for one.
    #[error(
        "{from} votes for this node in term {term}, which never asked for it there: its state was lost"
    )]
    UnaskedVote {
        /// The voter.
        from: NodeId,
        /// The term.
        term: Term,
    },
    /// Only the leader of the present term hands over.
    #[error(
        "{from} tells this node to stand for election and is not its leader: the message is late or forged"
    )]
    NotTheLeader {
        /// The sender.
        from: NodeId,
    },
    /// A snapshot that contradicts what is committed.
    #[error(
        "snapshot from {from} contradicts committed entry {index}: one of the two nodes belongs to another \
         cluster; compare their state directories"
    )]
    OtherHistory {
        /// The sender.
        from: NodeId,
        /// Where.
        index: LogIndex,
    },
    /// This node's cluster is not born yet.
    #[error("this node's cluster is not born yet: its other voters have to be there first")]
    Unborn,
    /// This node's state directory is new, and has no vote.
    #[error("this node's state directory is new: it votes once the leader has let it rejoin")]
    Rejoining,
    /// What a state directory says that was not let in cannot be counted.
    #[error("{from} may not be counted before it has rejoined")]
    NotSeated {
        /// The sender.
        from: NodeId,
    },
    /// Another state directory speaks for the voter.
    #[error(
        "another state directory has taken the place of the one that {from} has: stop it, or empty it"
    )]
    Superseded {
        /// The sender.
        from: NodeId,
    },
    /// A snapshot is being written; until it is durable nothing else is taken in.
    #[error("this node is writing a snapshot: the sender will repeat itself")]
    Installing,
}

impl Refused {
    /// Whether a node lost its state or runs something else, so that somebody has to look; the others
    /// happen in a cluster that is well.
    #[must_use]
    pub fn is_alarming(&self) -> bool {
        match self {
            Self::Absurd { .. }
            | Self::LostEntries { .. }
            | Self::UnsentEntries { .. }
            | Self::UnaskedVote { .. }
            | Self::OtherHistory { .. } => true,
            Self::NotAVoter { .. }
            | Self::NotTheLeader { .. }
            | Self::Unborn
            | Self::Rejoining
            | Self::NotSeated { .. }
            | Self::Superseded { .. }
            | Self::Installing => false,
        }
    }
}

/// What of the engine's state decides whether a message may be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) term: Term,
    pub(super) is_leader: bool,
    pub(super) leader: Option<NodeId>,
    pub(super) last: LogIndex,
    pub(super) committed: Position,
    /// We stand for election, and our own vote or some entry is not durable yet: no request has left.
    pub(super) stands_unannounced: bool,
}

impl View {
    /// Refuses what would make the engine panic or believe the impossible.
    pub(super) fn admit(&self, from: &NodeId, message: &Message) -> Result<(), Refused> {
        message.check().map_err(|source| Refused::Absurd {
            from: from.clone(),
            source,
        })?;
        let from = from.clone();
        let last = self.last;
        match &message.body {
            // A follower with a shorter log than it once acknowledged must not be counted: by not
            // answering it is not, and pre-vote keeps it from disturbing the others.
            Body::Heartbeat { committed } if message.term >= self.term && *committed > last => {
                let committed = *committed;
                Err(Refused::LostEntries {
                    from,
                    committed,
                    last,
                })
            }
            Body::Appended { index, .. }
                if self.is_leader && message.term == self.term && *index > last =>
            {
                let index = *index;
                Err(Refused::UnsentEntries { from, index, last })
            }
            Body::Vote { .. } if message.term == self.term && self.stands_unannounced => {
                let term = self.term;
                Err(Refused::UnaskedVote { from, term })
            }
            Body::StandNow if message.term != self.term || self.leader.as_ref() != Some(&from) => {
                Err(Refused::NotTheLeader { from })
            }
            Body::Snapshot { position, .. }
                if position.index == self.committed.index && *position != self.committed =>
            {
                let index = position.index;
                Err(Refused::OtherHistory { from, index })
            }
            Body::Append { .. }
            | Body::Appended { .. }
            | Body::AppendRefused { .. }
            | Body::Heartbeat { .. }
            | Body::HeartbeatAnswer { .. }
            | Body::RequestPreVote { .. }
            | Body::PreVote { .. }
            | Body::RequestVote { .. }
            | Body::Vote { .. }
            | Body::Snapshot { .. }
            | Body::StandNow => Ok(()),
        }
    }
}
