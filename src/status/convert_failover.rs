//! From a failover that is remembered to what the socket says of it.

use std::time::Duration;

use super::schema::PassedOver;
use super::schema_history::{
    CauseName, FailoverReport, OutcomeName, Planned, StepReport, ViewReport,
};
use crate::decision::{FailoverRecord, Grounds, Outcome, Step};

impl From<&FailoverRecord> for FailoverReport {
    fn from(record: &FailoverRecord) -> Self {
        let begin = &record.begin;
        let (outcome, why) = match &record.outcome {
            Outcome::Open => (OutcomeName::Open, None),
            Outcome::Done => (OutcomeName::Done, None),
            Outcome::Aborted(why) => (OutcomeName::Aborted, Some(why.to_string())),
        };
        let (cause, views, needed) = match &begin.grounds {
            Grounds::Lost(evidence) => {
                let cause = CauseName::Lost(evidence.cause);
                (cause, evidence.views.as_slice(), evidence.needed)
            }
            Grounds::Asked(_) => (CauseName::Planned(Planned::Switchover), [].as_slice(), 0),
        };
        let asked = match &begin.grounds {
            Grounds::Asked(asked) => Some(asked),
            Grounds::Lost(_) => None,
        };
        Self {
            group: begin.group.clone(),
            epoch: begin.epoch,
            from: begin.from.endpoint.clone(),
            to: begin.candidate.endpoint.clone(),
            at: begin.at,
            cause,
            asked_by: asked.map(|asked| asked.by.to_string()),
            reason: asked.and_then(|asked| asked.reason.as_ref().map(ToString::to_string)),
            operation: asked.map(|asked| asked.operation),
            views: views
                .iter()
                .map(|(node, cause)| ViewReport {
                    node: node.clone(),
                    cause: *cause,
                })
                .collect(),
            needed,
            outcome,
            why,
            passed_over: begin.passed_over.iter().map(PassedOver::from).collect(),
            steps: step_reports(&record.steps),
            loss_estimate_bytes: begin.loss_estimate,
            loss_bytes: record.loss,
            leader: begin.leader.clone(),
        }
    }
}

fn step_reports(steps: &[Step]) -> Vec<StepReport> {
    let before = std::iter::once(Duration::ZERO).chain(steps.iter().map(|step| step.after));
    steps
        .iter()
        .zip(before)
        .map(|(step, before)| StepReport {
            step: step.what,
            after_ms: precise_milliseconds(step.after),
            took_ms: precise_milliseconds(step.after.saturating_sub(before)),
        })
        .collect()
}

/// With at most three decimals, as JSON prints them.
pub(super) fn precise_milliseconds(span: Duration) -> f64 {
    span.as_micros() as f64 / 1000.0
}
