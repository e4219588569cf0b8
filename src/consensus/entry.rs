//! What the replicated log is made of, and what goes to the disk in one piece.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::seat::Seat;
use crate::model::{LogIndex, NodeId, Term};

/// Bytes that the engine carries and never looks into. A clone shares them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload(Bytes);

impl Payload {
    pub(super) fn from_shared(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(super) fn into_shared(self) -> Bytes {
        self.0
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

struct PayloadVisitor;

impl<'de> Visitor<'de> for PayloadVisitor {
    type Value = Payload;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Payload, E> {
        Ok(Payload(Bytes::copy_from_slice(bytes)))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Payload, E> {
        Ok(bytes.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Payload, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = sequence.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes.into())
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(PayloadVisitor)
    }
}

/// A place in the log and the term of the entry there; all 0 before the first entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Position {
    /// Where.
    pub index: LogIndex,
    /// In which term the entry there was proposed.
    pub term: Term,
}

/// One entry of the log, committed or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Where it stands.
    pub index: LogIndex,
    /// The term of the leader that proposed it.
    pub term: Term,
    /// What was proposed; empty for the entry by which a new leader establishes itself.
    pub payload: Payload,
}

/// An entry that is committed and on our own disk: apply it now.
pub type CommittedEntry = LogEntry;

/// What a voter must never forget, and how far it knew the log to be committed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HardState {
    /// The newest term it has seen.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
    /// Everything up to here is committed. May lag behind the truth: see [`Batch`].
    pub committed: LogIndex,
}

/// The state machine's state once everything up to `position` is applied.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SnapshotData {
    /// The last entry that it contains.
    pub position: Position,
    /// The state, encoded by its owner.
    pub state: Payload,
}

/// What goes to the disk in one piece: after a crash it is there as a whole, or not at all.
///
/// A commit index that alone changed makes no batch; it travels with the next one. That is safe,
/// since the entries below it are durable on a majority: whoever leads next holds them all and commits
/// them again. A node that restarts merely learns a little later what it knew before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Batch {
    /// Written behind what is there: one write, one fdatasync.
    Append {
        /// The hard state, where it changed.
        hard_state: Option<HardState>,
        /// Without a gap; what the log held at the first one's index and behind it is void.
        entries: Vec<LogEntry>,
    },
    /// Takes the place of all that is there: after a compaction, or when a leader sent its snapshot.
    Replace {
        /// The state that stands for all earlier entries.
        snapshot: SnapshotData,
        /// The hard state.
        hard_state: HardState,
        /// All entries behind the snapshot, without a gap.
        entries: Vec<LogEntry>,
    },
    /// Takes the place of all that is there: what the directory says of itself, and an empty log. Only
    /// before the cluster is born for this node.
    Begin(Seat),
}
