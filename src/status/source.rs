//! What the daemon's loop gives when it is asked: the input of everything on the status socket.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::schema_reload::ReloadReport;
use super::schema_rescue::RescuesReport;
use crate::decision::{
    FailoverRecord, GivenUp, GroupOverview, Impossible, OperationId, Pause, Scope, Wish,
};
use crate::model::{
    ClientName, ClusterId, Endpoint, Epoch, GroupName, Incarnation, NodeId, NodeRole, Replica, Term,
};

/// What the status socket wants of the daemon's loop. A receiver that is gone is no matter: its
/// client left, or lost patience.
#[derive(Debug)]
pub enum Question {
    /// Whether the loop turns.
    Alive(oneshot::Sender<()>),
    /// What this node knows at this moment.
    Overview(oneshot::Sender<StatusSource>),
    /// What an administrator wants, answered when it is committed or no longer tried.
    Operate(
        Order,
        oneshot::Sender<Result<OperationOverview, Impossible>>,
    ),
    /// How far an operation is.
    Operation(OperationId, oneshot::Sender<OperationOverview>),
    /// The data sets that this node has saved.
    Rescues(oneshot::Sender<RescuesReport>),
    /// To read the settings again; answered when they are taken on, or not.
    Reload(oneshot::Sender<ReloadReport>),
}

/// What somebody wants who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The number of the operation.
    pub operation: OperationId,
    /// Of which groups.
    pub scope: Scope,
    /// What.
    pub wish: Wish,
    /// The number of the user who asks.
    pub uid: u32,
    /// His name, where he has one.
    pub user: Option<String>,
}

/// How far an operation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationOverview {
    /// Its number.
    pub operation: OperationId,
    /// As far as the answering node knows.
    pub state: OperationState,
    /// The groups in which it is committed.
    pub groups: Vec<OperatedOverview>,
}

/// A group in which an operation is committed, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatedOverview {
    /// The group.
    pub group: GroupName,
    /// The pause that stands.
    pub pause: Option<Pause>,
    /// What the operation came to, if it registered the group.
    pub adoption: Option<AdoptionOverview>,
    /// What the operation came to, if it asked for a switchover.
    pub switchover: Option<SwitchoverOverview>,
}

/// What became of a switchover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchoverOverview {
    /// An epoch began for it.
    Begun(Box<FailoverRecord>),
    /// None did.
    GivenUp(GivenUp),
}

/// A group that was registered by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptionOverview {
    /// Its master.
    pub master: Endpoint,
    /// The instances that do not follow it, and what becomes of each, in words.
    pub others: Vec<(Endpoint, String)>,
}

/// How far an operation is, as far as one node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Committed.
    Done,
    /// Tried.
    Open,
    /// Neither. It may still be committed, if it was sent to somebody who led.
    Unknown,
}

/// What one node knows at one moment.
#[derive(Debug, Clone)]
pub struct StatusSource {
    /// This node.
    pub node: NodeId,
    /// What the consensus engine says of itself.
    pub engine: EngineOverview,
    /// The cluster that it belongs to; none before it is born.
    pub cluster: Option<ClusterId>,
    /// Its state directory.
    pub incarnation: Incarnation,
    /// What it waits for before it is a voter; none when it is one.
    pub waiting: Option<String>,
    /// All voters, this node included if it is one, in the order of the settings.
    pub voters: Vec<VoterOverview>,
    /// All groups of the settings.
    pub groups: Vec<GroupOverview>,
    /// What it tells readers of the replicas of each group; nothing of those that are not published.
    pub readers: BTreeMap<GroupName, Vec<Replica>>,
    /// All files that this node keeps right.
    pub files: Vec<FileOverview>,
    /// Whether a leader has confirmed since our start that our state is not an old one.
    pub confirmed: bool,
    /// How an observer stands to the voters; none for a voter.
    pub following: Option<FollowingOverview>,
    /// The observers that are connected; none where they are not listened to.
    pub observers: Option<Vec<ObserverOverview>>,
    /// Time since the start of the daemon.
    pub uptime: Duration,
}

/// How an observer stands to the voters, and what they told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowingOverview {
    /// The voter that it is connected to.
    pub voter: Option<NodeId>,
    /// For how long.
    pub since: Option<Duration>,
    /// For how long no voter with a leader has confirmed what it knows; none while one does.
    pub stale: Option<Duration>,
    /// Whether it knows anything.
    pub is_informed: bool,
    /// Why its state is not kept on its own disk.
    pub unsaved: Option<String>,
    /// The groups that clients of this host name and that it knows nothing of.
    pub unknown: Vec<GroupName>,
    /// What it knows of each group.
    pub groups: Vec<FollowedOverview>,
}

/// One group as an observer was told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedOverview {
    /// Its name.
    pub name: GroupName,
    /// The epoch.
    pub epoch: Epoch,
    /// Its master.
    pub master: Endpoint,
    /// The other instances.
    pub replicas: Vec<Replica>,
    /// Whether an administrator has it left alone.
    pub is_paused: bool,
}

/// An observer that is connected to this voter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObserverOverview {
    /// As it calls itself.
    pub node: NodeId,
    /// Where it calls from.
    pub address: SocketAddr,
    /// For how long.
    pub since: Duration,
    /// The epoch that all its files of a group name.
    pub epochs: BTreeMap<GroupName, Epoch>,
}

/// The consensus engine at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOverview {
    /// What this node is in it.
    pub role: EngineRole,
    /// Who leads, as far as this node knows.
    pub leader: Option<NodeId>,
    /// The number of the last election that it heard of.
    pub term: Term,
}

/// What a node is in the consensus engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineRole {
    /// It decides.
    Leader,
    /// It follows a leader, or waits for one.
    Follower,
    /// It stands for election, or asks whether it may.
    Candidate,
    /// It has no part in it.
    Observer,
}

impl fmt::Display for EngineRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Observer => "observer",
        })
    }
}

/// One voter, and our link to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoterOverview {
    /// Its name.
    pub node: NodeId,
    /// Whether it is this node.
    pub is_self: bool,
    /// What it is, once it said so.
    pub role: Option<NodeRole>,
    /// Whether we can talk to it; true for ourselves.
    pub connected: bool,
    /// Where it listens.
    pub address: Endpoint,
    /// For how long the link has been as it is.
    pub since: Option<Duration>,
    /// Why the link was lost, or could not be made, the last time.
    pub last_error: Option<String>,
}

/// One file of one client on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOverview {
    /// The client.
    pub client: ClientName,
    /// The group whose master the file names.
    pub group: GroupName,
    /// The file.
    pub path: PathBuf,
    /// The epoch whose master it names; none before we wrote or checked it.
    pub epoch: Option<Epoch>,
    /// Why it could not be rewritten the last time.
    pub error: Option<String>,
    /// The end of what the command that refused its new content printed.
    pub check_output: String,
    /// How the command stands that makes its reader read it again; none before it ran.
    pub reload: Option<ClientReloadOverview>,
}

/// How one client was made to read its file again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientReloadOverview {
    /// The epoch that its file named.
    pub epoch: Epoch,
    /// How it stands.
    pub standing: ReloadStanding,
    /// Why it failed the last time.
    pub error: Option<String>,
    /// The end of what it printed.
    pub output: String,
}

/// How a reload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadStanding {
    /// Its command runs.
    Running,
    /// It succeeded.
    Done,
    /// It failed, and is tried again.
    Failed,
}
