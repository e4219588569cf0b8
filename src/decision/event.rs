//! What comes into the core, and what goes out.

use std::collections::BTreeMap;
use std::time::Instant;

use super::entry::Entry;
use super::guard::{GuardOrder, GuardOutcome};
use super::happening::Happening;
use super::instance_event::{FollowOrder, FollowOutcome, ProbeEvent, ProbeOrder};
use super::lease::{HoldOrder, HoldOutcome, LeaseMessage};
use super::policy::GroupPolicy;
use super::request::{OperationId, Request};
use super::rescue::{RescueOrder, RescueOutcome};
use super::view::Report;
use crate::model::{Endpoint, Epoch, GroupName, Life, NodeId};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A moment came that [`Supervisor::next_deadline`](super::Supervisor::next_deadline) named.
    DeadlineReached,
    /// On the probe connection of an instance.
    Probed(ProbeEvent),
    /// An instance was made to follow another, or not.
    Followed(FollowOutcome),
    /// Something was done to an instance for the guard, or not.
    Guarded(GuardOutcome),
    /// The fencer does what it was told, or not.
    Held(HoldOutcome),
    /// This host slept: its clock went on, or did not, and nothing here ran.
    Suspended,
    /// A peer asks for a lease, or grants one.
    Leased {
        /// The peer.
        peer: NodeId,
        /// What it says.
        message: LeaseMessage,
    },
    /// The data of an instance were saved, or not.
    Rescued(RescueOutcome),
    /// The link to a peer came up.
    PeerUp(NodeId),
    /// A peer told what it sees.
    PeerReported {
        /// The peer.
        peer: NodeId,
        /// Which life of it.
        life: Life,
        /// What it sees.
        report: Report,
    },
    /// This node became the leader and has applied all that was committed before, or it is no
    /// longer the leader, or leads a new term.
    LeadershipChanged {
        /// Whether it may act.
        leading: bool,
    },
    /// The engine did not take what was last proposed for this group.
    ProposalRefused(GroupName),
    /// An entry is committed.
    Committed(Entry),
    /// A leader of this life of the node confirmed that its state is current.
    Confirmed,
    /// All of this node's clients' files of a group name the master of this epoch.
    FilesRewritten {
        /// The group.
        group: GroupName,
        /// The epoch.
        epoch: Epoch,
    },
    /// An administrator wants something, by this node's status socket.
    Requested(Request),
    /// The operator decided otherwise about these groups.
    Adjusted(BTreeMap<GroupName, GroupPolicy>),
    /// A peer that does not lead passes on what an administrator wants.
    Forwarded(Request),
}

/// Something to do. Those that can fail have one [`Event`] for their outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// On a probe connection.
    Probe(ProbeOrder),
    /// Make an instance follow the master.
    Follow(FollowOrder),
    /// Keep an emptied master from feeding its replicas.
    Guard(GuardOrder),
    /// Tell the fencer.
    Hold(HoldOrder),
    /// Ask a peer for a lease, or grant it one. It may come to nothing.
    Lease {
        /// The peer.
        peer: NodeId,
        /// What it is told.
        message: LeaseMessage,
    },
    /// Save the data of an instance before it is demoted.
    Rescue(RescueOrder),
    /// Ask the engine to commit this. It may come to nothing.
    Propose(Entry),
    /// Tell all peers.
    Report(Report),
    /// Make the clients' files of this host name the master.
    Publish {
        /// The group.
        group: GroupName,
        /// The epoch.
        epoch: Epoch,
        /// The master.
        master: Endpoint,
        /// The other instances of the group.
        replicas: Vec<Endpoint>,
    },
    /// Tell people.
    Announce(Happening),
    /// Pass on to whoever leads what an administrator wants. It may come to nothing.
    Forward(Request),
    /// What an administrator wanted by this node's status socket is committed, or no longer tried:
    /// then it may still be committed later.
    Answer(OperationId),
}

/// A moment at which the core wants to be woken, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// Why.
    pub reason: DeadlineReason,
}

/// Why the core wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeadlineReason {
    /// A probe is due, or its answer overdue.
    Probe,
    /// A step of a failover is overdue.
    Failover,
    /// A veto, a rest or a cooldown ends.
    Veto,
    /// A pause ends, or an administrator's request is to be tried again.
    Request,
    /// A lease is to be renewed, or ends.
    Lease,
    /// The peers are to be told that nothing changed.
    Report,
    /// The consensus engine has something to do.
    Engine,
}
