//! What the cluster has decided about a group: the replicated state.

mod switchovers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::adoption::Adoption;
use super::entry::{AbortReason, Begin, Entry, Identity, Step};
use super::pause::{FLAPPING_WINDOW, Pause, PauseRecord, Pauses, Resume, ResumedBy};
use super::policy::GroupPolicy;
use super::request::{OperationId, Operations};
use super::switchover::GivenUp;
use crate::model::{Endpoint, Epoch, GroupName, ReplicationId, UnixTime, WriteLimits};

/// Failovers that a group remembers.
const HISTORY_MAX: usize = 32;
/// Replication histories that a group remembers.
const HISTORIES_MAX: usize = 64;

/// All groups, as committed. Equal on all nodes that applied the same entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    groups: BTreeMap<GroupName, GroupRecord>,
}

/// One group, as committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    epoch: Epoch,
    last_begun: Epoch,
    master: Identity,
    members: BTreeSet<Endpoint>,
    histories: VecDeque<ReplicationId>,
    failovers: VecDeque<FailoverRecord>,
    /// Where they are not the usual ones.
    limits: BTreeMap<Endpoint, WriteLimits>,
    guarded: bool,
    pauses: Pauses,
    operations: Operations,
    /// The operation by which an administrator named its first master.
    adopted: Option<OperationId>,
    /// Switchovers for which no epoch began, the oldest first.
    given_up: VecDeque<GivenUp>,
}

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

/// Proof that `Begin` of one epoch is committed and open: the permission to promote its candidate.
///
/// Only a record with an open epoch lends one, so whoever holds it may act.
#[derive(Debug)]
pub struct Mandate<'record> {
    begin: &'record Begin,
}

impl Mandate<'_> {
    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.begin.epoch
    }

    /// What was committed.
    #[must_use]
    pub fn begin(&self) -> &Begin {
        self.begin
    }
}

/// What an entry changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it does not fit the state, as when two leaders proposed the same.
    None,
    /// The group is known for the first time, or its master's process or history changed.
    Master,
    /// Its instances.
    Members,
    /// An epoch began.
    Begun,
    /// The open epoch ended with a new master.
    Done,
    /// The open epoch ended without.
    Aborted,
    /// The history of a past epoch.
    History,
    /// What instances have of their own where a fence would stand.
    Limits,
    /// Whether replicas may show what the guard gave them.
    Guard,
    /// It is left alone.
    Paused,
    /// It is looked after again.
    Resumed,
    /// A switchover came to nothing.
    GivenUp,
}

impl Records {
    /// The group, if it is registered.
    #[must_use]
    pub fn get(&self, group: &GroupName) -> Option<&GroupRecord> {
        self.groups.get(group)
    }

    /// All registered groups.
    pub fn iter(&self) -> impl Iterator<Item = (&GroupName, &GroupRecord)> {
        self.groups.iter()
    }

    /// Takes in a committed entry.
    ///
    /// An entry that does not fit is passed over, on all nodes alike: the log may hold what a
    /// deposed leader proposed.
    pub fn apply(&mut self, entry: Entry) -> Change {
        if let Entry::Register {
            group,
            master,
            members,
        } = entry
        {
            return self.register(group, master, members, None);
        }
        if let Entry::Adopt(adoption) = entry {
            let Adoption {
                group,
                master,
                members,
                operation,
                ..
            } = adoption;
            return self.register(group, master, members, Some(operation));
        }
        match self.groups.get_mut(entry.group()) {
            Some(record) => record.apply(entry),
            None => Change::None,
        }
    }

    fn register(
        &mut self,
        group: GroupName,
        master: Identity,
        members: BTreeSet<Endpoint>,
        adopted: Option<OperationId>,
    ) -> Change {
        if self.groups.contains_key(&group) {
            return Change::None;
        }
        let histories = VecDeque::from([master.replication_id]);
        let mut operations = Operations::default();
        if let Some(operation) = adopted {
            operations.note(operation);
        }
        let record = GroupRecord {
            epoch: Epoch(1),
            last_begun: Epoch(1),
            master,
            members,
            histories,
            failovers: VecDeque::new(),
            limits: BTreeMap::new(),
            guarded: false,
            pauses: Pauses::default(),
            operations,
            adopted,
            given_up: VecDeque::new(),
        };
        self.groups.insert(group, record);
        Change::Master
    }
}

impl GroupRecord {
    /// The epoch of the current master's mandate; 1 for the master that was found.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The latest epoch that began, whatever became of it.
    #[must_use]
    pub fn last_begun(&self) -> Epoch {
        self.last_begun
    }

    /// The current master.
    #[must_use]
    pub fn master(&self) -> &Identity {
        &self.master
    }

    /// All instances.
    #[must_use]
    pub fn members(&self) -> &BTreeSet<Endpoint> {
        &self.members
    }

    /// Past epochs, the oldest first.
    #[must_use]
    pub fn failovers(&self) -> &VecDeque<FailoverRecord> {
        &self.failovers
    }

    /// What an instance has where a fence would stand, if that is not what all have.
    #[must_use]
    pub fn limits(&self, instance: &Endpoint) -> Option<WriteLimits> {
        self.limits.get(instance).copied()
    }

    /// Whether some replica may show its master what the guard gave it.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// Whether this replication history is, or was, the group's.
    #[must_use]
    pub fn knows_history(&self, id: &ReplicationId) -> bool {
        self.histories.contains(id)
    }

    /// How late in the group's life this replication history became its own, if it ever was.
    #[must_use]
    pub fn history_rank(&self, id: &ReplicationId) -> Option<usize> {
        self.histories.iter().position(|known| known == id)
    }

    /// The permission to act in the open epoch, if one is.
    #[must_use]
    pub fn mandate(&self) -> Option<Mandate<'_>> {
        let last = self.failovers.back()?;
        (last.outcome == Outcome::Open).then_some(Mandate { begin: &last.begin })
    }

    /// The pause that stands: nothing may be begun, and nothing repaired.
    #[must_use]
    pub fn pause(&self) -> Option<&Pause> {
        self.pauses.current()
    }

    /// All pauses that are remembered, the oldest first.
    pub fn pauses(&self) -> impl DoubleEndedIterator<Item = &PauseRecord> {
        self.pauses.iter()
    }

    /// Whether an operation of an administrator is committed for this group.
    #[must_use]
    pub fn has_done(&self, operation: OperationId) -> bool {
        self.operations.contains(operation)
    }

    /// Whether it was this operation that registered the group.
    #[must_use]
    pub fn was_adopted_by(&self, operation: OperationId) -> bool {
        self.adopted == Some(operation)
    }

    /// How many failovers there were within the hour before `wall` that no administrator has seen.
    #[must_use]
    pub fn failovers_lately(&self, wall: UnixTime) -> usize {
        // What a clock that was set back since calls the future was a moment ago, for all we know.
        let is_late = |at: UnixTime| at.after(FLAPPING_WINDOW) > wall;
        self.failovers
            .iter()
            .filter(|past| past.outcome == Outcome::Done && is_late(past.begin.at))
            .filter(|past| past.begin.epoch > self.pauses.forgiven())
            .filter(|past| !past.begin.reinstates() && past.begin.asked().is_none())
            .count()
    }

    /// Whether the latest epoch came to nothing: the master was given up, and nobody took its place.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        self.last_begun > self.epoch && self.mandate().is_none()
    }

    fn apply(&mut self, entry: Entry) -> Change {
        match entry {
            Entry::Register { .. } | Entry::Adopt(_) => Change::None,
            Entry::Members { members, .. } => self.replace_members(members),
            Entry::Identify { epoch, master, .. } => self.identify(epoch, master),
            Entry::Begin(begin) => self.begin(begin),
            Entry::Done {
                epoch,
                master,
                steps,
                ..
            } => self.finish(epoch, master, steps),
            Entry::Abort { epoch, why, .. } => self.abort(epoch, why),
            Entry::Settled { epoch, steps, .. } => self.settle(epoch, steps),
            Entry::Returned {
                epoch, lost_bytes, ..
            } => self.note_loss(epoch, lost_bytes),
            Entry::Limits { limits, .. } => self.note_limits(limits),
            Entry::Guarded { on, .. } => self.guard(on),
            Entry::Pause(pause) => self.begin_pause(pause),
            Entry::Resume(resume) => self.resume(resume),
            Entry::GiveUp(given_up) => self.give_up(given_up),
        }
    }

    fn begin_pause(&mut self, pause: Pause) -> Change {
        let is_new = pause
            .operation()
            .is_none_or(|operation| self.operations.note(operation));
        if is_new && self.pauses.begin(pause) {
            Change::Paused
        } else {
            Change::None
        }
    }

    fn resume(&mut self, resume: Resume) -> Change {
        let is_new = match &resume.by {
            ResumedBy::Admin { operation, .. } => self.operations.note(*operation),
            ResumedBy::Expiry { .. } | ResumedBy::Replaced => true,
        };
        if is_new && self.pauses.resume(resume, self.last_begun) {
            Change::Resumed
        } else {
            Change::None
        }
    }

    fn guard(&mut self, on: bool) -> Change {
        if std::mem::replace(&mut self.guarded, on) == on {
            return Change::None;
        }
        Change::Guard
    }

    fn replace_members(&mut self, mut members: BTreeSet<Endpoint>) -> Change {
        members.insert(self.master.endpoint.clone());
        if members == self.members || members.len() > GroupPolicy::MEMBERS_MAX {
            return Change::None;
        }
        self.limits.retain(|instance, _| members.contains(instance));
        self.members = members;
        Change::Members
    }

    fn identify(&mut self, epoch: Epoch, master: Identity) -> Change {
        let fits = epoch == self.epoch && master.endpoint == self.master.endpoint;
        if !fits || master == self.master || self.mandate().is_some() {
            return Change::None;
        }
        self.remember(master.replication_id);
        self.master = master;
        Change::Master
    }

    fn begin(&mut self, begin: Begin) -> Change {
        if begin.epoch != self.last_begun.next()
            || begin.from != self.master
            || self.mandate().is_some()
            || self.pause().is_some()
        {
            return Change::None;
        }
        // A switchover is tried once, however often it is asked for.
        if begin
            .asked()
            .is_some_and(|asked| !self.operations.note(asked.operation))
        {
            return Change::None;
        }
        self.last_begun = begin.epoch;
        if self.failovers.len() == HISTORY_MAX {
            self.failovers.pop_front();
        }
        self.failovers.push_back(FailoverRecord {
            begin,
            outcome: Outcome::Open,
            steps: Vec::new(),
            loss: None,
        });
        Change::Begun
    }

    fn finish(&mut self, epoch: Epoch, master: Identity, steps: Vec<Step>) -> Change {
        let Some(open) = self.open(epoch) else {
            return Change::None;
        };
        let candidate = &open.begin.candidate;
        if master.endpoint != candidate.endpoint || master.run_id != candidate.run_id {
            return Change::None;
        }
        open.outcome = Outcome::Done;
        open.steps = steps;
        assert!(epoch > self.epoch, "epochs only grow");
        self.epoch = epoch;
        self.members.insert(master.endpoint.clone());
        self.remember(master.replication_id);
        self.master = master;
        Change::Done
    }

    fn abort(&mut self, epoch: Epoch, why: AbortReason) -> Change {
        let Some(open) = self.open(epoch) else {
            return Change::None;
        };
        open.outcome = Outcome::Aborted(why);
        Change::Aborted
    }

    fn open(&mut self, epoch: Epoch) -> Option<&mut FailoverRecord> {
        self.failovers
            .back_mut()
            .filter(|last| last.begin.epoch == epoch && last.outcome == Outcome::Open)
    }

    fn settle(&mut self, epoch: Epoch, steps: Vec<Step>) -> Change {
        let Some(past) = self.past(epoch) else {
            return Change::None;
        };
        past.steps
            .retain(|before| steps.iter().all(|step| step.what != before.what));
        past.steps.extend(steps);
        past.steps.sort_by_key(|step| step.after);
        Change::History
    }

    fn note_loss(&mut self, epoch: Epoch, lost_bytes: u64) -> Change {
        let Some(past) = self.past(epoch) else {
            return Change::None;
        };
        past.loss = Some(lost_bytes);
        Change::History
    }

    /// A fence is never taken for what an instance has of its own.
    fn note_limits(&mut self, limits: BTreeMap<Endpoint, WriteLimits>) -> Change {
        let before = self.limits.clone();
        for (endpoint, limits) in limits {
            if limits == WriteLimits::default() {
                self.limits.remove(&endpoint);
            } else if !limits.is_fence() && self.members.contains(&endpoint) {
                self.limits.insert(endpoint, limits);
            }
        }
        if self.limits == before {
            Change::None
        } else {
            Change::Limits
        }
    }

    fn past(&mut self, epoch: Epoch) -> Option<&mut FailoverRecord> {
        self.failovers
            .iter_mut()
            .find(|past| past.begin.epoch == epoch && past.outcome == Outcome::Done)
    }

    fn remember(&mut self, id: ReplicationId) {
        if self.histories.contains(&id) {
            return;
        }
        if self.histories.len() == HISTORIES_MAX {
            self.histories.pop_front();
        }
        self.histories.push_back(id);
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
