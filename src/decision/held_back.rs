//! Why nothing is done about a group although it is watched.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::sentinels::SentinelWatch;

/// Why nothing is done about a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub enum HeldBack {
    /// It is paused.
    #[error("it is paused by {by}")]
    Paused {
        /// Who paused it.
        by: String,
    },
    /// Fencing is to be strict, and cannot be yet.
    #[error("strict fencing is not in force: {why}")]
    NoLease {
        /// What is missing.
        why: String,
    },
    /// Sentinels watch it too.
    #[error(
        "{} Sentinels watch it too, at {}: stop them (SENTINEL REMOVE), or set TAKE_OVER",
        .0.sentinels, .0.instance
    )]
    Sentinels(SentinelWatch),
}
