//! What the node beside an instance makes of its lease: fences, and the fencer's moments.

use std::time::Instant;

use super::lease::LeaseRule;
use super::leasing::{Lift, is_master};
use super::{FenceCause, HoldTask};
use crate::decision::event::Action;
use crate::decision::group::Group;
use crate::decision::instance_event::LinkId;
use crate::decision::record::GroupRecord;
use crate::decision::repair::{self, Standing};
use crate::decision::watch::{Orders, Watch};
use crate::model::{Endpoint, InstanceInfo, RunId, WriteLimits};

impl Group {
    /// The master beside this node takes writes as long as its lease lasts, and no longer.
    pub(super) fn obey(
        &mut self,
        record: &GroupRecord,
        rule: LeaseRule,
        instance: &Endpoint,
        info: &InstanceInfo,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let lease = self.leasing.lease.as_ref();
        let until = lease.and_then(|(_, lease)| lease.until(rule, self.leasing.others));
        let is_ready = self.leasing.is_ready(instance, info.run_id);
        if let Some(until) = until.filter(|_| is_ready)
            && let Some(hold) = self.leasing.holds.get_mut(instance)
            && hold.ordered.is_none_or(|ordered| until > ordered)
        {
            hold.ordered = Some(until);
            self.order_hold(instance, HoldTask::Until(until), actions);
        }
        let Some(watch) = self.watches.get(instance) else {
            return;
        };
        let held_until = self.leasing.until(instance, info.run_id);
        match held_until {
            Some(until) if now + rule.fence_lead() < until => {
                if watch.is_fenced() && self.fences.may_try(instance, now) {
                    self.note_lift(instance, info.run_id);
                    self.lift(instance, record, actions);
                }
            }
            // What was armed before this daemon started holds on, if it is renewed in time.
            None if now < self.leasing.since + rule.length - rule.fence_lead() => {}
            Some(_) | None if !watch.is_fenced() => {
                self.fence(instance, FenceCause::Unleased, record, now, actions);
            }
            Some(_) | None => {}
        }
    }

    fn note_lift(&mut self, instance: &Endpoint, run_id: RunId) {
        let link = self.watches.get(instance).and_then(Watch::open_link);
        if let Some(link) = link {
            self.leasing.lift = Some(Lift {
                instance: instance.clone(),
                run_id,
                link,
                fenced_at: None,
            });
        }
    }

    /// An answer to setting the limits of writing.
    pub(in crate::decision) fn note_limits_set(
        &mut self,
        link: LinkId,
        instance: &Endpoint,
        limits: WriteLimits,
        is_done: bool,
        now: Instant,
    ) {
        let Some(lift) = &mut self.leasing.lift else {
            return;
        };
        if lift.instance != *instance {
            return;
        }
        if lift.link == link {
            // On one connection nothing overtakes: whatever was ordered before is done.
            self.leasing.lift = None;
        } else if limits.is_fence() && is_done {
            lift.fenced_at.get_or_insert(now);
            if let Some(watch) = self.watches.get_mut(instance) {
                watch.doubt_limits(now);
            }
        }
    }

    /// What was sent on a connection that is gone may still wait in the server's socket. It was carried
    /// out when a later reading shows a fence that was confirmed before that reading was sent.
    pub(super) fn settle_lift(&mut self) {
        let Some(lift) = &self.leasing.lift else {
            return;
        };
        let watch = self.watches.get(&lift.instance);
        let is_settled = watch.is_none_or(|watch| {
            let is_other = watch
                .current_sample()
                .is_some_and(|sample| sample.info.run_id != lift.run_id);
            let is_read = lift.fenced_at.is_some_and(|fenced_at| {
                watch.is_seen_fenced() && watch.limits_at().is_some_and(|at| at >= fenced_at)
            });
            is_other || is_read
        });
        if is_settled {
            self.leasing.lift = None;
        }
    }

    /// Whether nothing can make this instance, beside this node, take writes but this node itself.
    pub(super) fn is_surely_fenced(&self, instance: &Endpoint) -> bool {
        let is_lifting = self.leasing.lift.as_ref();
        let is_lifting = is_lifting.is_some_and(|lift| lift.instance == *instance);
        let watch = self.watches.get(instance);
        !is_lifting && watch.is_some_and(|watch| watch.is_beside() && watch.is_seen_fenced())
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
        if watch.is_fenced() {
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

    /// Whoever is fenced need not be ended.
    pub(super) fn release_fenced(&mut self, actions: &mut Vec<Action>) {
        let held = self.leasing.holds.iter();
        let held = held.filter(|(_, hold)| hold.ordered.is_some());
        let fenced: Vec<Endpoint> = held
            .map(|(instance, _)| instance.clone())
            .filter(|instance| self.is_surely_fenced(instance))
            .collect();
        for instance in fenced {
            self.release(&instance, actions);
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
        beside: &[(Endpoint, InstanceInfo)],
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
        let master = beside
            .iter()
            .find(|(instance, info)| is_master(record, instance, info));
        if let Some((instance, _)) = master.filter(|_| is_lifted)
            && self.watches.get(instance).is_some_and(Watch::is_fenced)
        {
            self.lift(instance, record, actions);
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
        let real = |endpoint: &Endpoint| self.real(endpoint);
        record.members().contains(instance)
            && repair::standing(instance, info, record, &self.policy, real) != Standing::Stranger
    }

    pub(super) fn says_master(&self, instance: &Endpoint) -> bool {
        self.watches.get(instance).is_some_and(Watch::says_master)
    }
}
