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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::status::example::{self, NOW};
    use crate::status::{HistoryReport, StatusReport, render};

    #[test]
    fn a_switchover_is_told_with_who_asked_and_how_long_writes_were_held() {
        let source = example::switched();
        let record = source.groups[0].failovers[0].clone();
        let report = SwitchoverReport::from(&SwitchoverOverview::Begun(Box::new(record)));
        assert_eq!(
            serde_json::to_value(&report).unwrap(),
            json!({
                "outcome": "done", "epoch": 2, "from": "10.0.0.1:6379", "to": "10.0.0.2:6379",
                "why": null, "held_ms": 2.125
            })
        );
        let history = serde_json::to_value(HistoryReport::from(&source)).unwrap();
        let told = &history["failovers"][0];
        let (cause, by) = (&told["cause"], &told["asked_by"]);
        assert_eq!(
            (cause, by),
            (&json!("switchover"), &json!("root (uid 0) on a"))
        );
        assert_eq!(
            (&told["reason"], &told["views"], &told["operation"]),
            (&json!("new disks"), &json!([]), &json!("00000000000000a3"))
        );
        let read: HistoryReport = serde_json::from_value(history).unwrap();
        assert_eq!(read, HistoryReport::from(&source));
        let page = render(&StatusReport::from(&source), NOW);
        let line =
            "    cause: switchover, asked for by root (uid 0) on a: new disks; carried out by b\n";
        assert!(page.contains(line), "{page}");
        assert!(page.contains("ms  writes held             took"), "{page}");
    }

    #[test]
    fn what_came_to_nothing_says_why() {
        let source = example::switched();
        let given_up = source.groups[0].given_up[0].clone();
        let report = SwitchoverReport::from(&SwitchoverOverview::GivenUp(given_up));
        assert_eq!(report.outcome, SwitchoverOutcome::GivenUp);
        let why = "10.0.0.3:6379 is the master already";
        assert_eq!(report.why.as_deref(), Some(why));
        let history = serde_json::to_value(HistoryReport::from(&source)).unwrap();
        assert_eq!(
            history["given_up"][0],
            json!({
                "group": "features", "at": NOW, "by": "root (uid 0) on a", "reason": "new disks",
                "operation": "00000000000000a3", "why": why
            })
        );
    }
}
