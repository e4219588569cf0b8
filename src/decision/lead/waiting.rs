//! When a failover would lose more than waiting: for a master that comes back with its data, or for an
//! instance that was not heard of since everything restarted.

use crate::decision::entry::{Candidate, Evidence};
use crate::decision::event::Action;
use crate::decision::failover;
use crate::decision::group::Group;
use crate::decision::happening::Happening;
use crate::decision::health::{Cause, Health};
use crate::decision::record::GroupRecord;
use crate::model::{Endpoint, InstanceInfo, Loading, MasterLink, ReplicationOffset, Role};
use std::fmt;
use std::time::{Duration, Instant};

/// Time between two looks at what is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What is waited for, and was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::decision) enum Awaited {
    /// The lost master, with so much that the best replica lacks.
    Master { endpoint: Endpoint, lacks: u64 },
    /// Instances that were not heard of.
    Members(Vec<Endpoint>),
}

impl fmt::Display for Awaited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master { endpoint, lacks } => write!(
                formatter,
                "the lost master {endpoint}: the best replica lacks {lacks} bytes of it, more than \
                 GONE_LOSS_MAX"
            ),
            Self::Members(instances) => {
                let instances: Vec<String> = instances.iter().map(ToString::to_string).collect();
                write!(
                    formatter,
                    "{}, not heard of since everything restarted: they may have more data",
                    instances.join(", ")
                )
            }
        }
    }
}

impl Group {
    /// Whether to put the failover to `candidate` off, and until when; people are told of it once.
    pub(super) fn put_off(
        &mut self,
        record: &GroupRecord,
        evidence: &Evidence,
        since: Instant,
        candidate: &Candidate,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Option<Instant> {
        let (awaited, until) = self
            .await_members(record, candidate, now)
            .or_else(|| self.await_master(record, evidence, since, candidate, now))?;
        if self.awaited.as_ref() != Some(&awaited) {
            actions.push(Action::Announce(Happening::PutOff {
                group: self.name.clone(),
                awaited: awaited.to_string(),
            }));
            self.awaited = Some(awaited);
        }
        Some(until)
    }

    /// Where even the best candidate has not received anything in its present life, everything was
    /// restarted, and somebody else may have more.
    fn await_members(
        &self,
        record: &GroupRecord,
        candidate: &Candidate,
        now: Instant,
    ) -> Option<(Awaited, Instant)> {
        let info = self.info_of(&candidate.endpoint)?;
        let mut unheard = self.unheard(record, now);
        unheard.extend(self.without_fencer(record, candidate, now));
        let is_needed = !was_fed(info) && !unheard.is_empty();
        is_needed.then(|| (Awaited::Members(unheard), now + LOOK_INTERVAL))
    }

    /// Those that have more than the candidate and could hold no lease: the promoterd on their host may not
    /// be up yet.
    fn without_fencer(
        &self,
        record: &GroupRecord,
        candidate: &Candidate,
        now: Instant,
    ) -> Vec<Endpoint> {
        if !self.is_patient(now) {
            return Vec::new();
        }
        let reach = self.reach_of(record, &candidate.endpoint);
        let instances = self.cannot_lease(record, now).into_iter();
        instances
            .filter(|instance| self.reach_of(record, instance) > reach)
            .collect()
    }

    /// A master that may come back with more than `gone_loss_max` beyond the best candidate is waited
    /// for: while it loads, and for `down_after` while it is gone.
    fn await_master(
        &self,
        record: &GroupRecord,
        evidence: &Evidence,
        since: Instant,
        candidate: &Candidate,
        now: Instant,
    ) -> Option<(Awaited, Instant)> {
        let reach = self.reach_of(record, &candidate.endpoint);
        let endpoint = record.master().endpoint.clone();
        let lacks = self.lack(record, reach);
        if candidate.endpoint == endpoint || lacks <= self.policy.gone_loss_max {
            return None;
        }
        let awaited = Awaited::Master { endpoint, lacks };
        if let Some(info) = self.restarted_master(record, now) {
            // A replica's data are not its own for long. A master with less than any other instance, be it
            // one that cannot be promoted, is not accepted: nothing would end the wait for it.
            let is_master = matches!(info.role, Role::Master { .. });
            let most = reach.max(self.best_reach(record));
            let is_awaited =
                info.loading != Loading::No || (is_master && self.has_more(record, info, most));
            return is_awaited.then_some((awaited, now + LOOK_INTERVAL));
        }
        let until = since + self.policy.down_after;
        match evidence.cause {
            Cause::Exited | Cause::Gone | Cause::Restarted if now < until => {
                Some((awaited, until.min(now + LOOK_INTERVAL)))
            }
            Cause::Exited
            | Cause::Gone
            | Cause::Restarted
            | Cause::Silent
            | Cause::WrongRole
            | Cause::Unleased => None,
        }
    }

    /// The restarted master instead of `candidate`, where it has more than `gone_loss_max` beyond it and
    /// its own file made a replica of it: it will not be a master again by itself.
    pub(super) fn prefer_master(
        &self,
        record: &GroupRecord,
        candidate: Candidate,
        now: Instant,
    ) -> Candidate {
        let reach = self.reach_of(record, &candidate.endpoint);
        let endpoint = &record.master().endpoint;
        let is_better = |info: &&InstanceInfo| {
            matches!(info.role, Role::Replica { .. })
                && info.loading == Loading::No
                && record.master().shares(&info.history)
                && self.has_more(record, info, reach)
                && self.lack(record, reach) > self.policy.gone_loss_max
                && !self.policy.excluded.contains(endpoint)
                && failover::aborted(record).all(|failed| failed != info.run_id)
        };
        let better = self.restarted_master(record, now).filter(is_better);
        better.map_or(candidate, |info| Candidate::of(endpoint, info))
    }

    /// Whether the restarted master, which says `info`, has read its data and they are worth more than
    /// what the best replica has: it lacks more than `gone_loss_max`.
    pub(super) fn is_smaller_loss(&self, record: &GroupRecord, info: &InstanceInfo) -> bool {
        let best = self.best_reach(record);
        // Without anybody to compare with there is another rule.
        best.is_some()
            && info.loading == Loading::No
            && self.lack(record, best) > self.policy.gone_loss_max
            && self.has_more(record, info, best)
    }

    /// An append-only file brings keys and no history to compare; what an RDB file brings can be. Who was
    /// not seen to read a file has what clients wrote since it came back empty, for all we know; and so has
    /// one that read its file after another process was seen in the master's place.
    fn has_more(
        &self,
        record: &GroupRecord,
        info: &InstanceInfo,
        reach: Option<ReplicationOffset>,
    ) -> bool {
        match record.master().reach(&info.history) {
            Some(own) => reach.is_none_or(|reach| own >= reach),
            None => {
                let is_of_nobody = info.history.continues.is_none();
                info.has_keys
                    && is_of_nobody
                    && self.has_loaded(record, info)
                    && self.is_next_process(record, info.run_id)
            }
        }
    }

    /// Bytes that lie between what was last seen of the master and `reach`.
    fn has_loaded(&self, record: &GroupRecord, info: &InstanceInfo) -> bool {
        let watch = self.watches.get(&record.master().endpoint);
        watch.is_some_and(|watch| watch.has_loaded(info.run_id))
    }

    fn lack(&self, record: &GroupRecord, reach: Option<ReplicationOffset>) -> u64 {
        let seen = self.master_offset(record);
        seen.zip(reach)
            .map_or(0, |(seen, reach)| seen.ahead_of(reach))
    }

    fn info_of(&self, endpoint: &Endpoint) -> Option<&InstanceInfo> {
        let sample = self.watches.get(endpoint)?.sample()?;
        Some(&sample.info)
    }

    fn reach_of(&self, record: &GroupRecord, endpoint: &Endpoint) -> Option<ReplicationOffset> {
        record.master().reach(&self.info_of(endpoint)?.history)
    }

    /// The most that any other instance has of the master's stream.
    pub(in crate::decision) fn best_reach(
        &self,
        record: &GroupRecord,
    ) -> Option<ReplicationOffset> {
        self.watches
            .keys()
            .filter(|endpoint| **endpoint != record.master().endpoint)
            .filter_map(|endpoint| self.reach_of(record, endpoint))
            .max()
    }

    /// What another process says that answers in the place of the logged one.
    fn restarted_master(&self, record: &GroupRecord, now: Instant) -> Option<&InstanceInfo> {
        let master = record.master();
        let watch = self.watches.get(&master.endpoint)?;
        let info = &watch.sample()?.info;
        let answers =
            watch.open_link().is_some() && watch.health(&self.policy, None, now) == Health::Up;
        (answers && info.run_id != master.run_id).then_some(info)
    }
}

/// Whether it received something from a master in its present life.
fn was_fed(info: &InstanceInfo) -> bool {
    match &info.role {
        Role::Replica { link, .. } => match link {
            MasterLink::Up | MasterLink::Down { seconds: Some(_) } => true,
            MasterLink::Syncing | MasterLink::Down { seconds: None } => false,
        },
        Role::Master { .. } => false,
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
