//! One group as one node sees it: its instances, its peers' views, and what follows from both.

mod members;
mod notices;
mod opinion;
mod timing;

use std::collections::{BTreeMap, BTreeSet};
use std::mem::Discriminant;
use std::time::Instant;

use super::change::Change;
use super::choice::Ineligible;
use super::discovery::WaitingFor;
use super::equality::Equality;
use super::event::{Action, Deadline};
use super::failover::{Failover, Timeline};
use super::failover_record::FailoverRecord;
use super::fencing::{Fences, Isolation};
use super::guard::{Guard, GuardOutcome};
use super::happening::Happening;
use super::health::{Cause, Health};
use super::instance_event::{FollowOutcome, ProbeEvent, ProbeOrder, ProbeReport};
use super::lead::Awaited;
use super::lease::Leasing;
use super::policy::GroupPolicy;
use super::record::GroupRecord;
use super::repair::Repair;
use super::request::OperationId;
use super::rescue::Rescues;
use super::sentinels::SentinelWatch;
use super::settling::Settling;
use super::switchover::Held;
use super::transitions::Taken;
use super::view::{HeldView, View};
use super::watch::{Orders, Watch};
use crate::model::{Endpoint, Epoch, GroupName, Life, NodeId, ReplicationOffset, RunId};
use opinion::Told;

/// One group as one node sees it.
#[derive(Debug)]
pub struct Group {
    pub(super) name: GroupName,
    pub(super) node: NodeId,
    pub(super) policy: GroupPolicy,
    pub(super) watches: BTreeMap<Endpoint, Watch>,
    /// Other names of instances that are watched.
    pub(super) aliases: BTreeMap<Endpoint, Endpoint>,
    /// Other voters' views, the latest of each.
    pub(super) views: BTreeMap<NodeId, HeldView>,
    /// When the logged identity of the master was last applied: what was asked before tells
    /// nothing of it.
    pub(super) identity_since: Instant,
    /// Whether this node acts.
    pub(super) is_leading: bool,
    /// When this node began to lead, if it does.
    pub(super) leading_since: Instant,
    pub(super) cooldown_until: Option<Instant>,
    pub(super) wrong_role_since: Option<Instant>,
    pub(super) failover: Failover,
    /// The instance whose clients' writes this node had held.
    pub(super) held: Option<Held>,
    pub(super) transitions: Taken,
    pub(super) repair: Repair,
    pub(super) guard: Guard,
    pub(super) settling: Option<Settling>,
    pub(super) fences: Fences,
    pub(super) isolation: Isolation,
    pub(super) leasing: Leasing,
    pub(super) rescues: Rescues,
    /// Since when everybody says that the group's latest data are nowhere.
    pub(super) hopeless_since: Option<Instant>,
    /// Why nobody can be promoted, as last told: told once for each reason.
    pub(super) nobody_told: Option<Vec<(Endpoint, Discriminant<Ineligible>)>>,
    pub(super) bookkeeping: Bookkeeping,
    /// The leader proposes nothing before this moment.
    pub(super) proposals_from: Instant,
    /// What people were last told that it waits for, and when.
    pub(super) waiting: Option<(WaitingFor, Instant)>,
    pub(super) equality: Equality,
    /// The last adoption that came to nothing, and that people were told of.
    pub(super) refused: Option<OperationId>,
    /// What a failover was put off for, and people told of.
    pub(super) awaited: Option<Awaited>,
    pub(super) watching_since: Instant,
    /// How far the process was seen that is, or was, the logged master.
    pub(super) master_seen: Option<(RunId, ReplicationOffset)>,
    /// The process that is, or was, the logged master, and the first that served in its place since.
    pub(super) master_next: Option<(RunId, RunId)>,
    pub(super) files_epoch: Option<Epoch>,
    /// When the time of the pause that stands is over.
    pub(super) pause_over_at: Option<Instant>,
    /// The Sentinels that people were told of, and whether they were told that some may hide.
    sentinels_told: (Option<SentinelWatch>, bool),
    /// Whether people were told that the master is down and left so on purpose.
    pub(super) held_back_told: bool,
    last_told: Option<Told>,
    /// Something happened since it last looked at everything, and what it then wanted to be woken for.
    is_stirred: bool,
    wakes_at: Option<Deadline>,
    /// What time has for it may have changed since, and nothing else.
    is_retimed: bool,
    /// Nothing was heard of any instance since all that are named were last watched.
    pub(super) is_roll_current: bool,
    down: BTreeMap<Endpoint, Cause>,
    strangers: BTreeSet<Endpoint>,
}

/// Proposals of the leader that are on their way, each kind at most once.
#[derive(Debug, Default)]
pub(super) struct Bookkeeping {
    pub(super) register: bool,
    pub(super) members: bool,
    pub(super) identity: bool,
    pub(super) returned: bool,
    pub(super) limits: bool,
    pub(super) guard: bool,
    pub(super) lease: bool,
    pub(super) pause: bool,
    pub(super) resume: bool,
    /// The switchover that came to nothing.
    pub(super) given_up: Option<OperationId>,
}

impl Group {
    /// A group that nothing is known of but its settings.
    #[must_use]
    pub fn new(name: GroupName, node: NodeId, policy: GroupPolicy, now: Instant) -> Self {
        let leasing = Leasing::new(node.clone(), now);
        Self {
            name,
            equality: Equality::new(&policy),
            policy,
            node,
            watches: BTreeMap::new(),
            aliases: BTreeMap::new(),
            views: BTreeMap::new(),
            identity_since: now,
            is_leading: false,
            leading_since: now,
            cooldown_until: None,
            wrong_role_since: None,
            failover: Failover::watching(),
            held: None,
            transitions: Taken::from(Failover::watching().phase()),
            repair: Repair::default(),
            guard: Guard::default(),
            settling: None,
            fences: Fences::default(),
            isolation: Isolation::new(now),
            leasing,
            rescues: Rescues::default(),
            hopeless_since: None,
            nobody_told: None,
            bookkeeping: Bookkeeping::default(),
            proposals_from: now,
            waiting: None,
            refused: None,
            awaited: None,
            watching_since: now,
            master_seen: None,
            master_next: None,
            files_epoch: None,
            pause_over_at: None,
            sentinels_told: (None, false),
            held_back_told: false,
            last_told: None,
            is_stirred: true,
            wakes_at: None,
            is_retimed: false,
            is_roll_current: false,
            down: BTreeMap::new(),
            strangers: BTreeSet::new(),
        }
    }

    /// Takes in what happened on a probe connection.
    pub fn on_probe(
        &mut self,
        event: ProbeEvent,
        record: Option<&GroupRecord>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(watch) = self.watches.get_mut(&event.endpoint) else {
            return;
        };
        let read_info = matches!(
            &event.report,
            ProbeReport::InfoReplied { result: Ok(_), .. }
        );
        let replied = match &event.report {
            ProbeReport::PromoteReplied { epoch, result } => Some((*epoch, result.clone())),
            ProbeReport::Connected { .. }
            | ProbeReport::ConnectFailed(_)
            | ProbeReport::Closed(_)
            | ProbeReport::PingReplied { .. }
            | ProbeReport::InfoReplied { .. }
            | ProbeReport::LimitsReplied { .. }
            | ProbeReport::LimitsSet { .. }
            | ProbeReport::SentinelsCounted { .. }
            | ProbeReport::WritesHeld { .. }
            | ProbeReport::WritesReleased { .. }
            | ProbeReport::ProcessExited => None,
        };
        let limits_set = match &event.report {
            ProbeReport::LimitsSet { limits, result, .. } => Some((*limits, result.clone())),
            ProbeReport::Connected { .. }
            | ProbeReport::ConnectFailed(_)
            | ProbeReport::Closed(_)
            | ProbeReport::PingReplied { .. }
            | ProbeReport::InfoReplied { .. }
            | ProbeReport::LimitsReplied { .. }
            | ProbeReport::PromoteReplied { .. }
            | ProbeReport::SentinelsCounted { .. }
            | ProbeReport::WritesHeld { .. }
            | ProbeReport::WritesReleased { .. }
            | ProbeReport::ProcessExited => None,
        };
        let held = match &event.report {
            ProbeReport::WritesHeld { sent_at, result } => Some((*sent_at, result.clone())),
            ProbeReport::Connected { .. }
            | ProbeReport::ConnectFailed(_)
            | ProbeReport::Closed(_)
            | ProbeReport::PingReplied { .. }
            | ProbeReport::InfoReplied { .. }
            | ProbeReport::LimitsReplied { .. }
            | ProbeReport::LimitsSet { .. }
            | ProbeReport::PromoteReplied { .. }
            | ProbeReport::SentinelsCounted { .. }
            | ProbeReport::WritesReleased { .. }
            | ProbeReport::ProcessExited => None,
        };
        let mut orders = Orders::new();
        watch.observe(event.link, event.report, &self.policy, now, &mut orders);
        self.send(&event.endpoint, orders, actions);
        if let Some((epoch, result)) = replied {
            self.on_promote_replied(event.link, epoch, result, record, now, actions);
        }
        if let Some((sent_at, result)) = held {
            self.on_writes_held(event.link, sent_at, result, record, now);
        }
        if let Some((limits, result)) = limits_set {
            self.on_limits_set(&event.endpoint, limits, result, now, actions);
        }
        if read_info {
            self.is_roll_current = false;
            self.find_aliases(record, actions);
            self.watch_role(record, now);
            self.watch_acks(record);
            self.see_master(record);
        }
    }

    /// Takes in a peer's view.
    pub fn on_view(
        &mut self,
        peer: NodeId,
        life: Life,
        view: &View,
        record: Option<&GroupRecord>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let held = HeldView::receive(view, life, now);
        let doubts = match held.health {
            Health::Suspected { since } | Health::Down { since, .. } => Some(since),
            Health::Unknown | Health::Up => None,
        };
        self.views.insert(peer, held);
        self.hear_of_fences(view, now);
        // Somebody doubts the master: a ping sent from here, after that, tells who is right.
        let Some((since, record)) = doubts.zip(record) else {
            return;
        };
        let master = record.master().endpoint.clone();
        if let Some(watch) = self.watches.get_mut(&master)
            && watch.answered().is_none_or(|answered| answered <= since)
        {
            let mut orders = Orders::new();
            watch.ask_ping(&self.policy, now, &mut orders);
            self.send(&master, orders, actions);
        }
    }

    /// An instance was made to follow the master, or not.
    pub fn on_followed(
        &mut self,
        outcome: &FollowOutcome,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let is_news = self.repair.on_outcome(outcome);
        let order = &outcome.order;
        let happening = match &outcome.result {
            Ok(_) => Happening::Followed {
                group: self.name.clone(),
                instance: order.endpoint.clone(),
                master: order.master.clone(),
                demoted: order.demotes,
            },
            Err(failure) => Happening::FollowFailed {
                group: self.name.clone(),
                instance: order.endpoint.clone(),
                why: failure.advise(),
            },
        };
        if is_news {
            actions.push(Action::Announce(happening));
        }
        if let Some(watch) = self.watches.get_mut(&order.endpoint) {
            watch.doubt_limits(now);
        }
        self.ask_info(&order.endpoint.clone(), now, actions);
    }

    /// Something was done to an instance for the guard, or not.
    pub fn on_guarded(&mut self, outcome: &GuardOutcome, actions: &mut Vec<Action>) {
        if let Some(why) = self.guard.on_outcome(outcome) {
            actions.push(Action::Announce(Happening::GuardFailed {
                group: self.name.clone(),
                instance: outcome.order.endpoint.clone(),
                why,
            }));
        }
    }

    /// The committed state changed.
    pub fn on_change(
        &mut self,
        change: Change,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.is_roll_current = false;
        match change {
            Change::Master | Change::Done => {
                self.identity_since = now;
                self.wrong_role_since = None;
                self.repair.reset();
                self.guard.reset();
                self.waiting = None;
                self.awaited = None;
                self.see_master(Some(record));
                self.bookkeeping = Bookkeeping::default();
                // What keeps the master, or was planned, is no sign of trouble.
                let is_calm =
                    |last: &FailoverRecord| last.begin.reinstates() || last.begin.asked().is_some();
                if change == Change::Done && !record.failovers().back().is_some_and(is_calm) {
                    self.cooldown_until = Some(now + self.policy.cooldown);
                }
                self.watch_members(Some(record), now);
                let master = &record.master().endpoint;
                if let Some(watch) = self.watches.get_mut(master) {
                    watch.doubt_limits(now);
                }
                self.ask_info(&master.clone(), now, actions);
            }
            Change::Members => {
                self.bookkeeping.members = false;
                self.watch_members(Some(record), now);
            }
            Change::History => self.bookkeeping.returned = false,
            Change::Limits => self.bookkeeping.limits = false,
            Change::Guard => self.bookkeeping.guard = false,
            Change::Lease => {
                self.bookkeeping.lease = false;
                self.leasing.renew(now);
                if record.lease().is_some_and(|rule| !rule.is_obeyed) {
                    self.leasing.begin(now);
                }
            }
            Change::Paused => self.bookkeeping.pause = false,
            Change::Resumed => {
                self.bookkeeping.resume = false;
                self.pause_over_at = None;
            }
            Change::GivenUp => self.bookkeeping.given_up = None,
            Change::Begun | Change::Aborted | Change::None => {}
        }
    }

    /// The failover may have gone on: notes by which way.
    pub(super) fn note_transition(&mut self) {
        self.transitions.note(self.failover.phase());
    }

    /// The transitions of its failovers that this node made.
    #[must_use]
    pub fn transitions(&self) -> &Taken {
        &self.transitions
    }

    /// This node slept until `now`.
    pub fn forgive(&mut self, now: Instant) {
        self.stir();
        for watch in self.watches.values_mut() {
            watch.forgive(now);
        }
        self.isolation.forgive(now);
        self.leasing.renew(now);
        self.views.clear();
        self.wrong_role_since = None;
        // What the candidate said before may be long past, and another node may lead since.
        if let Failover::Checking { asked, run } = &mut self.failover {
            *asked = None;
            run.hold = None;
        }
    }

    pub(super) fn send(&self, endpoint: &Endpoint, orders: Orders, actions: &mut Vec<Action>) {
        actions.extend(orders.into_iter().map(|(link, command)| {
            Action::Probe(ProbeOrder {
                group: self.name.clone(),
                endpoint: endpoint.clone(),
                link,
                command,
            })
        }));
    }

    pub(super) fn ask_info(
        &mut self,
        endpoint: &Endpoint,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let mut orders = Orders::new();
        if let Some(watch) = self.watches.get_mut(endpoint) {
            watch.ask_info(now, &mut orders);
        }
        self.send(endpoint, orders, actions);
    }

    /// The timeline of the failover that this node carries out, or that settles.
    pub(super) fn timeline(&mut self) -> Option<&mut Timeline> {
        let settling = self.settling.as_mut().map(Settling::timeline);
        self.failover.timeline().or(settling)
    }
}

#[cfg(test)]
mod tests;
