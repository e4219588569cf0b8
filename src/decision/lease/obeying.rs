//! What the node beside an instance makes of its lease: fences, and the fencer's moments.

use std::time::Instant;

use super::asking::Beside;
use super::{HoldTask, LeaseRule};
use crate::breaks::{Break, is_broken};
use crate::decision::event::Action;
use crate::decision::fencing::FenceCause;
use crate::decision::group::Group;
use crate::decision::health::{Cause, Health};
use crate::decision::policy::Fencing;
use crate::decision::record::GroupRecord;
use crate::decision::repair::{self, Standing};
use crate::decision::watch::{Orders, Watch};
use crate::model::{Endpoint, InstanceInfo, WriteLimits};

impl Group {
    /// The master beside this node takes writes as long as its lease lasts, and no longer.
    pub(super) fn obey(
        &mut self,
        record: &GroupRecord,
        rule: LeaseRule,
        beside: &Beside,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let (instance, run_id) = (&beside.instance, beside.run_id);
        let lease = self.leasing.lease.as_ref();
        let until = lease.and_then(|(_, lease)| lease.until(rule, self.leasing.others));
        let is_ready = self.leasing.is_ready(instance, run_id);
        let lasts = |until: &Instant| now + rule.fence_lead() < *until;
        let granted = until.filter(|until| is_ready && lasts(until));
        if let Some(ends_at) = granted.and_then(|until| until.checked_sub(rule.end_lead())) {
            self.arm(instance, ends_at, actions);
        }
        let armed = self.leasing.armed_until(instance, run_id, rule);
        let armed = granted
            .filter(|_| is_broken(Break::WritesWithoutFencer))
            .or(armed);
        if armed.is_some_and(|until| lasts(&until)) {
            let is_fenced = self.watches.get(instance).is_some_and(Watch::is_fenced);
            if is_fenced && self.fences.may_try(instance, now) {
                self.lift(instance, record, actions);
            }
            return;
        }
        // A master that writes goes on, if a lease is had in time.
        let is_new = now < self.leasing.since + rule.length - rule.fence_lead();
        if granted.is_some() || (armed.is_none() && is_new) {
            return;
        }
        if !self.watches.get(instance).is_some_and(Watch::is_fenced) {
            self.fence(instance, FenceCause::Unleased, record, now, actions);
        }
        self.release_if_fenced(instance, now, actions);
    }

    /// Has the fencer end the process at this moment, and no sooner.
    fn arm(&mut self, instance: &Endpoint, ends_at: Instant, actions: &mut Vec<Action>) {
        if let Some(hold) = self.leasing.holds.get_mut(instance)
            && hold.ordered.is_none_or(|ordered| ends_at > ordered)
        {
            hold.ordered = Some(ends_at);
            self.order_hold(instance, HoldTask::Until(ends_at), actions);
        }
    }

    /// Whether nothing can make this instance, beside this node, take writes but this node itself.
    pub(super) fn is_surely_fenced(&self, instance: &Endpoint) -> bool {
        let watch = self.watches.get(instance);
        let is_sure = |watch: &Watch| match is_broken(Break::FenceBelievedUnconfirmed) {
            true => watch.is_fenced(),
            false => watch.is_surely_fenced(),
        };
        watch.is_some_and(|watch| watch.is_beside() && is_sure(watch))
    }

    /// Whoever is not the master takes no writes, whatever somebody makes of it.
    pub(super) fn keep_fenced(
        &mut self,
        record: &GroupRecord,
        instance: &Endpoint,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let is_master = self.says_master(instance);
        let may_try = self.fences.may_try(instance, now);
        let Some(watch) = self.watches.get_mut(instance) else {
            return;
        };
        // A new connection tells at once.
        let is_unknown = watch.limits().is_none() && watch.limits_failure().is_none();
        if is_unknown && self.policy.fencing != Fencing::Off {
            return;
        }
        if watch.is_fenced() {
            self.release_if_fenced(instance, now, actions);
            return;
        }
        if is_master {
            let is_begun = record.mandate().is_some();
            let cause = match is_begun && record.master().endpoint == *instance {
                true => FenceCause::Replaced,
                false => FenceCause::Unleased,
            };
            self.fence(instance, cause, record, now, actions);
        } else if may_try {
            let mut orders = Orders::new();
            watch.set_limits(WriteLimits::FENCE, &mut orders);
            self.send(instance, orders, actions);
        }
    }

    /// A master that is being replaced and answers this node no more cannot be fenced: it is ended now,
    /// and not at the end of its lease, for which its successor would have to wait.
    pub(super) fn end_hung(
        &mut self,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some(mandate) = record.mandate().filter(|it| !it.begin().reinstates()) else {
            return;
        };
        let from = &mandate.begin().from;
        let is_ready = self.leasing.is_ready(&from.endpoint, from.run_id);
        let health = self.watches.get(&from.endpoint);
        let health = health.map(|watch| watch.health(&self.policy, Some(from.run_id), now));
        let is_silent = matches!(
            health,
            Some(Health::Down {
                cause: Cause::Silent,
                ..
            })
        );
        let ordered = self.leasing.ordered(&from.endpoint);
        if !is_ready || !is_silent || ordered.is_none_or(|until| until <= now) {
            return;
        }
        if let Some(hold) = self.leasing.holds.get_mut(&from.endpoint) {
            hold.ordered = Some(now);
        }
        let instance = from.endpoint.clone();
        self.order_hold(&instance, HoldTask::Until(now), actions);
    }

    /// Whoever is fenced need not be ended.
    fn release_if_fenced(&mut self, instance: &Endpoint, now: Instant, actions: &mut Vec<Action>) {
        let mut orders = Orders::new();
        if let Some(watch) = self.watches.get_mut(instance) {
            watch.make_sure_of_fence(now, &mut orders);
        }
        self.send(instance, orders, actions);
        if self.leasing.ordered(instance).is_some() && self.is_surely_fenced(instance) {
            self.release(instance, actions);
        }
    }

    fn release(&mut self, instance: &Endpoint, actions: &mut Vec<Action>) {
        self.order_hold(instance, HoldTask::Release, actions);
        if let Some(hold) = self.leasing.holds.get_mut(instance) {
            hold.ordered = None;
            hold.until = None;
        }
    }

    /// No rule is in force: no lease is needed. In a pause that lifted it the master takes writes.
    pub(super) fn go_without(
        &mut self,
        record: &GroupRecord,
        beside: &[Beside],
        actions: &mut Vec<Action>,
    ) {
        self.leasing.lease = None;
        let held = self.leasing.holds.iter();
        let held = held.filter(|(_, hold)| hold.ordered.is_some());
        let held: Vec<Endpoint> = held.map(|(instance, _)| instance.clone()).collect();
        for instance in held {
            self.release(&instance, actions);
        }
        let is_lifted = record.pause().is_some_and(|pause| pause.lifts_lease);
        let master = beside.iter().find(|beside| beside.is_it);
        let is_fenced = |it: &&Beside| {
            let watch = self.watches.get(&it.instance);
            watch.is_some_and(Watch::is_fenced)
        };
        if let Some(master) = master.filter(|_| is_lifted).filter(is_fenced) {
            self.lift(&master.instance, record, actions);
        }
    }

    /// Whether it is an instance of the group, and none that answers at the address of one.
    pub(super) fn is_ours(
        &self,
        record: &GroupRecord,
        instance: &Endpoint,
        info: &InstanceInfo,
    ) -> bool {
        let master = record.master();
        if master.endpoint == *instance {
            return master.run_id == info.run_id
                || repair::is_of_group(instance, info, record, &self.policy);
        }
        record.members().contains(instance)
            && repair::standing(instance, info, record, &self.policy, &self.aliases)
                != Standing::Stranger
    }

    pub(super) fn says_master(&self, instance: &Endpoint) -> bool {
        self.watches.get(instance).is_some_and(Watch::says_master)
    }
}
