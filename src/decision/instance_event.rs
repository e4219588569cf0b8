//! What the core asks of Redis instances, and what comes back.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::record::Mandate;
use crate::model::{
    Endpoint, Epoch, GroupName, InstanceInfo, PingReply, ReplicationHistory, RunId, WriteLimits,
};

/// One attempt at a probe connection. The core numbers them, so that what an older connection to
/// the same endpoint still says is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Something to do on one probe connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeOrder {
    /// The group whose credentials apply.
    pub group: GroupName,
    /// The instance.
    pub endpoint: Endpoint,
    /// The connection.
    pub link: LinkId,
    /// What to do.
    pub command: ProbeCommand,
}

/// What to do on a probe connection. Each but [`Disconnect`](Self::Disconnect) ends in one
/// [`ProbeReport`], unless the connection closes before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeCommand {
    /// Resolve the name, connect, authenticate.
    Connect,
    /// Close it, without a report.
    Disconnect,
    /// `PING`.
    Ping,
    /// `INFO server replication persistence keyspace`.
    AskInfo,
    /// Report when the process of this number (`process_id` of INFO, same host) exits.
    WatchProcess(u32),
    /// `PUBSUB NUMSUB __sentinel__:hello`: every Sentinel that watches it is a subscriber.
    CountSentinels,
    /// `REPLICAOF NO ONE` and `ROLE` in one pipeline.
    Promote(PromoteOrder),
    /// `CONFIG GET` of the limits of writing.
    AskLimits,
    /// `CONFIG GET` and `CONFIG SET` of the limits of writing, in one pipeline: to fence, or to put back
    /// what was there before.
    SetLimits(WriteLimits),
    /// `CLIENT PAUSE … WRITE` for so long, and `INFO` in the same pipeline.
    HoldWrites(Duration),
    /// `CLIENT UNPAUSE`.
    ReleaseWrites,
}

/// Permission to promote one instance in one epoch. Only a [`Mandate`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromoteOrder {
    epoch: Epoch,
}

impl PromoteOrder {
    /// The order that `mandate` allows.
    #[must_use]
    pub fn under(mandate: &Mandate<'_>) -> Self {
        Self {
            epoch: mandate.epoch(),
        }
    }

    /// The epoch of the mandate.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// What happened on a probe connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeEvent {
    /// The instance.
    pub endpoint: Endpoint,
    /// The connection.
    pub link: LinkId,
    /// What happened.
    pub report: ProbeReport,
}

/// What happened on a probe connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeReport {
    /// Connected and authenticated. This is no sign of life yet: a hung server accepts too.
    Connected {
        /// Whether the instance runs on this host, so that its process can be watched.
        same_host: bool,
    },
    /// It did not come up; the connection is gone.
    ConnectFailed(ConnectFailure),
    /// It was up and is closed, for the reason named.
    Closed(String),
    /// An answer to `PING`.
    PingReplied {
        /// When the `PING` was sent.
        sent_at: Instant,
        /// The answer.
        reply: PingReply,
    },
    /// An answer to `INFO`.
    InfoReplied {
        /// When the `INFO` was sent.
        sent_at: Instant,
        /// The answer.
        result: Result<InstanceInfo, CommandFailure>,
    },
    /// How many Sentinels watch it.
    SentinelsCounted {
        /// When it was asked.
        sent_at: Instant,
        /// The answer.
        result: Result<u64, CommandFailure>,
    },
    /// The process that was to be watched exited.
    ProcessExited,
    /// An answer to the promotion.
    PromoteReplied {
        /// The epoch of the order.
        epoch: Epoch,
        /// Whether it was accepted, and `ROLE` right behind it did not say otherwise.
        result: Result<(), CommandFailure>,
    },
    /// What the limits of writing are.
    LimitsReplied {
        /// When they were asked for.
        sent_at: Instant,
        /// The answer.
        result: Result<WriteLimits, CommandFailure>,
    },
    /// The limits of writing were set, or not.
    LimitsSet {
        /// When the command was sent.
        sent_at: Instant,
        /// What they were to become.
        limits: WriteLimits,
        /// What they were right before.
        result: Result<WriteLimits, CommandFailure>,
    },
    /// Clients' writes are held, or not.
    WritesHeld {
        /// When the command was sent.
        sent_at: Instant,
        /// What the instance said of itself right behind it.
        result: Result<InstanceInfo, CommandFailure>,
    },
    /// They are held no longer, or that was refused: then it ends by itself.
    WritesReleased {
        /// The answer.
        result: Result<(), CommandFailure>,
    },
}

/// Why a connection did not come up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectFailure {
    /// A reset in answer to the connect: nothing listens there.
    #[error("connection refused")]
    Refused,
    /// No route, no such host, or another fault of the network.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The server lives and does not accept our user or password.
    #[error("access denied: {0}")]
    Denied(String),
    /// What answered does not speak as Redis does.
    #[error("no Redis there: {0}")]
    Protocol(String),
}

/// Why a command did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum CommandFailure {
    /// `-LOADING`.
    #[error("it is loading its data set")]
    Loading,
    /// `-BUSY`.
    #[error("it is busy with a script")]
    Busy,
    /// `-NOAUTH`, `-NOPERM`, `-WRONGPASS`.
    #[error("access denied: {0}")]
    Denied(String),
    /// Any other error reply, a renamed command among them.
    #[error("it answered: {0}")]
    Refused(String),
    /// The reply cannot be read.
    #[error("unreadable reply: {0}")]
    Malformed(String),
    /// No reply in time.
    #[error("no reply in time")]
    TimedOut,
    /// The connection could not be had, or closed before the reply.
    #[error("connection lost: {0}")]
    Lost(String),
    /// Another process answers at the endpoint than the one that was meant.
    #[error("another process answers there (run id {0})")]
    OtherProcess(RunId),
    /// The command was accepted, yet the role is not what it should have become.
    #[error("it still reports the role {0}")]
    WrongRole(String),
}

impl CommandFailure {
    /// What an operator can do about it, where it does not pass by itself.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Denied(_) => Some("allow it to the user that promoterd logs in as"),
            Self::Refused(said) if said.to_lowercase().contains("unknown command") => {
                Some("if the server renames it, say so in COMMANDS of this group")
            }
            Self::Refused(_)
            | Self::Loading
            | Self::Busy
            | Self::Malformed(_)
            | Self::TimedOut
            | Self::Lost(_)
            | Self::OtherProcess(_)
            | Self::WrongRole(_) => None,
        }
    }

    /// What failed, and what to do about it.
    #[must_use]
    pub fn advise(&self) -> String {
        match self.advice() {
            Some(advice) => format!("{self}: {advice}"),
            None => self.to_string(),
        }
    }
}

/// Make an instance follow a master: repoint a replica, or demote a master.
///
/// Whoever carries it out first reads the run id on the same connection and sends nothing if it
/// is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowOrder {
    /// The group.
    pub group: GroupName,
    /// The group's epoch when it was given.
    pub epoch: Epoch,
    /// The instance that is to follow.
    pub endpoint: Endpoint,
    /// The process that is meant.
    pub run_id: RunId,
    /// Whom to follow.
    pub master: Endpoint,
    /// Whether it claims to be a master now: then its clients are disconnected together with the
    /// demotion, so that they notice.
    pub demotes: bool,
    /// The limits of writing that it had before it was fenced: whoever carries this out puts them back
    /// in the same step if it finds a fence there. None where fencing is off.
    pub restores: Option<WriteLimits>,
    /// What it is to show its master from then on. Failing that, it follows all the same.
    pub login: Login,
}

/// What a replica shows its master when it connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// What it shows now.
    Kept,
    /// What only the master of this epoch knows.
    Guard,
    /// What the settings say, if it shows what a guard gave it.
    Own,
}

/// The outcome of a [`FollowOrder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowOutcome {
    /// The order.
    pub order: FollowOrder,
    /// Whether it was carried out; and what a master that was demoted had right before, to its last
    /// write, where it said so.
    pub result: Result<Option<ReplicationHistory>, CommandFailure>,
}
