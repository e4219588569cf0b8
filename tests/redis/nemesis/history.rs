//! What is recorded of a run: every write with its answer, what the daemons told, what the servers
//! logged, what the files named, and what was done to the site.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use promoterd::model::{ReplicationId, RunId};
use promoterd::status::{CauseName, OutcomeName};

/// Time since the run began.
pub type At = Duration;

/// A host, by its place: 0, 1, ...; the daemon there has the same number.
pub type HostId = usize;

/// An instance of a group, by its place.
pub type InstanceId = usize;

/// A whole run.
#[derive(Debug, Default)]
pub struct History {
    /// So many hosts, and daemons.
    pub hosts: usize,
    /// What was done to the site, in order.
    pub world: Vec<(At, Change)>,
    pub groups: Vec<GroupHistory>,
    /// Each time all faults were taken back: when, and how long it took to settle, or why it did not.
    pub calms: Vec<(At, Result<Duration, String>)>,
    /// What happened, in words, for whoever has to explain it: when, the group or all, what.
    pub notes: Vec<(At, Option<usize>, String)>,
}

/// What changed at a moment. Harm counts from when it began to be done, and its end from when it had
/// been taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// What is sent from the one host to the other is dropped; all pairs that are, from now on.
    Cuts(BTreeSet<(HostId, HostId)>),
    /// Packets of these hosts are lost or late.
    Lossy(BTreeSet<HostId>),
    /// Whether the daemon runs, and is neither stopped nor failing.
    Daemon { host: HostId, is_well: bool },
    /// Whether the daemon is a voter: one that lost its state, or has an older one, is none until it was
    /// let in again.
    Voter { host: HostId, is_one: bool },
    /// Whether the instance runs and is not stopped.
    Instance {
        group: usize,
        instance: InstanceId,
        is_well: bool,
    },
}

/// One group.
#[derive(Debug, Default)]
pub struct GroupHistory {
    /// Where each instance is.
    pub hosts: Vec<HostId>,
    pub level: Level,
    pub is_guarded: bool,
    /// Every life of every instance that a writer reached.
    pub processes: Vec<Process>,
    pub writes: Vec<Write>,
    /// What the servers logged.
    pub promotions: Vec<Promotion>,
    /// The processes that followed some master, by their number, and when they began to.
    pub followers: BTreeMap<u32, BTreeSet<At>>,
    /// Which history each history continues, and up to where.
    pub forks: BTreeMap<ReplicationId, Fork>,
    pub begun: Vec<Begun>,
    pub told: Vec<Told>,
    /// The masters that were identified anew within an epoch.
    pub identified: Vec<Identified>,
    /// The epoch in the status of a node.
    pub epochs: Vec<EpochSeen>,
    pub files: Vec<FileSeen>,
    /// What was done to its data.
    pub harms: Vec<(At, Harm)>,
    /// Strangers that were touched, and how.
    pub strangers_touched: Vec<(At, String)>,
    /// The writes that the master had in the end.
    pub held: BTreeSet<WriteId>,
    /// The history of failovers that all daemons told in the end, the newest first.
    pub last_told: Vec<Told>,
}

/// What is promised of old masters: `PROMOTERD_GROUPS__F__FENCING`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Level {
    /// Nothing.
    Off,
    /// They stop within a time, where the faults leave a way to tell them.
    #[default]
    Fast,
    /// None takes a write once another one may.
    Strict,
}

impl Level {
    pub fn read(text: &str) -> Self {
        match text {
            "off" => Self::Off,
            "fast" => Self::Fast,
            "strict" => Self::Strict,
            other => panic!("no fencing level: {other}"),
        }
    }
}

/// One life of an instance.
#[derive(Debug, Clone)]
pub struct Process {
    pub instance: InstanceId,
    pub run_id: RunId,
    pub process_id: u32,
    pub first_seen: At,
    pub is_stranger: bool,
}

/// Of a write: who wrote it, and his how manieth it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteId {
    pub writer: usize,
    pub number: u64,
}

/// One attempt to write.
#[derive(Debug, Clone)]
pub struct Write {
    pub id: WriteId,
    /// The process that it was sent to, in [`GroupHistory::processes`].
    pub process: usize,
    pub sent: At,
    pub answered: At,
    pub answer: Answer,
}

/// What became of it, as far as the writer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Acknowledged; the history of the process, and its offset right after the write.
    Taken {
        history: ReplicationId,
        offset: u64,
    },
    Refused,
    /// The connection ended before the answer.
    Unknown,
}

impl Answer {
    /// The history that an acknowledged write went to.
    pub fn history(self) -> Option<ReplicationId> {
        match self {
            Self::Taken { history, .. } => Some(history),
            Self::Refused | Self::Unknown => None,
        }
    }
}

/// A line of a server's log: it was promoted by a command.
#[derive(Debug, Clone)]
pub struct Promotion {
    pub instance: InstanceId,
    pub process_id: u32,
    pub at: At,
    /// The history that it began then.
    pub history: ReplicationId,
}

/// Where a history comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    pub parent: ReplicationId,
    /// The last offset that both have.
    pub shared: u64,
}

/// A daemon told that an epoch began.
#[derive(Debug, Clone)]
pub struct Begun {
    pub heard: At,
    pub epoch: u64,
    pub instance: InstanceId,
    pub run_id: RunId,
    pub reinstates: bool,
}

/// A daemon's history of failovers named this epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub node: HostId,
    pub heard: At,
    pub epoch: u64,
    pub from: InstanceId,
    pub to: InstanceId,
    pub leader: String,
    pub cause: CauseName,
    pub outcome: OutcomeName,
    /// None where the leader had nothing to estimate by.
    pub estimate: Option<u64>,
    pub fact: Option<u64>,
}

/// A daemon told that the master of an epoch is another process, or has another history.
#[derive(Debug, Clone)]
pub struct Identified {
    pub heard: At,
    pub epoch: u64,
    pub instance: InstanceId,
    pub run_id: RunId,
    pub history: ReplicationId,
}

/// A daemon's status named this epoch.
#[derive(Debug, Clone)]
pub struct EpochSeen {
    pub node: HostId,
    /// Which of its lives, since it was started.
    pub life: u64,
    pub heard: At,
    pub epoch: u64,
}

/// A client's file had other content than before.
#[derive(Debug, Clone)]
pub struct FileSeen {
    pub host: HostId,
    pub seen: At,
    /// The instance that it names, or what is in it.
    pub names: Result<InstanceId, String>,
}

/// What was done to a group's data.
#[derive(Debug, Clone)]
pub enum Harm {
    /// The instance was killed, and comes back without what it had, or with only a part.
    Robbed { instance: InstanceId },
    /// All instances were killed at once; by then these offsets of these histories were on some disk.
    Everything { on_disk: Vec<(ReplicationId, u64)> },
}
