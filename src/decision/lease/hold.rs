//! What the core asks of the fencer: the root-side process that ends a server whose lease is over.

use std::time::Instant;

use thiserror::Error;

use crate::model::{Endpoint, GroupName};

/// Something that the fencer is to do about one process of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldOrder {
    /// The group.
    pub group: GroupName,
    /// The instance.
    pub instance: Endpoint,
    /// `process_id` of its INFO.
    pub process_id: u32,
    /// What.
    pub task: HoldTask,
}

/// What the fencer is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldTask {
    /// Say whether it could end this process, and whether what starts it again starts it fenced.
    Check,
    /// End the process at this moment, unless a later one is named before, or it is released.
    Until(Instant),
    /// Let it live.
    Release,
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldOutcome {
    /// The order.
    pub order: HoldOrder,
    /// Whether it is in force.
    pub result: Result<(), HoldFailure>,
}

/// Why the fencer does not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HoldFailure {
    /// It does not answer.
    #[error("the fencer does not answer ({0}): systemctl enable --now promoterd-fencer")]
    Absent(String),
    /// It may not end this process, or the process would start again and take writes.
    #[error("the fencer refuses: {0}")]
    Refused(String),
}
