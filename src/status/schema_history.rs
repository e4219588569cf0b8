//! The JSON of `/v1/history`: how each failover went, why, and what it cost.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::schema::PassedOver;
use super::schema_pause::PauseReport;
use super::schema_switchover::GivenUpReport;
use crate::decision::{Cause, OperationId, StepName};
use crate::model::{Endpoint, Epoch, GroupName, NodeId, UnixTime};

/// `/v1/history`: the failovers that the groups remember, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryReport {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The failovers of all groups.
    pub failovers: Vec<FailoverReport>,
    /// Their pauses, the newest first.
    pub pauses: Vec<PauseReport>,
    /// Their switchovers for which no epoch began, the newest first.
    pub given_up: Vec<GivenUpReport>,
}

/// One failover, or switchover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailoverReport {
    /// The group.
    pub group: GroupName,
    /// The epoch that began.
    pub epoch: Epoch,
    /// The master that was lost, or handed its place over.
    pub from: Endpoint,
    /// The replica that was chosen, or the same master when it is kept.
    pub to: Endpoint,
    /// When it began, by the leader's clock, in milliseconds since 1970.
    pub at: UnixTime,
    /// The strongest cause among the views, or `switchover`.
    pub cause: CauseName,
    /// Who asked for the switchover.
    pub asked_by: Option<String>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// By which operation.
    pub operation: Option<OperationId>,
    /// Who held the master down, and why.
    pub views: Vec<ViewReport>,
    /// How many views were needed.
    pub needed: usize,
    /// How it ended.
    pub outcome: OutcomeName,
    /// Why it was aborted.
    pub why: Option<String>,
    /// Who was not eligible, and why.
    pub passed_over: Vec<PassedOver>,
    /// What happened, in order; empty before the end.
    pub steps: Vec<StepReport>,
    /// Bytes of the old master's stream that the new one may lack, at most, by estimate; `null` where
    /// the leader never saw how far the old master was.
    pub loss_estimate_bytes: Option<u64>,
    /// Bytes that it lacks in fact; `null` until the old master is back.
    pub loss_bytes: Option<u64>,
    /// The leader that decided it.
    pub leader: NodeId,
}

/// Why an epoch began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CauseName {
    /// The master was lost.
    Lost(Cause),
    /// Somebody asked for it.
    Planned(Planned),
}

/// What somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Planned {
    /// Another master.
    Switchover,
}

impl fmt::Display for CauseName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(cause) => cause.fmt(formatter),
            Self::Planned(Planned::Switchover) => formatter.pad("switchover"),
        }
    }
}

/// One node's view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewReport {
    /// The node.
    pub node: NodeId,
    /// Why it held the master down.
    pub cause: Cause,
}

/// How a failover ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeName {
    /// It has not.
    Open,
    /// The candidate is the master.
    Done,
    /// Nobody was promoted.
    Aborted,
}

impl fmt::Display for OutcomeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Open => "under way",
            Self::Done => "done",
            Self::Aborted => "aborted",
        })
    }
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// What.
    pub step: StepName,
    /// Milliseconds since the first evidence of the loss, or since somebody asked, to the microsecond.
    pub after_ms: f64,
    /// Milliseconds since the step before it, to the microsecond.
    pub took_ms: f64,
}
