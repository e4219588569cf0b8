//! Keeping an emptied master from feeding its replicas.
//!
//! The process that is the master of an epoch knows a user, never written to its disk, whose password
//! only the replicas of this epoch show. A process that restarted does not know it, so it cannot feed
//! them until the leader has looked at it and admits it anew. What is to be done follows from what is
//! committed and who answers, so it survives a change of leader; doing it twice changes nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::instance_event::{CommandFailure, Login};
use super::record::GroupRecord;
use super::repair::Standing;
use crate::model::{Endpoint, Epoch, GroupName, RunId};

/// Time before a task that was refused is given again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// The same where nothing was said to it: nobody is made to follow such a master meanwhile.
const RETRY_UNANSWERED_AFTER: Duration = Duration::from_millis(500);
/// Time before it is made sure that nobody undid a task.
const CHECK_AFTER: Duration = Duration::from_secs(60);
/// The same while a replica cannot reach its master, which may be why.
const CHECK_AFTER_IN_DOUBT: Duration = Duration::from_secs(2);

/// What to do to one instance for the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardTask {
    /// The master lets in whoever shows the password of the epoch.
    Admit,
    /// The replica shows it, from its next connection on.
    Arm,
    /// It shows what the settings say instead.
    Release,
    /// The master forgets the user.
    Close,
}

impl GuardTask {
    /// What could not be done, in words.
    fn describe(self) -> &'static str {
        match self {
            Self::Admit => "cannot be given a user for its replicas",
            Self::Arm => "cannot be given a login for its master",
            Self::Release => "cannot be given its own login for its master back",
            Self::Close => "cannot forget the user of its replicas",
        }
    }
}

/// Something to do to one instance for the guard. Whoever carries it out first reads the run id on the
/// same connection, so that no other process is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardOrder {
    /// The group.
    pub group: GroupName,
    /// The epoch whose password is meant.
    pub epoch: Epoch,
    /// The instance.
    pub endpoint: Endpoint,
    /// The process that is meant.
    pub run_id: RunId,
    /// What to do.
    pub task: GuardTask,
}

/// The outcome of a [`GuardOrder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardOutcome {
    /// The order.
    pub order: GuardOrder,
    /// Whether it was carried out.
    pub result: Result<(), CommandFailure>,
}

/// The tasks that were given, the latest of each instance.
#[derive(Debug, Default)]
pub struct Guard {
    given: BTreeMap<Endpoint, Given>,
    /// What people were last told of an instance.
    told: BTreeMap<Endpoint, String>,
}

#[derive(Debug)]
struct Given {
    epoch: Epoch,
    run_id: RunId,
    task: GuardTask,
    at: Instant,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Underway,
    Done,
    /// The instance says that it will not.
    Refused(String),
    /// It did not come to that: nobody answered, or not the process that was meant.
    Unanswered(String),
}

impl State {
    fn of_failure(failure: &CommandFailure, why: String) -> Self {
        match failure {
            CommandFailure::Denied(_)
            | CommandFailure::Refused(_)
            | CommandFailure::Malformed(_)
            | CommandFailure::WrongRole(_) => Self::Refused(why),
            CommandFailure::Loading
            | CommandFailure::Busy
            | CommandFailure::TimedOut
            | CommandFailure::Lost(_)
            | CommandFailure::OtherProcess(_) => Self::Unanswered(why),
        }
    }
}

/// How far the guard is, as the leader knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardOverview {
    /// Whether the master feeds nobody that it was not told to.
    pub admitted: bool,
    /// Replicas that only the master of this epoch can feed.
    pub armed: usize,
    /// Replicas that answer and follow it.
    pub replicas: usize,
    /// What stands in the way, by instance.
    pub troubles: Vec<(Endpoint, String)>,
}

impl Guard {
    /// The orders that are due, and what is to be committed before or after them. `others` are the
    /// instances that answer, but for the master and strangers.
    pub fn poll(
        &mut self,
        group: &GroupName,
        record: &GroupRecord,
        wanted: bool,
        others: &BTreeMap<Endpoint, (RunId, Standing)>,
        now: Instant,
    ) -> (Vec<GuardOrder>, Option<Entry>) {
        let change = |on| Entry::Guarded {
            group: group.clone(),
            on,
        };
        match (wanted, record.is_guarded()) {
            (false, false) => (Vec::new(), None),
            // Committed first: whoever leads when it is switched off has to know that it was on.
            (true, false) => (Vec::new(), Some(change(true))),
            (true, true) => (self.protect(group, record, others, now), None),
            (false, true) => {
                let (orders, is_over) = self.withdraw(group, record, others, now);
                (orders, is_over.then(|| change(false)))
            }
        }
    }

    fn protect(
        &mut self,
        group: &GroupName,
        record: &GroupRecord,
        others: &BTreeMap<Endpoint, (RunId, Standing)>,
        now: Instant,
    ) -> Vec<GuardOrder> {
        let is_doubted = others
            .values()
            .any(|(_, standing)| *standing == Standing::Joins);
        let check_after = if is_doubted {
            CHECK_AFTER_IN_DOUBT
        } else {
            CHECK_AFTER
        };
        let master = record.master();
        let mut desk = Desk {
            guard: self,
            group,
            epoch: record.epoch(),
            check_after,
            now,
            orders: Vec::new(),
        };
        desk.give(&master.endpoint, master.run_id, GuardTask::Admit);
        let task = match desk.guard.login(record, true) {
            Some(Login::Guard) => GuardTask::Arm,
            Some(Login::Own) => GuardTask::Release,
            Some(Login::Kept) | None => return desk.orders,
        };
        for (endpoint, (run_id, standing)) in others {
            match standing {
                Standing::Follows | Standing::Joins => desk.give(endpoint, *run_id, task),
                Standing::Astray | Standing::Rogue | Standing::Stranger => {}
            }
        }
        desk.orders
    }

    /// Gives every instance its own login back, then has the master forget the user; true once all
    /// is as if there had been no guard.
    fn withdraw(
        &mut self,
        group: &GroupName,
        record: &GroupRecord,
        others: &BTreeMap<Endpoint, (RunId, Standing)>,
        now: Instant,
    ) -> (Vec<GuardOrder>, bool) {
        let master = record.master();
        let mut desk = Desk {
            guard: self,
            group,
            epoch: record.epoch(),
            check_after: CHECK_AFTER,
            now,
            orders: Vec::new(),
        };
        for (endpoint, (run_id, _)) in others {
            desk.give(endpoint, *run_id, GuardTask::Release);
        }
        let is_released =
            |guard: &Self, member: &Endpoint| guard.is_done(member, GuardTask::Release);
        let is_closing = |guard: &Self| {
            let given = guard.given.get(&master.endpoint);
            given.is_some_and(|given| {
                given.task == GuardTask::Close && given.run_id == master.run_id
            })
        };
        let is_ready = is_closing(desk.guard) || is_released(desk.guard, &master.endpoint);
        let are_others_released = record
            .members()
            .iter()
            .filter(|member| **member != master.endpoint)
            .all(|member| is_released(desk.guard, member));
        let task = if is_ready && are_others_released {
            GuardTask::Close
        } else {
            GuardTask::Release
        };
        desk.give(&master.endpoint, master.run_id, task);
        let orders = desk.orders;
        let is_over = are_others_released && self.is_done(&master.endpoint, GuardTask::Close);
        (orders, is_over)
    }

    /// What an instance that is made to follow the master is to show it; none while that is not known
    /// yet, a moment after the master was found.
    #[must_use]
    pub fn login(&self, record: &GroupRecord, wanted: bool) -> Option<Login> {
        let master = record.master();
        match (wanted, record.is_guarded()) {
            (_, false) => Some(Login::Kept),
            (false, true) => Some(Login::Own),
            (true, true) => {
                let given = self.given.get(&master.endpoint)?;
                let is_meant = given.task == GuardTask::Admit
                    && given.run_id == master.run_id
                    && given.epoch == record.epoch();
                match given.state {
                    State::Done if is_meant => Some(Login::Guard),
                    // It follows without, rather than not at all.
                    State::Refused(_) if is_meant => Some(Login::Own),
                    State::Underway | State::Done | State::Refused(_) | State::Unanswered(_) => {
                        None
                    }
                }
            }
        }
    }

    fn is_done(&self, endpoint: &Endpoint, task: GuardTask) -> bool {
        self.given
            .get(endpoint)
            .is_some_and(|given| given.task == task && given.state == State::Done)
    }

    /// A task was carried out, or not; gives what people should hear of a failure, once.
    pub fn on_outcome(&mut self, outcome: &GuardOutcome) -> Option<String> {
        let order = &outcome.order;
        let given = self.given.get_mut(&order.endpoint).filter(|given| {
            let is_meant = given.epoch == order.epoch && given.run_id == order.run_id;
            is_meant && given.task == order.task
        })?;
        match &outcome.result {
            Ok(()) => {
                given.state = State::Done;
                self.told.remove(&order.endpoint);
                None
            }
            Err(failure) => {
                let why = format!("{}: {failure}", order.task.describe());
                given.state = State::of_failure(failure, why.clone());
                let before = self.told.insert(order.endpoint.clone(), why.clone());
                (before.as_ref() != Some(&why)).then_some(why)
            }
        }
    }

    /// Forgets what was given: another leader, or another master.
    pub fn reset(&mut self) {
        self.given.clear();
    }

    /// How far it is, with `others` as for [`poll`](Self::poll).
    #[must_use]
    pub fn overview(
        &self,
        record: &GroupRecord,
        others: &BTreeMap<Endpoint, (RunId, Standing)>,
    ) -> GuardOverview {
        let master = record.master();
        let follows = |standing: &Standing| matches!(standing, Standing::Follows | Standing::Joins);
        let is_armed = |endpoint: &Endpoint, run_id: &RunId| {
            self.given.get(endpoint).is_some_and(|given| {
                let is_done = given.task == GuardTask::Arm && given.state == State::Done;
                is_done && given.run_id == *run_id && given.epoch == record.epoch()
            })
        };
        let followers = || others.iter().filter(|(_, (_, standing))| follows(standing));
        GuardOverview {
            admitted: self.is_done(&master.endpoint, GuardTask::Admit),
            armed: followers()
                .filter(|(endpoint, (run_id, _))| is_armed(endpoint, run_id))
                .count(),
            replicas: followers().count(),
            troubles: self
                .given
                .iter()
                .filter_map(|(endpoint, given)| match &given.state {
                    State::Refused(why) | State::Unanswered(why) => {
                        Some((endpoint.clone(), why.clone()))
                    }
                    State::Underway | State::Done => None,
                })
                .collect(),
        }
    }
}

/// Where orders are written.
struct Desk<'a> {
    guard: &'a mut Guard,
    group: &'a GroupName,
    epoch: Epoch,
    check_after: Duration,
    now: Instant,
    orders: Vec<GuardOrder>,
}

impl Desk<'_> {
    fn give(&mut self, endpoint: &Endpoint, run_id: RunId, task: GuardTask) {
        let (epoch, now) = (self.epoch, self.now);
        let state = match self.guard.given.get(endpoint) {
            Some(given) if (given.epoch, given.run_id, given.task) == (epoch, run_id, task) => {
                let age = now.saturating_duration_since(given.at);
                match &given.state {
                    State::Underway => return,
                    State::Done if age < self.check_after => return,
                    State::Refused(_) if age < RETRY_AFTER => return,
                    State::Unanswered(_) if age < RETRY_UNANSWERED_AFTER => return,
                    // What was done holds while it is looked at again.
                    State::Done => State::Done,
                    State::Refused(why) => State::Refused(why.clone()),
                    State::Unanswered(why) => State::Unanswered(why.clone()),
                }
            }
            Some(_) | None => State::Underway,
        };
        let given = Given {
            epoch,
            run_id,
            task,
            at: now,
            state,
        };
        self.guard.given.insert(endpoint.clone(), given);
        self.orders.push(GuardOrder {
            group: self.group.clone(),
            epoch,
            endpoint: endpoint.clone(),
            run_id,
            task,
        });
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
