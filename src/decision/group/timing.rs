//! When something is due: how often instances are asked, and the next moment that matters.

use std::time::{Duration, Instant};

use super::Group;
use crate::decision::agreement::Verdict;
use crate::decision::event::{Action, Deadline, DeadlineReason};
use crate::decision::health::Health;
use crate::decision::instance_event::{ProbeEvent, ProbeReport};
use crate::decision::policy::{EARLY, GroupPolicy};
use crate::decision::record::GroupRecord;
use crate::decision::settling::Settling;
use crate::decision::watch::{LinkIds, Orders, Pace};
use crate::model::PingReply;

impl Group {
    /// Has it look at everything anew, in this turn.
    pub(in crate::decision) fn stir(&mut self) {
        self.is_stirred = true;
    }

    /// The same, for what happened on a probe connection; but for the answer to a ping by an instance that
    /// nobody doubts, which only puts off when to look next.
    pub(in crate::decision) fn stir_by(&mut self, event: &ProbeEvent, now: Instant) {
        let Some(watch) = self.watches.get(&event.endpoint) else {
            return;
        };
        let is_pong = matches!(
            event.report,
            ProbeReport::PingReplied {
                reply: PingReply::Pong,
                ..
            }
        );
        let is_well = is_pong
            && watch.trouble().is_none()
            && watch.health(&self.policy, None, now) == Health::Up;
        let is_calm = is_well
            && self.is_undoubted()
            && self.failover.is_idle()
            && self.settling.is_none()
            && !self.repair.is_under_way(now);
        self.is_stirred |= !is_calm;
        self.is_retimed = true;
    }

    /// The same, if time alone has something to do for it; what is almost due goes along.
    pub(in crate::decision) fn stir_if_due(&mut self, now: Instant) {
        let soon = now + self.earliness();
        self.is_stirred |= self.wakes_at.is_some_and(|wakes| wakes.at <= soon);
    }

    /// Whether it is to look.
    pub(in crate::decision) fn is_stirred(&self) -> bool {
        self.is_stirred
    }

    /// It has looked: until it is stirred again it wants nothing before this moment.
    pub(in crate::decision) fn rest(
        &mut self,
        record: Option<&GroupRecord>,
        now: Instant,
    ) -> Option<Deadline> {
        let is_retimed = std::mem::take(&mut self.is_retimed);
        if std::mem::take(&mut self.is_stirred) || is_retimed {
            self.wakes_at = self.next_deadline(record, now);
        }
        self.wakes_at
    }

    /// Does what is due on the probe connections, and notes who is held down.
    pub fn poll(
        &mut self,
        record: Option<&GroupRecord>,
        ids: &mut LinkIds,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if !self.is_roll_current {
            self.watch_members(record, now);
            self.is_roll_current = true;
        }
        let pace = self.pace(record, now);
        let beside = self.master_info_interval(record, now);
        let master = record.map(|record| record.master().endpoint.clone());
        let mut sent = Vec::new();
        for (endpoint, watch) in &mut self.watches {
            let mut orders = Orders::new();
            let pace = match (&master, beside) {
                (Some(master), Some(interval)) if master == endpoint => pace.at_most(interval),
                (Some(_) | None, _) => pace,
            };
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
        self.note_sentinels(now, actions);
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
        } else if self.settling.is_some() || self.is_news(now) || self.repair.is_under_way(now) {
            GroupPolicy::INFO_INTERVAL_SETTLING
        } else {
            GroupPolicy::INFO_INTERVAL
        };
        Pace { info_interval }
    }

    /// A new master was logged a moment ago: what the others do about it is worth knowing soon.
    fn is_news(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.identity_since) < GroupPolicy::INFO_INTERVAL
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

    /// The next moment at which time alone changes something here.
    #[must_use]
    pub fn next_deadline(&self, record: Option<&GroupRecord>, now: Instant) -> Option<Deadline> {
        let pace = self.pace(record, now);
        let beside = self.master_info_interval(record, now);
        let probe = self
            .watches
            .values()
            .filter_map(|watch| {
                let is_master =
                    record.is_some_and(|record| record.master().endpoint == *watch.endpoint());
                let beside = beside.filter(|_| is_master);
                let pace = beside.map_or(pace, |interval| pace.at_most(interval));
                watch.next_deadline(&self.policy, pace, now)
            })
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
            (self.pause_over_at.filter(future), DeadlineReason::Request),
            (self.lease_deadline(record, now), DeadlineReason::Lease),
        ]
        .into_iter()
        .filter_map(|(at, reason)| at.map(|at| Deadline { at, reason }))
        .min()
    }

    /// How early a deadline may be noticed.
    pub(in crate::decision) fn earliness(&self) -> Duration {
        self.policy.ping_interval() / EARLY
    }

    /// How late a deadline may be noticed before this node has to suspect itself.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.policy.ping_interval().max(Duration::from_millis(50))
    }
}
