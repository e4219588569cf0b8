//! What a node does about leases: it asks for one beside a master, and grants as a voter.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::term::{Grants, Lease, LeaseMessage, LeaseMessageKind, LeaseRule};
use super::{HoldFailure, HoldOrder, HoldOutcome, HoldTask};
use crate::breaks::{Break, is_broken};
use crate::decision::event::Action;
use crate::decision::group::Group;
use crate::decision::happening::Happening;
use crate::decision::policy::Fencing;
use crate::decision::record::GroupRecord;
use crate::model::{Endpoint, InstanceInfo, NodeId, RunId};

/// Time before the fencer is asked anew whether it could end a process.
const CHECK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The same, while it is satisfied.
const CHECK_PASSED_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// This node's part in the leases of one group.
#[derive(Debug)]
pub struct Leasing {
    node: NodeId,
    /// How many other voters make a majority with this one.
    pub(super) others: usize,
    /// What this node granted, to itself too.
    pub(super) grants: Grants,
    /// The rule and the epoch of the lease that is asked for, and the lease.
    pub(super) lease: Option<(u64, Lease)>,
    number: u64,
    /// Since when this node looks after the leases of the present rule: what was armed before it may be
    /// armed still.
    pub(super) since: Instant,
    /// When a lease of the present epoch was last asked for, as far as was heard here.
    pub(super) asked_for: Instant,
    pub(super) holds: BTreeMap<Endpoint, Hold>,
}

/// What the fencer does about one process.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) run_id: RunId,
    process_id: u32,
    pub(super) check: Check,
    /// The failure that people were told of.
    told: Option<HoldFailure>,
    /// The latest moment at which it was told to end the process, and the latest that it confirmed.
    pub(super) ordered: Option<Instant>,
    pub(super) until: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum Check {
    Asked,
    /// And is asked again at this moment: somebody may change what starts it.
    Passed {
        again_at: Instant,
    },
    Failed {
        why: HoldFailure,
        again_at: Instant,
    },
}

impl Hold {
    /// Whether the fencer is to be asked about this process.
    fn is_due(&self, run_id: RunId, now: Instant) -> bool {
        match &self.check {
            _ if self.run_id != run_id => true,
            Check::Passed { again_at } | Check::Failed { again_at, .. } => now >= *again_at,
            Check::Asked => false,
        }
    }
}

/// An instance beside this node, by what it last said.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) instance: Endpoint,
    pub(super) run_id: RunId,
    /// It is the process that is the master of the committed epoch.
    pub(super) is_it: bool,
    part: Part,
}

/// What it may do.
#[derive(Debug)]
enum Part {
    /// Take writes, under a lease.
    Master,
    /// Take none.
    Other,
    /// Whatever it does: it only answers at the address of one of ours.
    Stranger,
}

impl Leasing {
    /// Knows of no lease.
    #[must_use]
    pub fn new(node: NodeId, now: Instant) -> Self {
        Self {
            node,
            others: 0,
            grants: Grants::new(now),
            lease: None,
            number: 0,
            since: now,
            asked_for: now,
            holds: BTreeMap::new(),
        }
    }

    /// Names the number of voters.
    pub fn among(&mut self, voters: usize) {
        self.others = voters / 2;
    }

    /// How many voters are a majority.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.others + 1
    }

    /// What is committed of the master changed: whoever it is now has not been heard yet.
    pub fn renew(&mut self, now: Instant) {
        self.asked_for = now;
    }

    /// A rule begins: the master may have been writing without a lease, and nobody counts on one yet.
    pub fn begin(&mut self, now: Instant) {
        self.since = now;
    }

    /// This host slept, and nobody knows what its clock missed: no lease that was had before counts.
    pub fn expire(&mut self) {
        if is_broken(Break::SuspendForgotten) {
            return;
        }
        self.lease = None;
        for hold in self.holds.values_mut() {
            hold.until = None;
        }
    }

    pub(super) fn is_ready(&self, instance: &Endpoint, run_id: RunId) -> bool {
        self.holds
            .get(instance)
            .is_some_and(|hold| hold.run_id == run_id && matches!(hold.check, Check::Passed { .. }))
    }

    /// The latest moment that the fencer was told for an instance.
    pub(super) fn ordered(&self, instance: &Endpoint) -> Option<Instant> {
        self.holds.get(instance).and_then(|hold| hold.ordered)
    }

    /// The end of the lease with which the fencer is armed.
    pub(super) fn armed_until(
        &self,
        instance: &Endpoint,
        run_id: RunId,
        rule: LeaseRule,
    ) -> Option<Instant> {
        let hold = self.holds.get(instance)?;
        let ends_at = hold.until.filter(|_| hold.run_id == run_id)?;
        Some(ends_at + rule.end_lead())
    }
}

impl Group {
    /// Whether leases matter here: the operator wants them, or they are still in force.
    pub(in crate::decision) fn leases(&self, record: Option<&GroupRecord>) -> bool {
        self.policy.fencing == Fencing::Strict || record.is_some_and(|it| it.lease().is_some())
    }

    /// Asks for a lease, arms the fencer, sets and lifts fences, as the lease goes on and ends.
    pub fn keep_leases(
        &mut self,
        record: Option<&GroupRecord>,
        peers: &BTreeMap<NodeId, Instant>,
        confirmed: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(record) = record.filter(|record| self.leases(Some(record))) else {
            return;
        };
        self.check_fencer(now, actions);
        let beside = self.beside(record);
        let Some(rule) = record.lease() else {
            self.go_without(record, &beside, actions);
            return;
        };
        for it in &beside {
            match it.part {
                Part::Master => {
                    if confirmed {
                        self.ask_lease(record, rule, peers, now, actions);
                    }
                    self.obey(record, rule, it, now, actions);
                }
                Part::Other => self.keep_fenced(record, &it.instance, now, actions),
                Part::Stranger => {}
            }
        }
        self.end_hung(record, now, actions);
    }

    /// The instances beside this node that answer it.
    fn beside(&self, record: &GroupRecord) -> Vec<Beside> {
        let watches = self.watches.values().filter(|watch| watch.is_beside());
        let beside = watches.filter_map(|watch| {
            let (instance, info) = (watch.endpoint(), &watch.current_sample()?.info);
            let is_it = is_master(record, instance, info);
            Some(Beside {
                instance: instance.clone(),
                run_id: info.run_id,
                is_it,
                part: if is_it && watch.says_master() {
                    Part::Master
                } else if self.is_ours(record, instance, info) {
                    Part::Other
                } else {
                    Part::Stranger
                },
            })
        });
        beside.collect()
    }

    /// Asks the fencer about each process beside this node, once, and again while it is not satisfied.
    fn check_fencer(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let seen = self.watches.values().filter(|watch| watch.is_beside());
        let due: Vec<(Endpoint, RunId, u32)> = seen
            .filter_map(|watch| {
                let info = &watch.current_sample()?.info;
                let hold = self.leasing.holds.get(watch.endpoint());
                let is_due = hold.is_none_or(|hold| hold.is_due(info.run_id, now));
                is_due.then(|| (watch.endpoint().clone(), info.run_id, info.process_id))
            })
            .collect();
        for (instance, run_id, process_id) in due {
            let hold = self.leasing.holds.entry(instance.clone()).or_insert(Hold {
                run_id,
                process_id,
                check: Check::Asked,
                told: None,
                ordered: None,
                until: None,
            });
            let is_same = hold.run_id == run_id;
            if !is_same {
                hold.ordered = None;
                hold.until = None;
            }
            (hold.run_id, hold.process_id) = (run_id, process_id);
            // What passed counts on until the answer says otherwise.
            hold.check = match hold.check {
                Check::Passed { .. } if is_same => Check::Passed {
                    again_at: now + CHECK_PASSED_AGAIN_AFTER,
                },
                Check::Passed { .. } | Check::Asked | Check::Failed { .. } => Check::Asked,
            };
            self.order_hold(&instance, HoldTask::Check, actions);
        }
    }

    pub(super) fn order_hold(
        &self,
        instance: &Endpoint,
        task: HoldTask,
        actions: &mut Vec<Action>,
    ) {
        if let Some(hold) = self.leasing.holds.get(instance) {
            actions.push(Action::Hold(HoldOrder {
                group: self.name.clone(),
                instance: instance.clone(),
                process_id: hold.process_id,
                task,
            }));
        }
    }

    /// The fencer does what it was told, or not.
    pub fn on_held(&mut self, outcome: &HoldOutcome, now: Instant, actions: &mut Vec<Action>) {
        let order = &outcome.order;
        let Some(hold) = self.leasing.holds.get_mut(&order.instance) else {
            return;
        };
        if hold.process_id != order.process_id {
            return;
        }
        match (order.task, &outcome.result) {
            (HoldTask::Check, Ok(())) => {
                hold.check = Check::Passed {
                    again_at: now + CHECK_PASSED_AGAIN_AFTER,
                };
                hold.told = None;
            }
            (HoldTask::Until(until), Ok(())) => hold.until = hold.until.max(Some(until)),
            (HoldTask::Release, _) => {}
            // Whatever it was armed with before may stand, or not.
            (HoldTask::Check | HoldTask::Until(_), Err(why)) => {
                let again_at = now + CHECK_AGAIN_AFTER;
                let why = why.clone();
                if hold.told.as_ref() != Some(&why) {
                    hold.told = Some(why.clone());
                    actions.push(Action::Announce(Happening::LeaseUnready {
                        group: self.name.clone(),
                        instance: order.instance.clone(),
                        why: why.to_string(),
                    }));
                }
                hold.check = Check::Failed { why, again_at };
            }
        }
    }

    fn ask_lease(
        &mut self,
        record: &GroupRecord,
        rule: LeaseRule,
        peers: &BTreeMap<NodeId, Instant>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let key = (rule.number, record.epoch());
        let held = self.leasing.lease.as_ref();
        if held.is_none_or(|(number, lease)| (*number, lease.epoch()) != key) {
            let lease = Lease::new(record.epoch(), self.leasing.number);
            self.leasing.lease = Some((rule.number, lease));
        }
        let Some((_, lease)) = &mut self.leasing.lease else {
            return;
        };
        if lease.due(rule).is_some_and(|due| due > now) {
            return;
        }
        // Whoever holds it is one of the majority that grants it.
        if !self
            .leasing
            .grants
            .give(&self.leasing.node, record.epoch(), rule, now)
        {
            return;
        }
        self.leasing.asked_for = now;
        let number = lease.ask(now);
        self.leasing.number = number;
        actions.extend(peers.keys().map(|peer| Action::Lease {
            peer: peer.clone(),
            message: LeaseMessage {
                group: self.name.clone(),
                epoch: record.epoch(),
                number,
                kind: LeaseMessageKind::Ask,
            },
        }));
    }

    /// A peer asks for a lease, or grants one.
    pub fn on_lease_message(
        &mut self,
        peer: &NodeId,
        message: &LeaseMessage,
        record: Option<&GroupRecord>,
        confirmed: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(record) = record else { return };
        match message.kind {
            LeaseMessageKind::Grant => {
                if let Some((_, lease)) = &mut self.leasing.lease
                    && lease.epoch() == message.epoch
                {
                    lease.granted(peer.clone(), message.number, now);
                }
            }
            LeaseMessageKind::Ask => {
                let is_sure = confirmed || is_broken(Break::UnconfirmedVoterGrants);
                let Some(rule) = record.lease().filter(|_| is_sure) else {
                    return;
                };
                let is_begun =
                    record.last_begun() != message.epoch && !is_broken(Break::ReplacedEpochLeased);
                let is_current = record.epoch() == message.epoch && !is_begun;
                if is_current && self.leasing.grants.give(peer, message.epoch, rule, now) {
                    self.leasing.asked_for = now;
                    let kind = LeaseMessageKind::Grant;
                    let (peer, message) = (peer.clone(), message.clone());
                    let message = LeaseMessage { kind, ..message };
                    actions.push(Action::Lease { peer, message });
                }
            }
        }
    }
}

/// Whether it is the process that is the master of the committed epoch, and no other was begun since.
pub(super) fn is_master(record: &GroupRecord, instance: &Endpoint, info: &InstanceInfo) -> bool {
    let master = record.master();
    master.endpoint == *instance
        && master.run_id == info.run_id
        && record.epoch() == record.last_begun()
}
