//! What an engine tells those who drive it.

use thiserror::Error;

use super::entry::{Batch, CommittedEntry, SnapshotData};
use super::message::{Message, PAYLOAD_LENGTH_MAX, STATE_LENGTH_MAX};
use super::seat::Rejoin;
use crate::model::{LogIndex, NodeId, Term};

/// Most bytes proposed and not yet committed; beyond it proposals are turned away.
pub(super) const BACKLOG_MAX: u64 = 4 * 1024 * 1024;

/// A message and the voter it is for.
pub type Outgoing = (NodeId, Message);

/// What to do now. Apply `committed` before asking for the [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Ready {
    /// May leave before the disk has anything.
    pub send: Vec<Outgoing>,
    /// To be made durable; then call [`Engine::persisted`](super::Engine::persisted). None when nothing
    /// needs the disk.
    pub persist: Option<Batch>,
    /// Committed and durable: apply these. The empty entries of new leaders are left out.
    pub committed: Vec<CommittedEntry>,
    /// Committed: these state directories speak for their voters from now on.
    pub rejoined: Vec<Rejoin>,
}

/// What a finished write permits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Progress {
    /// These answers promised that it is written.
    pub send: Vec<Outgoing>,
    /// The state that takes the place of the present one.
    pub install: Option<SnapshotData>,
}

/// What a voter is in its term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Stands for election, or asks whether it should.
    Candidate,
    /// Was elected.
    Leader,
}

/// Where this voter stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The newest term it knows.
    pub term: Term,
    /// That term's leader, if it knows one.
    pub leader: Option<NodeId>,
    /// Its own part.
    pub role: Role,
    /// Everything up to here is committed.
    pub committed: LogIndex,
    /// Everything up to here was handed out to be applied.
    pub applied: LogIndex,
    /// It leads, and an entry of its own term was handed out: it has seen all that was ever committed
    /// before, so it may act.
    pub established: bool,
}

/// Why a proposal was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// Only the leader proposes.
    #[error("this node does not lead: propose where the leader is")]
    NotLeader {
        /// Who does, if it is known.
        leader: Option<NodeId>,
    },
    /// Leadership is on its way to another node.
    #[error("this node is handing its leadership over: propose again when there is a leader")]
    HandingOver,
    /// Too much is proposed and not yet committed.
    #[error("more than {BACKLOG_MAX} bytes wait to be committed: propose again later")]
    Backlogged,
    /// Empty, or longer than an entry may be.
    #[error("a proposal of {length} bytes: it must have 1 to {PAYLOAD_LENGTH_MAX}")]
    Length {
        /// How long it is.
        length: usize,
    },
}

/// Why the log was not compacted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CompactError {
    /// The state is not one that entries which were handed out lead to.
    #[error("cannot compact up to entry {index}: only {first} to {applied} are there and applied")]
    NotApplied {
        /// Where the state was said to stand.
        index: LogIndex,
        /// The first entry that is still there.
        first: LogIndex,
        /// The last that was handed out.
        applied: LogIndex,
    },
    /// A peer could not take it in one frame.
    #[error(
        "the state has {length} bytes, at most {STATE_LENGTH_MAX} can be sent: watch fewer groups"
    )]
    StateTooLong {
        /// How long it is.
        length: usize,
    },
}
