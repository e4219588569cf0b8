//! The JSON of `/v1/status` and `/v1/groups/NAME`: scripts rely on it, fields are added and never
//! renamed.

use serde::{Deserialize, Serialize};

use super::schema_history::FailoverReport;
use super::schema_observers::{FollowingReport, ObserverReport};
use super::schema_pause::PauseReport;
use super::source::{EngineRole, ReloadStanding};
use crate::decision::{Cause, Difference, FenceCause, SentinelWatch};
use crate::model::{
    ClientName, Endpoint, Epoch, GroupName, NodeId, NodeRole, Replica, ReplicationOffset, RunId,
    Term,
};

/// Version of the schema; it grows when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// `/v1/status`: what one node knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The node that answers.
    pub node: NodeId,
    /// What it is in the consensus engine.
    pub role: EngineRole,
    /// Who leads; `null` while nobody is known to.
    pub leader: Option<NodeId>,
    /// The number of the last election.
    pub term: Term,
    /// The id of the cluster; `null` before it is born.
    pub cluster: Option<String>,
    /// The id of the node's state directory: another one after it was emptied.
    pub incarnation: String,
    /// What the node waits for before it is a voter; `null` when it is one.
    pub waiting: Option<String>,
    /// All voters, and this node's links to them.
    pub voters: Vec<VoterReport>,
    /// Version of the daemon.
    pub version: String,
    /// Milliseconds since the daemon started.
    pub uptime_ms: u64,
    /// Whether a leader has confirmed since then that this node's state is not an old one.
    pub confirmed: bool,
    /// How an observer stands to the voters; `null` for a voter.
    #[serde(default)]
    pub following: Option<FollowingReport>,
    /// The observers that are connected; `null` where they are not listened to.
    #[serde(default)]
    pub observers: Option<Vec<ObserverReport>>,
    /// All groups, each as `/v1/groups/NAME` has it.
    pub groups: Vec<GroupReport>,
}

/// A voter, and the link to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoterReport {
    /// Its name.
    pub node: NodeId,
    /// Whether the answering node can talk to it; true for itself.
    pub connected: bool,
    /// Whether it is the answering node.
    pub is_self: bool,
    /// What it is: `voter` or `witness`; `null` while it has not said so.
    pub role: Option<NodeRole>,
    /// Where it listens.
    pub address: Endpoint,
    /// For how many milliseconds the link has been as it is.
    pub since_ms: Option<u64>,
    /// Why it was lost, or could not be made, the last time.
    pub last_error: Option<String>,
}

/// `/v1/groups/NAME`: a group with the version of the schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupAnswer {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The group.
    #[serde(flatten)]
    pub group: GroupReport,
}

/// A group as the answering node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupReport {
    /// Its name.
    pub name: GroupName,
    /// The epoch of the current master; `null` before the group is registered.
    pub epoch: Option<Epoch>,
    /// What is being done: `discovering`, `watching`, `suspecting`, `down`, `choosing`,
    /// `beginning`, `promoting` or `ending`.
    pub phase: String,
    /// The current master; `null` before the group is registered.
    pub master: Option<Endpoint>,
    /// Its process.
    pub master_run_id: Option<RunId>,
    /// What has to happen before the group can be registered.
    pub waiting: Option<String>,
    /// The voters whose settings of it are not those of the answering node.
    pub differing: Vec<DifferingReport>,
    /// The pause that stands: then nothing is done about the group.
    pub paused: Option<PauseReport>,
    /// The Sentinels that watch it too: then nothing is done about it until `take_over`.
    pub deferred_to: Option<SentinelWatch>,
    /// What is known of the master.
    pub master_instance: Option<InstanceReport>,
    /// All other instances; before the group is registered, all of them.
    pub replicas: Vec<InstanceReport>,
    /// What readers' files are told of all instances but the master: by the answering node, or, on an
    /// observer, by the voter that it follows.
    #[serde(default)]
    pub readers: Vec<Replica>,
    /// Who holds the master down or suspects it.
    pub down: Vec<DownReport>,
    /// Why nobody could be promoted at the last attempt (only the leader knows).
    pub passed_over: Vec<PassedOver>,
    /// What a failover is put off for (only the leader knows).
    pub awaited: Option<String>,
    /// The guard against emptied masters, where it is wanted (only the leader knows).
    pub guard: Option<GuardReport>,
    /// The files on the answering node's host.
    pub files: Vec<FileReport>,
    /// The last failovers, the newest first; all that are remembered are in `/v1/history`.
    pub failovers: Vec<FailoverReport>,
}

/// A voter that has other settings of a group than the answering node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingReport {
    /// The voter.
    pub node: NodeId,
    /// In what, as far as it is known; `no_group` when it does not have the group at all.
    #[serde(flatten)]
    pub difference: Difference,
}

/// An instance as the answering node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceReport {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Whether it answers, and stands to the master as it should.
    pub healthy: bool,
    /// Its replication offset in bytes, as last read.
    pub offset: Option<ReplicationOffset>,
    /// Bytes behind the master, as last read.
    pub lag_bytes: Option<u64>,
    /// What it says it is: `master` or `replica`.
    pub role: Option<String>,
    /// Server and version: `redis 7.0.15`.
    pub version: Option<String>,
    /// `replica-priority`: the lowest is promoted first, 0 never.
    pub priority: Option<u32>,
    /// What is wrong with it, in words.
    pub trouble: Option<String>,
    /// Why the answering node holds it down.
    pub down: Option<Cause>,
    /// Whether the group has it logged as one of its own.
    pub member: bool,
    /// Age in milliseconds of what was last read.
    pub read_ms_ago: Option<u64>,
    /// Who holds it fenced: it takes no writes; `null` when it is not.
    pub fence: Option<FenceReport>,
}

/// A fence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceReport {
    /// Who set it; empty when nobody is known to.
    pub held_by: Vec<FenceHolder>,
    /// The command that lifts it by hand, with the values that were there before.
    pub lifted_by: String,
}

/// A node that fenced an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceHolder {
    /// The node.
    pub node: NodeId,
    /// Why.
    pub cause: FenceCause,
    /// For how long, in milliseconds.
    pub for_ms: u64,
}

/// A node that holds the master down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownReport {
    /// The node.
    pub node: NodeId,
    /// Why; `null` while it only suspects it.
    pub cause: Option<Cause>,
    /// Age of the evidence in milliseconds.
    pub for_ms: u64,
}

/// How far the guard against emptied masters is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardReport {
    /// Whether an emptied master could feed none of the replicas.
    pub in_force: bool,
    /// Replicas that only the present process of the master can feed.
    pub armed: usize,
    /// Replicas that answer and follow it.
    pub replicas: usize,
    /// What stands in the way.
    pub troubles: Vec<PassedOver>,
}

/// An instance that may not be promoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Which.
    pub endpoint: Endpoint,
    /// Why not, in words.
    pub reason: String,
}

/// A client's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// The client.
    pub client: ClientName,
    /// The file.
    pub path: String,
    /// The epoch whose master it names; `null` before it was written or checked.
    pub epoch: Option<Epoch>,
    /// Why it could not be rewritten the last time, or why its client could not be reloaded.
    pub error: Option<String>,
    /// The end of what `CHECK` printed when it refused the new content; empty where it did not.
    #[serde(default)]
    pub check_output: String,
    /// How `RELOAD` stands; `null` before it ran in this life of the daemon.
    #[serde(default)]
    pub reload: Option<ClientReloadReport>,
}

/// How a client was made to read its file again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientReloadReport {
    /// `running`, `done` or `failed`; one that failed is tried again.
    pub state: ReloadStanding,
    /// The epoch that its file named.
    pub epoch: Epoch,
    /// Why it failed the last time.
    pub error: Option<String>,
    /// The end of what it printed.
    pub output: String,
}

/// `/readyz`: 200 when ready, else 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether a leader is known, this node's state is confirmed, and all groups are registered.
    pub ready: bool,
    /// What is missing.
    pub reasons: Vec<String>,
}
