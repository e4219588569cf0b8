//! promoterd keeps Redis masters writable. It is a daemon, one on each host.
//!
//! The daemons watch each replication group, agree by quorum that a master is lost, promote exactly
//! one replica with `REPLICAOF NO ONE`, and rewrite the configuration of the clients on every host.
//!
//! # How a loss becomes a new master
//!
//! ```text
//! redis/       a probe connection closes, is refused, stays silent, or the process exits
//!   │ events
//! decision/    this node holds the master down, for a named cause ──▶ views to all peers (peer/)
//!   │          objectively down by one proof or a quorum of views
//!   │          the leader asks the replicas again and chooses
//! consensus/   Begin{epoch, candidate} is committed by a majority, on disk
//!   │
//! redis/       the candidate is checked and promoted on one connection
//!   │
//! consensus/   Done{epoch} is committed
//!   │ all nodes
//! clients/     the files of this host name the new master; the replicas are repointed
//! ```
//!
//! # What holds
//!
//! * **S1** At most one instance is promoted in an epoch, and epochs of a group only grow.
//! * **S2** Nothing is promoted without a committed `Begin` entry that names it.
//! * **S3** A decision once committed survives the loss of any minority of nodes, and the restart of all.
//! * **S5** Clients' files only ever name a master of a committed epoch, never go back to an older epoch,
//!   and are never seen half-written.
//! * **S6** With the guard, an instance that lost its data feeds none that has them.
//! * **S7** Nothing that a peer, a client, a Redis server, a file or a variable can send makes the daemon
//!   panic, hang, grow without bound, or act for somebody who may not ask.
//!
//! Replication is asynchronous: what the candidate never received is lost. Each failover reports an
//! estimate of it, and the fact when the old master is back.
//!
//! # Where things are
//!
//! Arrows point down only. The lower a module, the less it knows.
//!
//! | module | what it does | pure |
//! |---|---|---|
//! | [`command`] | the subcommands: the daemon itself, and what asks it | |
//! | [`daemon`] | the one loop: next event, decide, start actions | [`daemon::Node`] |
//! | [`settings`] | environment and file become settings, or all mistakes at once | yes, but for reading files |
//! | [`status`] | the status socket: HTTP/1.1 and JSON over a Unix socket | its reports |
//! | [`sentinel`] | the Sentinel endpoint: RESP over TCP | its sessions and events |
//! | [`clients`] | clients' files: editing, the replacement transaction, the journal | its documents |
//! | [`peer`] | links between nodes: encryption, authentication, frames | its sessions |
//! | [`fencer`] | the dead man's switch beside a daemon, and asking it | its holds and frames |
//! | [`redis`] | probes, commands, parsing of `INFO` | its parsing |
//! | [`consensus`] | the engine behind a seam, and the durable log | all but the file |
//! | [`decision`] | who is down, may we act, whom to promote, what to do next | yes |
//! | [`breaks`] | rules that tests break on purpose; nothing of it is in the program | |
//! | [`model`] | identities and units that all floors share | yes |
//!
//! Pure means: no socket, file, clock, thread or random source. Events and the time come in, actions
//! go out, and each action's outcome returns as an event. So a whole cluster runs in one test, in
//! virtual time, from a seed: `tests/simulation`.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        reason = "a test that unwraps fails where it should"
    )
)]

pub mod breaks;
pub mod clients;
pub mod command;
pub mod consensus;
pub mod daemon;
pub mod decision;
pub mod fencer;
pub mod model;
pub mod peer;
pub mod redis;
pub mod sentinel;
pub mod settings;
pub mod status;
