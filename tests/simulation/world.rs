//! A whole cluster in virtual time: hosts, daemons, servers and the network between them.
//!
//! Everything that will happen stands in one queue by its moment, and every choice is drawn from one
//! seed, so a run replays exactly.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use promoterd::decision::GroupPolicy;
use promoterd::model::{GroupName, SplitMix};

use super::faults::Plan;
pub use super::happens::{Happens, Item};
use super::host::Host;
use super::invariants::{Oracle, Violation, one_writer_under_strict_fencing};
use super::narrowing::Narrowing;
use super::observers::Observers;
use super::peers::Session;
use super::pipes::{Micros, PipeId, Pipes};
use super::probes::{Connection, ConnectionId};
use super::queue::Queue;
use super::server::Server;
use super::shape::Shape;
use super::streams::{Purpose, stream};
use super::tally::Tally;
use super::transcript::{Transcript, Wanted};

/// One group of servers.
#[derive(Debug)]
pub struct SimulatedGroup {
    pub name: GroupName,
    pub policy: GroupPolicy,
    pub servers: Vec<usize>,
    /// Until then Sentinels watch it too.
    pub sentinels_until: Micros,
    /// When something other than the daemons last had a hand in it.
    pub disturbed_at: Micros,
    /// When its latest epoch began.
    pub begun_at: Micros,
    /// Its servers are not fenced yet when strict fencing comes into force.
    pub begins_unfenced: bool,
}

/// The whole.
pub struct World {
    pub seed: u64,
    pub now: Micros,
    /// For how long things take, and what clients do.
    pub random: SplitMix,
    /// For the fault, or the request, that is being injected.
    pub dice: SplitMix,
    pub shape: Shape,
    pub narrowing: Narrowing,
    queue: Queue<Happens>,
    pub hosts: Vec<Host>,
    pub host_count: usize,
    /// The hosts that sleep.
    pub suspended: BTreeSet<usize>,
    pub servers: Vec<Server>,
    pub groups: Vec<SimulatedGroup>,
    pub pipes: Pipes<Item>,
    pub sessions: BTreeMap<(usize, usize), Session>,
    pub session_drawn: u64,
    pub connections: BTreeMap<ConnectionId, Connection>,
    pub connection_drawn: u64,
    pub observers: Observers,
    pub plan: Plan,
    pub oracle: Oracle,
    pub tally: Tally,
    pub transcript: Transcript,
    pub violation: Option<Violation>,
}

impl World {
    pub fn new(seed: u64, wanted: Wanted, narrowing: Narrowing) -> Self {
        let shape = Shape::draw(&mut stream(seed, Purpose::Shape, 0), &narrowing);
        let plan = Plan::draw(narrowing.theme, &mut stream(seed, Purpose::Plan, 0));
        let mut world = Self {
            seed,
            now: 0,
            random: stream(seed, Purpose::Course, 0),
            dice: stream(seed, Purpose::Injection, 0),
            narrowing,
            queue: Queue::new(),
            hosts: Vec::new(),
            suspended: BTreeSet::new(),
            host_count: shape.hosts(),
            shape,
            servers: Vec::new(),
            groups: Vec::new(),
            pipes: Pipes::new(),
            sessions: BTreeMap::new(),
            session_drawn: 0,
            connections: BTreeMap::new(),
            connection_drawn: 0,
            observers: Observers::default(),
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
        self.queue.push(when.max(self.now), happens);
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
            let first = self.queue.first_at().filter(|at| *at <= end);
            let Some((at, happens)) = first.and_then(|at| Some((at, self.queue.pop()?))) else {
                self.now = end;
                return;
            };
            self.now = at;
            self.tally.steps += 1;
            self.transcript.mix(at);
            self.step(happens);
            if let Err(violation) = one_writer_under_strict_fencing::check(self) {
                self.fail(violation);
            }
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
            Happens::Start { node } if self.suspended.contains(&node) => {
                self.later(50_000, Happens::Start { node });
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
            Happens::Hold {
                node,
                life,
                order,
                ends_at,
            } => self.on_hold(node, life, order, ends_at),
            Happens::HoldsOver { host } => self.end_overdue(host),
            Happens::FilesStep { node, life } => self.on_files_step(node, life),
            Happens::FilesDue { node, life } => self.on_files_due(node, life),
            Happens::ClientRead { node, index, said } => self.on_client_read(node, index, said),
            Happens::Observer {
                observer,
                life,
                occurs,
            } => self.on_observer(observer, life, occurs),
            Happens::Injection { ordinal } => self.on_injection(ordinal),
            Happens::Blow(blow, dice) => self.strike(blow, dice),
            Happens::Undo(undo) => self.undo(undo),
            Happens::Stop { node } => self.stop_node(node),
            Happens::StopOverdue { node, life } => self.on_stop_overdue(node, life),
            Happens::Reload { node, name, policy } => self.reload(node, name, *policy),
            Happens::AdoptWaiting => self.adopt_waiting(),
            Happens::ResumePaused => self.resume_groups(false),
            Happens::EqualSettings => self.make_settings_equal(),
            Happens::FaultsEnd => self.end_faults(),
        }
    }
}
