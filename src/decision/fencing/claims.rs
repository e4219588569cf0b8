//! What nodes tell one another of their fences, what instances had before, and fences without an owner.

use super::{FenceCause, FenceClaim, FenceOverview, HeldFence, UNOWNED_AFTER, lifting_command};
use crate::decision::entry::Entry;
use crate::decision::event::Action;
use crate::decision::group::Group;
use crate::decision::happening::Happening;
use crate::decision::policy::{Fencing, GroupPolicy};
use crate::decision::record::GroupRecord;
use crate::decision::view::{VIEW_FRESH_FOR, View};
use crate::decision::watch::Watch;
use crate::model::{Endpoint, NodeId, WriteLimits};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

impl Group {
    /// The fences that this node set and that stand.
    pub(in crate::decision) fn fence_claims(&self, now: Instant) -> Vec<FenceClaim> {
        let held = self.fences.held.iter().filter(|(_, held)| held.is_up);
        held.map(|(instance, held)| FenceClaim {
            instance: instance.clone(),
            cause: held.cause,
            age: now.saturating_duration_since(held.since),
            before: self.watches.get(instance).and_then(Watch::own_limits),
        })
        .collect()
    }

    /// The same, in moments.
    pub(in crate::decision) fn own_fences(&self) -> Vec<HeldFence> {
        let held = self.fences.held.iter().filter(|(_, held)| held.is_up);
        held.map(|(instance, held)| HeldFence {
            instance: instance.clone(),
            cause: held.cause,
            since: held.since,
        })
        .collect()
    }

    /// Which these are, and why: what of them is worth a message when it changes.
    pub(in crate::decision) fn told_fences(&self) -> Vec<(Endpoint, FenceCause)> {
        let held = self.fences.held.iter().filter(|(_, held)| held.is_up);
        held.map(|(instance, held)| (instance.clone(), held.cause))
            .collect()
    }

    /// Takes in what a peer fenced: what was there before is worth knowing on more than one node.
    pub(in crate::decision) fn hear_of_fences(&mut self, view: &View, now: Instant) {
        for claim in view.fences.iter().take(GroupPolicy::MEMBERS_MAX) {
            let Some(watch) = self.watches.get_mut(&claim.instance) else {
                continue;
            };
            if let Some(before) = claim.before {
                watch.learn_own_limits(before);
            }
            if !watch.is_fenced() {
                watch.doubt_limits(now);
            }
        }
    }

    /// What an instance had before it was fenced, by all that is known.
    pub(in crate::decision) fn limits_to_restore(
        &self,
        record: &GroupRecord,
        instance: &Endpoint,
    ) -> WriteLimits {
        let seen = self.watches.get(instance).and_then(Watch::own_limits);
        seen.or_else(|| record.limits(instance)).unwrap_or_default()
    }

    /// What whoever makes it follow has to put back; nothing where nobody fences.
    pub(in crate::decision) fn restores(
        &self,
        record: &GroupRecord,
        instance: &Endpoint,
    ) -> Option<WriteLimits> {
        (self.policy.fencing == Fencing::Fast).then(|| self.limits_to_restore(record, instance))
    }

    /// Logs limits that are not the usual ones, so that any node can put them back.
    pub(in crate::decision) fn log_limits(
        &mut self,
        record: &GroupRecord,
        actions: &mut Vec<Action>,
    ) {
        if self.bookkeeping.limits || self.policy.fencing == Fencing::Off {
            return;
        }
        let limits: BTreeMap<Endpoint, WriteLimits> = record
            .members()
            .iter()
            .filter_map(|member| {
                let limits = self.watches.get(member)?.own_limits()?;
                let logged = record.limits(member).unwrap_or_default();
                (limits != logged).then(|| (member.clone(), limits))
            })
            .collect();
        if limits.is_empty() {
            return;
        }
        self.bookkeeping.limits = true;
        let group = self.name.clone();
        actions.push(Action::Propose(Entry::Limits { group, limits }));
    }

    /// Tells people of fences that nobody holds, once for each.
    pub(super) fn note_unowned(
        &mut self,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let unowned: BTreeSet<Endpoint> = self
            .watches
            .values()
            .filter(|watch| watch.is_seen_fenced())
            .map(|watch| watch.endpoint().clone())
            .filter(|instance| self.holders(instance, now).is_empty())
            .collect();
        self.fences
            .unowned
            .retain(|instance, _| unowned.contains(instance));
        self.fences
            .told
            .retain(|instance| unowned.contains(instance));
        for instance in unowned {
            let since = *self.fences.unowned.entry(instance.clone()).or_insert(now);
            let is_overdue = now.saturating_duration_since(since) >= UNOWNED_AFTER;
            if is_overdue && self.fences.told.insert(instance.clone()) {
                let limits = self.limits_to_restore(record, &instance);
                let lifted_by = lifting_command(&instance, limits);
                actions.push(Action::Announce(Happening::FenceUnowned {
                    group: self.name.clone(),
                    instance,
                    lifted_by,
                }));
            }
        }
    }

    /// Who holds an instance fenced, if it is, as far as this node knows.
    pub(in crate::decision) fn fence_overview(
        &self,
        record: Option<&GroupRecord>,
        instance: &Endpoint,
        now: Instant,
    ) -> Option<FenceOverview> {
        let needs_lease = self.leases(record);
        if needs_lease && record.is_some_and(|record| record.master().endpoint != *instance) {
            // All but the master are, at all times.
            return None;
        }
        let holders = self.holders(instance, now);
        let is_seen = self
            .watches
            .get(instance)
            .is_some_and(Watch::is_seen_fenced);
        if holders.is_empty() && !is_seen {
            return None;
        }
        let limits =
            record.map_or_else(Default::default, |it| self.limits_to_restore(it, instance));
        Some(FenceOverview {
            holders,
            lifted_by: match needs_lease {
                true => "promoterd, as soon as it has a lease".to_owned(),
                false => lifting_command(instance, limits),
            },
            needs_lease,
        })
    }

    fn holders(&self, instance: &Endpoint, now: Instant) -> Vec<(NodeId, FenceCause, Duration)> {
        let own = self
            .own_fences()
            .into_iter()
            .map(|fence| (self.node.clone(), fence));
        let peers = self
            .views
            .iter()
            .filter(|(_, view)| now.saturating_duration_since(view.received_at) < VIEW_FRESH_FOR)
            .flat_map(|(node, view)| {
                view.fences
                    .iter()
                    .map(|fence| (node.clone(), fence.clone()))
            });
        own.chain(peers)
            .filter(|(_, fence)| fence.instance == *instance)
            .map(|(node, fence)| {
                (
                    node,
                    fence.cause,
                    now.saturating_duration_since(fence.since),
                )
            })
            .collect()
    }
}
