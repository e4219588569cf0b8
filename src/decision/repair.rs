//! Bringing every instance of a group to follow its master: replicas are repointed, masters that are
//! not ours are demoted. What is to be done is read from what the instances say, so it survives a
//! change of leader.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::entry::Identity;
use super::instance_event::{CommandFailure, FollowOrder, FollowOutcome, Login};
use super::policy::GroupPolicy;
use super::record::GroupRecord;
use super::watch::Watch;
use crate::breaks::{Break, is_broken};
use crate::model::{
    Endpoint, Epoch, GroupName, InstanceInfo, Loading, MasterLink, ReplicationHistory, Role, RunId,
};

/// An instance that was told whom to follow needs so long to connect.
const CONNECTING: Duration = Duration::from_secs(2);

/// Time before an order that failed, or had no effect, is given again: doubled with each failure that
/// does not pass by itself.
const RETRY_AFTER: Duration = Duration::from_millis(500);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// The orders that are on their way, and when each instance was last given one.
#[derive(Debug, Default)]
pub struct Repair {
    given: BTreeMap<Endpoint, Given>,
    demoted: BTreeMap<Endpoint, Demoted>,
}

/// A master that was demoted, with what it had then.
#[derive(Debug)]
struct Demoted {
    epoch: Epoch,
    run_id: RunId,
    had: ReplicationHistory,
}

#[derive(Debug)]
struct Given {
    epoch: Epoch,
    at: Instant,
    done: bool,
    error: Option<String>,
    /// How often it failed in a row.
    failures: u32,
}

impl Given {
    fn may_be_repeated_at(&self) -> Instant {
        let wait = RETRY_AFTER.saturating_mul(1 << self.failures.saturating_sub(1).min(10));
        self.at + wait.min(RETRY_AFTER_MAX)
    }
}

/// How an instance stands to the group's master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It follows the master and receives its stream.
    Follows,
    /// It follows the master and has no stream, or a copy is on its way.
    Joins,
    /// It follows somebody else.
    Astray,
    /// It claims to be a master and holds, or held, the group's data.
    Rogue,
    /// It claims to be a master, and its data are not the group's; or it is listed no longer, and
    /// follows somebody outside of the group. Never touched.
    Stranger,
}

/// Judges an instance by what it says; `aliases` are other names of instances.
#[must_use]
pub fn standing(
    endpoint: &Endpoint,
    info: &InstanceInfo,
    record: &GroupRecord,
    policy: &GroupPolicy,
    aliases: &BTreeMap<Endpoint, Endpoint>,
) -> Standing {
    let real = |endpoint| aliases.get(endpoint).unwrap_or(endpoint);
    match &info.role {
        Role::Replica { master, link } if *real(master) == record.master().endpoint => match link {
            MasterLink::Up => Standing::Follows,
            MasterLink::Syncing | MasterLink::Down { .. } => Standing::Joins,
        },
        Role::Replica { master, link } => {
            let upstream = real(master);
            let is_cut_off = matches!(link, MasterLink::Down { .. });
            let is_ours = policy.instances.contains(endpoint)
                || record.members().contains(upstream)
                || (is_cut_off && record.knows_history(&info.history.id));
            if is_ours {
                Standing::Astray
            } else {
                Standing::Stranger
            }
        }
        Role::Master { .. } if is_of_group(endpoint, info, record, policy) => Standing::Rogue,
        Role::Master { .. } => Standing::Stranger,
    }
}

/// A master that is not ours is of the group when its history is one of the group's, when it is a
/// listed instance without data, or a listed one that an epoch of the group replaced, or whose very
/// process one chose: what that copied between the choice and its promotion is no matter. What it has
/// is not known before it has read its file.
pub(super) fn is_of_group(
    endpoint: &Endpoint,
    info: &InstanceInfo,
    record: &GroupRecord,
    policy: &GroupPolicy,
) -> bool {
    let listed = policy.instances.contains(endpoint);
    let is_empty = !info.has_keys && info.loading == Loading::No;
    let was_master = record
        .failovers()
        .iter()
        .any(|past| past.begin.from.endpoint == *endpoint);
    let was_chosen = record.failovers().iter().any(|past| {
        let candidate = &past.begin.candidate;
        candidate.endpoint == *endpoint && candidate.run_id == info.run_id
    });
    record.knows_history(&info.history.id)
        || info
            .history
            .continues
            .is_some_and(|(id, _)| record.knows_history(&id))
        || (listed && (is_empty || was_master || was_chosen))
}

/// What the old master had beyond the point where the new master's history parts from its own, in
/// bytes, when both are known: `run_id` was the process, and `had` what it had.
#[must_use]
pub fn loss(
    master: &Identity,
    from: &Identity,
    run_id: RunId,
    had: &ReplicationHistory,
) -> Option<u64> {
    let (id, parted_at) = master.continues?;
    let is_old_life = run_id == from.run_id && had.id == id;
    is_old_life.then(|| (had.offset.0 + 1).saturating_sub(parted_at.0))
}

impl Repair {
    /// The orders that are due, at most `parallel` instances at a time; demotions first, and
    /// those do not wait for one another. While `login` is not known, nobody else is repointed.
    pub fn poll(
        &mut self,
        group: &GroupName,
        record: &GroupRecord,
        parallel: usize,
        standings: &BTreeMap<Endpoint, (Standing, &Watch)>,
        login: Option<Login>,
        now: Instant,
    ) -> Vec<FollowOrder> {
        let busy = standings
            .iter()
            .filter(|(endpoint, (standing, _))| self.is_busy(endpoint, *standing, now))
            .count();
        let mut free = match login {
            Some(_) => parallel.saturating_sub(busy),
            None => 0,
        };
        let mut orders = Vec::new();
        for (endpoint, (standing, watch)) in standings {
            let demotes = match standing {
                Standing::Rogue if is_broken(Break::RogueLeftAlone) => continue,
                Standing::Rogue => true,
                Standing::Astray if free > 0 => false,
                Standing::Follows => {
                    self.forget_error(endpoint);
                    continue;
                }
                Standing::Astray | Standing::Joins | Standing::Stranger => continue,
            };
            let Some(sample) = watch.sample() else {
                continue;
            };
            let due = self
                .given
                .get(endpoint)
                .is_none_or(|given| given.done && sample.asked_at > given.may_be_repeated_at());
            if !due {
                continue;
            }
            if !demotes {
                free -= 1;
            }
            let before = self.given.remove(endpoint);
            self.given.insert(
                endpoint.clone(),
                Given {
                    epoch: record.epoch(),
                    at: now,
                    done: false,
                    failures: before.as_ref().map_or(0, |before| before.failures),
                    error: before.and_then(|before| before.error),
                },
            );
            orders.push(FollowOrder {
                group: group.clone(),
                epoch: record.epoch(),
                endpoint: endpoint.clone(),
                run_id: sample.info.run_id,
                master: record.master().endpoint.clone(),
                demotes,
                restores: None,
                login: login.unwrap_or(Login::Guard),
            });
        }
        orders
    }

    /// Whether somebody was told something a moment ago: what comes of it is worth knowing soon.
    #[must_use]
    pub fn is_under_way(&self, now: Instant) -> bool {
        self.given.values().any(|given| {
            given.error.is_none() && now.saturating_duration_since(given.at) < CONNECTING
        })
    }

    /// Whether an instance takes one of the parallel places.
    fn is_busy(&self, endpoint: &Endpoint, standing: Standing, now: Instant) -> bool {
        let Some(given) = self.given.get(endpoint) else {
            return false;
        };
        match standing {
            Standing::Joins => now.saturating_duration_since(given.at) < CONNECTING,
            Standing::Astray | Standing::Rogue => !given.done,
            Standing::Follows | Standing::Stranger => false,
        }
    }

    /// An order was carried out, or not. Whether that is news.
    pub fn on_outcome(&mut self, outcome: &FollowOutcome) -> bool {
        let order = &outcome.order;
        if let Ok(Some(had)) = outcome.result {
            let demoted = Demoted {
                epoch: order.epoch,
                run_id: order.run_id,
                had,
            };
            self.demoted.retain(|_, older| older.epoch == order.epoch);
            self.demoted.insert(order.endpoint.clone(), demoted);
        }
        if let Some(given) = self
            .given
            .get_mut(&order.endpoint)
            .filter(|given| given.epoch == order.epoch)
        {
            given.done = true;
            let error = outcome.result.as_ref().err().map(CommandFailure::advise);
            let lasts = |failure: &CommandFailure| failure.advice().is_some();
            given.failures = match &outcome.result {
                Err(failure) if lasts(failure) => given.failures.saturating_add(1),
                Err(_) | Ok(_) => 0,
            };
            let is_news = error.is_none() || given.error != error;
            given.error = error;
            return is_news;
        }
        true
    }

    /// What an instance had when it was demoted in this epoch, and the process that it was.
    #[must_use]
    pub fn had(&self, endpoint: &Endpoint, epoch: Epoch) -> Option<(RunId, ReplicationHistory)> {
        let demoted = self.demoted.get(endpoint)?;
        (demoted.epoch == epoch).then_some((demoted.run_id, demoted.had))
    }

    /// It follows, whether by what it was told or not.
    fn forget_error(&mut self, endpoint: &Endpoint) {
        if let Some(given) = self.given.get_mut(endpoint) {
            given.error = None;
            given.failures = 0;
        }
    }

    /// Forgets what was given: another leader, or another master.
    pub fn reset(&mut self) {
        self.given.clear();
    }

    /// What the last order to an instance failed with.
    #[must_use]
    pub fn error(&self, endpoint: &Endpoint) -> Option<&str> {
        self.given.get(endpoint)?.error.as_deref()
    }
}

#[cfg(test)]
#[path = "repair_tests.rs"]
mod tests;
