//! What `/v1/status` says of observers: which voter one follows, and who follows a voter.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Endpoint, Epoch, GroupName, NodeId};

/// How an observer stands to the voters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowingReport {
    /// The voter that it is connected to; `null` while there is none.
    pub voter: Option<NodeId>,
    /// For how many milliseconds.
    pub since_ms: Option<u64>,
    /// For how many milliseconds no voter with a leader has confirmed what it knows; `null` while one does.
    pub stale_ms: Option<u64>,
    /// Whether it knows anything, from a voter or from its own disk.
    pub informed: bool,
    /// Why its state is not kept on its own disk.
    pub unsaved: Option<String>,
    /// The groups that clients of this host name and that it knows nothing of.
    pub unknown: Vec<GroupName>,
    /// The groups that it was told of, with what `groups` does not have.
    pub told: Vec<ToldReport>,
}

/// What an observer was told of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldReport {
    /// The group.
    pub group: GroupName,
    /// The instances beside its master.
    pub others: Vec<Endpoint>,
    /// Whether an administrator has it left alone.
    pub left_alone: bool,
}

/// An observer that is connected to the answering voter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserverReport {
    /// As it calls itself.
    pub node: NodeId,
    /// Where it calls from.
    pub address: String,
    /// For how many milliseconds.
    pub since_ms: u64,
    /// The epoch that all its files of a group name, by group, as it said last.
    pub epochs: BTreeMap<GroupName, Epoch>,
}
