//! One group as one node sees it: its instances, its peers' views, and what follows from both.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::Discriminant;
use std::time::{Duration, Instant};

use super::agreement::{self, Circumstances, Verdict};
use super::choice::Ineligible;
use super::discovery::{self, WaitingFor};
use super::event::{Action, Deadline, DeadlineReason};
use super::failover::Failover;
use super::happening::Happening;
use super::health::{Cause, Health};
use super::instance_event::{FollowOutcome, ProbeCommand, ProbeEvent, ProbeOrder, ProbeReport};
use super::policy::GroupPolicy;
use super::record::{Change, GroupRecord};
use super::repair::{self, Repair, Standing};
use super::settling::Settling;
use super::view::{HeldView, Opinion, View};
use super::watch::{LinkIds, Orders, Pace, Watch};
use crate::model::{
    Endpoint, Epoch, GroupName, Incarnation, NodeId, ReplicationOffset, Role, RunId,
};

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
    /// When this node began to lead, if it does.
    pub(super) leading_since: Instant,
    pub(super) cooldown_until: Option<Instant>,
    pub(super) wrong_role_since: Option<Instant>,
    pub(super) failover: Failover,
    pub(super) repair: Repair,
    pub(super) settling: Option<Settling>,
    /// Why nobody can be promoted, as last told: told once for each reason.
    pub(super) nobody_told: Option<Vec<(Endpoint, Discriminant<Ineligible>)>>,
    pub(super) bookkeeping: Bookkeeping,
    /// The leader proposes nothing before this moment.
    pub(super) proposals_from: Instant,
    pub(super) waiting: Option<WaitingFor>,
    pub(super) files_epoch: Option<Epoch>,
    last_told: Option<Told>,
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
}

/// What of a view is worth a message of its own when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    epoch: Epoch,
    run_id: RunId,
    opinion: Kind,
    files_epoch: Option<Epoch>,
    /// Signs of life, only while somebody doubts.
    signs: Option<(Option<Instant>, Option<Instant>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unknown,
    Up,
    Suspected,
    Down(Cause),
}

impl Kind {
    fn of(health: Health) -> Self {
        match health {
            Health::Unknown => Self::Unknown,
            Health::Up => Self::Up,
            Health::Suspected { .. } => Self::Suspected,
            Health::Down { cause, .. } => Self::Down(cause),
        }
    }
}

impl Group {
    /// A group that nothing is known of but its settings.
    #[must_use]
    pub fn new(name: GroupName, node: NodeId, policy: GroupPolicy, now: Instant) -> Self {
        Self {
            name,
            node,
            policy,
            watches: BTreeMap::new(),
            aliases: BTreeMap::new(),
            views: BTreeMap::new(),
            identity_since: now,
            leading_since: now,
            cooldown_until: None,
            wrong_role_since: None,
            failover: Failover::watching(),
            repair: Repair::default(),
            settling: None,
            nobody_told: None,
            bookkeeping: Bookkeeping::default(),
            proposals_from: now,
            waiting: None,
            files_epoch: None,
            last_told: None,
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
            | ProbeReport::ProcessExited => None,
        };
        let mut orders = Orders::new();
        watch.observe(event.link, event.report, &self.policy, now, &mut orders);
        self.send(&event.endpoint, orders, actions);
        if let Some((epoch, result)) = replied {
            self.on_promote_replied(event.link, epoch, result, record, now, actions);
        }
        if read_info {
            self.find_aliases(record, actions);
            self.watch_role(record, now);
        }
    }

    /// Takes in a peer's view.
    pub fn on_view(
        &mut self,
        peer: NodeId,
        incarnation: Incarnation,
        view: &View,
        record: Option<&GroupRecord>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let held = HeldView::receive(view, incarnation, now);
        let doubts = match held.health {
            Health::Suspected { since } | Health::Down { since, .. } => Some(since),
            Health::Unknown | Health::Up => None,
        };
        self.views.insert(peer, held);
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
        self.repair.on_outcome(outcome);
        let order = &outcome.order;
        actions.push(Action::Announce(match &outcome.result {
            Ok(()) => Happening::Followed {
                group: self.name.clone(),
                instance: order.endpoint.clone(),
                master: order.master.clone(),
                demoted: order.demotes,
            },
            Err(failure) => Happening::FollowFailed {
                group: self.name.clone(),
                instance: order.endpoint.clone(),
                why: failure.to_string(),
            },
        }));
        self.ask_info(&order.endpoint.clone(), now, actions);
    }

    /// The committed state changed.
    pub fn on_change(
        &mut self,
        change: Change,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        match change {
            Change::Master | Change::Done => {
                self.identity_since = now;
                self.wrong_role_since = None;
                self.repair.reset();
                self.waiting = None;
                self.bookkeeping = Bookkeeping::default();
                if change == Change::Done {
                    self.cooldown_until = Some(now + self.policy.cooldown);
                }
                self.watch_members(Some(record), now);
                self.ask_info(&record.master().endpoint.clone(), now, actions);
            }
            Change::Members => {
                self.bookkeeping.members = false;
                self.watch_members(Some(record), now);
            }
            Change::History => self.bookkeeping.returned = false,
            Change::Begun | Change::Aborted | Change::None => {}
        }
    }

    /// This node slept until `now`.
    pub fn forgive(&mut self, now: Instant) {
        for watch in self.watches.values_mut() {
            watch.forgive(now);
        }
        self.views.clear();
        self.wrong_role_since = None;
        // What the candidate said before may be long past, and another node may lead since.
        if let Failover::Checking { asked, .. } = &mut self.failover {
            *asked = None;
        }
    }

    /// Does what is due on the probe connections, and notes who is held down.
    pub fn poll(
        &mut self,
        record: Option<&GroupRecord>,
        ids: &mut LinkIds,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.watch_members(record, now);
        let pace = self.pace(record, now);
        let mut sent = Vec::new();
        for (endpoint, watch) in &mut self.watches {
            let mut orders = Orders::new();
            watch.poll(&self.policy, pace, now, ids, &mut orders);
            if !orders.is_empty() {
                sent.push((endpoint.clone(), orders));
            }
        }
        for (endpoint, orders) in sent {
            self.send(&endpoint, orders, actions);
        }
        self.note_down(record, now, actions);
        self.note_strangers(record, now, actions);
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

    /// Replicas tell whether their master lives, so they are asked often while it is in doubt.
    fn pace(&self, record: Option<&GroupRecord>, now: Instant) -> Pace {
        let doubted = record.is_some_and(|record| {
            let own = self.own_health(record, now);
            let is_doubt = |health: Health| match health {
                Health::Suspected { .. } => true,
                Health::Down { cause, .. } => !cause.is_proof(),
                Health::Unknown | Health::Up => false,
            };
            is_doubt(own) && self.is_recent(own, now)
        });
        let info_interval = if doubted {
            self.policy.info_interval_in_doubt()
        } else if self.settling.is_some() {
            GroupPolicy::INFO_INTERVAL_SETTLING
        } else {
            GroupPolicy::INFO_INTERVAL
        };
        Pace { info_interval }
    }

    /// A master that is down for long is asked about no more often than one that is well.
    fn is_recent(&self, health: Health, now: Instant) -> bool {
        let limit = self.policy.down_after + self.policy.replica_veto_max;
        match health {
            Health::Suspected { since } | Health::Down { since, .. } => {
                now.saturating_duration_since(since) < limit
            }
            Health::Unknown | Health::Up => false,
        }
    }

    /// Watches all that are listed, logged, announced by the master, or followed by one of these.
    fn watch_members(&mut self, record: Option<&GroupRecord>, now: Instant) {
        let mut wanted: BTreeSet<Endpoint> = self.policy.instances.clone();
        if let Some(record) = record {
            wanted.extend(record.members().iter().cloned());
            // Whatever name this node knew it by, it is watched by the one that is logged.
            self.aliases.remove(&record.master().endpoint);
            wanted.insert(record.master().endpoint.clone());
        }
        for (endpoint, watch) in &self.watches {
            let Some(sample) = watch.sample() else {
                continue;
            };
            let is_master = record.is_none_or(|record| record.master().endpoint == *endpoint);
            if is_master {
                wanted.extend(discovery::announced(&sample.info).cloned());
            }
            if let Role::Replica { master, .. } = &sample.info.role {
                wanted.insert(master.clone());
            }
        }
        for endpoint in wanted {
            let room = self.watches.len() < GroupPolicy::MEMBERS_MAX;
            if room
                && !self.aliases.contains_key(&endpoint)
                && !self.watches.contains_key(&endpoint)
            {
                self.watches
                    .insert(endpoint.clone(), Watch::new(endpoint, now));
            }
        }
    }

    /// Two endpoints at which one process answers are one instance: the listed name stays.
    fn find_aliases(&mut self, record: Option<&GroupRecord>, actions: &mut Vec<Action>) {
        let mut lives: BTreeMap<RunId, Endpoint> = BTreeMap::new();
        let mut doubles = Vec::new();
        for (endpoint, watch) in &self.watches {
            let Some(sample) = watch.sample().filter(|_| watch.open_link().is_some()) else {
                continue;
            };
            let Some(other) = lives.insert(sample.info.run_id, endpoint.clone()) else {
                continue;
            };
            let rank = |endpoint: &Endpoint| {
                let is_master = record.is_some_and(|record| record.master().endpoint == *endpoint);
                (is_master, self.policy.instances.contains(endpoint))
            };
            let (kept, dropped) = if rank(endpoint) > rank(&other) {
                (endpoint.clone(), other)
            } else {
                (other, endpoint.clone())
            };
            lives.insert(sample.info.run_id, kept.clone());
            doubles.push((dropped, kept));
        }
        for (dropped, kept) in doubles {
            if let Some(watch) = self.watches.remove(&dropped) {
                let orders = watch.links().map(|link| (link, ProbeCommand::Disconnect));
                self.send(&dropped, orders.collect(), actions);
            }
            for other in self.aliases.values_mut().filter(|other| **other == dropped) {
                other.clone_from(&kept);
            }
            self.aliases.insert(dropped, kept);
        }
    }

    pub(super) fn real(&self, endpoint: &Endpoint) -> Endpoint {
        self.aliases.get(endpoint).unwrap_or(endpoint).clone()
    }

    fn watch_role(&mut self, record: Option<&GroupRecord>, now: Instant) {
        let Some(record) = record else { return };
        let Some(sample) = self
            .watches
            .get(&record.master().endpoint)
            .and_then(|watch| watch.sample())
        else {
            return;
        };
        let is_wrong = sample.asked_at >= self.identity_since
            && matches!(sample.info.role, Role::Replica { .. });
        if is_wrong {
            self.wrong_role_since.get_or_insert(now);
        } else {
            self.wrong_role_since = None;
        }
    }

    /// This node's judgement of the logged master.
    #[must_use]
    pub fn own_health(&self, record: &GroupRecord, now: Instant) -> Health {
        let master = record.master();
        let Some(watch) = self.watches.get(&self.real(&master.endpoint)) else {
            return Health::Unknown;
        };
        if let Some(sample) = watch.sample()
            && sample.asked_at >= self.identity_since
            && sample.info.run_id != master.run_id
            && !self.is_continued(record, &sample.info)
        {
            return Health::Down {
                cause: Cause::Restarted,
                since: sample.asked_at,
            };
        }
        let health = watch.health(&self.policy, Some(master.run_id), now);
        match (health, self.wrong_role_since) {
            (Health::Up, Some(since)) => {
                if now.saturating_duration_since(since) >= self.policy.down_after {
                    Health::Down {
                        cause: Cause::WrongRole,
                        since,
                    }
                } else {
                    Health::Suspected { since }
                }
            }
            (health, _) => health,
        }
    }

    /// Whether a restarted master still has all that the group has: it goes on with the logged
    /// history, and no replica is ahead of it.
    pub(super) fn is_continued(
        &self,
        record: &GroupRecord,
        info: &crate::model::InstanceInfo,
    ) -> bool {
        let most = self
            .watches
            .values()
            .filter(|watch| *watch.endpoint() != record.master().endpoint)
            .filter_map(|watch| watch.sample())
            .filter_map(|sample| record.master().reach(&sample.info.history))
            .max();
        record
            .master()
            .reach(&info.history)
            .is_some_and(|reach| most.is_none_or(|most| reach >= most))
    }

    /// Fresh views of all voters, our own included.
    pub(super) fn views_now(
        &self,
        record: &GroupRecord,
        now: Instant,
    ) -> BTreeMap<NodeId, HeldView> {
        let mut views: BTreeMap<NodeId, HeldView> = self
            .views
            .iter()
            .filter(|(_, view)| view.counts(record.epoch(), record.master().run_id, now))
            .map(|(node, view)| (node.clone(), view.clone()))
            .collect();
        views.insert(self.node.clone(), self.own_view(record, now));
        views
    }

    fn own_view(&self, record: &GroupRecord, now: Instant) -> HeldView {
        let master = &record.master().endpoint;
        HeldView {
            incarnation: Incarnation::default(),
            received_at: now,
            epoch: record.epoch(),
            run_id: record.master().run_id,
            health: self.own_health(record, now),
            answered: self.watches.get(master).and_then(Watch::answered),
            moving_since: self.moving_since(record),
            files_epoch: self.files_epoch,
        }
    }

    /// The latest moment after which a replica received more of the master's stream.
    fn moving_since(&self, record: &GroupRecord) -> Option<Instant> {
        self.watches
            .values()
            .filter(|watch| *watch.endpoint() != record.master().endpoint)
            .filter_map(|watch| watch.stream().moving_since())
            .max()
    }

    /// What the voters' views come to.
    #[must_use]
    pub fn verdict(&self, record: &GroupRecord, now: Instant) -> Verdict {
        let circumstances = Circumstances {
            cooldown_until: self.cooldown_until,
            now,
        };
        agreement::judge(&self.views_now(record, now), &self.policy, circumstances)
    }

    /// The last offset seen of the master.
    #[must_use]
    pub fn master_offset(&self, record: &GroupRecord) -> Option<ReplicationOffset> {
        let sample = self.watches.get(&record.master().endpoint)?.sample()?;
        (sample.info.run_id == record.master().run_id).then_some(sample.info.history.offset)
    }

    /// This node's view for its peers, and whether it is worth a message at once.
    pub fn view(&mut self, record: &GroupRecord, now: Instant) -> (View, bool) {
        let own = self.own_view(record, now);
        let doubted = own.health != Health::Up
            || self.views.values().any(|view| match view.health {
                Health::Suspected { .. } | Health::Down { .. } => {
                    view.counts(record.epoch(), record.master().run_id, now)
                }
                Health::Unknown | Health::Up => false,
            });
        let told = Told {
            epoch: own.epoch,
            run_id: own.run_id,
            opinion: Kind::of(own.health),
            files_epoch: own.files_epoch,
            signs: doubted.then_some((own.answered, own.moving_since)),
        };
        let changed = self.last_told.as_ref() != Some(&told);
        self.last_told = Some(told);
        let age = |at: Instant| now.saturating_duration_since(at);
        let view = View {
            group: self.name.clone(),
            epoch: own.epoch,
            run_id: own.run_id,
            opinion: Opinion::of(own.health, now),
            answered_age: own.answered.map(age),
            moving_age: own.moving_since.map(age),
            files_epoch: own.files_epoch,
        };
        (view, changed)
    }

    /// How each instance but the master stands to it, of those that answer.
    pub(super) fn standings(
        &self,
        record: &GroupRecord,
        now: Instant,
    ) -> BTreeMap<Endpoint, (Standing, &Watch)> {
        let members: BTreeSet<Endpoint> = record
            .members()
            .iter()
            .map(|member| self.real(member))
            .collect();
        self.watches
            .iter()
            .filter(|(endpoint, watch)| {
                **endpoint != record.master().endpoint
                    && members.contains(*endpoint)
                    && watch.open_link().is_some()
                    && watch.health(&self.policy, None, now) == Health::Up
            })
            .filter_map(|(endpoint, watch)| {
                let info = &watch.sample()?.info;
                if info.run_id == record.master().run_id {
                    // The master itself, under a name that is not known as such yet.
                    return None;
                }
                let real = |endpoint: &Endpoint| self.real(endpoint);
                let standing = repair::standing(endpoint, info, record, &self.policy, real);
                Some((endpoint.clone(), (standing, watch)))
            })
            .collect()
    }

    fn note_down(&mut self, record: Option<&GroupRecord>, now: Instant, actions: &mut Vec<Action>) {
        for (endpoint, watch) in &self.watches {
            let is_master = record.is_some_and(|record| record.master().endpoint == *endpoint);
            let health = match record {
                Some(record) if is_master => self.own_health(record, now),
                Some(_) | None => watch.health(&self.policy, None, now),
            };
            let happening = match health {
                Health::Down { cause, .. } if self.down.get(endpoint) != Some(&cause) => {
                    self.down.insert(endpoint.clone(), cause);
                    Happening::SubjectivelyDown {
                        group: self.name.clone(),
                        instance: endpoint.clone(),
                        is_master,
                        cause,
                    }
                }
                Health::Up if self.down.remove(endpoint).is_some() => Happening::AnswersAgain {
                    group: self.name.clone(),
                    instance: endpoint.clone(),
                },
                Health::Down { .. } | Health::Up | Health::Unknown | Health::Suspected { .. } => {
                    continue;
                }
            };
            actions.push(Action::Announce(happening));
        }
    }

    fn note_strangers(
        &mut self,
        record: Option<&GroupRecord>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let strangers: BTreeSet<Endpoint> = record
            .map(|record| self.standings(record, now))
            .into_iter()
            .flatten()
            .filter(|(_, (standing, _))| *standing == Standing::Stranger)
            .map(|(endpoint, _)| endpoint)
            .collect();
        for instance in strangers.difference(&self.strangers) {
            let (group, instance) = (self.name.clone(), instance.clone());
            actions.push(Action::Announce(Happening::Stranger { group, instance }));
        }
        self.strangers = strangers;
    }

    /// The next moment at which time alone changes something here.
    #[must_use]
    pub fn next_deadline(&self, record: Option<&GroupRecord>, now: Instant) -> Option<Deadline> {
        let pace = self.pace(record, now);
        let probe = self
            .watches
            .values()
            .filter_map(|watch| watch.next_deadline(&self.policy, pace, now))
            .min();
        let veto = record.and_then(|record| match self.verdict(record, now) {
            Verdict::Vetoed { until, .. } => until,
            Verdict::NotDown | Verdict::Short { .. } | Verdict::Down { .. } => None,
        });
        let role = self
            .wrong_role_since
            .map(|since| since + self.policy.down_after);
        let failover = self.failover.next_deadline();
        let settling = self.settling.as_ref().map(Settling::deadline);
        let future = |at: &Instant| *at > now;
        [
            (probe, DeadlineReason::Probe),
            (role.filter(future), DeadlineReason::Probe),
            (failover.filter(future), DeadlineReason::Failover),
            (settling.filter(future), DeadlineReason::Failover),
            (
                Some(self.proposals_from).filter(future),
                DeadlineReason::Failover,
            ),
            (veto.filter(future), DeadlineReason::Veto),
        ]
        .into_iter()
        .filter_map(|(at, reason)| at.map(|at| Deadline { at, reason }))
        .min()
    }

    /// How late a deadline may be noticed before this node has to suspect itself.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.policy.ping_interval().max(Duration::from_millis(50))
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
