//! Leases, for groups whose fencing is strict: no two masters of a group take writes at any
//! instant.
//!
//! Every instance of the group is fenced at all times but one: the master of the committed epoch,
//! while the node beside it holds a lease of that epoch from a majority of voters and the fencer of
//! its host is armed with the lease's end. What starts a server starts it fenced.
//!
//! # Why it holds
//!
//! 1. A voter grants a lease of epoch *e* only while, by the log that it has applied, *e* is the
//!    newest epoch and no later one was begun; and only after a leader of this life of it confirmed
//!    that this log is current. So one that has applied `Begin` of *e + 1* never grants *e* again,
//!    restarted or not.
//! 2. The lease ends a length after the *sending* of the question that the last of a majority
//!    granted, its holder included. From a quarter of a length before its end on the master is
//!    fenced; what does not confirm is ended by the fencer an eighth before it, which also acts when
//!    the node is dead, hangs, or was suspended.
//! 3. The leader promotes nobody in *e + 1* before the node beside the old master, having applied
//!    `Begin`, said that the master is fenced or its process gone; or before a majority of voters,
//!    having applied it, said that their last grant is older than a length and what two clocks may
//!    differ meanwhile. Any majority that granted a lease and any that says so have a voter in
//!    common, so that lease is over. A voter that restarted counts from its start.
//! 4. The candidate is fenced when it is promoted, and only the node beside it lifts that, with a
//!    lease of *e + 1*: which voters grant once they have applied its `Done`.
//! 5. Whether leases are needed at all is committed ([`LeaseRule`]). By time alone (3) nobody is
//!    promoted before the node beside the master said that it obeys the rule.
//!
//! # What it relies on
//!
//! * The rate of a host's clock is wrong by at most [`DRIFT_MAX_PERCENT`].
//! * The fencer acts at most an eighth of a length after its moment, so by the end of the lease, and right
//!   after a suspend.
//! * One node on a host; and nobody else lifts a fence, or kills fencer and node at once.

mod asking;
mod claim;
mod hold;
mod obeying;
mod term;

pub use asking::Leasing;
pub use claim::{LeaseClaim, Released};
pub use hold::{HoldFailure, HoldOrder, HoldOutcome, HoldTask};
pub use term::{DRIFT_MAX_PERCENT, LeaseMessage, LeaseMessageKind, LeaseRule};
