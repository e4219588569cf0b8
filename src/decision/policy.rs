//! The settings of one group that decisions follow.

use std::collections::BTreeSet;
use std::time::Duration;

use super::rescue::RescueLimits;
use crate::model::Endpoint;

/// The share of its interval by which a question or a report may come early, to go along with what
/// happens anyway: it is waking up that costs.
pub(super) const EARLY: u32 = 8;

/// What makes sure that an old master takes no more writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fencing {
    /// Nothing does.
    Off,
    /// It is told to refuse writes as soon as an epoch begins against it, or as it is cut off. Nothing
    /// waits for that.
    Fast,
    /// It takes writes only under a lease from a majority of voters, and nobody is promoted before that is
    /// over: no two masters take writes.
    Strict,
}

/// What the operator wants for one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPolicy {
    /// Instances that the operator listed.
    pub instances: BTreeSet<Endpoint>,
    /// Views needed to hold a master objectively down without proof.
    pub quorum: usize,
    /// No valid reply for so long is `silent`.
    pub down_after: Duration,
    /// New connections refused for so long is `gone`.
    pub gone_after: Duration,
    /// Whether a process seen to exit counts as proof.
    pub exited: bool,
    /// Longest time for which a replica's moving stream can delay a verdict of `silent`.
    pub replica_veto_max: Duration,
    /// Longest time that one mandate stays open.
    pub promote_timeout: Duration,
    /// Replicas that are repointed at a time.
    pub parallel_syncs: usize,
    /// Replicas further behind the master than this, in bytes, are not promoted.
    pub lag_max: Option<u64>,
    /// Readers are not told of replicas that stay further behind the master than this, in bytes.
    pub readers_lag_max: Option<u64>,
    /// Time after a failover in which `silent` does not act.
    pub cooldown: Duration,
    /// After so many failovers within an hour the next one pauses the group instead; 0 for no limit.
    pub failovers_max: usize,
    /// Whether to act although a Sentinel watches the group too.
    pub take_over: bool,
    /// Instances that are never promoted.
    pub excluded: BTreeSet<Endpoint>,
    /// What stops an old master.
    pub fencing: Fencing,
    /// How long a lease is, where fencing is strict.
    pub lease: Duration,
    /// A master cut off for so long is fenced by the node beside it.
    pub isolation_after: Duration,
    /// A master that may come back with its data is waited for when the best replica lacks more of its
    /// stream than this, in bytes.
    pub gone_loss_max: u64,
    /// Whether only a process that was looked at may feed the replicas.
    pub guard: bool,
    /// Whether what a returning master has and the group never got is saved before it is demoted.
    pub rescue: bool,
    /// How much that may take.
    pub rescue_limits: RescueLimits,
}

impl GroupPolicy {
    /// Longest time for which a replica's answer is waited for when one is chosen.
    pub const CHOICE_TIMEOUT: Duration = Duration::from_millis(50);
    /// Time between two readings of `INFO` while all is well.
    pub const INFO_INTERVAL: Duration = Duration::from_secs(1);
    /// The same, while a failover's replicas are on their way to their new master.
    pub const INFO_INTERVAL_SETTLING: Duration = Duration::from_millis(50);
    /// Longest time between two attempts to reach an instance that refuses.
    pub const RECONNECT_INTERVAL_MAX: Duration = Duration::from_millis(100);
    /// Time between two readings of the limits of writing, which somebody may change by hand.
    pub const LIMITS_INTERVAL: Duration = Duration::from_secs(5);
    /// The same, of an instance that is fenced: nobody says when that ends.
    pub const LIMITS_INTERVAL_FENCED: Duration = Duration::from_secs(1);
    /// Time between two readings of `INFO` of a master beside this node: it goes along with the pings.
    pub const INFO_INTERVAL_BESIDE: Duration = Duration::from_millis(200);
    /// Shortest time after which a master can be known to be cut off: replicas acknowledge once a second.
    pub const ISOLATION_MIN: Duration = Duration::from_secs(1);
    /// Most instances that a group remembers.
    pub const MEMBERS_MAX: usize = 64;

    /// How much a rescue may take; none where nothing is rescued.
    #[must_use]
    pub fn rescue(&self) -> Option<RescueLimits> {
        self.rescue.then_some(self.rescue_limits)
    }

    /// Time between two pings of a master: five go out in `down_after`.
    #[must_use]
    pub fn ping_interval(&self) -> Duration {
        self.down_after / 5
    }

    /// A ping unanswered for so long is a reason to look closer.
    #[must_use]
    pub fn doubt_after(&self) -> Duration {
        self.gone_after.max(self.ping_interval() / 2)
    }

    /// Time between two readings of `INFO` of the replicas while their master is in doubt.
    #[must_use]
    pub fn info_interval_in_doubt(&self) -> Duration {
        (self.gone_after / 2).max(Duration::from_millis(5))
    }
}
