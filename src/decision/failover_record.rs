//! What is kept of one epoch: how it began, and how it ended.

use serde::{Deserialize, Serialize};

use super::entry::{AbortReason, Begin, Step};

/// One epoch: how it began, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverRecord {
    /// How it began.
    pub begin: Begin,
    /// How it ended.
    pub outcome: Outcome,
    /// What happened, in order.
    pub steps: Vec<Step>,
    /// Bytes of the old master's stream that the new one never got, once the old one was back.
    pub loss: Option<u64>,
}

/// How an epoch ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has not.
    Open,
    /// The candidate is the master.
    Done,
    /// Nobody was promoted.
    Aborted(AbortReason),
}
