//! Which state directory speaks for a voter, and what may be counted of what it says.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::entry::Payload;
use crate::model::{ClusterId, Incarnation, LogIndex, NodeId, Term};

/// First byte of the engine's own entries. What others propose never begins with it.
pub(super) const OWN_ENTRY: u8 = 0xff;

/// Incarnations that lost their seat and are remembered.
const FORMER_MAX: usize = 256;

/// What a state directory says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Drawn when the directory was begun.
    pub incarnation: Incarnation,
    /// How often a daemon was started on it.
    pub starts: u64,
    /// How far it belongs to a cluster.
    pub stage: Stage,
}

/// How far a state directory belongs to a cluster.
///
/// ```text
/// Empty ──the lowest voter sees all others, none a member──▶ Forming ──all are forming──▶ Member
///   └──────────────── some other is a member already ──────────────────────────────────────▲
/// ```
/// A forming voter has promised nothing, so it may change over to another birth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Nothing was agreed on.
    Empty,
    /// This voter is ready for the birth of this cluster.
    Forming {
        /// Its id.
        cluster: ClusterId,
    },
    /// The cluster is born: all its voters were there and had empty state.
    Member {
        /// Its id.
        cluster: ClusterId,
        /// The incarnations that were there at its birth.
        founders: BTreeMap<NodeId, Incarnation>,
    },
}

impl Seat {
    /// Of a directory that has just been begun.
    #[must_use]
    pub fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            starts: 0,
            stage: Stage::Empty,
        }
    }

    /// The cluster that it is a member of.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        match &self.stage {
            Stage::Empty | Stage::Forming { .. } => None,
            Stage::Member { cluster, .. } => Some(*cluster),
        }
    }
}

/// What may be counted of what a voter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Its cluster is not born: it says nothing that could be counted.
    Unborn,
    /// Its state directory has not been let in: it is sent all entries, and neither votes nor
    /// acknowledges.
    Rejoining,
    /// All of it.
    Voter,
}

/// How far a voter's promises go: of entries acknowledged, and votes given.
///
/// Within one term a voter only ever holds more of what it acknowledged, so one that comes back with
/// less has lost some of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Promise {
    /// The newest term that it took part in.
    pub term: Term,
    /// The newest entry that it acknowledged in that term.
    pub index: LogIndex,
}

/// The log entry by which a voter's new state directory takes the place of the one that it lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejoin {
    /// The voter.
    pub node: NodeId,
    /// Its new incarnation.
    pub incarnation: Incarnation,
}

impl Rejoin {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![OWN_ENTRY]).expect("a name and a number always encode")
    }

    /// The rejoin that an entry holds, if it is one.
    #[must_use]
    pub fn decode(payload: &Payload) -> Option<Self> {
        let (first, rest) = payload.split_first()?;
        if *first != OWN_ENTRY {
            return None;
        }
        postcard::from_bytes(rest).ok()
    }
}

/// Of each voter the incarnation that may vote and acknowledge, as committed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Seats {
    current: BTreeMap<NodeId, Incarnation>,
    former: VecDeque<Incarnation>,
}

impl Seats {
    /// Those of a cluster at its birth.
    #[must_use]
    pub fn of(founders: BTreeMap<NodeId, Incarnation>) -> Self {
        Self {
            current: founders,
            former: VecDeque::new(),
        }
    }

    /// The incarnation that speaks for a voter.
    #[must_use]
    pub fn get(&self, node: &NodeId) -> Option<Incarnation> {
        self.current.get(node).copied()
    }

    /// Whether another one took the place of this incarnation.
    #[must_use]
    pub fn is_former(&self, incarnation: Incarnation) -> bool {
        self.former.contains(&incarnation)
    }

    /// Takes in a committed rejoin. One that comes too late, or a second time, changes nothing.
    pub fn apply(&mut self, rejoin: Rejoin) {
        let Rejoin { node, incarnation } = rejoin;
        if self.get(&node) == Some(incarnation) || self.is_former(incarnation) {
            return;
        }
        if let Some(former) = self.current.insert(node, incarnation) {
            if self.former.len() == FORMER_MAX {
                self.former.pop_front();
            }
            self.former.push_back(former);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeId {
        "a".parse().unwrap()
    }

    fn rejoin(incarnation: u64) -> Rejoin {
        Rejoin {
            node: node(),
            incarnation: Incarnation(incarnation),
        }
    }

    #[test]
    fn an_incarnation_that_lost_its_seat_never_gets_it_back() {
        let mut seats = Seats::of(BTreeMap::from([(node(), Incarnation(1))]));
        for (next, holds) in [(1, 1), (2, 2), (2, 2), (1, 2), (3, 3), (2, 3), (1, 3)] {
            seats.apply(rejoin(next));
            assert_eq!(seats.get(&node()), Some(Incarnation(holds)), "after {next}");
        }
        assert!(seats.is_former(Incarnation(1)) && seats.is_former(Incarnation(2)));
        assert!(!seats.is_former(Incarnation(3)));
    }

    #[test]
    fn a_rejoin_is_told_from_every_other_entry() {
        let payload = Payload::from(rejoin(7).encode());
        assert_eq!(Rejoin::decode(&payload), Some(rejoin(7)));
        for other in [vec![], vec![OWN_ENTRY], vec![0, 1, 2], vec![OWN_ENTRY, 200]] {
            assert_eq!(Rejoin::decode(&Payload::from(other)), None);
        }
    }
}
