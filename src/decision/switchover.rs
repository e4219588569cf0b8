//! The planned switchover: an administrator wants another master while the present one is well.
//!
//! ```text
//! Preparing ─▶ Holding ─▶ Beginning ─▶ Checking ─▶ Promoting ─▶ Ending
//!     │           │                        │
//!     └──GiveUp───┘                        └──Abort──▶ the master is reinstated
//! ```
//!
//! The master holds its clients' writes, and `Begin` is proposed only once the candidate has all that
//! the master has: until then nothing is decided, and giving up costs nothing. Behind `Begin` whoever
//! leads looks again: the master is fenced and holds its writes anew, and what it says behind that, on
//! the same connection, is all that it will ever have acknowledged. The candidate is promoted only with
//! all of it. So neither how long the hold lasts nor who leads meanwhile decides whether anything is lost;
//! a hold that nobody ends ends by itself.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::choice::Ineligible;
use super::held_back::HeldBack;
use super::instance_event::{CommandFailure, LinkId};
use super::request::{OperationId, Reason, Requester};
use crate::model::{Endpoint, GroupName, ReplicationOffset, UnixTime};

/// How long a master holds its clients' writes, unless it is told to go on before.
pub const HOLD: Duration = Duration::from_secs(2);
/// How long the candidate has for what it lacks once writes are held, and then the open epoch for its end.
pub const CATCH_UP: Duration = Duration::from_secs(1);
/// Writes are not held before the best candidate lacks less than this, in bytes.
pub const CLOSE: u64 = 1 << 20;
/// Time between two looks at a candidate that has to catch up while writes are held.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// The same, before they are.
pub const PREPARING_INTERVAL: Duration = Duration::from_millis(50);
/// Longest time for which one may be tried.
pub const TRIED_FOR_MAX: Duration = Duration::from_secs(600);

/// Who asked for a switchover, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who.
    pub by: Requester,
    /// By which operation.
    pub operation: OperationId,
    /// Why, in their words.
    pub reason: Option<Reason>,
}

/// A switchover that came to nothing before anything was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// The group.
    pub group: GroupName,
    /// Who asked for it.
    pub asked: Asked,
    /// When it was given up, by the leader's clock.
    pub at: UnixTime,
    /// Why.
    pub why: NotSwitched,
}

/// Why a switchover is not possible, or came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
pub enum NotSwitched {
    /// Nothing is done about the group.
    #[error("{0}")]
    HeldBack(HeldBack),
    /// Its master is being replaced already.
    #[error("an epoch is open already: wait for its end")]
    UnderWay,
    /// A majority of the voters has to agree, and this node does not hear one.
    #[error("this node has not heard a majority of the voters for {} ms", .0.as_millis())]
    NoMajority(Duration),
    /// The master does not answer as it should: that is for a failover.
    #[error("the master {master} is not well: {why}")]
    MasterNotWell {
        /// The master.
        master: Endpoint,
        /// What is known of that.
        why: String,
    },
    /// It is the master.
    #[error("{0} is the master already")]
    IsMaster(Endpoint),
    /// The instance that was named is not of the group.
    #[error("{instance} is no instance of the group: there are {}", list(.known))]
    Unknown {
        /// As asked for.
        instance: Endpoint,
        /// The replicas that there are.
        known: Vec<Endpoint>,
    },
    /// The instance that was named will not do.
    #[error("{instance} cannot be promoted: {why}")]
    NotEligible {
        /// As asked for.
        instance: Endpoint,
        /// Why not.
        why: Ineligible,
    },
    /// None will do.
    #[error("no replica can be promoted{}", reasons(.0))]
    NobodyEligible(Vec<(Endpoint, Ineligible)>),
    /// The replica never came close to the master.
    #[error(
        "{instance} is {lag_bytes} bytes behind, and writes are held only for the last {CLOSE} of them"
    )]
    TooFarBehind {
        /// The best replica.
        instance: Endpoint,
        /// What it lacks.
        lag_bytes: u64,
    },
    /// It did not get the rest while writes were held.
    #[error("{instance} still lacked {lag_bytes} bytes after {} ms of held writes", .waited.as_millis())]
    NotCaughtUp {
        /// The candidate.
        instance: Endpoint,
        /// What it lacked.
        lag_bytes: u64,
        /// How long writes were held for it.
        waited: Duration,
    },
    /// The master cannot hold writes.
    #[error("the master does not hold its clients' writes: {}", hold_advice(.0))]
    NotHeld(CommandFailure),
    /// It is no longer what it was.
    #[error("the master changed meanwhile: {0}")]
    MasterChanged(String),
    /// The leader had no time left for it.
    #[error("it could not be done in the time that was given")]
    TimedOut,
}

fn list(known: &[Endpoint]) -> String {
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    known.join(", ")
}

fn reasons(passed_over: &[(Endpoint, Ineligible)]) -> String {
    let reason = |(endpoint, why): &(Endpoint, Ineligible)| format!("{endpoint}: {why}");
    let reasons: Vec<String> = passed_over.iter().map(reason).collect();
    if reasons.is_empty() {
        return String::new();
    }
    format!(" ({})", reasons.join("; "))
}

fn hold_advice(failure: &CommandFailure) -> String {
    match failure {
        CommandFailure::Refused(said) if said.to_lowercase().contains("syntax error") => {
            format!("{failure}: CLIENT PAUSE … WRITE needs Redis 6.2 or Valkey")
        }
        CommandFailure::Denied(_) => {
            format!("{failure}: allow +client|pause and +client|unpause to our user")
        }
        CommandFailure::Refused(_)
        | CommandFailure::Loading
        | CommandFailure::Busy
        | CommandFailure::Malformed(_)
        | CommandFailure::TimedOut
        | CommandFailure::Lost(_)
        | CommandFailure::OtherProcess(_)
        | CommandFailure::WrongRole(_) => failure.advise(),
    }
}

/// A switchover that this leader tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Who asked for it.
    pub asked: Asked,
    /// The replica that was named, if one was.
    pub to: Option<Endpoint>,
    /// When it is given up, if no epoch has begun by then.
    pub gives_up_at: Instant,
}

/// Writes that were told to be held, on one connection to the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The connection: whoever answers on it is one process.
    pub link: LinkId,
    /// When it was sent.
    pub sent_at: Instant,
    /// How far the master was behind it, or why it does not hold them, once that is known.
    pub outcome: Option<Result<ReplicationOffset, NotSwitched>>,
}

/// An instance that was told to hold its clients' writes, and not yet to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which.
    pub instance: Endpoint,
    /// When it goes on by itself.
    pub until: Instant,
}

/// How far a switchover is, or how it ended, as committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its epoch is open.
    Open,
    /// Nothing more will come of it.
    Over,
}

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.by.fmt(formatter)?;
        match &self.reason {
            Some(reason) => write!(formatter, ": {reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "switchover_tests.rs"]
mod tests;
