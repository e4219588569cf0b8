//! The Sentinel endpoint: what client libraries ask a Redis Sentinel for, answered from committed state.
//!
//! ```text
//!  daemon's loop ──views, happenings──▶ feed ─▶ hub ─▶ events ─▶ subscribers
//!        ▲                                       │
//!        └──────────────questions────────────────┴── connection: command ─▶ session ─▶ reply
//! ```
//!
//! It runs on a thread of its own. The loop never waits for it: it shows a view of what it knows, and
//! tells what happened behind that, so whoever hears of a new master is answered with the new master.

mod access;
mod catalogue;
mod channels;
mod client;
mod command;
mod connection;
mod connection_commands;
mod events;
mod feed;
mod fields;
mod hub;
mod pattern;
mod question;
mod reply;
mod sentinel_commands;
mod server;
mod server_commands;
mod session;
mod subscriptions;
mod view;

#[cfg(test)]
mod tests;

pub use access::{Access, WrongPassword};
pub use channels::Announcement;
pub use command::{ARGUMENTS_MAX, COMMAND_LENGTH_MAX, Parsed, Unreadable, Words, parse};
pub use events::{Event, Translator};
pub use feed::{Feed, News, Outlet};
pub use question::{FailoverAnswer, Question};
pub use reply::{Protocol, Replies};
pub use server::{SentinelError, SentinelServer, Serving};
pub use session::{Next, ServerFacts, Session, Surroundings};
pub use view::{GroupView, PeerView, SentinelId, View};
