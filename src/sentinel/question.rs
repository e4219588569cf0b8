//! What the endpoint wants of the daemon's loop, and what comes back.

use tokio::sync::oneshot;

use crate::model::GroupName;

/// Something that only the loop can tell or begin.
#[derive(Debug)]
pub enum Question {
    /// A new view of everything, sent where all views are.
    Look,
    /// A planned switchover, for somebody who may ask for it.
    Failover {
        /// Of which group.
        group: GroupName,
        /// Who asks, in words.
        by: String,
        /// Where to tell what came of it. A receiver that is gone is no matter.
        answer: oneshot::Sender<FailoverAnswer>,
    },
}

/// What came of a switchover that a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailoverAnswer {
    /// The group has another master.
    Done,
    /// It is tried, and not over yet.
    Begun,
    /// Its master is being replaced already.
    InProgress,
    /// No replica will do, for this reason.
    NoGoodReplica(String),
    /// Nothing was changed, for this reason.
    Refused(String),
}
