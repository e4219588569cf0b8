//! Setting and lifting fences, as committed entries and answers of the instances come in.

use super::{Fence, FenceCause};
use crate::breaks::{Break, is_broken};
use crate::decision::agreement::Verdict;
use crate::decision::entry::StepName;
use crate::decision::event::Action;
use crate::decision::failover_record::Outcome;
use crate::decision::group::Group;
use crate::decision::happening::Happening;
use crate::decision::health::Health;
use crate::decision::instance_event::CommandFailure;
use crate::decision::policy::Fencing;
use crate::decision::record::GroupRecord;
use crate::decision::repair::{self, Standing};
use crate::decision::watch::{Orders, Watch};
use crate::model::{Endpoint, InstanceInfo, Role, WriteLimits};
use std::time::Instant;

impl Group {
    /// Fences whom it has to, and lifts what has to stand no longer.
    pub fn keep_fences(
        &mut self,
        record: Option<&GroupRecord>,
        leading: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(record) = record.filter(|_| self.policy.fencing == Fencing::Fast) else {
            return;
        };
        self.forget_fences();
        let due: Vec<(Endpoint, FenceCause)> = self
            .watches
            .values()
            .filter(|watch| leading || watch.is_beside())
            .filter_map(|watch| {
                let cause = self.fence_cause(record, watch, leading, now)?;
                Some((watch.endpoint().clone(), cause))
            })
            .collect();
        for (instance, cause) in due {
            self.fence(&instance, cause, record, now, actions);
        }
        self.keep_isolated(record, now, actions);
        let lifted: Vec<Endpoint> = self
            .watches
            .values()
            .filter(|watch| watch.current_sample().is_some() && watch.is_seen_fenced())
            .filter(|watch| self.is_to_be_lifted(record, watch, leading, now))
            .map(|watch| watch.endpoint().clone())
            .collect();
        for instance in lifted {
            if self.fences.may_try(&instance, now) {
                self.lift(&instance, record, actions);
            }
        }
        self.note_unowned(record, now, actions);
    }

    /// Why this instance must take no writes, if it claims to be a master and must not.
    ///
    /// Only the leader judges rogues: to a node that has not applied the newest entries, the new master
    /// looks like one.
    fn fence_cause(
        &self,
        record: &GroupRecord,
        watch: &Watch,
        leading: bool,
        now: Instant,
    ) -> Option<FenceCause> {
        let endpoint = watch.endpoint();
        let sample = watch.current_sample().filter(|_| watch.says_master())?;
        if let Some(mandate) = record.mandate() {
            let begin = mandate.begin();
            let is_it = begin.from.endpoint == *endpoint
                && begin.candidate.endpoint != *endpoint
                && (sample.info.run_id == begin.from.run_id
                    || repair::is_of_group(endpoint, &sample.info, record, &self.policy));
            return is_it.then_some(FenceCause::Replaced);
        }
        if *endpoint == record.master().endpoint || self.held_back(record, now).is_some() {
            return None;
        }
        if was_replaced(record, endpoint, &sample.info) {
            return Some(FenceCause::Replaced);
        }
        let standing = self.standing_of(record, endpoint, now);
        let is_rogue = standing == Some(Standing::Rogue);
        (leading && is_rogue && !self.is_outdated(Standing::Rogue, watch))
            .then_some(FenceCause::Rogue)
    }

    pub(in crate::decision) fn fence(
        &mut self,
        instance: &Endpoint,
        cause: FenceCause,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let may_try = self.fences.may_try(instance, now);
        let Some(watch) = self.watches.get_mut(instance) else {
            return;
        };
        let Some(sample) = watch.sample() else {
            return;
        };
        let run_id = sample.info.run_id;
        let is_up = watch.is_seen_fenced();
        let held = self.fences.held.get(instance);
        if held.is_none_or(|held| held.run_id != run_id) {
            let fence = Fence {
                run_id,
                cause,
                since: now,
                epoch: record.last_begun(),
                is_up,
            };
            self.fences.held.insert(instance.clone(), fence);
        }
        if may_try && !watch.is_fenced() {
            let mut orders = Orders::new();
            watch.set_limits(WriteLimits::FENCE, &mut orders);
            self.send(instance, orders, actions);
        }
    }

    /// Whether an instance refused its fence the last time.
    pub(in crate::decision) fn is_fence_refused(&self, instance: &Endpoint) -> bool {
        self.fences.refused.contains_key(instance)
    }

    /// Whether a fence that stands there is in the way of what is committed.
    fn is_to_be_lifted(
        &self,
        record: &GroupRecord,
        watch: &Watch,
        leading: bool,
        now: Instant,
    ) -> bool {
        if record.mandate().is_some() || is_broken(Break::FenceNeverLifted) {
            return false;
        }
        let endpoint = watch.endpoint();
        // Who is the master is for Sentinel to say then.
        if self.deferred_to(now).is_some() {
            return self.fences.held.contains_key(endpoint);
        }
        // Whoever was given up is kept in a new epoch, or replaced in one; and in a pause in neither.
        if record.is_vacant() {
            return leading && record.pause().is_some() && self.is_only_master(record, watch);
        }
        if *endpoint != record.master().endpoint {
            // A replica would keep it for the day on which it is promoted.
            let standing = self.standing_of(record, endpoint, now);
            return leading
                && record.pause().is_none()
                && matches!(
                    standing,
                    Some(Standing::Follows | Standing::Joins | Standing::Astray)
                );
        }
        let is_it = watch
            .sample()
            .is_some_and(|sample| sample.info.run_id == record.master().run_id);
        // Whoever fenced it before it became the master did so by mistake, or too late.
        let held = self.fences.held.get(endpoint);
        let is_outlived = held.is_some_and(|held| held.epoch < record.epoch());
        let is_well = leading
            && held.is_none_or(|held| self.isolation.has_heard_majority_since(held.since))
            && self.own_health(record, now) == Health::Up
            && !matches!(self.verdict(record, now), Verdict::Down { .. });
        is_it && (is_outlived || is_well)
    }

    /// Whether it is the logged master, and all other members say that they are replicas.
    fn is_only_master(&self, record: &GroupRecord, watch: &Watch) -> bool {
        let master = record.master();
        let is_it = *watch.endpoint() == master.endpoint
            && watch
                .current_sample()
                .is_some_and(|sample| sample.info.run_id == master.run_id);
        let mut others = record
            .members()
            .iter()
            .map(|member| self.real(member))
            .filter(|member| **member != master.endpoint);
        let is_replica = |member: &Endpoint| {
            let sample = self.watches.get(member).and_then(Watch::current_sample);
            sample.is_some_and(|sample| matches!(sample.info.role, Role::Replica { .. }))
        };
        is_it && others.all(is_replica)
    }

    pub(in crate::decision) fn lift(
        &mut self,
        instance: &Endpoint,
        record: &GroupRecord,
        actions: &mut Vec<Action>,
    ) {
        let limits = self.limits_to_restore(record, instance);
        let mut orders = Orders::new();
        if let Some(watch) = self.watches.get_mut(instance) {
            watch.set_limits(limits, &mut orders);
        }
        self.send(instance, orders, actions);
    }

    /// The answer to setting or lifting a fence.
    pub(in crate::decision) fn on_limits_set(
        &mut self,
        instance: &Endpoint,
        limits: WriteLimits,
        result: Result<WriteLimits, CommandFailure>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let (group, instance) = (self.name.clone(), instance.clone());
        let happening = match result {
            Ok(_) if limits.is_fence() => {
                self.fences.refused.remove(&instance);
                let Some(held) = self.fences.held.get_mut(&instance) else {
                    return;
                };
                held.is_up = true;
                let cause = held.cause;
                if let Some(timeline) = self.timeline() {
                    timeline.note_first(StepName::Fenced, now);
                }
                Happening::Fenced {
                    group,
                    instance,
                    cause,
                }
            }
            Ok(_) => {
                self.fences.refused.remove(&instance);
                self.fences.held.remove(&instance);
                Happening::Unfenced { group, instance }
            }
            Err(failure) => {
                let is_news = self.fences.refused.insert(instance.clone(), now).is_none();
                if !is_news {
                    return;
                }
                Happening::FenceFailed {
                    group,
                    instance,
                    lifts: !limits.is_fence(),
                    why: failure.to_string(),
                }
            }
        };
        actions.push(Action::Announce(happening));
    }

    /// Drops the fences that stand no longer, whoever lifted them.
    fn forget_fences(&mut self) {
        let watches = &self.watches;
        self.fences.held.retain(|instance, held| {
            watches.get(instance).is_some_and(|watch| {
                let run_id = watch.sample().map(|sample| sample.info.run_id);
                let is_lifted = held.is_up && watch.limits().is_some() && !watch.is_fenced();
                run_id == Some(held.run_id) && !is_lifted
            })
        });
        self.fences
            .refused
            .retain(|instance, _| watches.contains_key(instance));
    }
}

/// Whether it is the very master that an epoch replaced, not demoted since: a promotion would have
/// given it another history.
pub(in crate::decision) fn was_replaced(
    record: &GroupRecord,
    endpoint: &Endpoint,
    info: &InstanceInfo,
) -> bool {
    record.failovers().iter().any(|past| {
        let from = &past.begin.from;
        past.outcome == Outcome::Done
            && from.endpoint == *endpoint
            && from.replication_id == info.history.id
    })
}
