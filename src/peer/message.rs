//! What daemons say to one another over a link.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::FRAME_LENGTH_MAX;
use crate::consensus::{self, Announcement, Promise, Standing};
use crate::decision::{LeaseMessage, Report, Request};
use crate::model::{Incarnation, Life, LogIndex};

/// One message. Its form belongs to the protocol version that the handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// Of the consensus engine.
    Engine {
        /// The sender's state directory.
        incarnation: Incarnation,
        /// What may be counted of what it says.
        standing: Standing,
        /// What it says.
        message: consensus::Message,
    },
    /// What the sender sees.
    Report(PeerReport),
    /// A lease is asked for, or granted.
    Lease(LeaseMessage),
    /// What an administrator wants of whoever leads.
    Request(Request),
    /// What the sender says of its state directory.
    Announce(Announcement),
    /// The receiver has not announced its state directory.
    Introduce,
    /// The receiver's state directory may not speak for it.
    Dismiss {
        /// The directory.
        incarnation: Incarnation,
        /// The process that announced it.
        life: Life,
        /// Why.
        why: Dismissal,
    },
}

/// Why a state directory may not speak for its voter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dismissal {
    /// It promised more than it knows: it is a restored backup, or a copy.
    Outdated,
    /// Another one has taken its place.
    Superseded,
}

/// What a node sees, and how far a leader's log is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReport {
    /// What it sees.
    pub report: Report,
    /// From a leader that may act: whoever has applied up to here is current.
    pub committed: Option<LogIndex>,
    /// How far the sender's promises to anybody go.
    pub promise: Promise,
}

/// Bytes that are no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "a message of {length} bytes cannot be read ({reason}): run the same promoterd on all nodes"
)]
pub struct InvalidMessage {
    length: usize,
    reason: String,
}

impl PeerMessage {
    /// The bytes for the link.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a message holds nothing that cannot be encoded")
    }

    /// Reads a message from a link.
    ///
    /// # Errors
    /// [`InvalidMessage`] when the bytes are none, or too many.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidMessage> {
        let invalid = |reason: String| InvalidMessage {
            length: bytes.len(),
            reason,
        };
        if bytes.len() > FRAME_LENGTH_MAX {
            return Err(invalid(format!("at most {FRAME_LENGTH_MAX} are allowed")));
        }
        postcard::from_bytes(bytes).map_err(|error| invalid(error.to_string()))
    }
}
