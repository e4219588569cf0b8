//! What a follower tells: that a voter is there, what that one told, and why it is left.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::knowledge::{Knowledge, OtherCluster};
use super::word::{ObserverRefusal, PublicGroup};
use crate::model::{GroupName, NodeId};
use crate::peer::session::SessionError;

/// For the answer of a voter to which hundreds of others may come in the same moment.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Silence of a voter after which it is left: two signs of life were lost.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(5);

/// What a follower tells. Of each voter: `Attached`, any number of `Told`, `Lost`; or `Lost` at once.
#[derive(Debug)]
pub enum FollowEvent {
    /// A voter is there and tells from now on.
    Attached {
        /// The voter.
        voter: NodeId,
        /// Where.
        address: SocketAddr,
    },
    /// It told something.
    Told {
        /// Whether it knows a leader, and one confirmed its state.
        is_confirmed: bool,
        /// The groups of which it told something new.
        taken: BTreeMap<GroupName, Arc<PublicGroup>>,
        /// All that is known now.
        knowledge: Knowledge,
    },
    /// It is not followed, or no longer.
    Lost {
        /// The voter.
        voter: NodeId,
        /// Why.
        reason: LostReason,
        /// When anything came from it last; none when nothing did.
        heard_at: Option<std::time::Instant>,
    },
}

/// Why a voter is not followed, or no longer.
#[derive(Debug, Error)]
pub enum LostReason {
    /// There is no connection to it.
    #[error("{0}")]
    Unreachable(String),
    /// It did not answer.
    #[error(
        "it did not answer within {ANSWER_WITHIN:?}: is its observers' port there, and not overloaded?"
    )]
    NoAnswer,
    /// It hung up before it had answered.
    #[error(
        "it closed the connection without an answer: is PROMOTERD_PEER_KEY_FILE what `promoterd keygen --observer` \
         prints on a voter, and does PROMOTERD_PEERS name the observers' port?"
    )]
    Unwelcome,
    /// It closed the connection: it stopped, or crashed.
    #[error("it closed the connection")]
    Closed,
    /// The system reports an error.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// What it says is not understood.
    #[error("what it says is not understood: run the same release of promoterd on all hosts")]
    Session(#[from] SessionError),
    /// It tells us nothing.
    #[error("it refuses this observer")]
    Refused(#[source] ObserverRefusal),
    /// Somebody else is there.
    #[error("{found} answers there: correct PROMOTERD_PEERS")]
    WrongVoter {
        /// Who.
        found: NodeId,
    },
    /// It said nothing for too long.
    #[error("it said nothing for {SILENT_AFTER:?}")]
    Silent,
    /// It takes nothing.
    #[error("it does not read what it is told")]
    Slow,
    /// It knows no leader, and another one may.
    #[error("it has had no leader for {0:?}: another one is asked")]
    Leaderless(Duration),
    /// What it tells is not about our cluster.
    #[error("nothing that it tells is taken")]
    OtherCluster(#[from] OtherCluster),
}
