//! The JSON of switchovers: what became of one that was asked for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::convert_failover::precise_milliseconds;
use super::source::SwitchoverOverview;
use crate::decision::{FailoverRecord, GivenUp, OperationId, Outcome, StepName};
use crate::model::{Endpoint, Epoch, GroupName, UnixTime};

/// How a switchover ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchoverOutcome {
    /// Its epoch is open.
    Open,
    /// The replica is the master.
    Done,
    /// Its epoch came to nothing: the master keeps its place, or is replaced in another epoch.
    Aborted,
    /// It came to nothing before an epoch began: the master kept its place.
    GivenUp,
}

/// What an operation came to that asked for a switchover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SwitchoverReport {
    /// How it ended.
    pub outcome: SwitchoverOutcome,
    /// Its epoch; `null` when none began.
    pub epoch: Option<Epoch>,
    /// The master that handed its place over.
    pub from: Option<Endpoint>,
    /// The replica that took it.
    pub to: Option<Endpoint>,
    /// Why it came to nothing.
    pub why: Option<String>,
    /// Milliseconds for which clients' writes were held before the new master took any.
    pub held_ms: Option<f64>,
}

/// A switchover for which no epoch began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUpReport {
    /// The group.
    pub group: GroupName,
    /// When it was given up, by the leader's clock, in milliseconds since 1970.
    pub at: UnixTime,
    /// Who asked for it.
    pub by: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// By which operation.
    pub operation: OperationId,
    /// Why it was given up.
    pub why: String,
}

impl From<&GivenUp> for GivenUpReport {
    fn from(given_up: &GivenUp) -> Self {
        let asked = &given_up.asked;
        Self {
            group: given_up.group.clone(),
            at: given_up.at,
            by: asked.by.to_string(),
            reason: asked.reason.as_ref().map(ToString::to_string),
            operation: asked.operation,
            why: given_up.why.to_string(),
        }
    }
}

impl From<&SwitchoverOverview> for SwitchoverReport {
    fn from(overview: &SwitchoverOverview) -> Self {
        let record = match overview {
            SwitchoverOverview::Begun(record) => record,
            SwitchoverOverview::GivenUp(given_up) => {
                return Self {
                    outcome: SwitchoverOutcome::GivenUp,
                    epoch: None,
                    from: None,
                    to: None,
                    why: Some(given_up.why.to_string()),
                    held_ms: None,
                };
            }
        };
        let (outcome, why) = match &record.outcome {
            Outcome::Open => (SwitchoverOutcome::Open, None),
            Outcome::Done => (SwitchoverOutcome::Done, None),
            Outcome::Aborted(why) => (SwitchoverOutcome::Aborted, Some(why.to_string())),
        };
        Self {
            outcome,
            epoch: Some(record.begin.epoch),
            from: Some(record.begin.from.endpoint.clone()),
            to: Some(record.begin.candidate.endpoint.clone()),
            why,
            held_ms: held(record).map(precise_milliseconds),
        }
    }
}

/// From the master's word that it holds writes to the successor's that it is a master.
fn held(record: &FailoverRecord) -> Option<Duration> {
    let step = |what: StepName| {
        let found = record.steps.iter().find(|step| step.what == what);
        found.map(|step| step.after)
    };
    step(StepName::Promoted)?.checked_sub(step(StepName::Held)?)
}
