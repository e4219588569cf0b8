//! What a Redis instance says about itself, once parsed.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Endpoint, ReplicationId, ReplicationOffset, RunId};

/// The facts of one `INFO server replication persistence keyspace` that decisions use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceInfo {
    /// `run_id`.
    pub run_id: RunId,
    /// `process_id`, as numbered on the instance's own host.
    pub process_id: u32,
    /// `redis_version` or `valkey_version`, with the name of the server before it: `redis 7.0.15`.
    pub version: String,
    /// What it is, and whom it follows.
    pub role: Role,
    /// The stream that it has.
    pub history: ReplicationHistory,
    /// Whether it is reading a data set.
    pub loading: Loading,
    /// `slave_priority` (replicas only; 100 for a master). 0 is never promoted.
    pub priority: u32,
    /// Whether any database holds a key.
    pub has_keys: bool,
    /// `connected_slaves`.
    pub connected_replicas: u32,
}

/// `role`, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// `role:master`, with the `slaveN` lines.
    Master {
        /// Its replicas at the addresses that they announce (`replica-announce-ip` and `-port`).
        replicas: Vec<AnnouncedReplica>,
    },
    /// `role:slave`.
    Replica {
        /// `master_host` and `master_port`.
        master: Endpoint,
        /// The state of its link to that master.
        link: MasterLink,
    },
}

/// A `slaveN` line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedReplica {
    /// `ip` and `port`.
    pub endpoint: Endpoint,
    /// Whether `state` is `online`.
    pub online: bool,
    /// `offset`, as last acknowledged by the replica.
    pub offset: ReplicationOffset,
    /// When that was.
    pub ack: ReplicaAck,
}

/// `lag` of a `slaveN` line: replicas acknowledge once a second, and Redis counts whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReplicaAck {
    /// The second of the server's clock in which it came, where the server tells the time.
    pub second: Option<u64>,
    /// It is at least so old.
    pub age_min: Duration,
}

impl ReplicaAck {
    /// What `lag` seconds mean when the server's clock says `time_us` microseconds.
    #[must_use]
    pub fn read(lag: u64, time_us: Option<u64>) -> Self {
        let second = time_us.map(|time| (time / 1_000_000).saturating_sub(lag));
        // It came at the end of its second at the latest.
        let within_us = time_us.map_or(0, |time| time % 1_000_000);
        let whole = lag.checked_sub(1).map(Duration::from_secs);
        let age_min = whole.map_or(Duration::ZERO, |whole| {
            whole + Duration::from_micros(within_us)
        });
        Self { second, age_min }
    }
}

/// `master_link_status` of a replica and what qualifies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MasterLink {
    /// `up`: the stream flows.
    Up,
    /// `down`, with `master_sync_in_progress:1`: a full copy is on its way.
    Syncing,
    /// `down`.
    Down {
        /// `master_link_down_since_seconds`; none when it never was up (-1).
        seconds: Option<u64>,
    },
}

/// Which stream of writes an instance holds, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicationHistory {
    /// `master_replid`.
    pub id: ReplicationId,
    /// `master_repl_offset`, which replicas report too.
    pub offset: ReplicationOffset,
    /// `master_replid2` and `second_repl_offset`: the history that this one continues, and the first
    /// offset at which it no longer does.
    pub continues: Option<(ReplicationId, ReplicationOffset)>,
}

/// `loading` and `async_loading`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loading {
    /// It answers commands.
    No,
    /// `loading:1`: commands get `-LOADING`.
    Blocking,
    /// `async_loading:1`: it serves an old data set while it reads a new one.
    InBackground,
}

/// `min-replicas-to-write` and `min-replicas-max-lag`: a master refuses writes while fewer replicas
/// than that have acknowledged within so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WriteLimits {
    /// `min-replicas-to-write`; 0 asks for none.
    pub replicas_min: u32,
    /// `min-replicas-max-lag` in seconds; 0 switches the limit off.
    pub lag_max_s: u32,
}

impl WriteLimits {
    /// The fence: more replicas than there can be. Writes are refused, reads are not.
    pub const FENCE: Self = Self {
        replicas_min: 2_147_483_647,
        lag_max_s: 1,
    };

    /// Whether no write can pass, ever, by whoever set it.
    #[must_use]
    pub fn is_fence(self) -> bool {
        self.replicas_min == Self::FENCE.replicas_min
    }

    /// How many replicas a master needs before it takes writes.
    #[must_use]
    pub fn replicas_needed(self) -> u32 {
        if self.lag_max_s == 0 {
            0
        } else {
            self.replicas_min
        }
    }
}

/// What a server has that was told nothing else.
impl Default for WriteLimits {
    fn default() -> Self {
        Self {
            replicas_min: 0,
            lag_max_s: 10,
        }
    }
}

impl fmt::Display for WriteLimits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (replicas_min, lag_max_s) = (self.replicas_min, self.lag_max_s);
        write!(
            formatter,
            "min-replicas-to-write {replicas_min}, min-replicas-max-lag {lag_max_s}"
        )
    }
}

/// What came back for a `PING`. Each of these shows a live process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PingReply {
    /// `+PONG`.
    Pong,
    /// `-LOADING`: a valid reply.
    Loading,
    /// `-MASTERDOWN`: a valid reply.
    MasterDown,
    /// `-BUSY`: a script runs for too long.
    Busy,
    /// `-NOAUTH`, `-WRONGPASS`, `-NOPERM`: our user or password is wrong or may not ping.
    Denied(String),
    /// Any other error.
    Error(String),
}

impl PingReply {
    /// Whether this counts as an answer for `silent`.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Pong | Self::Loading | Self::MasterDown => true,
            Self::Busy | Self::Denied(_) | Self::Error(_) => false,
        }
    }
}
