//! What is logged: the decisions that all nodes share, and nothing that was only observed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::adoption::Adoption;
use super::choice::Ineligible;
use super::health::Cause;
use super::instance_event::CommandFailure;
use super::lease::LeaseRule;
use super::pause::{Pause, Resume};
use super::switchover::{Asked, GivenUp, NotSwitched};
use crate::model::{
    Endpoint, Epoch, GroupName, InstanceInfo, NodeId, ReplicationHistory, ReplicationId,
    ReplicationOffset, RunId, UnixTime, WriteLimits,
};

/// Largest encoded entry in bytes; a larger one is not proposed.
pub const ENTRY_LENGTH_MAX: usize = 64 * 1024;

/// One entry of the replicated log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A group and its master are known for the first time.
    Register {
        /// The group.
        group: GroupName,
        /// Its master.
        master: Identity,
        /// All its instances, the master included.
        members: BTreeSet<Endpoint>,
    },
    /// Instances were discovered, or turned out to be other names of known ones.
    Members {
        /// The group.
        group: GroupName,
        /// All its instances, the master included.
        members: BTreeSet<Endpoint>,
    },
    /// The master of the current epoch has another process or history, and still the group's data.
    Identify {
        /// The group.
        group: GroupName,
        /// The epoch in which this holds.
        epoch: Epoch,
        /// The master as it is now.
        master: Identity,
    },
    /// Promote this candidate in this epoch.
    Begin(Begin),
    /// The candidate of the open epoch is the master.
    Done {
        /// The group.
        group: GroupName,
        /// The epoch.
        epoch: Epoch,
        /// The candidate as it is since its promotion.
        master: Identity,
        /// What happened until then, as seen by the leader that finished it.
        steps: Vec<Step>,
    },
    /// The open epoch ends without a promotion.
    Abort {
        /// The group.
        group: GroupName,
        /// The epoch.
        epoch: Epoch,
        /// Why.
        why: AbortReason,
    },
    /// What followed a failover: the replicas follow, the files are rewritten.
    Settled {
        /// The group.
        group: GroupName,
        /// The epoch.
        epoch: Epoch,
        /// Measured from the same moment as those of [`Done`](Self::Done).
        steps: Vec<Step>,
    },
    /// The old master of an epoch is back: how much it had that the new one never got.
    Returned {
        /// The group.
        group: GroupName,
        /// The epoch in which it was replaced.
        epoch: Epoch,
        /// Its offset beyond the point where the histories part, in bytes.
        lost_bytes: u64,
    },
    /// What instances have of their own where a fence would stand: for any node to put back.
    Limits {
        /// The group.
        group: GroupName,
        /// Those of the instances that changed.
        limits: BTreeMap<Endpoint, WriteLimits>,
    },
    /// From now on, or no longer, replicas may show their master what the guard gave them.
    Guarded {
        /// The group.
        group: GroupName,
        /// Whether they may.
        on: bool,
    },
    /// From here on the group is left alone.
    Pause(Pause),
    /// From here on it is looked after again.
    Resume(Resume),
    /// A group is known for the first time, with the master that an administrator named.
    Adopt(Adoption),
    /// From here on the group's master takes writes only under a lease, or without one again.
    Lease {
        /// The group.
        group: GroupName,
        /// What it needs.
        rule: Option<LeaseRule>,
    },
    /// A switchover that was asked for came to nothing, and no epoch began for it.
    GiveUp(GivenUp),
}

impl Entry {
    /// The group that it is about.
    #[must_use]
    pub fn group(&self) -> &GroupName {
        match self {
            Self::Begin(begin) => &begin.group,
            Self::Pause(pause) => &pause.group,
            Self::Resume(resume) => &resume.group,
            Self::Adopt(adoption) => &adoption.group,
            Self::GiveUp(given_up) => &given_up.group,
            Self::Register { group, .. }
            | Self::Members { group, .. }
            | Self::Identify { group, .. }
            | Self::Done { group, .. }
            | Self::Abort { group, .. }
            | Self::Settled { group, .. }
            | Self::Returned { group, .. }
            | Self::Limits { group, .. }
            | Self::Guarded { group, .. }
            | Self::Lease { group, .. } => group,
        }
    }

    /// The bytes that go into the log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("an entry holds nothing that cannot be encoded")
    }

    /// Reads an entry from the log.
    ///
    /// # Errors
    /// [`InvalidEntry`] when the bytes are none of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidEntry> {
        if bytes.len() > ENTRY_LENGTH_MAX {
            return Err(InvalidEntry::TooLong(bytes.len()));
        }
        postcard::from_bytes(bytes).map_err(|error| InvalidEntry::Unreadable(error.to_string()))
    }
}

/// Bytes that are no entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidEntry {
    /// Longer than any entry.
    #[error("a log entry of {0} bytes is too long (at most {ENTRY_LENGTH_MAX})")]
    TooLong(usize),
    /// Not in this version's form.
    #[error("a log entry cannot be read ({0}): is a newer promoterd in the cluster?")]
    Unreadable(String),
}

/// One life of a master: where it is, which process, which history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The process.
    pub run_id: RunId,
    /// Its replication history.
    pub replication_id: ReplicationId,
    /// The history that this one continues, and the first offset at which it no longer does.
    pub continues: Option<(ReplicationId, ReplicationOffset)>,
}

impl Identity {
    /// The identity of the instance at `endpoint` that answered `info`.
    #[must_use]
    pub fn of(endpoint: Endpoint, info: &InstanceInfo) -> Self {
        Self {
            endpoint,
            run_id: info.run_id,
            replication_id: info.history.id,
            continues: info.history.continues,
        }
    }

    /// Whether what `history` holds is a part of this master's stream, or goes on from it.
    ///
    /// So a replica that was not yet repointed after the last failover counts, as long as it did not
    /// go beyond the point where the histories part.
    #[must_use]
    pub fn shares(&self, history: &ReplicationHistory) -> bool {
        self.reach(history).is_some()
    }

    /// How far what `history` holds is this master's stream, if it is at all: offsets compare only
    /// within one history, so what it wrote after it parted does not count.
    #[must_use]
    pub fn reach(&self, history: &ReplicationHistory) -> Option<ReplicationOffset> {
        if history.id == self.replication_id {
            return Some(history.offset);
        }
        if let Some((_, parted_at)) = history
            .continues
            .filter(|(id, _)| *id == self.replication_id)
        {
            let last_shared = ReplicationOffset(parted_at.0.saturating_sub(1));
            return Some(history.offset.min(last_shared));
        }
        self.continues
            .is_some_and(|(id, parted_at)| history.id == id && history.offset < parted_at)
            .then_some(history.offset)
    }
}

/// The replica that an epoch names, as it was when it was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The process.
    pub run_id: RunId,
    /// Its replication history.
    pub replication_id: ReplicationId,
    /// It has at least so much of it.
    pub offset: ReplicationOffset,
}

impl Candidate {
    /// The instance at `endpoint` that answered `info`.
    #[must_use]
    pub fn of(endpoint: &Endpoint, info: &InstanceInfo) -> Self {
        Self {
            endpoint: endpoint.clone(),
            run_id: info.run_id,
            replication_id: info.history.id,
            offset: info.history.offset,
        }
    }

    /// What it was when it was chosen, as the master that it has become: its new history is not known yet.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            endpoint: self.endpoint.clone(),
            run_id: self.run_id,
            replication_id: self.replication_id,
            continues: None,
        }
    }
}

/// The start of an epoch: a replica takes the place of the master, or the master that an aborted
/// epoch gave up keeps its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The group.
    pub group: GroupName,
    /// The epoch that begins.
    pub epoch: Epoch,
    /// The master that is lost, or that hands its place over.
    pub from: Identity,
    /// Whom to promote.
    pub candidate: Candidate,
    /// Why it begins.
    pub grounds: Grounds,
    /// Each replica that was passed over, and why.
    pub passed_over: Vec<(Endpoint, Ineligible)>,
    /// Bytes that the candidate lacks of the old master's stream, at most, as far as can be told; none
    /// where the leader never saw how far the old master was.
    pub loss_estimate: Option<u64>,
    /// The leader that decided it.
    pub leader: NodeId,
    /// When, by its clock.
    pub at: UnixTime,
}

impl Begin {
    /// Whether it keeps the old master, since nobody took its place.
    #[must_use]
    pub fn reinstates(&self) -> bool {
        self.candidate.endpoint == self.from.endpoint
    }

    /// Who asked for it, where its master lives and hands its place over.
    #[must_use]
    pub fn asked(&self) -> Option<&Asked> {
        match &self.grounds {
            Grounds::Asked(asked) if !self.reinstates() => Some(asked),
            Grounds::Asked(_) | Grounds::Lost(_) => None,
        }
    }
}

/// Why an epoch begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grounds {
    /// The master is objectively down: a failover.
    Lost(Evidence),
    /// An administrator asked for it: a switchover.
    Asked(Asked),
}

impl fmt::Display for Grounds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(evidence) => evidence.fmt(formatter),
            Self::Asked(asked) => write!(formatter, "asked for by {}", asked.by),
        }
    }
}

/// Why a master is objectively down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The strongest cause among the views.
    pub cause: Cause,
    /// Who holds it down, and why.
    pub views: Vec<(NodeId, Cause)>,
    /// How many were needed.
    pub needed: usize,
}

impl fmt::Display for Evidence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.cause)?;
        for (node, cause) in &self.views {
            write!(formatter, " {node} says {cause},")?;
        }
        write!(formatter, " {} needed", self.needed)
    }
}

/// Why an epoch ended without a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub enum AbortReason {
    /// Another process, or another history, answers where the candidate was.
    #[error("the candidate is not what it was when it was chosen: {0}")]
    CandidateChanged(String),
    /// It answered with an error.
    #[error("the candidate could not be promoted: {}", .0.advise())]
    Refused(CommandFailure),
    /// It was not done within `promote_timeout`.
    #[error("the candidate was not promoted within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// It was promoted, and was lost before anybody was told of it.
    #[error("the candidate was promoted and lost at once: {0}")]
    LostAfterPromotion(String),
    /// The master did not hand its place over.
    #[error("the switchover came to nothing: {0}")]
    NotSwitched(NotSwitched),
}

impl AbortReason {
    /// Whether it tells against the candidate.
    #[must_use]
    pub fn is_of_candidate(&self) -> bool {
        match self {
            Self::CandidateChanged(_)
            | Self::Refused(_)
            | Self::TimedOut(_)
            | Self::LostAfterPromotion(_) => true,
            Self::NotSwitched(_) => false,
        }
    }
}

/// Something that happened in a failover, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What.
    pub what: StepName,
    /// Time since the first evidence of the loss, or since somebody asked.
    pub after: Duration,
}

/// The steps of a failover, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// Objectively down.
    Agreed,
    /// The replicas were asked again, one is chosen.
    Chosen,
    /// `Begin` is committed.
    Begun,
    /// The candidate says `role:master`.
    Promoted,
    /// The old master said that it takes no more writes.
    Fenced,
    /// `Done` is committed.
    Committed,
    /// Every voter that can be reached has rewritten its clients' files.
    FilesRewritten,
    /// All replicas that can be reached follow.
    ReplicasFollow,
    /// The master of a switchover holds its clients' writes.
    Held,
    /// The candidate has all that the master ever acknowledged.
    CaughtUp,
}

impl fmt::Display for StepName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Agreed => "objectively down",
            Self::Chosen => "candidate chosen",
            Self::Begun => "begin committed",
            Self::Promoted => "replica promoted",
            Self::Fenced => "old master fenced",
            Self::Committed => "done committed",
            Self::FilesRewritten => "client files rewritten",
            Self::ReplicasFollow => "replicas follow",
            Self::Held => "writes held",
            Self::CaughtUp => "candidate caught up",
        })
    }
}
