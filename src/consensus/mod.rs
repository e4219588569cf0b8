//! How the daemons agree: a seam to a consensus engine, and the durable log behind it.
//!
//! [`Engine`] is pure. Moments, messages and "it is on the disk" come in; messages, batches to write
//! and committed entries come out:
//!
//! ```text
//!  advance_to, receive, propose ──► Engine ──► take_ready ──► send at once, apply, write `persist`
//!                                     ▲                                          │
//!                                     └───── persisted ◄── LogWriter, LogFile ◄──┘
//! ```
//!
//! What an answer promises to have written cannot leave early: [`Engine::persisted`] is what hands it
//! out. Nothing outside this module knows which engine it is.

mod disk;
mod engine;
mod entry;
mod frame;
mod guard;
mod log;
mod membership;
mod message;
mod raft;
mod ready;
mod seat;
mod settings;
mod standing;
mod status;
mod storage;
mod succession;
mod writer;

#[cfg(test)]
mod cluster;
#[cfg(test)]
mod hostile;

pub use disk::{LogError, LogFile, set_aside};
pub use engine::Engine;
pub use entry::{Batch, CommittedEntry, HardState, LogEntry, Payload, Position, SnapshotData};
pub use guard::Refused;
pub use log::{
    Identity, RecoverError, Recovered, begin, decode_snapshot, encode, encode_snapshot, recover,
};
pub use membership::{Announcement, Heard, Membership, Waiting};
pub use message::{Absurd, Body, Message, PAYLOAD_LENGTH_MAX, STATE_LENGTH_MAX};
pub use seat::{Promise, Rejoin, Seat, Seats, Stage, Standing};
pub use settings::{EngineSettings, InvalidSettings, heartbeat_interval};
pub use status::{CompactError, Outgoing, Progress, ProposeError, Ready, Role, Status};
pub use writer::{LogWriter, WriterStopped};
