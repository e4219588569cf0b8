//! What clients that ask for the master of a group are told of it: its outline at one moment.

use std::time::{Duration, Instant};

use super::entry::{Begin, Grounds};
use super::failover::Failover;
use super::failover_record::Outcome;
use super::group::Group;
use super::health::Health;
use super::overview::Phase;
use super::record::GroupRecord;
use super::watch::Watch;
use crate::model::{Endpoint, Epoch, GroupName, InstanceInfo, NodeId, RunId};

/// One registered group at one moment, in moments of this node's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOutline {
    /// Its name.
    pub name: GroupName,
    /// The current epoch, as committed.
    pub epoch: Epoch,
    /// The master, as committed.
    pub master: Endpoint,
    /// Its process, as committed.
    pub run_id: RunId,
    /// The master before it, if it took another's place.
    pub replaced: Option<Endpoint>,
    /// The epoch that is open, as committed.
    pub open: Option<OpenEpoch>,
    /// What this node does about it.
    pub phase: Phase,
    /// Whether the master is objectively down, as far as this node knows.
    pub is_down: bool,
    /// Views needed.
    pub quorum: usize,
    /// `down_after`.
    pub down_after: Duration,
    /// How long one promotion may take.
    pub promote_timeout: Duration,
    /// Replicas that are repointed at a time.
    pub parallel_syncs: usize,
    /// The master, then all other members by their endpoints.
    pub instances: Vec<InstanceOutline>,
}

/// An epoch that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenEpoch {
    /// Its number.
    pub epoch: Epoch,
    /// Whom it promotes.
    pub candidate: Endpoint,
    /// Whether an administrator asked for it.
    pub is_planned: bool,
    /// Who began it.
    pub leader: NodeId,
    /// How many nodes held the master down, and how many were needed; none where it was asked for.
    pub views: Option<(usize, usize)>,
}

/// One instance as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceOutline {
    /// Where it listens, as the settings or its master write it.
    pub endpoint: Endpoint,
    /// Since when this node holds it down, if it does.
    pub down_since: Option<Instant>,
    /// Whether there is a connection to it.
    pub is_connected: bool,
    /// When the latest `PING` was sent that it answered.
    pub answered_at: Option<Instant>,
    /// The latest `INFO`, and when it was asked for.
    pub read: Option<(Instant, InstanceInfo)>,
}

impl OpenEpoch {
    fn of(begin: &Begin) -> Self {
        let views = match &begin.grounds {
            Grounds::Lost(evidence) => Some((evidence.views.len(), evidence.needed)),
            Grounds::Asked(_) => None,
        };
        Self {
            epoch: begin.epoch,
            candidate: begin.candidate.endpoint.clone(),
            is_planned: begin.asked().is_some(),
            leader: begin.leader.clone(),
            views,
        }
    }
}

impl Group {
    /// What clients are told at `now`.
    #[must_use]
    pub fn outline(&self, record: &GroupRecord, now: Instant) -> GroupOutline {
        let phase = self.phase(Some(record), now);
        let open = record.mandate();
        let open = open.map(|mandate| OpenEpoch::of(mandate.begin()));
        let is_planned = match &self.failover {
            Failover::Preparing { .. } | Failover::Holding { .. } => true,
            Failover::Watching { .. }
            | Failover::Choosing { .. }
            | Failover::Beginning { .. }
            | Failover::Checking { .. }
            | Failover::Promoting { .. }
            | Failover::Ending { .. } => open.as_ref().is_some_and(|open| open.is_planned),
        };
        let is_down = match phase {
            Phase::Discovering | Phase::Watching | Phase::Suspecting | Phase::Switching => false,
            Phase::Down => true,
            Phase::Choosing | Phase::Beginning | Phase::Promoting | Phase::Ending => !is_planned,
        };
        GroupOutline {
            name: self.name.clone(),
            epoch: record.epoch(),
            master: record.master().endpoint.clone(),
            run_id: record.master().run_id,
            replaced: replaced(record),
            open,
            phase,
            is_down,
            quorum: self.policy.quorum,
            down_after: self.policy.down_after,
            promote_timeout: self.policy.promote_timeout,
            parallel_syncs: self.policy.parallel_syncs,
            instances: self.instance_outlines(record, now),
        }
    }

    fn instance_outlines(&self, record: &GroupRecord, now: Instant) -> Vec<InstanceOutline> {
        let master = &record.master().endpoint;
        let others = record.members().iter().filter(|member| *member != master);
        let all = std::iter::once(master).chain(others);
        all.map(|endpoint| {
            let watch = self.watches.get(self.real(endpoint));
            let health = match watch {
                Some(_) if endpoint == master => self.own_health(record, now),
                Some(watch) => watch.health(&self.policy, None, now),
                None => Health::Unknown,
            };
            InstanceOutline {
                endpoint: endpoint.clone(),
                down_since: match health {
                    Health::Down { since, .. } => Some(since),
                    Health::Up | Health::Unknown | Health::Suspected { .. } => None,
                },
                is_connected: watch.is_some_and(|watch| watch.open_link().is_some()),
                answered_at: watch.and_then(Watch::answered),
                read: watch
                    .and_then(Watch::sample)
                    .map(|sample| (sample.asked_at, sample.info.clone())),
            }
        })
        .collect()
    }
}

/// Whose place the present master took.
fn replaced(record: &GroupRecord) -> Option<Endpoint> {
    let is_last = |outcome: &Outcome| *outcome == Outcome::Done;
    let mut past = record.failovers().iter().rev();
    let last = past.find(|past| is_last(&past.outcome) && past.begin.epoch == record.epoch())?;
    (!last.begin.reinstates()).then(|| last.begin.from.endpoint.clone())
}

#[cfg(test)]
#[path = "outline_tests.rs"]
mod tests;
