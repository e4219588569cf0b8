//! The fencer: a dead man's switch in a process of its own, which runs as root, and how a daemon asks it.
//!
//! A daemon may let a master of its host take writes only as long as it has a lease from a majority of
//! voters. Before it lifts the fence it has the fencer *hold* the server's process: end it at moment M. Each
//! lease that is renewed moves M on. A daemon that dies, hangs or cannot set the fence renews nothing, and
//! the process ends at M; so it does right after a suspend, since M is a moment of CLOCK_BOOTTIME. Whatever
//! starts the server again has to start it fenced, or the process is not held in the first place.
//!
//! ```text
//! decision ─ HoldOrder ─▶ Fencer (client) ═ Unix socket ═▶ connection ─▶ keeper ─▶ pidfd_send_signal
//!          ◀ HoldOutcome ─                                               │   ▲
//!                                                            trust: systemctl  timer: CLOCK_BOOTTIME
//! ```
//!
//! What is held is kept in a file beside the socket at each change, so that the next fencer goes on with it.
//!
//! # What has to hold
//!
//! * It runs within an eighth of a lease of M: it is locked in memory, of real-time priority, waits for no
//!   disk and no log, and systemd starts it again at once when it dies or hangs.
//! * It, the daemon and the server are in one pid namespace, and in one time namespace.
//! * The service is not changed so that it starts unfenced while its server is held: that is looked at every
//!   30 s of renewals, and then refused.

mod client;
mod clock;
mod connection;
mod holds;
mod keeper;
mod process;
mod protocol;
mod server;
mod socket;
mod timer;
mod trust;

pub use client::Fencer;
pub use clock::{BootClock, BootMoment, BootReading};
pub use protocol::{
    Answer, FRAME_LENGTH_MAX, Hello, InvalidFrame, Life, Order, Request, Task, decode,
};
pub use server::{FencerError, FencerServer, FencerSettings};
pub use socket::SocketError;
pub use trust::{InvalidServiceName, ServiceName, Trust};
