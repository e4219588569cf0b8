//! Keeping the old master: it was given up and is well again, or it is all that can be had.

use crate::decision::choice::Ineligible;
use crate::decision::entry::{Begin, Candidate, Entry, Grounds, StepName};
use crate::decision::event::Action;
use crate::decision::failover::{Failover, Timeline};
use crate::decision::group::Group;
use crate::decision::health::Health;
use crate::decision::record::GroupRecord;
use crate::decision::remains::WAITED_FOR;
use crate::decision::watch::Watch;
use crate::model::{Endpoint, InstanceInfo, Loading, ReplicationOffset, Role, UnixTime};
use std::time::Instant;

impl Group {
    /// Begins the epoch that keeps the master, when the last epoch gave it up for nothing: the same
    /// process with the logged history answers again as a master. That costs less than any promotion, and
    /// is tried at once, even while `rests`, unless such an attempt failed just before.
    pub(super) fn reinstate(
        &mut self,
        record: &GroupRecord,
        rests: bool,
        wall: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Option<Failover> {
        let last = record.failovers().back().filter(|_| record.is_vacant())?;
        if rests && last.begin.reinstates() {
            return None;
        }
        let is_well = self.own_health(record, now) == Health::Up;
        let info = self.master_info(record).filter(|_| is_well)?;
        let master = record.master();
        let is_logged = info.run_id == master.run_id && info.history.id == master.replication_id;
        if !is_logged || !may_be_kept(info) {
            return None;
        }
        let mut timeline = Timeline::new(now);
        timeline.note(StepName::Chosen, now);
        let epoch = record.next_epoch();
        actions.push(Action::Propose(Entry::Begin(Begin {
            group: self.name.clone(),
            epoch,
            from: master.clone(),
            candidate: Candidate::of(&master.endpoint, info),
            // Nobody holds it down now: why it was given up.
            grounds: Grounds::clone(&last.begin.grounds),
            passed_over: Vec::new(),
            loss_estimate: Some(0),
            leader: self.node.clone(),
            at: wall,
        })));
        Some(Failover::Beginning { epoch, timeline })
    }

    /// The master that restarted or was turned to another one, when nobody else may take its place and
    /// it still has at least a part of the group's data.
    ///
    /// One that does not answer may have more, and is waited for as long as anything is.
    pub(super) fn last_resort(
        &self,
        record: &GroupRecord,
        passed_over: &[(Endpoint, Ineligible)],
        now: Instant,
    ) -> Option<Candidate> {
        let master = record.master();
        let info = self.master_info(record)?;
        // Somebody else's command, or its own file, may have made a replica of it.
        let is_master = matches!(info.role, Role::Master { .. });
        let is_other = info.run_id != master.run_id || !is_master;
        let has_data = master.shares(&info.history) && info.loading == Loading::No;
        let is_up = self.watches.get(&master.endpoint).is_some_and(|watch| {
            watch.open_link().is_some() && watch.health(&self.policy, None, now) == Health::Up
        });
        let is_settled = !passed_over.is_empty()
            && passed_over
                .iter()
                .all(|(other, reason)| !self.may_have_more(other, reason, now));
        let is_excluded = self.policy.excluded.contains(&master.endpoint);
        (is_other && has_data && is_up && is_settled && !is_excluded)
            .then(|| Candidate::of(&master.endpoint, info))
    }

    /// Whether an instance that was passed over might be promoted yet.
    fn may_have_more(&self, other: &Endpoint, reason: &Ineligible, now: Instant) -> bool {
        let health = self
            .watches
            .get(other)
            .map(|watch| watch.health(&self.policy, None, now));
        match (reason, health) {
            (Ineligible::Loading, _) => true,
            (
                Ineligible::Unreachable { .. } | Ineligible::NoAnswer { .. },
                Some(Health::Down { since, .. }),
            ) => now.saturating_duration_since(since) < WAITED_FOR,
            (Ineligible::Unreachable { .. } | Ineligible::NoAnswer { .. }, _) => true,
            (
                Ineligible::PriorityZero
                | Ineligible::NeverSynced
                | Ineligible::OtherHistory { .. }
                | Ineligible::LagTooLarge { .. }
                | Ineligible::NotFed
                | Ineligible::Excluded
                | Ineligible::NoFencer,
                _,
            ) => false,
        }
    }

    /// Bytes of the group's stream that somebody was seen to have, and the kept master has not.
    pub(super) fn loss_if_kept(&self, record: &GroupRecord, kept: &Candidate) -> u64 {
        let master = record.master();
        let reach = |watch: &Watch| master.reach(&watch.sample()?.info.history);
        let most = self.watches.values().filter_map(reach).max();
        let own = self.watches.get(&kept.endpoint).and_then(reach);
        most.unwrap_or(ReplicationOffset(0))
            .ahead_of(own.unwrap_or(ReplicationOffset(0)))
    }

    /// What the instance at the master's endpoint last said, since the logged master is known.
    fn master_info(&self, record: &GroupRecord) -> Option<&InstanceInfo> {
        let sample = self.watches.get(&record.master().endpoint)?.sample()?;
        (sample.asked_at >= self.identity_since).then_some(&sample.info)
    }
}

fn may_be_kept(info: &InstanceInfo) -> bool {
    matches!(info.role, Role::Master { .. }) && info.loading == Loading::No
}
