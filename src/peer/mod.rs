//! Links between daemons.

mod frame;
mod hello;
mod key;
mod session;

#[cfg(test)]
mod session_tests;

pub use frame::FRAME_LENGTH_MAX;
pub use hello::{Admission, Expected, Hello, PROTOCOL_VERSION, Refusal, VotersDigest};
pub use key::ClusterKey;
pub use session::{Session, SessionError, SessionEvent};
