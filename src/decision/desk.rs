//! The desk of a node: what administrators want by its status socket, until it is committed.
//!
//! ```text
//! Requested ─▶ open ──leads──▶ Propose ─┐
//!               │ ▲    else──▶ Forward ─┤ again after a while, and at each change of leadership
//!               │ └─────────────────────┘
//!               └──committed in all its groups, or given up──▶ Answer
//! ```
//!
//! A request bears the number of its operation wherever it goes, so asking twice does no harm, and its
//! commit is its answer: nobody has to carry one back.
//!
//! Of two requests about the same groups the one that came last counts: an older one that was not
//! committed is withdrawn, or a pause that found no leader could undo the resume behind it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::event::Action;
use super::group::Group;
use super::record::Records;
use super::request::{OperationId, Request, Wish};
use super::switchover::Stage;
use crate::model::{GroupName, UnixTime};

/// Time between two attempts: more than a commit takes, and no more than an election.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How long a request is tried for.
const GIVES_UP_AFTER: Duration = Duration::from_secs(10);
/// How long the end of a switchover is waited for, beyond the time that it was given.
const SWITCHOVER_ENDS_WITHIN: Duration = Duration::from_secs(2);
/// Most requests at once.
const OPEN_MAX: usize = 64;
/// Withdrawn requests that are remembered.
const WITHDRAWN_MAX: usize = 64;

/// What is wanted, and not known to be committed.
#[derive(Debug, Default)]
pub struct Desk {
    open: BTreeMap<OperationId, Open>,
    /// They stay withdrawn, however often whoever wanted them asks again.
    withdrawn: VecDeque<OperationId>,
}

#[derive(Debug)]
struct Open {
    request: Request,
    next_try_at: Instant,
    gives_up_at: Instant,
}

impl Open {
    /// The request with the time that it has left; nothing once nobody is to begin with it any more.
    fn what_is_left(&self, now: Instant) -> Option<Request> {
        let mut request = self.request.clone();
        if let Wish::Switchover { within, .. } = &mut request.wish {
            let ends_at = self.gives_up_at.checked_sub(SWITCHOVER_ENDS_WITHIN)?;
            *within = ends_at.checked_duration_since(now)?;
        }
        Some(request)
    }
}

impl Desk {
    /// Takes a request in. One too many, or one that was withdrawn, is answered at once, as not tried.
    pub fn take_in(&mut self, request: Request, now: Instant, actions: &mut Vec<Action>) {
        let operation = request.operation;
        if self.open.contains_key(&operation) {
            return;
        }
        if self.open.len() == OPEN_MAX || self.withdrawn.contains(&operation) {
            actions.push(Action::Answer(operation));
            return;
        }
        self.withdraw_before(&request, actions);
        let tried_for = match &request.wish {
            Wish::Switchover { within, .. } => *within + SWITCHOVER_ENDS_WITHIN,
            Wish::Pause { .. } | Wish::Resume | Wish::Adopt { .. } => GIVES_UP_AFTER,
        };
        let open = Open {
            request,
            next_try_at: now,
            gives_up_at: now + tried_for,
        };
        self.open.insert(operation, open);
    }

    fn withdraw_before(&mut self, request: &Request, actions: &mut Vec<Action>) {
        let withdrawn = &mut self.withdrawn;
        self.open.retain(|operation, older| {
            let is_outdated = older.request.groups.is_subset(&request.groups);
            if is_outdated {
                withdraw(withdrawn, *operation);
                actions.push(Action::Answer(*operation));
            }
            !is_outdated
        });
    }

    /// Whether it is still tried.
    #[must_use]
    pub fn is_open(&self, operation: OperationId) -> bool {
        self.open.contains_key(&operation)
    }

    /// Somebody else may lead now: no reason to wait.
    pub fn try_again(&mut self, now: Instant) {
        for open in self.open.values_mut() {
            open.next_try_at = now;
        }
    }

    /// Answers what is committed or given up, and tries what is due.
    pub fn poll(
        &mut self,
        records: &Records,
        groups: &mut BTreeMap<GroupName, Group>,
        leading: bool,
        wall: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let withdrawn = &mut self.withdrawn;
        self.open.retain(|operation, open| {
            let is_given_up = now >= open.gives_up_at;
            let is_over =
                is_done(&open.request, records) || is_late(&open.request, records) || is_given_up;
            if is_given_up && matches!(open.request.wish, Wish::Switchover { .. }) {
                // Nobody wants it to happen some time later.
                withdraw(withdrawn, *operation);
            }
            if is_over {
                actions.push(Action::Answer(*operation));
            }
            !is_over
        });
        for open in self.open.values_mut() {
            if open.next_try_at > now {
                continue;
            }
            open.next_try_at = now + RETRY_AFTER;
            let Some(request) = open.what_is_left(now) else {
                continue;
            };
            if leading {
                propose(&request, records, groups, wall, now, actions);
            } else {
                actions.push(Action::Forward(request));
            }
        }
    }

    /// When something is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let due = |open: &Open| open.next_try_at.min(open.gives_up_at);
        self.open.values().map(due).min()
    }
}

fn withdraw(withdrawn: &mut VecDeque<OperationId>, operation: OperationId) {
    if withdrawn.len() == WITHDRAWN_MAX {
        withdrawn.pop_front();
    }
    withdrawn.push_back(operation);
}

/// Logs what is not committed yet, in each of the groups.
pub fn propose(
    request: &Request,
    records: &Records,
    groups: &mut BTreeMap<GroupName, Group>,
    wall: UnixTime,
    now: Instant,
    actions: &mut Vec<Action>,
) {
    for name in &request.groups {
        match (records.get(name), &request.wish) {
            (Some(record), _) if record.has_done(request.operation) => {}
            (Some(record), Wish::Switchover { .. }) => {
                if let Some(group) = groups.get_mut(name) {
                    group.want_switchover(request, record, wall, now, actions);
                }
            }
            (Some(_), _) => actions.extend(request.entry(name, wall).map(Action::Propose)),
            (None, Wish::Adopt { master }) => {
                if let Some(group) = groups.get_mut(name) {
                    group.adopt(request, master, wall, now, actions);
                }
            }
            (None, Wish::Pause { .. } | Wish::Resume | Wish::Switchover { .. }) => {}
        }
    }
}

/// Whether somebody else, or the instances themselves, told first who the master is.
fn is_late(request: &Request, records: &Records) -> bool {
    let is_registered = |group: &GroupName| records.get(group).is_some();
    match &request.wish {
        Wish::Adopt { .. } => request.groups.iter().all(is_registered),
        Wish::Pause { .. } | Wish::Resume | Wish::Switchover { .. } => false,
    }
}

fn is_done(request: &Request, records: &Records) -> bool {
    request.groups.iter().all(|group| {
        let record = records.get(group);
        record.is_some_and(|record| match &request.wish {
            Wish::Switchover { .. } => record.switchover(request.operation) == Some(Stage::Over),
            Wish::Pause { .. } | Wish::Resume | Wish::Adopt { .. } => {
                record.has_done(request.operation)
            }
        })
    })
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
