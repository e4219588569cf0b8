//! What a committed entry changed of a group: what those who keep books of it look at.

/// What an entry changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it does not fit the state, as when two leaders proposed the same.
    None,
    /// The group is known for the first time, or its master's process or history changed.
    Master,
    /// Its instances.
    Members,
    /// An epoch began.
    Begun,
    /// The open epoch ended with a new master.
    Done,
    /// The open epoch ended without.
    Aborted,
    /// The history of a past epoch.
    History,
    /// What instances have of their own where a fence would stand.
    Limits,
    /// Whether replicas may show what the guard gave them.
    Guard,
    /// It is left alone.
    Paused,
    /// It is looked after again.
    Resumed,
    /// What its master needs to take writes.
    Lease,
    /// A switchover came to nothing.
    GivenUp,
}
