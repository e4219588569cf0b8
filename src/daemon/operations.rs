//! Administrators' requests between the status socket and the node.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::oneshot;

use super::node::Node;
use crate::decision::{
    FailoverRecord, GroupRecord, Impossible, OperationId, Request, Requester, Stage, Supervisor,
};
use crate::model::GroupName;
use crate::status::{
    AdoptionOverview, OperatedOverview, OperationOverview, OperationState, Order,
    SwitchoverOverview,
};

/// Whom to tell when an operation is over. A receiver that is gone is no matter: its client left, or
/// lost patience and asks again by the number.
#[derive(Debug, Default)]
pub(super) struct Operations {
    waiting: BTreeMap<OperationId, Vec<Answer>>,
}

pub(super) type Answer = oneshot::Sender<Result<OperationOverview, Impossible>>;

impl Operations {
    /// Keeps whoever asked until the end of the operation, and gives what the node has to hear.
    pub(super) fn take_in(
        &mut self,
        node: &Node,
        order: Order,
        answer: Answer,
        now: Instant,
    ) -> Option<Request> {
        let supervisor = node.supervisor();
        let admitted = supervisor.admit(order.operation, &order.scope, &order.wish, now);
        let groups = match admitted {
            Ok(groups) => groups,
            Err(impossible) => {
                drop(answer.send(Err(impossible)));
                return None;
            }
        };
        self.waiting.retain(|_, answers| {
            answers.retain(|answer| !answer.is_closed());
            !answers.is_empty()
        });
        let waiting = self.waiting.entry(order.operation).or_default();
        waiting.push(answer);
        Some(Request {
            operation: order.operation,
            by: Requester::new(order.uid, order.user, node.name().clone()),
            groups,
            wish: order.wish,
        })
    }

    /// Tells all who wait for it.
    pub(super) fn answer(&mut self, node: &Node, operation: OperationId, now: Instant) {
        for answer in self.waiting.remove(&operation).unwrap_or_default() {
            drop(answer.send(Ok(overview(node, operation, now))));
        }
    }
}

/// How far an operation is, as far as this node knows.
pub(super) fn overview(node: &Node, operation: OperationId, now: Instant) -> OperationOverview {
    let supervisor = node.supervisor();
    let records = supervisor.records().iter();
    let done = records.filter(|(_, record)| record.has_done(operation));
    let groups: Vec<_> = done
        .map(|(name, record)| OperatedOverview {
            group: name.clone(),
            pause: record.pause().cloned(),
            adoption: record
                .was_adopted_by(operation)
                .then(|| adoption(supervisor, name, record, now)),
            switchover: switchover(record, operation),
        })
        .collect();
    let mut records = supervisor.records().iter();
    let is_open = records.any(|(_, record)| record.switchover(operation) == Some(Stage::Open));
    let state = if is_open || supervisor.is_tried(operation) {
        OperationState::Open
    } else if groups.is_empty() {
        OperationState::Unknown
    } else {
        OperationState::Done
    };
    OperationOverview {
        operation,
        state,
        groups,
    }
}

fn switchover(record: &GroupRecord, operation: OperationId) -> Option<SwitchoverOverview> {
    let is_it = |past: &&FailoverRecord| {
        let asked = past.begin.asked();
        asked.is_some_and(|asked| asked.operation == operation)
    };
    let begun = record.failovers().iter().rev().find(is_it);
    let begun = begun.map(|begun| SwitchoverOverview::Begun(Box::new(begun.clone())));
    let mut given_up = record.given_up().iter();
    begun.or_else(|| {
        let found = given_up.find(|given_up| given_up.asked.operation == operation);
        found.cloned().map(SwitchoverOverview::GivenUp)
    })
}

fn adoption(
    supervisor: &Supervisor,
    name: &GroupName,
    record: &GroupRecord,
    now: Instant,
) -> AdoptionOverview {
    let group = supervisor.groups().get(name);
    AdoptionOverview {
        master: record.master().endpoint.clone(),
        others: group.map_or_else(Vec::new, |group| group.bystanders(record, now)),
    }
}
