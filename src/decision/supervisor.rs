//! The pure core as a whole: events and `now` come in, actions go out.

mod asking;
mod stirring;
mod telling;

use std::collections::BTreeMap;
use std::time::Instant;

use super::change::Change;
use super::desk::{self, Desk};
use super::entry::Entry;
use super::event::{Action, Deadline, DeadlineReason, Event};
use super::group::Group;
use super::happening::Happening;
use super::instance_event::ProbeEvent;
use super::policy::GroupPolicy;
use super::record::{GroupRecord, Records};
use super::request::OperationId;
use super::watch::LinkIds;
use crate::breaks::{Break, is_broken};
use crate::model::{Endpoint, GroupName, NodeId, NodeRole, UnixTime};

/// Watches all groups of one node and, where it leads, heals them.
///
/// It owns no socket, file, clock, thread or random source.
#[derive(Debug)]
pub struct Supervisor {
    node: NodeId,
    groups: BTreeMap<GroupName, Group>,
    records: Records,
    links: LinkIds,
    leading: bool,
    confirmed: bool,
    report_due: Instant,
    /// When to say again what this node has in its settings.
    claims_due: Instant,
    /// What this node is, and what the others said that they are.
    role: NodeRole,
    roles: BTreeMap<NodeId, NodeRole>,
    /// Where clients reach this node's Sentinel endpoint, and those of the others as they said.
    sentinel: Option<Endpoint>,
    sentinels: BTreeMap<NodeId, Option<Endpoint>>,
    expected: Option<Deadline>,
    wall: WallClock,
    desk: Desk,
    /// When each other voter was last heard.
    heard: BTreeMap<NodeId, Instant>,
    /// When a leader last confirmed that the state is current.
    confirmed_at: Option<Instant>,
}

/// What the wall clock said at one moment, and from there on a clock that nobody sets.
///
/// For people to read. Only where nothing better is left is something decided by it: how much of a
/// pause is left after a restart, and which failovers were within the last hour.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    /// The moment.
    pub at: Instant,
    /// What it said.
    pub time: UnixTime,
}

impl WallClock {
    /// What it would say at `now`, if nobody sets it.
    #[must_use]
    pub fn read(&self, now: Instant) -> UnixTime {
        self.time.after(now.saturating_duration_since(self.at))
    }
}

impl Supervisor {
    /// Starts with the committed state that this node has on disk.
    #[must_use]
    pub fn new(
        node: NodeId,
        policies: BTreeMap<GroupName, GroupPolicy>,
        records: Records,
        wall: WallClock,
    ) -> Self {
        let now = wall.at;
        let mut groups: BTreeMap<GroupName, Group> = policies
            .into_iter()
            .map(|(name, policy)| (name.clone(), Group::new(name, node.clone(), policy, now)))
            .collect();
        for (name, record) in records.iter() {
            if let Some(group) = groups.get_mut(name) {
                group.time_pause(record, false, wall.time, now);
            }
        }
        Self {
            node,
            groups,
            records,
            links: LinkIds::default(),
            leading: false,
            confirmed: false,
            report_due: now,
            claims_due: now,
            role: NodeRole::default(),
            roles: BTreeMap::new(),
            sentinel: None,
            sentinels: BTreeMap::new(),
            expected: None,
            wall,
            heard: BTreeMap::new(),
            confirmed_at: None,
            desk: Desk::default(),
        }
    }

    /// Names the other voters: without them this node is a majority by itself.
    #[must_use]
    pub fn among(mut self, peers: impl IntoIterator<Item = NodeId>) -> Self {
        let started = self.wall.at;
        self.heard = peers.into_iter().map(|peer| (peer, started)).collect();
        for group in self.groups.values_mut() {
            group.equality.among(self.heard.keys());
            group.leasing.among(self.heard.len() + 1);
        }
        self
    }

    /// Says what this node is, if it is more than a voter.
    #[must_use]
    pub fn with_role(mut self, role: NodeRole) -> Self {
        self.role = role;
        self
    }

    /// Says where clients reach this node's Sentinel endpoint.
    #[must_use]
    pub fn with_sentinel(mut self, sentinel: Option<Endpoint>) -> Self {
        self.sentinel = sentinel;
        self
    }

    /// When another voter was last heard.
    #[must_use]
    pub fn heard_at(&self, peer: &NodeId) -> Option<Instant> {
        self.heard.get(peer).copied()
    }

    /// Something came from another voter, whatever it was.
    pub fn hear(&mut self, peer: &NodeId, now: Instant) {
        if let Some(heard) = self.heard.get_mut(peer) {
            *heard = now;
        }
    }

    /// Whether it matters to this node that a leader confirms its state once more.
    #[must_use]
    pub fn awaits_confirmation(&self) -> bool {
        !self.confirmed || self.groups.values().any(Group::awaits_confirmation)
    }

    /// When a majority of voters, this node included, was last heard.
    fn majority_heard(&self, now: Instant) -> Instant {
        let voters = self.heard.len() + 1;
        let others_needed = voters / 2;
        if others_needed == 0 {
            return now;
        }
        // There are few, and this is asked at every event: nothing is sorted.
        let heard_since = |at: &Instant| self.heard.values().filter(|other| *other >= at).count();
        let heard = self.heard.values();
        let latest = heard.filter(|at| heard_since(at) >= others_needed).max();
        latest.copied().unwrap_or(now)
    }

    /// Takes in one event at `now` and returns what to do about it, in order.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        self.suspect_self(now, &mut actions);
        self.stir(&event, now);
        let mut tell = false;
        match event {
            Event::DeadlineReached => {}
            Event::Probed(event) => self.on_probe(event, now, &mut actions),
            Event::Followed(outcome) => {
                if let Some(group) = self.groups.get_mut(&outcome.order.group) {
                    group.on_followed(&outcome, now, &mut actions);
                }
            }
            Event::Guarded(outcome) => {
                if let Some(group) = self.groups.get_mut(&outcome.order.group) {
                    group.on_guarded(&outcome, &mut actions);
                }
            }
            Event::Held(outcome) => {
                if let Some(group) = self.groups.get_mut(&outcome.order.group) {
                    group.on_held(&outcome, now, &mut actions);
                }
            }
            Event::Suspended => {
                for group in self.groups.values_mut() {
                    group.leasing.expire();
                }
            }
            Event::Leased { peer, message } => {
                if let Some(group) = self.groups.get_mut(&message.group) {
                    let record = self.records.get(&message.group);
                    let confirmed = self.confirmed;
                    group.on_lease_message(&peer, &message, record, confirmed, now, &mut actions);
                }
            }
            Event::Rescued(outcome) => {
                if let Some(group) = self.groups.get_mut(&outcome.order.group) {
                    group.on_rescued(&outcome, &mut actions);
                }
            }
            Event::PeerUp(_) => tell = true,
            Event::PeerReported { peer, life, report } => {
                if let Some(claims) = &report.claims {
                    self.hear_claims(&peer, claims, now, &mut actions);
                }
                for view in &report.views {
                    if let Some(group) = self.groups.get_mut(&view.group) {
                        let record = self.records.get(&view.group);
                        group.on_view(peer.clone(), life, view, record, now, &mut actions);
                    }
                }
            }
            Event::LeadershipChanged { leading } => {
                let leading = leading || (self.leading && is_broken(Break::DeposedLeaderActs));
                self.leading = leading;
                // A new leader's first report confirms its peers' state.
                tell = leading;
                self.desk.try_again(now);
                for (name, group) in &mut self.groups {
                    group.on_leadership(leading, self.records.get(name), now);
                }
            }
            Event::ProposalRefused(group) => {
                let is_heard = self.leading && !is_broken(Break::RefusalIgnored);
                if let Some(member) = self.groups.get_mut(&group).filter(|_| is_heard) {
                    member.on_refused(self.records.get(&group), now);
                }
            }
            Event::Committed(entry) => self.commit(entry, now, &mut actions),
            Event::Confirmed => {
                self.confirmed_at = Some(now);
                self.confirm(&mut actions);
            }
            Event::FilesRewritten { group, epoch } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.files_epoch = Some(epoch);
                }
            }
            Event::Requested(request) => self.desk.take_in(request, now, &mut actions),
            Event::Adjusted(policies) => {
                for (name, policy) in policies {
                    if let Some(group) = self.groups.get_mut(&name) {
                        group.adjust(policy);
                    }
                }
                // What the others compare theirs with.
                tell = true;
            }
            Event::Forwarded(request) => {
                if self.leading {
                    let wall = self.wall.read(now);
                    let (records, groups) = (&self.records, &mut self.groups);
                    desk::propose(&request, records, groups, wall, now, &mut actions);
                }
            }
        }
        self.react(now, &mut actions);
        if is_broken(Break::ActsBeforeCommit) {
            for entry in proposals(&actions) {
                self.commit(entry, now, &mut actions);
            }
        }
        self.tell(tell, now, &mut actions);
        self.expected = self.rest(now);
        actions
    }

    /// When to deliver [`Event::DeadlineReached`] if nothing happens sooner, and why.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.expected
    }

    /// Whether [`Event::DeadlineReached`] would do something at `now`: what is almost due counts too.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        let early = self.groups.values().map(Group::earliness).min();
        self.expected
            .is_none_or(|expected| expected.at <= now + early.unwrap_or_default())
    }

    /// Whether an administrator's operation that came by this node is still tried.
    #[must_use]
    pub fn is_tried(&self, operation: OperationId) -> bool {
        self.desk.is_open(operation)
    }

    /// The committed state.
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The groups of this node's settings.
    #[must_use]
    pub fn groups(&self) -> &BTreeMap<GroupName, Group> {
        &self.groups
    }

    /// Whether a leader of this life of the node confirmed that its state is current.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Whether this node may act.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.leading
    }

    /// Takes the place of all committed state, when a leader sent a snapshot: never where this node leads,
    /// since a leader has the entries themselves.
    pub fn install(&mut self, records: Records, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        self.records = records;
        for (name, group) in &mut self.groups {
            group.stir();
            if let Some(record) = self.records.get(name) {
                let (is_news, wall) = (false, self.wall.read(now));
                group.on_change(Change::Master, record, now, &mut actions);
                group.time_pause(record, is_news, wall, now);
                let is_told = self.confirmed && !is_broken(Break::InstalledStateNotPublished);
                publish(is_told, name, record, &mut actions);
            }
        }
        actions
    }

    /// Nearly always one group watches an instance, and nothing is copied.
    fn on_probe(&mut self, event: ProbeEvent, now: Instant, actions: &mut Vec<Action>) {
        let endpoint = event.endpoint.clone();
        let groups = self.groups.iter_mut();
        let mut watching = groups
            .filter(|(_, group)| group.watches.contains_key(&endpoint))
            .peekable();
        let mut event = Some(event);
        while let Some((name, group)) = watching.next() {
            let is_last = watching.peek().is_none();
            let told = if is_last { event.take() } else { event.clone() };
            if let Some(told) = told {
                group.on_probe(told, self.records.get(name), now, actions);
            }
        }
    }

    /// Silence while this node itself did not run is no evidence.
    fn suspect_self(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(expected) = self.expected else {
            return;
        };
        let late = now.saturating_duration_since(expected.at);
        let mut slept = false;
        for group in self.groups.values_mut() {
            if late > group.patience() && !is_broken(Break::OwnSilenceCountsAfterSleep) {
                group.forgive(now);
                slept = true;
            }
        }
        if slept {
            self.heard.values_mut().for_each(|heard| *heard = now);
            let for_ms = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
            actions.push(Action::Announce(Happening::Slept { for_ms }));
        }
    }

    fn commit(&mut self, entry: Entry, now: Instant, actions: &mut Vec<Action>) {
        let name = entry.group().clone();
        let change = self.records.apply(entry.clone());
        let Some(record) = self.records.get(&name) else {
            return;
        };
        if let Some(happening) = Happening::of_change(change, &entry, record) {
            actions.push(Action::Announce(happening));
        }
        if matches!(change, Change::Master | Change::Done | Change::Members) {
            publish(self.confirmed, &name, record, actions);
        }
        if let Some(group) = self.groups.get_mut(&name) {
            group.stir();
            group.on_change(change, record, now, actions);
            if change == Change::Paused {
                group.time_pause(record, self.confirmed, self.wall.read(now), now);
            }
            if self.leading {
                group.lead_change(change, &entry, record, now);
            }
        }
    }

    fn confirm(&mut self, actions: &mut Vec<Action>) {
        if self.confirmed {
            return;
        }
        self.confirmed = true;
        for (name, record) in self.records.iter() {
            publish(true, name, record, actions);
        }
    }

    fn react(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let wall = self.wall.read(now);
        let (majority_heard, confirmed_at) = (self.majority_heard(now), self.confirmed_at);
        let groups = self.groups.iter_mut();
        for (name, group) in groups.filter(|(_, group)| group.is_stirred()) {
            let record = self.records.get(name);
            group.isolation.hear(majority_heard, confirmed_at);
            group.poll(record, &mut self.links, now, actions);
            // Before what would demote it.
            group.keep_rescues(record, self.leading, now, actions);
            if self.leading {
                group.lead(record, wall, now, actions);
            }
            // Behind all that brings the new master about.
            group.keep_fences(record, self.leading, now, actions);
            group.keep_leases(record, &self.heard, self.confirmed, now, actions);
        }
        let (records, groups) = (&self.records, &mut self.groups);
        self.desk
            .poll(records, groups, self.leading, wall, now, actions);
    }

    /// What those want that are stirred is found out anew; then all rest.
    fn rest(&mut self, now: Instant) -> Option<Deadline> {
        let report = Deadline {
            at: self.report_due,
            reason: DeadlineReason::Report,
        };
        let request = self.desk.next_deadline().map(|at| Deadline {
            at,
            reason: DeadlineReason::Request,
        });
        let records = &self.records;
        self.groups
            .iter_mut()
            .filter_map(|(name, group)| group.rest(records.get(name), now))
            .chain([report])
            .chain(request)
            .min()
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.node
    }
}

fn proposals(actions: &[Action]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for action in actions {
        if let Action::Propose(entry) = action {
            entries.push(entry.clone());
        }
    }
    entries
}

fn publish(confirmed: bool, group: &GroupName, record: &GroupRecord, actions: &mut Vec<Action>) {
    if confirmed || is_broken(Break::PublishesUnconfirmed) {
        let master = record.master().endpoint.clone();
        let others = record.members().iter().filter(|member| **member != master);
        actions.push(Action::Publish {
            group: group.clone(),
            epoch: record.epoch(),
            replicas: others.cloned().collect(),
            master,
        });
    }
}
