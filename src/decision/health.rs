//! Whether one node holds an instance down, and why.

use std::fmt;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Why an instance is held down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Proof: the node on its host saw the process exit, and its connection is gone.
    Exited,
    /// Proof: another process answers at its endpoint, without its history.
    Restarted,
    /// New connections are refused, and the old one is closed or does not answer.
    Gone,
    /// No valid reply for `down_after`.
    Silent,
    /// Our master says that it is a replica.
    WrongRole,
    /// It needs a lease to take writes, and nobody asks for one.
    Unleased,
}

impl Cause {
    /// Whether one view is enough.
    #[must_use]
    pub fn is_proof(self) -> bool {
        match self {
            Self::Exited | Self::Restarted => true,
            Self::Gone | Self::Silent | Self::WrongRole | Self::Unleased => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Exited => "exited",
            Self::Restarted => "restarted",
            Self::Gone => "gone",
            Self::Silent => "silent",
            Self::WrongRole => "wrong role",
            Self::Unleased => "unleased",
        })
    }
}

/// One node's judgement of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It has not been watched for long enough to say.
    Unknown,
    /// It answers.
    Up,
    /// Something is amiss, and not yet for long enough.
    Suspected {
        /// Since when.
        since: Instant,
    },
    /// Subjectively down.
    Down {
        /// Why.
        cause: Cause,
        /// The moment of the evidence: a sign of life after it speaks against the cause.
        since: Instant,
    },
}

/// What is wrong with an instance that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "detail")]
pub enum Trouble {
    /// It reads its data set.
    Loading,
    /// A script runs for too long.
    Busy,
    /// It does not accept our user or password, or forbids a command.
    Denied(String),
    /// It serves stale data, its master being down.
    MasterDown,
    /// Another error in answer to a probe.
    Error(String),
    /// It could not be reached, for another reason than a refusal.
    Unreachable(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loading => formatter.write_str("loading its data set"),
            Self::Busy => formatter.write_str("busy with a script"),
            Self::Denied(reply) => write!(formatter, "access denied: {reply}"),
            Self::MasterDown => formatter.write_str("its master is down"),
            Self::Error(reply) => write!(formatter, "answers: {reply}"),
            Self::Unreachable(reason) => formatter.write_str(reason),
        }
    }
}
