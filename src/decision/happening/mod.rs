//! What a person on call would want to hear of, as it happens: the event stream and the log.

mod committed;
mod log;
mod of_group;
mod words;

use serde::{Deserialize, Serialize};

use crate::decision::choice::Ineligible;
use crate::decision::discovery::WaitingFor;
use crate::decision::entry::{AbortReason, Candidate, Evidence, Identity, Step};
use crate::decision::equality::Difference;
use crate::decision::fencing::FenceCause;
use crate::decision::health::Cause;
use crate::decision::held_back::HeldBack;
use crate::decision::request::Reason;
use crate::decision::switchover::NotSwitched;
use crate::model::{ClientName, Endpoint, Epoch, GroupName, NodeId, Term, UnixTime};

/// A change of state, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[allow(
    missing_docs,
    reason = "the fields are named by the words of the glossary"
)]
pub enum Happening {
    /// The engine elected a leader, or lost it.
    LeaderChanged { leader: Option<NodeId>, term: Term },
    /// A link to a peer is up.
    PeerUp { peer: NodeId },
    /// A link to a peer is down.
    PeerDown { peer: NodeId, reason: String },
    /// A group cannot be registered yet.
    Waiting {
        group: GroupName,
        reason: WaitingFor,
    },
    /// A group is registered.
    Registered { group: GroupName, master: Endpoint },
    /// A group is registered with the master that an administrator named.
    Adopted {
        group: GroupName,
        master: Endpoint,
        by: String,
    },
    /// An administrator named a master that will not do.
    AdoptionRefused {
        group: GroupName,
        by: String,
        why: String,
    },
    /// Another voter has other settings of the group than this node.
    SettingsDiffer {
        group: GroupName,
        node: NodeId,
        difference: Difference,
    },
    /// It has the same again.
    SettingsEqual { group: GroupName, node: NodeId },
    /// This node holds an instance down.
    SubjectivelyDown {
        group: GroupName,
        instance: Endpoint,
        is_master: bool,
        cause: Cause,
    },
    /// An instance that this node held down answers.
    AnswersAgain {
        group: GroupName,
        instance: Endpoint,
    },
    /// A quorum holds the master down.
    ObjectivelyDown {
        group: GroupName,
        epoch: Epoch,
        master: Endpoint,
        evidence: Evidence,
    },
    /// Nobody can be promoted.
    NobodyEligible {
        group: GroupName,
        passed_over: Vec<(Endpoint, Ineligible)>,
    },
    /// An epoch began.
    Begun {
        group: GroupName,
        epoch: Epoch,
        candidate: Candidate,
        /// Why the master is held down; nothing in a switchover.
        evidence: Option<Evidence>,
        /// Who asked for it; nothing in a failover.
        asked_by: Option<String>,
        passed_over: Vec<(Endpoint, Ineligible)>,
        loss_estimate_bytes: Option<u64>,
        /// Whether it keeps the master that was given up.
        reinstates: bool,
    },
    /// The candidate is a master.
    Promoted {
        group: GroupName,
        epoch: Epoch,
        master: Endpoint,
    },
    /// The epoch ended with a new master.
    Done {
        group: GroupName,
        epoch: Epoch,
        master: Endpoint,
        /// Whether it was a switchover.
        planned: bool,
        steps: Vec<Step>,
    },
    /// A switchover came to nothing before an epoch began.
    SwitchoverGivenUp {
        group: GroupName,
        by: String,
        why: NotSwitched,
    },
    /// The epoch ended without.
    Aborted {
        group: GroupName,
        epoch: Epoch,
        why: AbortReason,
    },
    /// The master of this epoch has another process or history.
    MasterIdentified {
        group: GroupName,
        epoch: Epoch,
        master: Identity,
    },
    /// An instance was told to follow the master.
    Followed {
        group: GroupName,
        instance: Endpoint,
        master: Endpoint,
        demoted: bool,
    },
    /// That could not be done.
    FollowFailed {
        group: GroupName,
        instance: Endpoint,
        why: String,
    },
    /// An instance takes no more writes.
    Fenced {
        group: GroupName,
        instance: Endpoint,
        cause: FenceCause,
    },
    /// An instance has the limits of writing again that it had before it was fenced.
    Unfenced {
        group: GroupName,
        instance: Endpoint,
    },
    /// An instance could not be fenced, or a fence of it could not be lifted.
    FenceFailed {
        group: GroupName,
        instance: Endpoint,
        lifts: bool,
        why: String,
    },
    /// An instance has a fence, and nobody holds it.
    FenceUnowned {
        group: GroupName,
        instance: Endpoint,
        lifted_by: String,
    },
    /// What a returning master has and the group never got is being saved.
    Rescuing {
        group: GroupName,
        instance: Endpoint,
        diverged_bytes: Option<u64>,
    },
    /// It is saved, on the host of the node that tells of it.
    Rescued {
        group: GroupName,
        instance: Endpoint,
        path: String,
        bytes: u64,
        diverged_bytes: Option<u64>,
    },
    /// It could not be saved.
    RescueFailed {
        group: GroupName,
        instance: Endpoint,
        why: String,
    },
    /// An instance that is not of the group, or no longer, answers at an address of the group.
    Stranger {
        group: GroupName,
        instance: Endpoint,
    },
    /// The master restarted without the group's data, and they are nowhere any more.
    DataLost { group: GroupName, master: Endpoint },
    /// From now on its master takes writes only under a lease, or without one.
    LeaseSwitched { group: GroupName, on: bool },
    /// An instance beside this node cannot hold a lease.
    LeaseUnready {
        group: GroupName,
        instance: Endpoint,
        why: String,
    },
    /// The guard is wanted from now on, or no longer.
    GuardSwitched { group: GroupName, on: bool },
    /// The guard is not in force for one instance.
    GuardFailed {
        group: GroupName,
        instance: Endpoint,
        why: String,
    },
    /// A failover waits for somebody who may have more data.
    PutOff { group: GroupName, awaited: String },
    /// The old master is back: what the new one never got.
    LossKnown {
        group: GroupName,
        epoch: Epoch,
        lost_bytes: u64,
    },
    /// Replicas and files have followed.
    Settled {
        group: GroupName,
        epoch: Epoch,
        steps: Vec<Step>,
    },
    /// From here on the group is left alone.
    Paused {
        group: GroupName,
        by: String,
        reason: Option<Reason>,
        until: Option<UnixTime>,
    },
    /// From here on it is looked after again.
    Resumed { group: GroupName, by: String },
    /// Sentinels watch the group too, so nothing is done about it.
    SentinelsFound {
        group: GroupName,
        instance: Endpoint,
        sentinels: u64,
    },
    /// None does any more.
    SentinelsGone { group: GroupName },
    /// Whether any does is not told to us.
    SentinelsHidden {
        group: GroupName,
        instance: Endpoint,
        why: String,
    },
    /// A quorum holds the master down, and it is left so on purpose.
    HeldBack {
        group: GroupName,
        master: Endpoint,
        evidence: Evidence,
        why: HeldBack,
    },
    /// A client's file names the master.
    FileRewritten {
        client: ClientName,
        group: GroupName,
        epoch: Epoch,
        took_us: u64,
    },
    /// It could not be made to.
    FileFailed {
        client: ClientName,
        group: GroupName,
        epoch: Epoch,
        error: String,
    },
    /// Somebody else had changed it, and it names the master again.
    FileCorrected {
        client: ClientName,
        group: GroupName,
        epoch: Epoch,
    },
    /// A client was made to read its file again.
    ClientReloaded {
        client: ClientName,
        group: GroupName,
        epoch: Epoch,
        took_us: u64,
    },
    /// It could not be made to.
    ReloadFailed {
        client: ClientName,
        group: GroupName,
        epoch: Epoch,
        error: String,
    },
    /// This node did not run for a while, and takes nothing it missed for evidence.
    Slept { for_ms: u64 },
}
