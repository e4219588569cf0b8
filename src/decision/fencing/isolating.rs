//! The isolation of a master: its node has lost the majority of voters, and it has lost its replicas.

use super::{Fence, FenceCause};
use crate::decision::event::Action;
use crate::decision::group::Group;
use crate::decision::policy::{Fencing, GroupPolicy};
use crate::decision::record::GroupRecord;
use crate::decision::watch::Watch;
use crate::model::{Endpoint, ReplicaAck, ReplicationOffset, Role};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Replicas acknowledge once a second: one that has not for so long is not heard any more.
const UNHEARD_AFTER: Duration = Duration::from_millis(1200);
/// Readings of the master's offset that are kept: more than are made while a replica is waited for.
const OFFSETS_MAX: usize = 64;
/// The master is looked at closely when the majority of voters has been quiet for longer than it ever
/// is while all is well.
const CLOSER_LOOK_AFTER: Duration = Duration::from_millis(650);
/// A replica that was heard within this is one that the master has.
const ATTACHED_WITHIN: Duration = Duration::from_millis(2500);
/// A replica that is not there for so long, while the voters are, is not missed any more.
const MISSED_FOR: Duration = Duration::from_secs(10);
/// Voters that were heard within this are there.
const VOTERS_HEARD_WITHIN: Duration = Duration::from_millis(500);
/// Where the network drops what we send only, voters are heard for so long after that: until what they
/// may send without an acknowledgement is sent.
const HEARD_ON_FOR: Duration = Duration::from_millis(200);
/// What the instance said before this tells nothing of now.
const FRESH_FOR: Duration = Duration::from_millis(500);

/// When a master last heard its replicas, and the majority of voters was last heard here.
#[derive(Debug)]
pub struct Isolation {
    majority_heard: Instant,
    /// A leader confirmed that this node's state is current.
    confirmed: Option<Instant>,
    acks: BTreeMap<Endpoint, Ack>,
    /// How many replicas the master had while the majority of voters was heard, and when it last had
    /// so many.
    attached: usize,
    attached_at: Instant,
    /// How far the master was, the oldest reading first.
    offsets: VecDeque<(Instant, ReplicationOffset)>,
    /// Since when the master hears its replicas again, without a majority of voters.
    replicas_since: Option<Instant>,
    /// It was fenced since this isolation began: once, whoever lifts that.
    is_fenced: bool,
}

/// The latest acknowledgement of one replica.
#[derive(Debug, Clone, Copy)]
struct Ack {
    said: ReplicaAck,
    offset: ReplicationOffset,
    /// It came at this moment, or before.
    at: Instant,
    /// When this offset was first read.
    offset_seen: Instant,
}

impl Isolation {
    /// Starts as if all had just been heard.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            majority_heard: now,
            confirmed: None,
            acks: BTreeMap::new(),
            attached: 0,
            attached_at: now,
            offsets: VecDeque::new(),
            replicas_since: None,
            is_fenced: false,
        }
    }

    /// What is known of the voters.
    pub fn hear(&mut self, majority_heard: Instant, confirmed: Option<Instant>) {
        self.majority_heard = majority_heard;
        self.confirmed = confirmed;
    }

    /// This node slept until `now`.
    pub fn forgive(&mut self, now: Instant) {
        for ack in self.acks.values_mut() {
            ack.at = now;
        }
        self.offsets.clear();
    }

    fn forget(&mut self) {
        self.acks.clear();
        self.attached = 0;
        self.offsets.clear();
    }

    /// Takes in what the master said of its replicas when it was asked at `asked_at`.
    fn observe(&mut self, asked_at: Instant, offset: ReplicationOffset, role: &Role) {
        let Role::Master { replicas } = role else {
            return;
        };
        if self.offsets.back().is_none_or(|(at, _)| *at < asked_at) {
            if self.offsets.len() == OFFSETS_MAX {
                self.offsets.pop_front();
            }
            self.offsets.push_back((asked_at, offset));
        }
        let before = std::mem::take(&mut self.acks);
        for replica in replicas.iter().filter(|replica| replica.online) {
            let (said, offset) = (replica.ack, replica.offset);
            let latest = asked_at.checked_sub(said.age_min).unwrap_or(asked_at);
            let same = before
                .get(&replica.endpoint)
                .filter(|ack| ack.offset == offset);
            let at = match same {
                // The same one as before: it came before that reading too.
                Some(ack) if ack.said.second == said.second => ack.at.min(latest),
                Some(_) | None => latest,
            };
            let ack = Ack {
                said,
                offset,
                at,
                offset_seen: same.map_or(asked_at, |ack| ack.offset_seen),
            };
            self.acks.insert(replica.endpoint.clone(), ack);
        }
        if asked_at.saturating_duration_since(self.majority_heard) < VOTERS_HEARD_WITHIN {
            let heard = self.heard_within(ATTACHED_WITHIN, asked_at);
            let is_old = asked_at.saturating_duration_since(self.attached_at) >= MISSED_FOR;
            if heard >= self.attached || is_old {
                self.attached = heard;
                self.attached_at = asked_at;
            }
        }
    }

    /// Whether the majority of voters was heard after this moment.
    pub(super) fn has_heard_majority_since(&self, moment: Instant) -> bool {
        self.majority_heard > moment
    }

    fn heard_lately(&self, now: Instant) -> usize {
        self.heard_within(UNHEARD_AFTER, now)
    }

    fn heard_within(&self, limit: Duration, now: Instant) -> usize {
        let is_heard = |ack: &&Ack| {
            let at = self.left_behind(ack).map_or(ack.at, |at| at.min(ack.at));
            now.saturating_duration_since(at) < limit
        };
        self.acks.values().filter(is_heard).count()
    }

    /// Whether the master does not hear more than half of the replicas any more that it had.
    fn has_lost_replicas(&self, now: Instant) -> bool {
        let lost = self.attached.saturating_sub(self.heard_lately(now));
        lost * 2 > self.attached
    }

    /// Since when a replica may not hear the master. It can be heard and not hear, where the network
    /// drops one way only: what it acknowledges stays what it had, so the moment counts from which the
    /// master was ahead of that. One that is far behind, and comes on, hears.
    fn left_behind(&self, ack: &Ack) -> Option<Instant> {
        let is_ahead = |(_, offset): &(Instant, ReplicationOffset)| *offset > ack.offset;
        let position = self.offsets.iter().position(is_ahead)?;
        let (ahead_at, _) = self.offsets[position];
        // The oldest reading does not tell since when.
        let is_laggard =
            position == 0 || ack.offset_seen.saturating_duration_since(ahead_at) >= UNHEARD_AFTER;
        Some(if is_laggard {
            ack.offset_seen
        } else {
            ahead_at
        })
    }
}

impl Group {
    /// The master, where it runs beside this node, is known by this connection, and may be fenced.
    fn master_beside(&self, record: &GroupRecord) -> Option<&Watch> {
        let master = record.master();
        let watch = self.watches.get(&master.endpoint)?;
        let is_it = watch
            .current_sample()
            .is_some_and(|sample| sample.info.run_id == master.run_id);
        let is_free = record.mandate().is_none() && record.pause().is_none();
        (self.policy.fencing == Fencing::Fast
            && is_free
            && is_it
            && watch.is_beside()
            && watch.says_master())
        .then_some(watch)
    }

    /// Notes what a reading of the master's `INFO` says of its replicas.
    pub(in crate::decision) fn watch_acks(&mut self, record: Option<&GroupRecord>) {
        let beside = record.filter(|record| self.master_beside(record).is_some());
        let Some(record) = beside else {
            self.isolation.forget();
            return;
        };
        let watch = self.watches.get(&record.master().endpoint);
        if let Some(sample) = watch.and_then(Watch::sample) {
            let (offset, role) = (sample.info.history.offset, &sample.info.role);
            self.isolation.observe(sample.asked_at, offset, role);
        }
    }

    /// How often the master beside this node is read, so that a cut is seen in time: with each ping, and
    /// more often when the voters are quiet.
    pub(in crate::decision) fn master_info_interval(
        &self,
        record: Option<&GroupRecord>,
        now: Instant,
    ) -> Option<Duration> {
        record.and_then(|record| self.master_beside(record))?;
        let quiet_for = now.saturating_duration_since(self.isolation.majority_heard);
        Some(if quiet_for > CLOSER_LOOK_AFTER {
            GroupPolicy::INFO_INTERVAL_SETTLING
        } else {
            GroupPolicy::INFO_INTERVAL_BESIDE
        })
    }

    /// Fences a master that is cut off, and lifts that when it no longer is and its epoch stands.
    pub(super) fn keep_isolated(
        &mut self,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(watch) = self.master_beside(record) else {
            self.isolation.is_fenced = false;
            self.isolation.replicas_since = None;
            return;
        };
        let asked_at = watch.sample().map(|sample| sample.asked_at);
        let is_fresh = asked_at.is_some_and(|at| now.saturating_duration_since(at) < FRESH_FOR);
        let instance = watch.endpoint().clone();
        let quiet_for = now.saturating_duration_since(self.isolation.majority_heard);
        let is_alone = quiet_for + HEARD_ON_FOR >= self.policy.isolation_after;
        if !is_alone && !self.fences.held.contains_key(&instance) {
            self.isolation.is_fenced = false;
            self.isolation.replicas_since = None;
            return;
        }
        let has_lost = self.isolation.has_lost_replicas(now);
        self.isolation.replicas_since = match self.isolation.replicas_since {
            _ if has_lost => None,
            since => since.or(Some(now)),
        };
        if !is_alone {
            self.isolation.is_fenced = false;
        }
        let is_due = match self.fences.held.get(&instance) {
            Some(held) => held.cause == FenceCause::Isolated && !held.is_up,
            None => !self.isolation.is_fenced,
        };
        let is_free = self.deferred_to(now).is_none();
        if is_alone && has_lost && is_fresh && is_due && is_free {
            self.isolation.is_fenced = true;
            self.fence(&instance, FenceCause::Isolated, record, now, actions);
        }
        let held = self.fences.held.get(&instance);
        let is_over = held.is_some_and(|held| self.is_isolation_over(held, now));
        let is_seen = self
            .watches
            .get(&instance)
            .is_some_and(Watch::is_seen_fenced);
        if is_over && is_seen && !record.is_vacant() && self.fences.may_try(&instance, now) {
            // Were they lost again, it would be another isolation.
            self.isolation.is_fenced = self.isolation.replicas_since.is_none();
            self.lift(&instance, record, actions);
        }
    }

    /// The majority is back and says that the epoch stands; or the replicas are, for good, and the other
    /// daemons are merely down.
    fn is_isolation_over(&self, held: &Fence, now: Instant) -> bool {
        let isolation = &self.isolation;
        // A leader that is cut off thinks so of itself for a while.
        let is_confirmed = match self.is_leading {
            true => isolation.has_heard_majority_since(held.since),
            false => isolation.confirmed.is_some_and(|at| at > held.since),
        };
        let are_replicas_back = isolation.replicas_since.is_some_and(|since| {
            now.saturating_duration_since(since) >= self.policy.isolation_after
        });
        held.cause == FenceCause::Isolated && (is_confirmed || are_replicas_back)
    }

    /// Whether it matters to this node that a leader confirms its state anew.
    #[must_use]
    pub fn awaits_confirmation(&self) -> bool {
        let mut held = self.fences.held.values();
        held.any(|held| held.cause == FenceCause::Isolated)
    }
}

#[cfg(test)]
#[path = "isolating_tests.rs"]
mod tests;
