//! A whole cluster in virtual time: hosts, daemons, servers and the network between them.
//!
//! Everything that will happen stands in one queue by its moment, and every choice is drawn from one
//! seed, so a run replays exactly.

use std::collections::BTreeMap;
use std::time::Instant;

use promoterd::daemon::NodeEvent;
use promoterd::decision::GroupPolicy;
use promoterd::model::{GroupName, Life, ReplicationId, ReplicationOffset, SplitMix};

use super::faults::{Plan, Undo};
use super::host::Host;
use super::invariants::{Oracle, Violation};
use super::peers::Session;
use super::pipes::{Micros, PipeId, Pipes};
use super::probes::{Connection, ConnectionId, Order, Reply};
use super::server::Server;
use super::tally::Tally;
use super::transcript::{Transcript, Wanted};

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
    /// A client of a group writes.
    ClientWrites { group: usize },
    /// The next fault.
    Fault,
    /// The end of one.
    Undo(Undo),
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

/// One group of servers.
#[derive(Debug)]
pub struct SimulatedGroup {
    pub name: GroupName,
    pub policy: GroupPolicy,
    pub servers: Vec<usize>,
    /// When something other than the daemons last had a hand in it.
    pub disturbed_at: Micros,
    /// When its latest epoch began.
    pub begun_at: Micros,
}

/// The whole.
pub struct World {
    pub seed: u64,
    pub now: Micros,
    pub random: SplitMix,
    /// In boxes: it is moving them about that costs.
    queue: BTreeMap<(Micros, u64), Box<Happens>>,
    sequence: u64,
    pub hosts: Vec<Host>,
    pub host_count: usize,
    pub servers: Vec<Server>,
    pub groups: Vec<SimulatedGroup>,
    pub pipes: Pipes<Item>,
    pub sessions: BTreeMap<(usize, usize), Session>,
    pub session_drawn: u64,
    pub connections: BTreeMap<ConnectionId, Connection>,
    pub connection_drawn: u64,
    pub plan: Plan,
    pub oracle: Oracle,
    pub tally: Tally,
    pub transcript: Transcript,
    pub violation: Option<Violation>,
}

impl World {
    pub fn new(seed: u64, wanted: Wanted) -> Self {
        let mut random = SplitMix::new(seed);
        let plan = Plan::draw(&mut random);
        let mut world = Self {
            seed,
            now: 0,
            random,
            queue: BTreeMap::new(),
            sequence: 0,
            hosts: Vec::new(),
            host_count: plan.nodes + plan.other_hosts,
            servers: Vec::new(),
            groups: Vec::new(),
            pipes: Pipes::new(),
            sessions: BTreeMap::new(),
            session_drawn: 0,
            connections: BTreeMap::new(),
            connection_drawn: 0,
            plan,
            oracle: Oracle::default(),
            tally: Tally::default(),
            transcript: Transcript::new(wanted),
            violation: None,
        };
        super::birth::populate(&mut world);
        world
    }

    /// What the clock of a node's host says.
    pub fn instant(&self, node: usize) -> Instant {
        self.hosts[node].clock.read(self.now)
    }

    /// The first microsecond at which that clock has reached `at`.
    pub fn micros(&self, node: usize, at: Instant) -> Micros {
        self.hosts[node].clock.reaches(at)
    }

    pub fn at(&mut self, when: Micros, happens: Happens) {
        self.sequence += 1;
        self.queue
            .insert((when.max(self.now), self.sequence), Box::new(happens));
    }

    pub fn later(&mut self, delay: Micros, happens: Happens) {
        self.at(self.now + delay, happens);
    }

    /// Puts an item into a pipe, if that is still there.
    pub fn push(&mut self, pipe: PipeId, item: Item) {
        let arrives = self.pipes.push(pipe, item, self.now, &mut self.random);
        if let Some(at) = arrives {
            self.at(at, Happens::Arrives(pipe));
        }
    }

    pub fn fail(&mut self, violation: Violation) {
        let now = self.now;
        self.transcript.note(now, || format!("BROKEN {violation}"));
        self.violation.get_or_insert(violation);
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        self.transcript.note(self.now, line);
    }

    /// Goes on until `end`, or until a promise is broken.
    pub fn run_until(&mut self, end: Micros) {
        while self.violation.is_none() {
            let Some(first) = self
                .queue
                .first_entry()
                .filter(|first| first.key().0 <= end)
            else {
                self.now = end;
                return;
            };
            let ((at, sequence), happens) = first.remove_entry();
            self.now = at;
            self.tally.steps += 1;
            self.transcript.mix(at ^ (sequence << 32));
            self.step(*happens);
        }
    }

    fn step(&mut self, happens: Happens) {
        match happens {
            Happens::Wake { node, number } => self.wake(node, number),
            Happens::Written { node, life } => self.on_written(node, life),
            Happens::Tell { node, life, event } => {
                if self.hosts[node].life == life {
                    self.tell(node, event);
                }
            }
            Happens::Start { node } => self.start_node(node),
            Happens::Arrives(pipe) => {
                if let Some(item) = self.pipes.take(pipe) {
                    self.on_item(item);
                }
            }
            // What was meant for an earlier life of the receiver has another key.
            Happens::Datagram {
                from,
                to,
                life,
                incarnation,
                bytes,
            } => {
                if !self.pipes.is_cut(from, to) && self.hosts[to].life == life {
                    self.on_message(from, to, incarnation, &bytes);
                }
            }
            Happens::Dial { one, other } => self.dial(one, other),
            Happens::SessionOverdue {
                one,
                other,
                session,
            } => {
                self.on_session_overdue(one, other, session);
            }
            Happens::Connects { id } => self.on_connects(id),
            Happens::ConnectionOverdue { id } => self.on_connection_overdue(id),
            Happens::WorkOverdue { id } => self.on_work_overdue(id),
            Happens::Follow { index, attempt } => self.attempt_to_follow(index, attempt),
            Happens::Copied { index, attempt } => self.on_copied(index, attempt),
            Happens::StreamOverdue { index, attempt } => self.on_stream_overdue(index, attempt),
            Happens::Read { index, life } => self.on_read(index, life),
            Happens::Acknowledges { index } => self.on_acknowledges(index),
            Happens::HoldEnds { index, life } => self.on_hold_ends(index, life),
            Happens::ClientWrites { group } => self.on_client_writes(group),
            Happens::Fault => self.on_fault(),
            Happens::Undo(undo) => self.undo(undo),
            Happens::EqualSettings => self.make_settings_equal(),
            Happens::FaultsEnd => self.end_faults(),
        }
    }

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
