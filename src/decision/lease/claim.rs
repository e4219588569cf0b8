//! What a node tells the others of leases, and what time alone tells it.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::asking::Check;
use crate::decision::group::Group;
use crate::decision::record::GroupRecord;
use crate::decision::watch::Watch;
use crate::model::{Endpoint, Epoch};

/// Characters of a reason that are told to the peers.
const REASON_LENGTH_MAX: usize = 300;

/// What a node tells its peers of the leases of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseClaim {
    /// The instances beside it that could hold a lease: the fencer can end them, and they start fenced.
    pub ready: Vec<Endpoint>,
    /// Why an instance beside it could not.
    pub unready: Option<String>,
    /// The rule under which the master beside it holds a lease now, by its number.
    pub obeys: Option<u64>,
    /// What it knows of the lease of the master that the open epoch replaces.
    pub released: Option<Released>,
}

/// Why no lease by this node stands in the way of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The open epoch.
    pub epoch: Epoch,
    /// Whether the old master is known to take no writes, and will not; else this node's grants are
    /// merely outlived, and a majority has to say so.
    pub is_fenced: bool,
}

impl Group {
    /// What this node tells its peers of leases.
    pub(in crate::decision) fn lease_claim(
        &self,
        record: &GroupRecord,
        now: Instant,
    ) -> Option<LeaseClaim> {
        if !self.leases(Some(record)) {
            return None;
        }
        let holds = self.leasing.holds.iter();
        let ready = holds.filter(|(instance, hold)| {
            matches!(hold.check, Check::Passed { .. })
                && self.watches.get(*instance).is_some_and(Watch::is_beside)
        });
        let why = self
            .leasing
            .holds
            .values()
            .find_map(|hold| match &hold.check {
                Check::Failed { why, .. } => Some(why.to_string()),
                Check::Asked | Check::Passed { .. } => None,
            });
        Some(LeaseClaim {
            ready: ready.map(|(instance, _)| instance.clone()).collect(),
            unready: why.map(|why| why.chars().take(REASON_LENGTH_MAX).collect()),
            obeys: record
                .lease()
                .filter(|_| self.holds_lease(record, now))
                .map(|rule| rule.number),
            released: self.released(record, now),
        })
    }

    /// Whether the master beside this node takes writes under a lease now.
    fn holds_lease(&self, record: &GroupRecord, now: Instant) -> bool {
        let master = record.master();
        let asked = self.leasing.lease.as_ref().map(|(number, _)| *number);
        let rule = record.lease().filter(|rule| asked == Some(rule.number));
        let until = rule.and_then(|rule| {
            self.leasing
                .armed_until(&master.endpoint, master.run_id, rule)
        });
        until.is_some_and(|until| now < until)
    }

    /// What this node knows of the lease of the master that the open epoch replaces.
    fn released(&self, record: &GroupRecord, now: Instant) -> Option<Released> {
        let mandate = record.mandate()?;
        let (epoch, from) = (mandate.epoch(), &mandate.begin().from);
        let rule = record.lease()?;
        let watch = self.watches.get(&from.endpoint);
        let exited = watch.and_then(Watch::exited);
        let has_exited = exited.is_some_and(|(run_id, _)| run_id == from.run_id)
            && self.leasing.is_ready(&from.endpoint, from.run_id);
        if has_exited || self.is_surely_fenced(&from.endpoint) {
            let is_fenced = true;
            return Some(Released { epoch, is_fenced });
        }
        (now >= self.leasing.grants.outlived_at(rule)).then_some(Released {
            epoch,
            is_fenced: false,
        })
    }

    /// Since when nobody has asked for a lease, where one is needed.
    pub(in crate::decision) fn unleased_since(
        &self,
        record: &GroupRecord,
        now: Instant,
    ) -> Option<Instant> {
        let rule = record.lease().filter(|rule| rule.is_obeyed)?;
        let is_settled = record.epoch() == record.last_begun();
        let since = self.leasing.asked_for.max(self.identity_since);
        let patience = self.policy.down_after.max(rule.length);
        (is_settled && now.saturating_duration_since(since) >= patience).then_some(since)
    }

    /// The next moment at which time alone changes something about leases.
    pub(in crate::decision) fn lease_deadline(
        &self,
        record: Option<&GroupRecord>,
        now: Instant,
    ) -> Option<Instant> {
        let record = record.filter(|record| self.leases(Some(record)))?;
        let checks = self
            .leasing
            .holds
            .values()
            .filter_map(|hold| match &hold.check {
                Check::Passed { again_at } | Check::Failed { again_at, .. } => Some(*again_at),
                Check::Asked => None,
            });
        let Some(rule) = record.lease() else {
            return checks.filter(|at| *at > now).min();
        };
        let lease = self.leasing.lease.as_ref();
        let due = lease.and_then(|(_, lease)| lease.due(rule));
        let master = record.master();
        let until = self
            .leasing
            .armed_until(&master.endpoint, master.run_id, rule);
        let fence_at = until.and_then(|until| until.checked_sub(rule.fence_lead()));
        let grace = self.leasing.since + rule.length - rule.fence_lead();
        let outlived = self.leasing.grants.outlived_at(rule);
        let outlived = record.mandate().map(|_| outlived);
        let unleased = self.leasing.asked_for.max(self.identity_since)
            + self.policy.down_after.max(rule.length);
        [due, fence_at, Some(grace), outlived, Some(unleased)]
            .into_iter()
            .flatten()
            .chain(checks)
            .filter(|at| *at > now)
            .min()
    }
}
