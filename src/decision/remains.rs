//! Whether anybody still has a group's data, once its master came back without them.

use std::time::{Duration, Instant};

use super::group::Group;
use super::health::Health;
use super::record::GroupRecord;
use super::repair::Standing;
use crate::model::{Endpoint, InstanceInfo, Loading, ReplicationId};

/// An instance that has been down for so long is not waited for any more.
pub(super) const WAITED_FOR: Duration = Duration::from_secs(30);

impl Group {
    /// Whether to wait for a better master than the restarted one, which says `info`, is in vain: the
    /// others have copied its data already, so what the group had is nowhere any more.
    ///
    /// One that is down may have it on its disk, and is waited for; for good if it is the last one.
    pub(super) fn is_all_that_is_left(
        &self,
        record: &GroupRecord,
        info: &InstanceInfo,
        now: Instant,
    ) -> bool {
        let others: Vec<&Endpoint> = record
            .members()
            .iter()
            .map(|member| self.real(member))
            .filter(|member| **member != record.master().endpoint)
            .collect();
        let copies = self.copies_of(record, info.history.id, now);
        let is_copy = |other: &&Endpoint| copies.contains(other);
        let none_is_awaited = others
            .iter()
            .all(|it| is_copy(it) || self.is_long_down(it, now));
        others.is_empty() || (others.iter().any(is_copy) && none_is_awaited)
    }

    fn is_long_down(&self, endpoint: &Endpoint, now: Instant) -> bool {
        let watch = self.watches.get(endpoint);
        match watch.map(|watch| watch.health(&self.policy, None, now)) {
            Some(Health::Down { since, .. }) => now.saturating_duration_since(since) >= WAITED_FOR,
            Some(Health::Up | Health::Unknown | Health::Suspected { .. }) | None => false,
        }
    }

    /// Whether this node began to watch so short a time ago that others may be about to.
    pub(super) fn is_patient(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.watching_since) < WAITED_FOR
    }

    /// The instances that have not said what they have since this node began to watch: after a restart
    /// of everything any of them may have the most. One that never answers is waited for no longer than
    /// one that is down; one that loads, until it has loaded.
    pub(super) fn unheard(&self, record: &GroupRecord, now: Instant) -> Vec<Endpoint> {
        let is_patient = self.is_patient(now);
        let is_unheard = |member: &Endpoint| {
            let watch = self.watches.get(member);
            match watch.and_then(|watch| watch.sample()) {
                Some(sample) => sample.info.loading != Loading::No,
                None => is_patient,
            }
        };
        let members = record.members().iter().map(|member| self.real(member));
        members
            .filter(|member| is_unheard(member) && !self.is_long_down(member, now))
            .cloned()
            .collect()
    }

    /// The instances that follow the master and hold its history `id`.
    fn copies_of(&self, record: &GroupRecord, id: ReplicationId, now: Instant) -> Vec<Endpoint> {
        self.standings(record, now)
            .into_iter()
            .filter(|(_, (standing, watch))| {
                let history = watch.sample().map(|sample| sample.info.history.id);
                *standing == Standing::Follows && history == Some(id)
            })
            .map(|(endpoint, _)| endpoint)
            .collect()
    }
}
