//! What daemons say to one another over a link.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::FRAME_LENGTH_MAX;
use crate::consensus;
use crate::decision::{Report, Request};
use crate::model::LogIndex;

/// One message. Its form belongs to the protocol version that the handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// Of the consensus engine.
    Engine(consensus::Message),
    /// What the sender sees.
    Report(PeerReport),
    /// What an administrator wants of whoever leads.
    Request(Request),
}

/// What a node sees, and how far a leader's log is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReport {
    /// What it sees.
    pub report: Report,
    /// From a leader that may act: whoever has applied up to here is current.
    pub committed: Option<LogIndex>,
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
