//! Links between daemons: encrypted, authenticated, bounded in size and time.
//!
//! ```text
//! links ─┬─ dial ───┐                             one task per peer
//!        └─ accept ─┴─ handshake ── connection     one after the other
//!                          └──── session ───┘      bytes in and out, no sockets
//! ```
//!
//! Between two nodes there is one TCP connection, called by the one whose name sorts first. Payloads
//! are opaque here. What is refused or dropped is counted by reason and logged once a minute.

mod accept;
mod admission;
mod connection;
mod dial;
mod frame;
mod handshake;
mod hello;
mod key;
mod ledger;
mod links;
mod lobby;
mod log_limiter;
mod message;
mod noise;
mod observers;
mod outbox;
mod pace;
mod roll;
mod session;

#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod links_tests;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod test_ground;

pub use admission::{Admission, Expected, Refusal};
pub use connection::{DownReason, LinkEvent};
pub use frame::FRAME_LENGTH_MAX;
pub use hello::{Hello, PROTOCOL_VERSION, VotersDigest};
pub use key::{ClusterKey, InvalidClusterKey, NoRandomness};
pub use ledger::{Connected, DropReason, LinkStatus};
pub use links::{LinkError, LinkSettings, Links};
pub use message::{Dismissal, InvalidMessage, PeerMessage, PeerReport};
pub use observers::{
    Answer, FollowEvent, FollowSettings, Follower, Guest, Knowledge, LostReason, News,
    OBSERVERS_VERSION, ObserverRefusal, Observers, ObserversError, ObserversSettings, Opening,
    OtherCluster, POSITION_LENGTH_MAX, Position, PublicGroup, PublicState, Tunnel, TunnelEvent,
    UnreadableOpening,
};
pub use outbox::NotSent;
pub use roll::Roll;
pub use session::{Session, SessionError, SessionEvent};
