//! What can happen, and what is on its way.

use promoterd::daemon::NodeEvent;
use promoterd::decision::{GroupPolicy, HoldOrder};
use promoterd::model::{GroupName, Life, ReplicationId, ReplicationOffset, SplitMix};

use super::faults::{Blow, Undo};
use super::files::Said;
use super::orders::Order;
use super::pipes::{Micros, PipeId};
use super::probes::{ConnectionId, Reply};
use super::world::World;

/// Something that stands in the queue.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "the largest is the most frequent too"
)]
pub enum Happens {
    /// A daemon's deadline; void when its number is no longer the latest.
    Wake { node: usize, number: u64 },
    /// A daemon's batch is on its disk.
    Written { node: usize, life: u64 },
    /// Something comes to the daemon of this life.
    Tell {
        node: usize,
        life: u64,
        event: NodeEvent,
    },
    /// A daemon starts.
    Start { node: usize },
    /// The next item of a pipe may be taken.
    Arrives(PipeId),
    /// A message outside of any stream.
    Datagram {
        from: usize,
        to: usize,
        life: u64,
        incarnation: Life,
        bytes: Vec<u8>,
    },
    /// Two daemons try to connect.
    Dial { one: usize, other: usize },
    /// A session breaks, if it still is the one and its path is still cut.
    SessionOverdue {
        one: usize,
        other: usize,
        session: u64,
    },
    /// A daemon's connection attempt reaches the server's host.
    Connects { id: ConnectionId },
    /// A connection is given up, if its path is still cut.
    ConnectionOverdue { id: ConnectionId },
    /// Work is given up by whoever waits for it.
    WorkOverdue { id: ConnectionId },
    /// A replica tries to reach its master.
    Follow { index: usize, attempt: u64 },
    /// A full copy goes on.
    Copied { index: usize, attempt: u64 },
    /// A replication stream is given up, if it is still cut.
    StreamOverdue { index: usize, attempt: u64 },
    /// A server has read its file.
    Read { index: usize, life: u64 },
    /// A replica tells its master how far it is.
    Acknowledges { index: usize },
    /// A server may let go on what it holds.
    HoldEnds { index: usize, life: u64 },
    /// A daemon's word for the fencer of its host.
    Hold {
        node: usize,
        life: u64,
        order: HoldOrder,
        ends_at: Micros,
    },
    /// A moment that a fencer was told.
    HoldsOver { host: usize },
    /// A client of a group writes.
    ClientWrites { group: usize },
    /// A step of a daemon's thread for files is done.
    FilesStep { node: usize, life: u64 },
    /// Something is due there.
    FilesDue { node: usize, life: u64 },
    /// A client has read its file.
    ClientRead {
        node: usize,
        index: usize,
        said: Option<Said>,
    },
    /// The next fault, or request of an operator.
    Injection { ordinal: u64 },
    /// What one does later than at once, with its random numbers.
    Blow(Blow, SplitMix),
    /// The end of one.
    Undo(Undo),
    /// A daemon is told to stop.
    Stop { node: usize },
    /// A daemon that is to stop waits no longer for a new leader.
    StopOverdue { node: usize, life: u64 },
    /// A host gets other settings of a group, and its daemon is told to read them.
    Reload {
        node: usize,
        name: GroupName,
        policy: Box<GroupPolicy>,
    },
    /// Somebody looks whether a group waits to be registered.
    AdoptWaiting,
    /// Somebody looks whether a pause that was asked for late still took effect.
    ResumePaused,
    /// The settings of all hosts are made equal.
    EqualSettings,
    /// The end of all.
    FaultsEnd,
}

/// Something on its way in a pipe.
#[derive(Debug)]
pub enum Item {
    Message {
        from: usize,
        to: usize,
        session: u64,
        incarnation: Life,
        bytes: Vec<u8>,
    },
    Order {
        id: ConnectionId,
        order: Order,
    },
    Reply {
        id: ConnectionId,
        reply: Reply,
    },
    Continue {
        replica: usize,
        attempt: u64,
        id: ReplicationId,
    },
    Stream {
        replica: usize,
        attempt: u64,
        offset: ReplicationOffset,
    },
    FeedClosed {
        replica: usize,
        attempt: u64,
    },
}

impl World {
    pub fn on_item(&mut self, item: Item) {
        match item {
            Item::Message {
                from,
                to,
                session,
                incarnation,
                bytes,
            } => {
                let key = (from.min(to), from.max(to));
                if self
                    .sessions
                    .get(&key)
                    .is_some_and(|held| held.number == session)
                {
                    self.on_message(from, to, incarnation, &bytes);
                }
            }
            Item::Order { id, order } => self.on_order(id, order),
            Item::Reply { id, reply } => self.on_reply(id, reply),
            Item::Continue {
                replica,
                attempt,
                id,
            } => {
                if self.stalls(
                    replica,
                    Item::Continue {
                        replica,
                        attempt,
                        id,
                    },
                ) {
                    return;
                }
                let server = &mut self.servers[replica];
                if server.attempt == attempt && server.continue_as(id) {
                    self.drop_feeds(replica);
                }
            }
            Item::Stream {
                replica,
                attempt,
                offset,
            } => {
                if !self.stalls(
                    replica,
                    Item::Stream {
                        replica,
                        attempt,
                        offset,
                    },
                ) {
                    self.on_stream(replica, attempt, offset);
                }
            }
            Item::FeedClosed { replica, attempt } => {
                if !self.stalls(replica, Item::FeedClosed { replica, attempt }) {
                    self.on_feed_closed(replica, attempt);
                }
            }
        }
    }
}
