//! Saving what a returning master has and the group never got, before it is demoted and loses that.
//!
//! The node beside the instance saves it, or the leader where no other node says within [`CLAIM_WAIT`] that
//! it does; each tells the others by a [`RescueClaim`]. The leader holds the demotion back until the data are
//! saved, or that failed, or the time that the operator allows is over. Meanwhile it is fenced, so that what
//! is saved is all there is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::entry::Identity;
use super::event::Action;
use super::fencing::was_replaced;
use super::group::Group;
use super::happening::Happening;
use super::policy::GroupPolicy;
use super::record::GroupRecord;
use super::repair::Standing;
use super::view::{VIEW_FRESH_FOR, View};
use super::watch::Watch;
use crate::model::{Endpoint, Epoch, GroupName, InstanceInfo, Loading, Role, RunId};

/// How long the leader waits for another node to say that it saves the data. Such news is told at once.
const CLAIM_WAIT: Duration = Duration::from_millis(500);
/// How much longer than a rescue may last its outcome is waited for.
const GRACE: Duration = Duration::from_secs(1);

/// How much a rescue may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RescueLimits {
    /// Longest file, in bytes.
    pub size_max: u64,
    /// Longest time from the connection to the synced file.
    pub lasts_max: Duration,
}

/// Save the data set of an instance in the state directory of this node.
///
/// Whoever carries it out first reads the run id on the same connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RescueOrder {
    /// The group.
    pub group: GroupName,
    /// The group's epoch when it was given.
    pub epoch: Epoch,
    /// The instance.
    pub endpoint: Endpoint,
    /// The process that is meant.
    pub run_id: RunId,
    /// Bytes of its stream that the group never got, where that can be told.
    pub diverged_bytes: Option<u64>,
    /// How much it may take.
    pub limits: RescueLimits,
}

/// A data set that was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescued {
    /// The file, on this node's host.
    pub path: String,
    /// Its length.
    pub bytes: u64,
}

/// The outcome of a [`RescueOrder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RescueOutcome {
    /// The order.
    pub order: RescueOrder,
    /// What was saved, or why it was not.
    pub result: Result<Rescued, String>,
}

/// What a node tells its peers of a rescue that it carries out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescueClaim {
    /// The instance.
    pub instance: Endpoint,
    /// Its process.
    pub run_id: RunId,
    /// How far it is.
    pub state: RescueState,
}

/// How far a rescue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RescueState {
    /// It goes on.
    Underway,
    /// The data are on a disk.
    Saved,
    /// They are not, and will not be.
    Failed,
}

impl RescueState {
    fn is_over(self) -> bool {
        match self {
            Self::Saved | Self::Failed => true,
            Self::Underway => false,
        }
    }
}

/// The rescues of one node in one group.
#[derive(Debug, Default)]
pub struct Rescues {
    /// The epoch that the rest is about.
    epoch: Option<Epoch>,
    /// Those that this node carries out, or did for a process that still claims to be a master.
    own: BTreeMap<Endpoint, RescueClaim>,
    /// The instances whose data are to be saved, and since when this node knows.
    found: BTreeMap<Endpoint, Found>,
}

#[derive(Debug)]
struct Found {
    run_id: RunId,
    since: Instant,
    /// Whether people heard that it is waited for no longer.
    is_given_up: bool,
}

/// What a master that is not ours has beyond the group's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divergence {
    /// Nothing.
    None,
    /// So many bytes of its stream.
    Bytes(u64),
    /// That cannot be told from what it says: its history is another one.
    Unknown,
}

impl Divergence {
    fn bytes(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::None | Self::Unknown => None,
        }
    }
}

/// What an instance that claims to be a master has and `master` has not, by what both say.
#[must_use]
pub fn divergence(master: &Identity, info: &InstanceInfo) -> Divergence {
    if !info.has_keys {
        return Divergence::None;
    }
    let beyond = |parted_at: u64| match (info.history.offset.0 + 1).saturating_sub(parted_at) {
        0 => Divergence::None,
        bytes => Divergence::Bytes(bytes),
    };
    let theirs = info.history.continues;
    match (master.continues, theirs) {
        // The new master went on from its history.
        (Some((id, parted_at)), _) if info.history.id == id => beyond(parted_at.0),
        // It went on from the master's by itself, promoted by a stranger.
        (_, Some((id, parted_at))) if id == master.replication_id => beyond(parted_at.0),
        (Some(_) | None, Some(_) | None) => Divergence::Unknown,
    }
}

impl Group {
    /// Saves what is to be saved by this node.
    pub fn keep_rescues(
        &mut self,
        record: Option<&GroupRecord>,
        leading: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Some((record, limits)) = record.zip(self.policy.rescue()) else {
            self.rescues = Rescues::default();
            return;
        };
        let due = self.diverged(record, leading, now);
        self.forget_rescues(record);
        for (instance, (run_id, diverged)) in due {
            self.rescues.find(&instance, run_id, now);
            self.tell_if_late(&instance, limits, leading, now, actions);
            if !self.is_to_rescue(&instance, leading, now) {
                continue;
            }
            let claim = RescueClaim {
                instance: instance.clone(),
                run_id,
                state: RescueState::Underway,
            };
            self.rescues.own.insert(instance.clone(), claim);
            let diverged_bytes = diverged.bytes();
            actions.push(Action::Announce(Happening::Rescuing {
                group: self.name.clone(),
                instance: instance.clone(),
                diverged_bytes,
            }));
            actions.push(Action::Rescue(RescueOrder {
                group: self.name.clone(),
                epoch: record.epoch(),
                endpoint: instance,
                run_id,
                diverged_bytes,
                limits,
            }));
        }
    }

    /// The instances that are to be demoted and have what the group has not.
    ///
    /// Only the leader judges all of them: to a node that has not applied the newest entries, the new
    /// master looks like a rogue. Whom an epoch replaced, everybody knows.
    fn diverged(
        &self,
        record: &GroupRecord,
        leading: bool,
        now: Instant,
    ) -> BTreeMap<Endpoint, (RunId, Divergence)> {
        if record.mandate().is_some() || self.held_back(record, now).is_some() {
            return BTreeMap::new();
        }
        let is_meant = |endpoint: &Endpoint, watch: &Watch, info: &InstanceInfo| {
            let is_replaced = was_replaced(record, endpoint, info);
            let is_ours = leading || watch.is_beside();
            is_ours && (leading || is_replaced) && watch.says_master()
        };
        self.standings(record, now)
            .into_iter()
            .filter(|(_, (standing, watch))| {
                *standing == Standing::Rogue && !(leading && self.is_outdated(*standing, watch))
            })
            .filter_map(|(endpoint, (_, watch))| {
                let info = &watch.current_sample()?.info;
                let diverged = divergence(record.master(), info);
                let is_due = is_meant(&endpoint, watch, info)
                    && info.loading == Loading::No
                    && diverged != Divergence::None;
                is_due.then_some((endpoint, (info.run_id, diverged)))
            })
            .collect()
    }

    /// Forgets those that another process took the place of, that follow now, or that an earlier epoch was
    /// about; but none that goes on. A moment in which one does not answer changes nothing.
    fn forget_rescues(&mut self, record: &GroupRecord) {
        let is_same_epoch = self.rescues.epoch == Some(record.epoch());
        self.rescues.epoch = Some(record.epoch());
        let watches = &self.watches;
        let is_same = |instance: &Endpoint, run_id: RunId| {
            let sample = watches.get(instance).and_then(Watch::sample);
            is_same_epoch
                && sample.is_some_and(|sample| {
                    sample.info.run_id == run_id && matches!(sample.info.role, Role::Master { .. })
                })
        };
        let Rescues { found, own, .. } = &mut self.rescues;
        found.retain(|instance, found| is_same(instance, found.run_id));
        own.retain(|instance, own| {
            own.state == RescueState::Underway || is_same(instance, own.run_id)
        });
    }

    /// Whether this node begins to save its data now.
    fn is_to_rescue(&self, instance: &Endpoint, leading: bool, now: Instant) -> bool {
        let Some(found) = self.rescues.found.get(instance) else {
            return false;
        };
        let Some(watch) = self.watches.get(instance) else {
            return false;
        };
        let is_done = self.rescues.own.contains_key(instance) || found.is_given_up;
        // One that cannot be fenced is saved as it is.
        let takes_no_writes = watch.is_seen_fenced() || self.is_fence_refused(instance);
        let is_claimed = self.claimed(instance, found.run_id, now).is_some();
        let has_waited = now.saturating_duration_since(found.since) >= CLAIM_WAIT;
        let is_ours = watch.is_beside() || (leading && has_waited && !is_claimed);
        !is_done && takes_no_writes && is_ours
    }

    /// How far somebody is who saves its data, this node included.
    fn claimed(&self, instance: &Endpoint, run_id: RunId, now: Instant) -> Option<RescueState> {
        let is_fresh = |at: Instant| now.saturating_duration_since(at) < VIEW_FRESH_FOR;
        let peers = self
            .views
            .values()
            .filter(|view| is_fresh(view.received_at));
        let claims = peers
            .flat_map(|view| &view.rescues)
            .chain(self.rescues.own.values());
        claims
            .filter(|claim| claim.instance == *instance && claim.run_id == run_id)
            .map(|claim| claim.state)
            .max_by_key(|state| (state.is_over(), *state == RescueState::Saved))
    }

    /// Whether the demotion of an instance waits for its data to be saved, or until it is known what these
    /// are: it reads its file yet, or what was read of it came by a connection of the past.
    pub(super) fn awaits_rescue(&self, instance: &Endpoint, now: Instant) -> bool {
        let Some(limits) = self.policy.rescue() else {
            return false;
        };
        let sample = self.watches.get(instance).and_then(Watch::current_sample);
        if sample.is_none_or(|sample| sample.info.loading != Loading::No) {
            return true;
        }
        let Some(found) = self.rescues.found.get(instance) else {
            return false;
        };
        let is_over = self
            .claimed(instance, found.run_id, now)
            .is_some_and(RescueState::is_over);
        !is_over && !found.is_late(limits, now)
    }

    /// Tells, where this node leads, that the time is over and nobody has said how it ended.
    fn tell_if_late(
        &mut self,
        instance: &Endpoint,
        limits: RescueLimits,
        leading: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let is_open = |run_id| {
            let claimed = self.claimed(instance, run_id, now);
            !claimed.is_some_and(RescueState::is_over)
        };
        let late = self.rescues.found.get(instance).is_some_and(|found| {
            leading && !found.is_given_up && found.is_late(limits, now) && is_open(found.run_id)
        });
        if !late {
            return;
        }
        if let Some(found) = self.rescues.found.get_mut(instance) {
            found.is_given_up = true;
        }
        let seconds = limits.lasts_max.as_secs();
        actions.push(Action::Announce(Happening::RescueFailed {
            group: self.name.clone(),
            instance: instance.clone(),
            why: format!("no node has saved them within {seconds} s (RESCUE_TIMEOUT)"),
        }));
    }

    /// The data of an instance were saved, or not.
    pub fn on_rescued(&mut self, outcome: &RescueOutcome, actions: &mut Vec<Action>) {
        let order = &outcome.order;
        let is_saved_elsewhere = self
            .views
            .values()
            .flat_map(|view| &view.rescues)
            .filter(|claim| claim.instance == order.endpoint && claim.run_id == order.run_id)
            .any(|claim| claim.state == RescueState::Saved);
        let own = self.rescues.own.get_mut(&order.endpoint);
        if let Some(own) = own.filter(|own| own.run_id == order.run_id) {
            own.state = match outcome.result {
                Ok(_) => RescueState::Saved,
                Err(_) => RescueState::Failed,
            };
        }
        if outcome.result.is_err() && is_saved_elsewhere {
            // It was demoted as soon as the other copy was whole, and that ended this one.
            return;
        }
        let (group, instance) = (self.name.clone(), order.endpoint.clone());
        actions.push(Action::Announce(match &outcome.result {
            Ok(rescued) => Happening::Rescued {
                group,
                instance,
                path: rescued.path.clone(),
                bytes: rescued.bytes,
                diverged_bytes: order.diverged_bytes,
            },
            Err(why) => Happening::RescueFailed {
                group,
                instance,
                why: why.clone(),
            },
        }));
    }

    /// What is done with it before it is demoted, for people to read.
    pub(super) fn rescue_overview(&self, instance: &Endpoint, now: Instant) -> Option<String> {
        let text = "fenced, and demoted once what only it has is saved (RESCUE)";
        self.awaits_rescue(instance, now).then(|| text.to_owned())
    }

    /// What this node tells its peers.
    pub(super) fn rescue_claims(&self) -> Vec<RescueClaim> {
        self.rescues.own.values().cloned().collect()
    }
}

impl Found {
    fn is_late(&self, limits: RescueLimits, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= limits.lasts_max + CLAIM_WAIT + GRACE
    }
}

impl Rescues {
    /// Remembers since when an instance is known to be in need.
    fn find(&mut self, instance: &Endpoint, run_id: RunId, now: Instant) {
        self.found.entry(instance.clone()).or_insert(Found {
            run_id,
            since: now,
            is_given_up: false,
        });
    }
}

/// The claims of a peer that are worth keeping.
pub(super) fn held_claims(view: &View) -> Vec<RescueClaim> {
    let claims = view.rescues.iter().take(GroupPolicy::MEMBERS_MAX);
    claims.cloned().collect()
}

#[cfg(test)]
#[path = "rescue_tests.rs"]
mod tests;
