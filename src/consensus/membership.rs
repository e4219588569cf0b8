//! How a cluster is born, and whether a state directory still is what it was when others heard of it.
//!
//! Pure: links come up and announcements come in; what to write down next comes out.
//!
//! A birth survives a crash at any moment, since each step is on disk before it is announced, and
//! nobody votes before all voters have written down that they are ready for the same birth.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::seat::{Promise, Seat, Stage, Standing};
use crate::model::{ClusterId, Incarnation, Life, NodeId};

/// What a node says of its state directory when a link comes up, and when that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The directory.
    pub seat: Seat,
    /// What may be counted of what it says.
    pub standing: Standing,
    /// How far its promises went when this process started, as its directory has it.
    pub knew: Promise,
}

/// What became of an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Taken in.
    Taken,
    /// Not from the process that the link is with, or absurd.
    Ignored,
    /// Its directory is older than what it has told this node before: a restored backup, or a copy.
    Outdated,
}

/// What a node that is no voter yet waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// The cluster is born once these voters are there too.
    Birth(BTreeSet<NodeId>),
    /// All are there; the birth is being written down.
    Agreement,
    /// The others have to let this new state directory in.
    Rejoin,
}

impl fmt::Display for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Birth(missing) => {
                let names: Vec<&str> = missing.iter().map(NodeId::as_str).collect();
                let names = names.join(", ");
                write!(
                    formatter,
                    "a new cluster begins when all its voters are there: waiting for {names}"
                )
            }
            Self::Agreement => formatter.write_str("all voters are there: the cluster begins"),
            Self::Rejoin => formatter.write_str(
                "its state directory is new: it votes again once a leader and a majority of the other \
                 voters let it rejoin",
            ),
        }
    }
}

/// One peer, as its announcements and its promises show it.
#[derive(Debug, Default)]
struct Peer {
    /// The process that the link is with, or last was.
    life: Option<Life>,
    is_up: bool,
    /// What that process announced last.
    announced: Option<Announcement>,
    /// The newest that any process said or promised on behalf of one state directory.
    memory: Option<Memory>,
}

#[derive(Debug, Clone, Copy)]
struct Memory {
    incarnation: Incarnation,
    starts: u64,
    life: Life,
    promise: Promise,
}

/// This node's part in the birth, and its memory of the others' state directories.
#[derive(Debug)]
pub struct Membership {
    node: NodeId,
    voters: BTreeSet<NodeId>,
    seat: Seat,
    /// The id of the cluster, should this node have to name it.
    proposal: ClusterId,
    knew: Promise,
    peers: BTreeMap<NodeId, Peer>,
    writing: Option<Seat>,
}

impl Membership {
    /// Begins with what the disk says.
    #[must_use]
    pub fn new(
        node: NodeId,
        voters: BTreeSet<NodeId>,
        seat: Seat,
        knew: Promise,
        proposal: ClusterId,
    ) -> Self {
        let peers = voters.iter().filter(|voter| **voter != node);
        let peers = peers.map(|peer| (peer.clone(), Peer::default())).collect();
        Self {
            node,
            voters,
            seat,
            proposal,
            knew,
            peers,
            writing: None,
        }
    }

    /// What this node's directory says.
    #[must_use]
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// What to tell the others.
    #[must_use]
    pub fn announcement(&self, standing: Standing) -> Announcement {
        Announcement {
            seat: self.seat.clone(),
            standing,
            knew: self.knew,
        }
    }

    /// A link to a process of a peer came up.
    pub fn link_up(&mut self, peer: &NodeId, life: Life) {
        if let Some(peer) = self.peers.get_mut(peer) {
            if peer.life != Some(life) {
                peer.life = Some(life);
                peer.announced = None;
            }
            peer.is_up = true;
        }
    }

    /// A link went down.
    pub fn link_down(&mut self, peer: &NodeId) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.is_up = false;
        }
    }

    /// Takes in what a process of a peer announces.
    pub fn hear(&mut self, name: &NodeId, life: Life, announcement: Announcement) -> Heard {
        let voters = &self.voters;
        let Some(peer) = self.peers.get_mut(name) else {
            return Heard::Ignored;
        };
        let names = match &announcement.seat.stage {
            Stage::Member { founders, .. } => founders.keys().eq(voters),
            Stage::Empty | Stage::Forming { .. } => true,
        };
        if peer.life != Some(life) || !names {
            return Heard::Ignored;
        }
        let memory = Memory {
            incarnation: announcement.seat.incarnation,
            starts: announcement.seat.starts,
            life,
            promise: announcement.knew,
        };
        let promise = match &peer.memory {
            Some(held) if held.incarnation == memory.incarnation => {
                if held.life != life
                    && (memory.starts <= held.starts || memory.promise < held.promise)
                {
                    peer.announced = None;
                    return Heard::Outdated;
                }
                held.promise.max(memory.promise)
            }
            Some(_) | None => memory.promise,
        };
        peer.memory = Some(Memory { promise, ..memory });
        peer.announced = Some(announcement);
        Heard::Taken
    }

    /// Takes note of what a peer promised.
    pub fn note_promise(&mut self, name: &NodeId, life: Life, promise: Promise) {
        let memory = self
            .peers
            .get_mut(name)
            .and_then(|peer| peer.memory.as_mut());
        if let Some(memory) = memory.filter(|memory| memory.life == life) {
            memory.promise = memory.promise.max(promise);
        }
    }

    /// Which directory a process of a peer announced; none before it did.
    #[must_use]
    pub fn announced(&self, name: &NodeId, life: Life) -> Option<&Announcement> {
        let peer = self.peers.get(name)?;
        peer.announced.as_ref().filter(|_| peer.life == Some(life))
    }

    /// Whether a message comes from the process that the link is with.
    #[must_use]
    pub fn is_current(&self, name: &NodeId, life: Life) -> bool {
        self.peers
            .get(name)
            .is_some_and(|peer| peer.life == Some(life))
    }

    /// What to write down now, if anything; then call [`Self::written`].
    pub fn next_seat(&mut self) -> Option<Seat> {
        if self.writing.is_some() {
            return None;
        }
        let stage = self.next_stage()?;
        let seat = Seat {
            stage,
            ..self.seat.clone()
        };
        self.writing = Some(seat.clone());
        Some(seat)
    }

    /// Takes note that what was to be written is on disk; whether there was something.
    pub fn written(&mut self) -> bool {
        let Some(seat) = self.writing.take() else {
            return false;
        };
        self.seat = seat;
        true
    }

    /// What this node waits for.
    #[must_use]
    pub fn waiting(&self, standing: Standing) -> Option<Waiting> {
        match standing {
            Standing::Voter => None,
            Standing::Rejoining => Some(Waiting::Rejoin),
            Standing::Unborn => {
                let missing: BTreeSet<NodeId> = self
                    .peers
                    .iter()
                    .filter(|(_, peer)| peer.present().is_none())
                    .map(|(name, _)| name.clone())
                    .collect();
                Some(if missing.is_empty() {
                    Waiting::Agreement
                } else {
                    Waiting::Birth(missing)
                })
            }
        }
    }

    fn next_stage(&self) -> Option<Stage> {
        let own = match &self.seat.stage {
            Stage::Member { .. } => return None,
            Stage::Empty => None,
            Stage::Forming { cluster } => Some(*cluster),
        };
        // Whether this directory is one of the founders or has to rejoin follows from their names.
        if let Some(member) = self.present().find_map(|(_, seat)| member_stage(seat)) {
            return Some(member.clone());
        }
        let others: BTreeMap<&NodeId, &Seat> = self.present().collect();
        let first = self.voters.first()?;
        if *first != self.node {
            let forming = forming(others.get(first)?)?;
            return (own != Some(forming)).then_some(Stage::Forming { cluster: forming });
        }
        if others.len() < self.peers.len() {
            return None;
        }
        let Some(cluster) = own else {
            let cluster = self.proposal;
            return Some(Stage::Forming { cluster });
        };
        if others.values().any(|seat| forming(seat) != Some(cluster)) {
            return None;
        }
        let others = others.into_iter();
        let mut founders: BTreeMap<NodeId, Incarnation> = others
            .map(|(peer, seat)| (peer.clone(), seat.incarnation))
            .collect();
        founders.insert(self.node.clone(), self.seat.incarnation);
        Some(Stage::Member { cluster, founders })
    }

    /// The directories of those that are there at this moment.
    fn present(&self) -> impl Iterator<Item = (&NodeId, &Seat)> {
        let peers = self.peers.iter();
        peers.filter_map(|(name, peer)| Some((name, peer.present()?)))
    }
}

impl Peer {
    fn present(&self) -> Option<&Seat> {
        let announced = self.announced.as_ref().filter(|_| self.is_up)?;
        Some(&announced.seat)
    }
}

fn member_stage(seat: &Seat) -> Option<&Stage> {
    match &seat.stage {
        Stage::Member { .. } => Some(&seat.stage),
        Stage::Empty | Stage::Forming { .. } => None,
    }
}

fn forming(seat: &Seat) -> Option<ClusterId> {
    match &seat.stage {
        Stage::Forming { cluster } => Some(*cluster),
        Stage::Empty | Stage::Member { .. } => None,
    }
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
