//! Whether anybody still has a group's data, once its master came back without them.

use std::time::{Duration, Instant};

use super::group::Group;
use super::health::Health;
use super::record::GroupRecord;
use super::repair::Standing;
use crate::model::{Endpoint, InstanceInfo, ReplicationId};

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
        let others: Vec<Endpoint> = record
            .members()
            .iter()
            .map(|member| self.real(member))
            .filter(|member| *member != record.master().endpoint)
            .collect();
        let copies = self.copies_of(record, info.history.id, now);
        let is_copy = |other: &Endpoint| copies.contains(other);
        let is_long_down = |other: &Endpoint| {
            let watch = self.watches.get(other);
            match watch.map(|watch| watch.health(&self.policy, None, now)) {
                Some(Health::Down { since, .. }) => {
                    now.saturating_duration_since(since) >= WAITED_FOR
                }
                Some(Health::Up | Health::Unknown | Health::Suspected { .. }) | None => false,
            }
        };
        let none_is_awaited = others.iter().all(|it| is_copy(it) || is_long_down(it));
        others.is_empty() || (others.iter().any(is_copy) && none_is_awaited)
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
