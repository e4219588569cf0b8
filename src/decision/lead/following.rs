//! What follows the master: the books, the other instances, the end of a failover.

use crate::breaks::{Break, is_broken};
use crate::decision::discovery::{self};
use crate::decision::entry::{Entry, Identity};
use crate::decision::event::Action;
use crate::decision::failover_record::Outcome;
use crate::decision::group::Group;
use crate::decision::happening::Happening;
use crate::decision::health::Health;
use crate::decision::policy::GroupPolicy;
use crate::decision::record::GroupRecord;
use crate::decision::repair::{self, Repair, Standing};
use crate::decision::watch::{Orders, Watch};
use crate::model::{Endpoint, InstanceInfo, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

impl Group {
    /// Logs what was learnt of the group's instances.
    pub(super) fn keep_books(
        &mut self,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let master = record.master();
        let Some(watch) = self.watches.get(&master.endpoint) else {
            return;
        };
        let is_up = watch.health(&self.policy, Some(master.run_id), now) == Health::Up;
        let Some(sample) = watch.sample().filter(|_| is_up) else {
            return;
        };
        let Role::Master { .. } = &sample.info.role else {
            return;
        };
        if sample.asked_at < self.identity_since {
            return;
        }
        let same_life = sample.info.run_id == master.run_id;
        let is_continued = same_life
            || self.is_continued(record, &sample.info, now)
            || self.is_smaller_loss(record, &sample.info);
        let identity = Identity::of(master.endpoint.clone(), &sample.info);
        if !self.bookkeeping.identity
            && identity != *master
            && (is_continued || self.is_all_that_is_left(record, &sample.info, now))
        {
            self.bookkeeping.identity = true;
            if !is_continued {
                actions.push(Action::Announce(Happening::DataLost {
                    group: self.name.clone(),
                    master: master.endpoint.clone(),
                }));
            }
            actions.push(Action::Propose(Entry::Identify {
                group: self.name.clone(),
                epoch: record.epoch(),
                master: identity,
            }));
        }
        if !self.bookkeeping.members
            && same_life
            && let Some(members) = self.members_to_log(record, &sample.info)
        {
            self.bookkeeping.members = true;
            let group = self.name.clone();
            actions.push(Action::Propose(Entry::Members { group, members }));
        }
    }

    /// The members, by what the master says, where they are others than the logged ones.
    fn members_to_log(
        &self,
        record: &GroupRecord,
        master: &InstanceInfo,
    ) -> Option<BTreeSet<Endpoint>> {
        let is_broken = is_broken(Break::MembersForgotten);
        let listed = || self.policy.instances.iter();
        let named = || listed().chain(discovery::announced(master));
        let logged = record.members();
        // The usual case, at every event: nothing is copied to find it out.
        let is_logged = |member| logged.contains(member);
        if self.aliases.is_empty() && !is_broken && named().all(is_logged) {
            return None;
        }
        let kept = logged.iter().filter(|_| !is_broken);
        let members = named().chain(kept).map(|member| self.real(member));
        let members: BTreeSet<Endpoint> = members.cloned().collect();
        let fits = members.len() <= GroupPolicy::MEMBERS_MAX;
        (fits && members != *logged).then_some(members)
    }

    /// Has every instance follow the master, once it is known to be one.
    pub(super) fn keep_following(
        &mut self,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let master = record.master();
        let is_ready = self.own_health(record, now) == Health::Up
            && self
                .watches
                .get(&master.endpoint)
                .and_then(Watch::current_sample)
                .is_some_and(|sample| {
                    sample.info.run_id == master.run_id
                        && matches!(sample.info.role, Role::Master { .. })
                });
        if !is_ready {
            return;
        }
        self.look_at_rogues(record, now, actions);
        let login = self.keep_guarding(record, now, actions);
        let mut repair = std::mem::take(&mut self.repair);
        let mut standings = self.standings(record, now);
        standings.retain(|_, (standing, watch)| !self.is_outdated(*standing, watch));
        let returned = find_loss(record, &standings, &repair);
        standings.retain(|endpoint, _| !self.awaits_rescue(endpoint, now));
        let parallel = self.parallel_syncs(record);
        let mut orders = repair.poll(&self.name, record, parallel, &standings, login, now);
        self.repair = repair;
        for order in &mut orders {
            order.restores = self.restores(record, &order.endpoint);
        }
        if let Some(entry) = returned.filter(|_| !self.bookkeeping.returned) {
            self.bookkeeping.returned = true;
            actions.push(Action::Propose(entry));
        }
        actions.extend(orders.into_iter().map(Action::Follow));
    }

    /// How many are repointed at a time: at least as many as the master needs before it takes writes.
    fn parallel_syncs(&self, record: &GroupRecord) -> usize {
        let limits = self.limits_to_restore(record, &record.master().endpoint);
        let needed = usize::try_from(limits.replicas_min).unwrap_or(usize::MAX);
        self.policy.parallel_syncs.max(needed)
    }

    /// What a master said before it was replaced, or long ago, tells neither whether it still is one
    /// nor how much it has.
    pub(in crate::decision) fn is_outdated(&self, standing: Standing, watch: &Watch) -> bool {
        let since = self.identity_since.max(self.leading_since);
        let asked_at = watch.sample().map(|sample| sample.asked_at);
        standing == Standing::Rogue && asked_at.is_none_or(|at| at < since)
    }

    pub(super) fn look_at_rogues(
        &mut self,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let outdated: Vec<Endpoint> = self
            .each_standing(record, now)
            .filter(|(_, (standing, watch))| self.is_outdated(*standing, watch))
            .map(|(endpoint, _)| endpoint.clone())
            .collect();
        let since = self.identity_since.max(self.leading_since);
        for endpoint in outdated {
            let mut orders = Orders::new();
            if let Some(watch) = self.watches.get_mut(&endpoint) {
                watch.refresh_info(since, now, &mut orders);
            }
            self.send(&endpoint, orders, actions);
        }
    }

    pub(super) fn settle(&mut self, record: &GroupRecord, now: Instant, actions: &mut Vec<Action>) {
        let Some(mut settling) = self.settling.take() else {
            return;
        };
        if settling.epoch() != record.epoch() {
            return;
        }
        let views = self.views_now(record, now);
        let standings = self.standings(record, now);
        match settling.observe(&views, &standings, now) {
            Some(steps) => actions.push(Action::Propose(Entry::Settled {
                group: self.name.clone(),
                epoch: settling.epoch(),
                steps,
            })),
            None => self.settling = Some(settling),
        }
    }
}

/// The old master of the last failover, if it is back with what the new one never got. While it is a
/// master it may take more writes: what it has counts when it is demoted.
fn find_loss(
    record: &GroupRecord,
    standings: &BTreeMap<Endpoint, (Standing, &Watch)>,
    repair: &Repair,
) -> Option<Entry> {
    let last = record
        .failovers()
        .iter()
        .rev()
        .find(|past| past.outcome == Outcome::Done)
        .filter(|past| past.loss.is_none() && past.begin.epoch == record.epoch())?;
    let from = &last.begin.from;
    let (run_id, had) = match repair.had(&from.endpoint, record.epoch()) {
        Some(demoted) => demoted,
        None => {
            let (standing, watch) = standings.get(&from.endpoint)?;
            let info = &watch
                .sample()
                .filter(|_| *standing != Standing::Rogue)?
                .info;
            (info.run_id, info.history)
        }
    };
    let lost_bytes = repair::loss(record.master(), from, run_id, &had)?;
    Some(Entry::Returned {
        group: last.begin.group.clone(),
        epoch: last.begin.epoch,
        lost_bytes,
    })
}
