//! Making sure that an old master takes no more writes: who is fenced, by whom, and when that ends.
//!
//! A fence is set on the probe connection that is open, by the leader and by the node beside the
//! instance, and nothing ever waits for it. What is to be done is read from what is committed and from
//! what the instances say, so it survives a change of leader; what was there before is logged, so that
//! any leader can put it back.

mod claims;
mod isolating;
mod reacting;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::model::{Endpoint, Epoch, NodeId, RunId, WriteLimits};

pub use isolating::Isolation;
pub(super) use reacting::was_replaced;

/// Time before a fence that was refused, or could not be lifted, is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// A fence that nobody holds for so long has no owner: claims need a moment to come around.
const UNOWNED_AFTER: Duration = Duration::from_secs(2);

/// Why an instance is fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceCause {
    /// An epoch began against it.
    Replaced,
    /// It claims to be a master of the group, and is not ours.
    Rogue,
    /// Its node has lost the majority of voters, and it has lost its replicas.
    Isolated,
    /// It holds no lease.
    Unleased,
}

impl fmt::Display for FenceCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Replaced => "it was replaced",
            Self::Isolated => "it is cut off from most voters and replicas",
            Self::Unleased => "it holds no lease",
            Self::Rogue => "it claims to be a master and is not ours",
        })
    }
}

/// A fence that a node set, as it tells its peers, with its age as of the sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceClaim {
    /// The instance.
    pub instance: Endpoint,
    /// Why.
    pub cause: FenceCause,
    /// For how long.
    pub age: Duration,
    /// What the instance had before.
    pub before: Option<WriteLimits>,
}

/// A fence that a node holds, in moments of our own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldFence {
    /// The instance.
    pub instance: Endpoint,
    /// Why.
    pub cause: FenceCause,
    /// Since when.
    pub since: Instant,
}

/// Who holds an instance fenced, for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceOverview {
    /// Those who fenced it, and for how long; nobody where it has no owner.
    pub holders: Vec<(NodeId, FenceCause, Duration)>,
    /// What lifts it: a command by hand, where it needs no lease.
    pub lifted_by: String,
    /// Whether it takes writes under a lease only.
    pub needs_lease: bool,
}

impl fmt::Display for FenceOverview {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.needs_lease && self.holders.is_empty() {
            return formatter.write_str("fenced, takes no writes: it has no lease yet");
        }
        if self.holders.is_empty() {
            return write!(
                formatter,
                "fenced, and nobody holds that: lift it by `{}`",
                self.lifted_by
            );
        }
        formatter.write_str("fenced, takes no writes:")?;
        for (position, (node, cause, _)) in self.holders.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(formatter, "{comma} by {node} ({cause})")?;
        }
        Ok(())
    }
}

/// The fences of one node in one group.
#[derive(Debug, Default)]
pub struct Fences {
    held: BTreeMap<Endpoint, Fence>,
    /// When an instance was last told something that it refused.
    refused: BTreeMap<Endpoint, Instant>,
    /// Fences that nobody holds, and since when.
    unowned: BTreeMap<Endpoint, Instant>,
    /// Those that people were told of.
    told: BTreeSet<Endpoint>,
}

/// A fence that this node set, or that it would have set had it not been there already.
#[derive(Debug, Clone)]
struct Fence {
    run_id: RunId,
    cause: FenceCause,
    /// When it was ordered.
    since: Instant,
    /// The latest epoch that had begun then.
    epoch: Epoch,
    is_up: bool,
}

impl Fences {
    pub(super) fn may_try(&self, instance: &Endpoint, now: Instant) -> bool {
        self.refused
            .get(instance)
            .is_none_or(|at| *at + RETRY_AFTER <= now)
    }
}

/// The command that puts `limits` back by hand.
#[must_use]
pub fn lifting_command(instance: &Endpoint, limits: WriteLimits) -> String {
    let (host, port) = (instance.host(), instance.port());
    let set =
        |name: &str, value: u32| format!("redis-cli -h {host} -p {port} config set {name} {value}");
    let replicas_min = set("min-replicas-to-write", limits.replicas_min);
    let lag_max = set("min-replicas-max-lag", limits.lag_max_s);
    format!("{replicas_min} && {lag_max}")
}
