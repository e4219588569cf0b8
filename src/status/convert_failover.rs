//! From a failover that is remembered to what the socket says of it.

use std::time::Duration;

use super::schema::PassedOver;
use super::schema_history::{FailoverReport, OutcomeName, StepReport, ViewReport};
use crate::decision::{FailoverRecord, Outcome, Step};

impl From<&FailoverRecord> for FailoverReport {
    fn from(record: &FailoverRecord) -> Self {
        let begin = &record.begin;
        let (outcome, why) = match &record.outcome {
            Outcome::Open => (OutcomeName::Open, None),
            Outcome::Done => (OutcomeName::Done, None),
            Outcome::Aborted(why) => (OutcomeName::Aborted, Some(why.to_string())),
        };
        let views = begin.evidence.views.iter();
        Self {
            group: begin.group.clone(),
            epoch: begin.epoch,
            from: begin.from.endpoint.clone(),
            to: begin.candidate.endpoint.clone(),
            at: begin.at,
            cause: begin.evidence.cause,
            views: views
                .map(|(node, cause)| ViewReport {
                    node: node.clone(),
                    cause: *cause,
                })
                .collect(),
            needed: begin.evidence.needed,
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
fn precise_milliseconds(span: Duration) -> f64 {
    span.as_micros() as f64 / 1000.0
}
