//! The world around the cores: nodes, a log, virtual time, and what comes to whom when.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use promoterd::decision::{
    Action, Entry, Event, Fencing, FollowOrder, GuardOrder, LinkId, ProbeOrder, Report,
    RescueOrder, WallClock,
};
use promoterd::model::{GroupName, Life, UnixTime, WriteLimits};

use crate::header::{Header, Sabotage};
use crate::instance::Instance;
use crate::invariants::{Oracle, Step, Violation};
use crate::log::Log;
use crate::node::Node;
use crate::queue::Queue;
use crate::transcript::{self, Transcript};
use crate::weather::Weather;

/// One way through the network, in microseconds, when there is no weather.
pub const ONE_WAY: u64 = 200;
/// From a proposal to its commit at the leader: a round trip and a write to disk.
const COMMIT: u64 = 500;
/// Rewriting the clients' files of one host.
const REWRITE: u64 = 2000;
/// How long a copy of an instance's data takes.
const RESCUE: u64 = 40_000;
/// Long enough for a group to be registered and all processes to be watched.
const WARM_UP: u64 = 3_000_000;
/// A core that wants to be woken more often than this at one moment never rests.
const WAKES_MAX: usize = 20;

pub struct Connection {
    pub node: usize,
    pub life: u64,
    pub link: LinkId,
    pub instance: String,
    pub instance_life: u8,
    pub watched: bool,
    /// When the last thing came over it, up and down.
    pub up_at: u64,
    pub down_at: u64,
}

/// Something on its way from a node to an instance.
#[derive(Debug)]
pub struct Sent<Order> {
    pub node: usize,
    pub life: u64,
    pub at: u64,
    pub order: Order,
}

pub enum Occurrence {
    Line(String),
    Deliver(usize, u64, Event),
    /// What another node told this life of a node, and how many entries were committed if it leads: links
    /// end with the processes at their ends, and what is on its way over them.
    Told(usize, u64, Event, Option<usize>),
    Arrive(Sent<ProbeOrder>),
    ArriveFollow(Sent<FollowOrder>),
    ArriveGuard(Sent<GuardOrder>),
    ArriveRescue(Sent<RescueOrder>),
    Commit(u64, Entry),
    /// The next entry of the log comes to a node.
    Apply(usize, u64),
    /// A node that was elected has applied all that was committed before.
    Established(usize, u64),
    /// A node of this life hears that another one was elected.
    Deposed(usize, u64),
    /// Whoever can leads, if nobody does.
    Elect(u64),
    Sync(usize, u64),
    Copied(usize, u64),
    Loaded(usize, u8),
    /// A moment that the fencer of a node was told.
    HoldsOver(usize),
    /// Somebody's client writes to the master that the file on its host names.
    ClientWrites,
    /// A hold may be over.
    GoOn(String),
    /// So much of a history reaches a replica.
    Stream(String, u8, u64),
}

pub struct World {
    start: Instant,
    /// Microseconds since the start, and those at which the script begins.
    pub now: u64,
    pub origin: u64,
    queue: Queue<Occurrence>,
    pub nodes: Vec<Node>,
    pub instances: Vec<Instance>,
    pub connections: Vec<Connection>,
    /// Orders that are stuck in the network or in a hung process.
    pub stuck: Vec<Sent<ProbeOrder>>,
    pub stuck_follows: Vec<Sent<FollowOrder>>,
    pub cut: BTreeSet<(String, String)>,
    pub rejected: BTreeSet<(String, String)>,
    pub log: Log,
    pub lives: u8,
    /// Bytes of clients' writes that were acknowledged.
    pub acknowledged: u64,
    pub shows_probes: bool,
    /// Without it everything takes as long as always.
    pub weather: Option<Weather>,
    /// Instances keep their roles over a restart.
    pub rewrites: bool,
    /// What an old master has is saved before it is demoted.
    pub rescues: bool,
    pub sabotage: Option<Sabotage>,
    pub transcript: Transcript,
    pub oracle: Oracle,
    pub violation: Option<Violation>,
    pub steps: u64,
}

impl World {
    /// Puts all lines in the queue; gives the moment of the last.
    pub fn schedule(&mut self, header: &Header<'_>) -> u64 {
        for (at, command) in &header.commands {
            self.push(self.origin + at, Occurrence::Line((*command).to_owned()));
        }
        let last = header.commands.iter().map(|(at, _)| *at).max();
        self.origin + last.unwrap_or(0)
    }

    pub fn new(header: &Header<'_>, is_told: bool) -> Self {
        let start = Instant::now() + Duration::from_secs(1000);
        let weather = header.weather.map(Weather::new);
        let is_warm = !header.is_cold && weather.is_none();
        let mut world = Self {
            start,
            now: 0,
            origin: if is_warm { WARM_UP } else { 0 },
            queue: Queue::new(),
            nodes: Vec::new(),
            instances: vec![
                Instance::new("a", 1, None),
                Instance::new("b", 2, Some("a")),
                Instance::new("c", 3, Some("a")),
            ],
            connections: Vec::new(),
            stuck: Vec::new(),
            stuck_follows: Vec::new(),
            cut: BTreeSet::new(),
            rejected: BTreeSet::new(),
            log: Log::default(),
            lives: 3,
            acknowledged: 0,
            shows_probes: false,
            weather,
            rewrites: header.rewrites,
            rescues: header.policy(1).rescue,
            sabotage: header.sabotage,
            transcript: Transcript::new(is_told),
            oracle: Oracle::default(),
            violation: None,
            steps: 0,
        };
        if header.policy(1).fencing == Fencing::Strict {
            // Whatever starts a server starts it fenced.
            for instance in &mut world.instances {
                instance.limits = WriteLimits::FENCE;
                instance.configured_limits = WriteLimits::FENCE;
            }
        }
        if world.weather.is_some() && !header.is_cold {
            world.begin_registered();
        }
        world.add_nodes(header);
        world.push(0, Occurrence::Line(format!("lead {}", header.nodes[0])));
        if world.weather.is_some() {
            world.push(0, Occurrence::ClientWrites);
        }
        world
    }

    pub fn wall(&self) -> WallClock {
        WallClock {
            at: self.moment(),
            time: UnixTime(self.now / 1000),
        }
    }

    pub fn moment(&self) -> Instant {
        self.instant(self.now)
    }

    /// What the clock of a node says now.
    pub fn moment_of(&self, node: usize) -> Instant {
        self.moment() - Duration::from_micros(self.nodes[node].slept)
    }

    pub fn instant(&self, at: u64) -> Instant {
        self.start + Duration::from_micros(at)
    }

    pub fn push(&mut self, at: u64, occurrence: Occurrence) {
        self.queue.push(at.max(self.now), occurrence);
    }

    pub fn later(&mut self, after: u64, occurrence: Occurrence) {
        self.push(self.now + after, occurrence);
    }

    pub fn deliver(&mut self, node: usize, after: u64, event: Event) {
        let life = self.nodes[node].life;
        self.later(after, Occurrence::Deliver(node, life, event));
    }

    pub fn note(&mut self, who: &str, text: impl FnOnce() -> String) {
        let at = (self.now as f64 - self.origin as f64) / 1000.0;
        self.transcript.note(at, who, text);
    }

    pub fn fail(&mut self, violation: Violation) {
        self.note("!!", || violation.to_string());
        self.violation.get_or_insert(violation);
    }

    pub fn run_until(&mut self, end: u64) {
        while self.violation.is_none() {
            let queued = self.queue.first_at();
            let woken = (0..self.nodes.len())
                .filter(|node| !self.nodes[*node].is_paused && !self.nodes[*node].is_dead)
                .filter_map(|node| Some((self.wake_at(node)?, node)))
                .min();
            let next = queued.into_iter().chain(woken.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|next| *next < end) else {
                self.now = end;
                return;
            };
            self.now = next;
            self.steps += 1;
            match woken.filter(|(at, _)| queued.is_none_or(|queued| *at < queued)) {
                Some((_, node)) => {
                    self.count_wake(node);
                    self.handle(node, Event::DeadlineReached);
                }
                None => {
                    let first = self.queue.pop().unwrap();
                    self.occur(first);
                }
            }
        }
    }

    fn wake_at(&self, node: usize) -> Option<u64> {
        let deadline = self.nodes[node].supervisor.next_deadline()?;
        let after = deadline.at.saturating_duration_since(self.start);
        let at = u64::try_from(after.as_nanos().div_ceil(1000)).unwrap();
        Some((at + self.nodes[node].slept).max(self.now))
    }

    fn count_wake(&mut self, node: usize) {
        let now = self.now;
        let woken = &mut self.nodes[node];
        woken.wakes = match woken.wakes {
            (at, count) if at == now => (at, count + 1),
            _ => (now, 1),
        };
        if woken.wakes.1 >= WAKES_MAX {
            let what = format!("{}: {:?}", woken.name, woken.supervisor.next_deadline());
            self.fail(Violation::new("S7: nothing makes a node spin", what));
        }
    }

    fn occur(&mut self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::Line(line) => self.obey(&line),
            Occurrence::Deliver(node, life, event) => {
                if self.nodes[node].life == life {
                    self.handle(node, event);
                }
            }
            Occurrence::Told(node, life, event, committed) => {
                if self.nodes[node].life == life {
                    self.hear(node, event, committed);
                }
            }
            Occurrence::Arrive(sent) => self.arrive(sent),
            Occurrence::ArriveFollow(sent) => self.arrive_follow(sent),
            Occurrence::ArriveGuard(sent) => self.arrive_guard(sent),
            Occurrence::ArriveRescue(sent) => self.arrive_rescue(sent),
            Occurrence::Commit(term, entry) => self.commit_proposed(term, entry),
            Occurrence::Apply(node, life) => {
                if self.nodes[node].life == life && !self.nodes[node].is_dead {
                    self.apply_next(node);
                }
            }
            Occurrence::Established(node, term) => self.establish(node, term),
            Occurrence::Deposed(node, life) => self.depose(node, life),
            Occurrence::Elect(term) => self.elect(term),
            Occurrence::Sync(instance, attempt) => self.sync(instance, attempt),
            Occurrence::Copied(instance, attempt) => self.finish_copy(instance, attempt),
            Occurrence::HoldsOver(node) => self.end_overdue(node),
            Occurrence::Loaded(instance, life) => self.finish_loading(instance, life),
            Occurrence::ClientWrites => self.some_client_writes(),
            Occurrence::GoOn(name) => self.go_on(&name),
            Occurrence::Stream(name, history, offset) => self.stream(&name, history, offset),
        }
    }

    /// Checks what a node wants, and carries it out.
    pub fn take_up(&mut self, node: usize, actions: Vec<Action>) {
        let step = Step {
            node,
            actions: &actions,
        };
        if let Err(violation) = crate::invariants::check(self, &step) {
            return self.fail(violation);
        }
        for action in actions {
            self.carry_out(node, action);
        }
    }

    fn sent<Order>(&self, node: usize, order: Order) -> Sent<Order> {
        Sent {
            node,
            life: self.nodes[node].life,
            at: self.now,
            order,
        }
    }

    fn carry_out(&mut self, node: usize, action: Action) {
        self.show_action(node, &action);
        match action {
            Action::Probe(order) => self.send_probe(node, order),
            Action::Follow(order) => {
                let (after, sent) = (self.work_delay(), self.sent(node, order));
                self.later(after, Occurrence::ArriveFollow(sent));
            }
            Action::Guard(order) => {
                let (after, sent) = (self.work_delay(), self.sent(node, order));
                self.later(after, Occurrence::ArriveGuard(sent));
            }
            Action::Rescue(order) => {
                let (after, sent) = (RESCUE + self.work_delay(), self.sent(node, order));
                self.later(after, Occurrence::ArriveRescue(sent));
            }
            Action::Hold(order) => self.hold(node, order),
            Action::Lease { peer, message } => self.tell_of_lease(node, &peer, message),
            Action::Propose(entry) => self.propose(node, entry),
            Action::Report(report) => self.tell_others(node, &report),
            Action::Publish { group, epoch, .. } => {
                self.deliver(node, REWRITE, Event::FilesRewritten { group, epoch });
            }
            Action::Forward(request) => {
                if let Some(leader) = self.log.leader
                    && !self.is_cut(node, &self.nodes[leader].name)
                {
                    let after = self.delay();
                    self.deliver(leader, after, Event::Forwarded(request));
                }
            }
            Action::Announce(_) | Action::Answer(_) => {}
        }
    }

    /// What is reported again and again is shown when it changes.
    fn show_action(&mut self, node: usize, action: &Action) {
        if !self.transcript.is_wanted() {
            return;
        }
        let text = transcript::action(action, self.shows_probes);
        let is_repeated = matches!(action, Action::Report(_)) && {
            let repeated = self.nodes[node].reported == text;
            self.nodes[node].reported.clone_from(&text);
            repeated
        };
        if let Some(text) = text.filter(|_| !is_repeated) {
            let name = self.nodes[node].name.clone();
            self.note(&name, || text);
        }
    }

    fn tell_others(&mut self, node: usize, report: &Report) {
        let (peer, life) = (self.nodes[node].id.clone(), self.nodes[node].life);
        let committed =
            (self.weather.is_some() && self.nodes[node].leads).then(|| self.log.length());
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            if self.is_cut(node, &self.nodes[other].name) {
                continue;
            }
            let mut delays = [Some(ONE_WAY), None];
            if let Some(weather) = &mut self.weather {
                delays = weather.report_delays();
            }
            for after in delays.into_iter().flatten() {
                let event = Event::PeerReported {
                    peer: peer.clone(),
                    life: Life(life),
                    report: report.clone(),
                };
                let to = self.nodes[other].life;
                self.later(after, Occurrence::Told(other, to, event, committed));
            }
        }
    }

    pub fn is_cut(&self, node: usize, other: &str) -> bool {
        let name = &self.nodes[node].name;
        let is_it = |(left, right): &(String, String)| {
            (left == name && right == other) || (left == other && right == name)
        };
        self.cut.iter().any(is_it)
    }

    /// One way through the network.
    pub fn delay(&mut self) -> u64 {
        self.weather.as_mut().map_or(ONE_WAY, Weather::delay)
    }

    /// One way to an instance for work on a connection of its own, which may have to be opened.
    fn work_delay(&mut self) -> u64 {
        self.weather.as_mut().map_or(ONE_WAY, Weather::work_delay)
    }

    pub fn node(&self, name: &str) -> usize {
        let found = self.nodes.iter().position(|node| node.name == name);
        found.unwrap_or_else(|| panic!("there is no node {name}"))
    }

    pub fn index(&self, name: &str) -> Option<usize> {
        let mut instances = self.instances.iter();
        instances.position(|instance| instance.name == name)
    }

    pub fn instance(&mut self, name: &str) -> Option<&mut Instance> {
        let index = self.index(name)?;
        Some(&mut self.instances[index])
    }

    pub fn commit_delay(&mut self) -> u64 {
        self.weather.as_mut().map_or(COMMIT, Weather::commit_delay)
    }
}

pub fn group() -> GroupName {
    "features".parse().unwrap()
}
