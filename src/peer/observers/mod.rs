//! The observers' port: voters tell the masters of all groups to whoever holds the observers' key.
//!
//! ```text
//!  voter's loop ──PublicState──▶ Observers ─▶ visit ─▶ tunnel ══▶ tunnel ─▶ Follower ──▶ observer's loop
//!                                   │ its own thread                          │ pursuit: which voter
//!                                   └ guests, for the status                  └ knowledge: never back
//! ```
//!
//! The loop of a voter only swaps a pointer. Nothing that an observer says reaches it: its position is for
//! the status alone.

mod follow_event;
mod follower;
mod guests;
mod knowledge;
mod pursuit;
mod server;
#[cfg(test)]
mod tests;
mod tunnel;
mod visit;
mod word;

pub use follow_event::{FollowEvent, LostReason};
pub use follower::{FollowSettings, Follower};
pub use guests::Guest;
pub use knowledge::{Knowledge, OtherCluster};
pub use server::{Observers, ObserversError, ObserversSettings};
pub use tunnel::{Tunnel, TunnelEvent};
pub use word::{
    Answer, News, OBSERVERS_VERSION, ObserverRefusal, Opening, POSITION_LENGTH_MAX, Position,
    PublicGroup, PublicState, UnreadableOpening,
};
