//! What nodes tell one another of what they see: never logged, and never counted when stale.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::fencing::{FenceClaim, HeldFence};
use super::health::{Cause, Health};
use super::lease::LeaseClaim;
use super::policy::GroupPolicy;
use super::rescue::{self, RescueClaim};
use super::settings_digest::GroupClaim;
use crate::breaks::{Break, is_broken};
use crate::model::{Endpoint, Epoch, GroupName, Life, NodeRole, RunId};

/// A view is not counted when it is older than this.
pub const VIEW_FRESH_FOR: Duration = Duration::from_secs(2);
/// Time between two reports while nothing changes.
pub const REPORT_INTERVAL: Duration = Duration::from_millis(500);

/// What one node tells all the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Of its groups that are registered.
    pub views: Vec<View>,
    /// What it has in its settings; not said each time.
    pub claims: Option<Claims>,
}

/// What a node has in its settings that concerns the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// What it is.
    pub role: NodeRole,
    /// Where clients reach its Sentinel endpoint, if it has one.
    pub sentinel: Option<Endpoint>,
    /// All its groups.
    pub groups: Vec<GroupClaim>,
}

/// One node's view of one group's master, with ages as of its sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The group.
    pub group: GroupName,
    /// The epoch of the master that is judged.
    pub epoch: Epoch,
    /// Its process, as logged.
    pub run_id: RunId,
    /// The judgement.
    pub opinion: Opinion,
    /// Age of the latest ping of it that was answered.
    pub answered_age: Option<Duration>,
    /// A replica's stream grew after this long ago.
    pub moving_age: Option<Duration>,
    /// The epoch that all of this node's clients' files of the group name.
    pub files_epoch: Option<Epoch>,
    /// The instances that this node holds fenced.
    pub fences: Vec<FenceClaim>,
    /// What it knows of leases, where they matter.
    pub lease: Option<LeaseClaim>,
    /// The instances whose data this node saves, or has saved.
    pub rescues: Vec<RescueClaim>,
}

/// A judgement, with the age of its evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opinion {
    /// Nothing to say yet.
    Unknown,
    /// It answers.
    Up,
    /// Something is amiss.
    Suspected {
        /// For how long.
        age: Duration,
    },
    /// Subjectively down.
    Down {
        /// Why.
        cause: Cause,
        /// Age of the evidence.
        age: Duration,
    },
}

impl Opinion {
    /// What `health` is to others at `now`.
    #[must_use]
    pub fn of(health: Health, now: Instant) -> Self {
        match health {
            Health::Unknown => Self::Unknown,
            Health::Up => Self::Up,
            Health::Suspected { since } => Self::Suspected {
                age: now.saturating_duration_since(since),
            },
            Health::Down { cause, since } => Self::Down {
                cause,
                age: now.saturating_duration_since(since),
            },
        }
    }

    fn held(self, received_at: Instant) -> Health {
        let before = |age: Duration| received_at.checked_sub(age).unwrap_or(received_at);
        match self {
            Self::Unknown => Health::Unknown,
            Self::Up => Health::Up,
            Self::Suspected { age } => Health::Suspected { since: before(age) },
            Self::Down { cause, age } => Health::Down {
                cause,
                since: before(age),
            },
        }
    }
}

/// A view with moments of our own clock: another node's, as late as they can have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldView {
    /// Which life of the node said so.
    pub life: Life,
    /// When it was received.
    pub received_at: Instant,
    /// The epoch of the master that is judged.
    pub epoch: Epoch,
    /// Its process.
    pub run_id: RunId,
    /// The judgement.
    pub health: Health,
    /// When the latest ping of it was sent that was answered.
    pub answered: Option<Instant>,
    /// A replica's stream grew after this moment.
    pub moving_since: Option<Instant>,
    /// The epoch of the node's files.
    pub files_epoch: Option<Epoch>,
    /// The instances that the node holds fenced.
    pub fences: Vec<HeldFence>,
    /// What it knows of leases, where they matter.
    pub lease: Option<LeaseClaim>,
    /// The instances whose data the node saves, or has saved.
    pub rescues: Vec<RescueClaim>,
}

impl HeldView {
    /// Takes in a view that arrived at `received_at`.
    #[must_use]
    pub fn receive(view: &View, life: Life, received_at: Instant) -> Self {
        let before = |age: Duration| received_at.checked_sub(age).unwrap_or(received_at);
        Self {
            life,
            received_at,
            epoch: view.epoch,
            run_id: view.run_id,
            health: view.opinion.held(received_at),
            answered: view.answered_age.map(before),
            moving_since: view.moving_age.map(before),
            files_epoch: view.files_epoch,
            fences: view
                .fences
                .iter()
                .take(GroupPolicy::MEMBERS_MAX)
                .map(|claim| HeldFence {
                    instance: claim.instance.clone(),
                    cause: claim.cause,
                    since: before(claim.age),
                })
                .collect(),
            lease: view.lease.clone(),
            rescues: rescue::held_claims(view),
        }
    }

    /// Whether it still counts, for the master of `epoch` with the process `run_id`.
    #[must_use]
    pub fn counts(&self, epoch: Epoch, run_id: RunId, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.received_at);
        let is_of_now = self.epoch == epoch && self.run_id == run_id;
        (is_of_now || is_broken(Break::ViewOfAnotherEpochCounts))
            && (age < VIEW_FRESH_FOR || is_broken(Break::StaleViewCounts))
    }
}
