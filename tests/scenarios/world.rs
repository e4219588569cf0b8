//! The world around the cores: instances, the network between, a log, and virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::{Duration, Instant};

use promoterd::decision::{
    Action, CommandFailure, ConnectFailure, Entry, Event, Fencing, FollowOrder, FollowOutcome,
    GroupPolicy, GuardOutcome, LinkId, OperationId, ProbeCommand, ProbeEvent, ProbeOrder,
    ProbeReport, Records, Request, Requester, RescueLimits, RescueOutcome, Rescued, Supervisor,
    WallClock, Wish,
};
use promoterd::model::{Endpoint, GroupName, Life, PingReply, UnixTime, WriteLimits};

use crate::instance::{Instance, Process, endpoint};
use crate::log::Log;
use crate::transcript;

/// One way through the network, in microseconds.
const ONE_WAY: u64 = 200;
/// From a proposal to its commit at the leader: a round trip and a write to disk.
const COMMIT: u64 = 500;
/// Rewriting the clients' files of one host.
const REWRITE: u64 = 2000;
/// How long a copy of an instance's data takes.
const RESCUE: u64 = 40_000;
const CONNECT_TIMEOUT: u64 = 1_000_000;
/// Long enough for a group to be registered and all processes to be watched.
const WARM_UP: u64 = 3_000_000;
/// A core that wants to be woken more often than this at one moment never rests.
const WAKES_MAX: usize = 20;

struct Node {
    name: String,
    supervisor: Supervisor,
    beside: Option<String>,
    is_paused: bool,
    missed: Vec<Event>,
    reported: Option<String>,
    wakes: (u64, usize),
}

struct Connection {
    node: usize,
    link: LinkId,
    instance: String,
    life: u8,
    watched: bool,
}

enum Occurrence {
    Line(String),
    Deliver(usize, Event),
    Arrive(usize, ProbeOrder),
    ArriveFollow(usize, FollowOrder),
    Commit(Entry),
    /// A hold may be over.
    GoOn(String),
    /// So much of a history reaches a replica.
    Stream(String, u8, u64),
}

pub struct World {
    start: Instant,
    /// Microseconds since the start, and those at which the script begins.
    now: u64,
    origin: u64,
    queue: BTreeMap<(u64, u64), Occurrence>,
    sequence: u64,
    nodes: Vec<Node>,
    instances: Vec<Instance>,
    connections: Vec<Connection>,
    /// Orders that are stuck in the network or in a hung process.
    stuck: Vec<(usize, ProbeOrder)>,
    cut: BTreeSet<(String, String)>,
    rejected: BTreeSet<(String, String)>,
    log: Log,
    lives: u8,
    /// Bytes of clients' writes that were acknowledged.
    acknowledged: u64,
    shows_probes: bool,
    transcript: String,
}

impl World {
    /// Plays a script to its end and returns what came of it.
    pub fn play(script: &str) -> String {
        let lines: Vec<&str> = script
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
            .collect();
        let mut world = Self::new(&lines);
        world.run_until(world.origin);
        world.transcript.clear();
        for line in &lines {
            if let Some(rest) = line.strip_prefix("at ") {
                let (at, command) = rest.split_once(' ').unwrap();
                let at = (at.parse::<f64>().unwrap() * 1000.0) as u64;
                world.push(world.origin + at, Occurrence::Line(command.to_owned()));
            }
        }
        let end = world.queue.iter().rev().find_map(|((at, _), occurrence)| {
            matches!(occurrence, Occurrence::Line(_)).then_some(*at)
        });
        world.run_until(end.unwrap() + 1);
        world.transcript
    }

    fn new(lines: &[&str]) -> Self {
        let header = |word: &str| {
            let found = lines.iter().filter_map(|line| line.strip_prefix(word));
            found.map(str::trim).collect::<Vec<_>>()
        };
        let start = Instant::now();
        let beside: BTreeMap<&str, &str> = header("beside ")
            .into_iter()
            .map(|pair| pair.split_once(' ').unwrap())
            .collect();
        let names = header("nodes ")[0];
        let is_guarded = lines.contains(&"guarded");
        let rescues = lines.contains(&"rescues");
        let quorum = names.split(' ').count() / 2 + 1;
        let odd: BTreeSet<&str> = header("settings ").into_iter().collect();
        let policy = |name: &str| GroupPolicy {
            take_over: odd.contains(name),
            ..policy(quorum, is_guarded, rescues)
        };
        let node = |name: &str| Node {
            name: name.to_owned(),
            supervisor: Supervisor::new(
                name.parse().unwrap(),
                [(group(), policy(name))].into(),
                Records::default(),
                WallClock {
                    at: start,
                    time: UnixTime(0),
                },
            )
            .among(
                names
                    .split(' ')
                    .filter(|other| *other != name)
                    .map(|other| other.parse().unwrap()),
            ),
            beside: beside.get(name).map(|name| (*name).to_owned()),
            is_paused: false,
            missed: Vec::new(),
            reported: None,
            wakes: (0, 0),
        };
        let is_cold = lines.contains(&"cold");
        let mut world = Self {
            start,
            now: 0,
            origin: if is_cold { 0 } else { WARM_UP },
            queue: BTreeMap::new(),
            sequence: 0,
            nodes: names.split(' ').map(node).collect(),
            instances: vec![
                Instance::new("a", 1, None),
                Instance::new("b", 2, Some("a")),
                Instance::new("c", 3, Some("a")),
            ],
            connections: Vec::new(),
            stuck: Vec::new(),
            cut: BTreeSet::new(),
            rejected: BTreeSet::new(),
            log: Log::default(),
            lives: 3,
            acknowledged: 0,
            shows_probes: false,
            transcript: String::new(),
        };
        for node in 0..world.nodes.len() {
            world.push(0, Occurrence::Deliver(node, Event::Confirmed));
        }
        world.push(0, Occurrence::Line(format!("lead {}", world.nodes[0].name)));
        world
    }

    fn moment(&self) -> Instant {
        self.start + Duration::from_micros(self.now)
    }

    fn push(&mut self, at: u64, occurrence: Occurrence) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), occurrence);
    }

    fn deliver(&mut self, node: usize, after: u64, event: Event) {
        self.push(self.now + after, Occurrence::Deliver(node, event));
    }

    fn note(&mut self, who: &str, text: &str) {
        let at = (self.now as f64 - self.origin as f64) / 1000.0;
        writeln!(self.transcript, "{at:>8.1}  {who:<4}{text}").unwrap();
    }

    fn run_until(&mut self, end: u64) {
        loop {
            let queued = self.queue.keys().next().map(|(at, _)| *at);
            let woken = (0..self.nodes.len())
                .filter(|node| !self.nodes[*node].is_paused)
                .filter_map(|node| Some((self.wake_at(node)?, node)))
                .min();
            let next = queued.into_iter().chain(woken.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|next| *next < end) else {
                self.now = end;
                return;
            };
            self.now = next;
            match woken.filter(|(at, _)| queued.is_none_or(|queued| *at < queued)) {
                Some((_, node)) => {
                    self.count_wake(node);
                    self.handle(node, Event::DeadlineReached);
                }
                None => {
                    let (_, occurrence) = self.queue.pop_first().unwrap();
                    self.occur(occurrence);
                }
            }
        }
    }

    fn wake_at(&self, node: usize) -> Option<u64> {
        let deadline = self.nodes[node].supervisor.next_deadline()?;
        let after = deadline.at.saturating_duration_since(self.start);
        let at = u64::try_from(after.as_nanos().div_ceil(1000)).unwrap();
        Some(at.max(self.now))
    }

    fn count_wake(&mut self, node: usize) {
        let now = self.now;
        let node = &mut self.nodes[node];
        node.wakes = match node.wakes {
            (at, count) if at == now => (at, count + 1),
            _ => (now, 1),
        };
        let deadline = node.supervisor.next_deadline();
        assert!(
            node.wakes.1 < WAKES_MAX,
            "{} never rests: {deadline:?}",
            node.name
        );
    }

    fn occur(&mut self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::Line(line) => self.obey(&line),
            Occurrence::Deliver(node, event) => self.handle(node, event),
            Occurrence::Arrive(node, order) => self.arrive(node, order),
            Occurrence::ArriveFollow(node, order) => self.arrive_follow(node, order),
            Occurrence::Commit(entry) => self.commit(entry),
            Occurrence::GoOn(name) => self.go_on(&name),
            Occurrence::Stream(name, history, offset) => self.stream(&name, history, offset),
        }
    }

    fn handle(&mut self, node: usize, event: Event) {
        let now = self.moment();
        if self.nodes[node].is_paused {
            self.nodes[node].missed.push(event);
            return;
        }
        if let Event::PeerReported { peer, .. } = &event {
            let peer = peer.clone();
            self.nodes[node].supervisor.hear(&peer, now);
        }
        for action in self.nodes[node].supervisor.handle(event, now) {
            self.carry_out(node, action);
        }
    }

    fn carry_out(&mut self, node: usize, action: Action) {
        let text = transcript::action(&action, self.shows_probes);
        let is_repeated = matches!(action, Action::Report(_)) && {
            let repeated = self.nodes[node].reported == text;
            self.nodes[node].reported.clone_from(&text);
            repeated
        };
        if let Some(text) = text.filter(|_| !is_repeated) {
            let name = self.nodes[node].name.clone();
            self.note(&name, &text);
        }
        let is_leading = self.nodes[node].supervisor.is_leading();
        let after = self.now + ONE_WAY;
        match action {
            Action::Probe(order) => self.push(after, Occurrence::Arrive(node, order)),
            Action::Follow(order) => {
                assert!(is_leading, "only the leader repairs");
                self.push(after, Occurrence::ArriveFollow(node, order));
            }
            Action::Guard(order) => {
                assert!(is_leading, "only the leader guards");
                let result = Ok(());
                self.deliver(
                    node,
                    2 * ONE_WAY,
                    Event::Guarded(GuardOutcome { order, result }),
                );
            }
            Action::Rescue(order) => {
                let saved = Rescued {
                    path: "features-2.rdb".to_owned(),
                    bytes: 1,
                };
                let result = match self.instance(order.endpoint.host()) {
                    Some(instance) if instance.denies_sync => Err("it refuses SYNC".to_owned()),
                    Some(_) | None => Ok(saved),
                };
                self.deliver(
                    node,
                    RESCUE,
                    Event::Rescued(RescueOutcome { order, result }),
                );
            }
            Action::Propose(entry) => {
                assert!(is_leading, "only the leader proposes");
                self.propose(node, entry);
            }
            Action::Report(report) => {
                let peer: promoterd::model::NodeId = self.nodes[node].name.parse().unwrap();
                for other in (0..self.nodes.len()).filter(|other| *other != node) {
                    let event = Event::PeerReported {
                        peer: peer.clone(),
                        life: Life(1),
                        report: report.clone(),
                    };
                    if !self.is_cut(node, &self.nodes[other].name) {
                        self.deliver(other, ONE_WAY, event);
                    }
                }
            }
            Action::Publish { group, epoch, .. } => {
                self.deliver(node, REWRITE, Event::FilesRewritten { group, epoch });
            }
            Action::Forward(request) => {
                if let Some(leader) = self.log.leader
                    && !self.is_cut(node, &self.nodes[leader].name)
                {
                    self.deliver(leader, ONE_WAY, Event::Forwarded(request));
                }
            }
            Action::Announce(_) | Action::Answer(_) => {}
        }
    }

    fn propose(&mut self, node: usize, entry: Entry) {
        if self.log.leader != Some(node) {
            let refused = Event::ProposalRefused(entry.group().clone());
            self.deliver(node, 0, refused);
        } else if self.log.is_frozen {
            self.log.held.push(entry);
        } else {
            self.push(self.now + COMMIT, Occurrence::Commit(entry));
        }
    }

    fn commit(&mut self, entry: Entry) {
        let entry = Entry::decode(&entry.encode()).unwrap();
        self.note("log", &transcript::entry(&entry));
        self.log.note(&entry);
        for node in 0..self.nodes.len() {
            let after = if self.log.leader == Some(node) {
                0
            } else {
                ONE_WAY
            };
            self.deliver(node, after, Event::Committed(entry.clone()));
        }
    }

    fn is_cut(&self, node: usize, other: &str) -> bool {
        let name = &self.nodes[node].name;
        let pair = |left: &str, right: &str| (left.to_owned(), right.to_owned());
        self.cut.contains(&pair(name, other)) || self.cut.contains(&pair(other, name))
    }

    fn instance(&mut self, name: &str) -> Option<&mut Instance> {
        self.instances
            .iter_mut()
            .find(|instance| instance.name == name)
    }

    fn arrive(&mut self, node: usize, order: ProbeOrder) {
        let name = order.endpoint.host().to_owned();
        if order.command == ProbeCommand::Connect {
            return self.connect(node, &order, &name);
        }
        let connection = self
            .connections
            .iter()
            .position(|connection| connection.node == node && connection.link == order.link);
        let Some(index) = connection else { return };
        if order.command == ProbeCommand::Disconnect {
            self.connections.remove(index);
            return;
        }
        if let ProbeCommand::WatchProcess(_) = order.command {
            self.connections[index].watched = true;
            return;
        }
        let life = self.connections[index].life;
        let is_cut = self.is_cut(node, &name);
        let instance = self.instance(&name).unwrap();
        match instance.process {
            Process::Running if instance.life == life && !is_cut => self.answer(node, order, &name),
            Process::Running | Process::Hung | Process::Dead => self.stuck.push((node, order)),
        }
    }

    fn connect(&mut self, node: usize, order: &ProbeOrder, name: &str) {
        let is_cut = self.is_cut(node, name);
        let is_rejected = self
            .rejected
            .contains(&(self.nodes[node].name.clone(), name.to_owned()));
        let beside = self.nodes[node].beside.as_deref() == Some(name);
        let found = self
            .instance(name)
            .map(|instance| (instance.process, instance.life));
        let failed = ProbeReport::ConnectFailed;
        let (after, report) = match found {
            None => (
                ONE_WAY,
                failed(ConnectFailure::Unreachable("no such host".to_owned())),
            ),
            Some(_) if is_cut => (CONNECT_TIMEOUT, failed(ConnectFailure::TimedOut)),
            Some(_) if is_rejected => (ONE_WAY, failed(ConnectFailure::Refused)),
            Some((Process::Dead, _)) => (ONE_WAY, failed(ConnectFailure::Refused)),
            Some((Process::Running | Process::Hung, life)) => {
                self.connections.push(Connection {
                    node,
                    link: order.link,
                    instance: name.to_owned(),
                    life,
                    watched: false,
                });
                (ONE_WAY, ProbeReport::Connected { same_host: beside })
            }
        };
        self.reply(node, &order.endpoint, order.link, after, report);
    }

    fn reply(
        &mut self,
        node: usize,
        endpoint: &Endpoint,
        link: LinkId,
        after: u64,
        report: ProbeReport,
    ) {
        let event = ProbeEvent {
            endpoint: endpoint.clone(),
            link,
            report,
        };
        self.deliver(node, after, Event::Probed(event));
    }

    fn answer(&mut self, node: usize, order: ProbeOrder, name: &str) {
        let sent_at = self.moment() - Duration::from_micros(ONE_WAY);
        let report = match order.command {
            ProbeCommand::Ping => ProbeReport::PingReplied {
                sent_at,
                reply: PingReply::Pong,
            },
            ProbeCommand::AskInfo => {
                let all = self.instances.clone();
                let instance = self.instance(name).unwrap();
                let result = if instance.denies_info {
                    Err(CommandFailure::Denied("NOPERM".to_owned()))
                } else {
                    Ok(instance.info(&all))
                };
                ProbeReport::InfoReplied { sent_at, result }
            }
            ProbeCommand::CountSentinels => ProbeReport::SentinelsCounted {
                sent_at,
                result: Ok(self.instance(name).unwrap().sentinels),
            },
            ProbeCommand::Promote(promotion) => {
                let permitted = self.log.candidate(promotion.epoch());
                let permitted = permitted.expect("nobody is promoted without a committed begin");
                assert_eq!(permitted.endpoint.host(), name, "one candidate an epoch");
                self.lives += 1;
                let history = self.lives;
                let instance = self.instance(name).unwrap();
                let denied = CommandFailure::Denied("NOPERM".to_owned());
                let result = if instance.loads {
                    Err(CommandFailure::Loading)
                } else if instance.denies_promotion {
                    Err(denied)
                } else {
                    instance.promote(history);
                    Ok(())
                };
                if std::mem::take(&mut instance.loses_promotion) {
                    return self.close(name, Some(node), false);
                }
                ProbeReport::PromoteReplied {
                    epoch: promotion.epoch(),
                    result,
                }
            }
            ProbeCommand::AskLimits => {
                let instance = self.instance(name).unwrap();
                let result = instance.config().map(|()| instance.limits);
                ProbeReport::LimitsReplied { sent_at, result }
            }
            ProbeCommand::SetLimits(limits) => {
                let instance = self.instance(name).unwrap();
                let result = instance
                    .config()
                    .map(|()| std::mem::replace(&mut instance.limits, limits));
                ProbeReport::LimitsSet {
                    sent_at,
                    limits,
                    result,
                }
            }
            ProbeCommand::HoldWrites(lasts) => {
                let lasts = u64::try_from(lasts.as_micros()).unwrap();
                let (now, all) = (self.now, self.instances.clone());
                self.push(now + lasts, Occurrence::GoOn(name.to_owned()));
                let instance = self.instance(name).unwrap();
                let result = match instance.holds_nothing {
                    true => Err(CommandFailure::Refused("ERR syntax error".to_owned())),
                    false => {
                        instance.held_until = instance.held_until.max(now + lasts);
                        Ok(instance.info(&all))
                    }
                };
                ProbeReport::WritesHeld { sent_at, result }
            }
            ProbeCommand::ReleaseWrites => {
                self.instance(name).unwrap().held_until = 0;
                self.go_on(name);
                ProbeReport::WritesReleased { result: Ok(()) }
            }
            ProbeCommand::Connect | ProbeCommand::Disconnect | ProbeCommand::WatchProcess(_) => {
                return;
            }
        };
        self.reply(node, &order.endpoint, order.link, ONE_WAY, report);
    }

    fn arrive_follow(&mut self, node: usize, order: FollowOrder) {
        let name = order.endpoint.host().to_owned();
        let source = self.instance(order.master.host()).cloned();
        let instance = self.instance(&name).unwrap();
        let result = if instance.process != Process::Running {
            Err(CommandFailure::Lost("connection refused".to_owned()))
        } else if instance.run_id() != order.run_id {
            Err(CommandFailure::OtherProcess(instance.run_id()))
        } else if instance.loads {
            Err(CommandFailure::Loading)
        } else if instance.denies_following {
            Err(CommandFailure::Denied("NOPERM".to_owned()))
        } else {
            instance.follow(order.master.host(), source.as_ref());
            if order.demotes {
                // Its clients' connections are closed.
                instance.waiting.clear();
            }
            if let Some(limits) = order.restores.filter(|_| instance.limits.is_fence()) {
                instance.limits = limits;
            }
            Ok(())
        };
        self.deliver(
            node,
            ONE_WAY,
            Event::Followed(FollowOutcome { order, result }),
        );
    }

    /// Closes the connections to an instance, of one node or all, and tells who watches its process.
    fn close(&mut self, name: &str, only: Option<usize>, exits: bool) {
        let closes = |connection: &Connection| {
            connection.instance == name && only.is_none_or(|node| node == connection.node)
        };
        let (closed, kept) = std::mem::take(&mut self.connections)
            .into_iter()
            .partition(closes);
        self.connections = kept;
        let closed: Vec<Connection> = closed;
        for connection in closed {
            let (node, link) = (connection.node, connection.link);
            let reason = ProbeReport::Closed("end of stream".to_owned());
            self.reply(node, &endpoint(name), link, ONE_WAY, reason);
            if exits && connection.watched {
                let exited = ProbeReport::ProcessExited;
                self.reply(node, &endpoint(name), link, ONE_WAY + 100, exited);
            }
        }
        self.stuck.retain(|(node, order)| {
            order.endpoint.host() != name || only.is_some_and(|only| only != *node)
        });
    }

    /// What was stuck comes through, as far as nothing holds it up any more.
    fn release(&mut self) {
        for (node, order) in std::mem::take(&mut self.stuck) {
            self.push(self.now, Occurrence::Arrive(node, order));
        }
    }

    fn node(&self, name: &str) -> usize {
        let found = self.nodes.iter().position(|node| node.name == name);
        found.unwrap_or_else(|| panic!("there is no node {name}"))
    }

    fn obey(&mut self, line: &str) {
        self.note("--", line);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["show"] => self.show(),
            ["end"] => {}
            ["probes", word] => self.shows_probes = word == "on",
            ["kill", name] => {
                let instance = self.instance(name).unwrap();
                instance.process = Process::Dead;
                instance.waiting.clear();
                self.close(name, None, true);
            }
            ["client", name, bytes] => self.client_writes(name, bytes.parse().unwrap()),
            ["slow", name, milliseconds] => {
                let takes = milliseconds.parse::<f64>().unwrap() * 1000.0;
                self.instance(name).unwrap().stream_takes = takes as u64;
            }
            ["deny", "hold", name] => self.instance(name).unwrap().holds_nothing = true,
            ["hang", name] => self.instance(name).unwrap().process = Process::Hung,
            ["resume", name] => {
                self.instance(name).unwrap().process = Process::Running;
                self.release();
            }
            ["restart", name, how] => {
                self.close(name, None, true);
                self.lives += 1;
                let life = self.lives;
                self.instance(name).unwrap().restart(how, life, life);
            }
            ["load", name] => self.instance(name).unwrap().loads = true,
            ["writes", name, bytes] => self.write(name, bytes.parse().unwrap()),
            ["sentinels", count] => {
                for instance in &mut self.instances {
                    instance.sentinels = count.parse().unwrap();
                }
            }
            ["lag", name] => self.instance(name).unwrap().lags = true,
            ["deny", "promote", name] => self.instance(name).unwrap().denies_promotion = true,
            ["deny", "follow", name] => self.instance(name).unwrap().denies_following = true,
            ["deny", "info", name] => self.instance(name).unwrap().denies_info = true,
            ["deny", "sync", name] => self.instance(name).unwrap().denies_sync = true,
            ["deny", "config", name] => self.instance(name).unwrap().denies_config = true,
            ["limit", name, number] => {
                let limits = WriteLimits {
                    replicas_min: number.parse().unwrap(),
                    lag_max_s: 10,
                };
                let instance = self.instance(name).unwrap();
                (instance.limits, instance.configured_limits) = (limits, limits);
            }
            ["fence", name] => self.instance(name).unwrap().limits = WriteLimits::FENCE,
            ["lose", "promote", name] => self.instance(name).unwrap().loses_promotion = true,
            ["heed", name] => {
                let instance = self.instance(name).unwrap();
                instance.denies_promotion = false;
                instance.denies_following = false;
                instance.denies_info = false;
                instance.denies_config = false;
                instance.loads = false;
            }
            ["priority", name, number] => {
                self.instance(name).unwrap().priority = number.parse().unwrap();
            }
            ["replicaof", name, "none"] => {
                self.lives += 1;
                let history = self.lives;
                self.instance(name).unwrap().promote(history);
            }
            ["replicaof", name, master] => {
                let source = self.instance(master).cloned();
                self.instance(name).unwrap().follow(master, source.as_ref());
            }
            ["cut", left, right] => {
                self.cut.insert((left.to_owned(), right.to_owned()));
            }
            ["reject", node, name] => {
                self.rejected.insert((node.to_owned(), name.to_owned()));
                self.close(name, Some(self.node(node)), false);
            }
            ["heal", left, right] => {
                let pair = (left.to_owned(), right.to_owned());
                self.cut.remove(&pair);
                self.rejected.remove(&pair);
                self.release();
            }
            ["ask", node, ref wish @ ..] => self.ask(self.node(node), wish),
            ["lead", name] => self.lead(self.node(name)),
            ["freeze", "log"] => self.log.is_frozen = true,
            ["drop", "log"] => self.log.held.clear(),
            ["thaw", "log"] => {
                self.log.is_frozen = false;
                for entry in std::mem::take(&mut self.log.held) {
                    self.push(self.now, Occurrence::Commit(entry));
                }
            }
            ["pause", name] => {
                let node = self.node(name);
                self.nodes[node].is_paused = true;
            }
            ["wake", name] => {
                let node = self.node(name);
                self.nodes[node].is_paused = false;
                for event in std::mem::take(&mut self.nodes[node].missed) {
                    self.deliver(node, 0, event);
                }
            }
            _ => panic!("what is \"{line}\"?"),
        }
    }

    /// A client writes: it waits while writes are held, and is refused where none are taken.
    fn client_writes(&mut self, name: &str, bytes: u64) {
        let now = self.now;
        let instance = self.instance(name).unwrap();
        if instance.process == Process::Dead {
            return;
        }
        if now < instance.held_until {
            instance.waiting.push(bytes);
        } else if instance.takes_writes() {
            instance.offset += bytes;
            self.acknowledged += bytes;
            self.feed(name);
        }
    }

    /// What waited is carried out, or refused.
    fn go_on(&mut self, name: &str) {
        let now = self.now;
        let instance = self.instance(name).unwrap();
        if now < instance.held_until {
            return;
        }
        for bytes in std::mem::take(&mut instance.waiting) {
            self.client_writes(name, bytes);
        }
    }

    fn feed(&mut self, name: &str) {
        let source = self.instance(name).unwrap().clone();
        let follows = |instance: &&Instance| instance.follows.as_deref() == Some(name);
        let fed: Vec<(String, u64)> = self
            .instances
            .iter()
            .filter(follows)
            .map(|replica| (replica.name.clone(), replica.stream_takes))
            .collect();
        for (replica, takes) in fed {
            let stream = Occurrence::Stream(replica, source.history, source.offset);
            self.push(self.now + takes, stream);
        }
    }

    fn stream(&mut self, name: &str, history: u8, offset: u64) {
        let replica = self.instance(name).unwrap();
        let is_fed = replica.follows.is_some()
            && replica.history == history
            && replica.process == Process::Running
            && !replica.lags;
        if is_fed {
            replica.offset = replica.offset.max(offset);
        }
    }

    fn write(&mut self, name: &str, bytes: u64) {
        let source = self.instance(name).unwrap();
        source.offset += bytes;
        let source = source.clone();
        for replica in &mut self.instances {
            let is_fed = replica.follows.as_deref() == Some(name)
                && replica.history == source.history
                && replica.process == Process::Running
                && !replica.lags;
            if is_fed {
                replica.offset = source.offset;
            }
        }
    }

    /// An administrator wants something by the status socket of a node.
    fn ask(&mut self, node: usize, words: &[&str]) {
        let (number, wish) = match *words {
            [number, "pause"] => (
                number,
                Wish::Pause {
                    lasts: None,
                    reason: None,
                },
            ),
            [number, "pause", span] => {
                let lasts = Some(Duration::from_millis(span.parse().unwrap()));
                (
                    number,
                    Wish::Pause {
                        lasts,
                        reason: None,
                    },
                )
            }
            [number, "resume"] => (number, Wish::Resume),
            [number, "switchover", ref to @ ..] => (
                number,
                Wish::Switchover {
                    to: to.first().map(|name| endpoint(name)),
                    within: Duration::from_secs(3),
                    reason: None,
                },
            ),
            [number, "adopt", name] => (
                number,
                Wish::Adopt {
                    master: endpoint(name),
                },
            ),
            _ => panic!("what is {words:?}?"),
        };
        let name: promoterd::model::NodeId = self.nodes[node].name.parse().unwrap();
        let request = Request {
            operation: OperationId(number.parse().unwrap()),
            by: Requester::new(0, Some("root".to_owned()), name),
            groups: [group()].into(),
            wish,
        };
        self.deliver(node, 0, Event::Requested(request));
    }

    fn lead(&mut self, node: usize) {
        let leadership = |leading| Event::LeadershipChanged { leading };
        let before = self.log.leader.replace(node);
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let after = if before == Some(other) { 0 } else { ONE_WAY };
            self.deliver(other, after, leadership(false));
        }
        // What is committed reaches it first.
        self.deliver(node, ONE_WAY + 1, leadership(true));
    }

    fn show(&mut self) {
        let now = self.moment();
        let lines: Vec<String> = self
            .nodes
            .iter()
            .map(|node| {
                let record = node.supervisor.records().get(&group());
                let overview = node.supervisor.groups()[&group()].overview(record, now);
                let decided = overview.decided.map(|decided| {
                    let (epoch, master) = (decided.epoch, decided.master);
                    format!(", epoch {epoch} of {}", master.host())
                });
                let phase = overview.phase.as_str();
                let paused = match record.and_then(|record| record.pause()) {
                    Some(_) => " (paused)",
                    None => "",
                };
                format!(
                    "{} {phase}{paused}{}",
                    node.name,
                    decided.unwrap_or_default()
                )
            })
            .collect();
        self.note("", &lines.join("; "));
        let instances: Vec<String> = self.instances.iter().map(Instance::describe).collect();
        self.note("", &instances.join("; "));
        if self.acknowledged > 0 {
            let text = format!("acknowledged {} bytes", self.acknowledged);
            self.note("", &text);
        }
    }
}

fn group() -> GroupName {
    "features".parse().unwrap()
}

fn policy(quorum: usize, guard: bool, rescue: bool) -> GroupPolicy {
    GroupPolicy {
        instances: ["a", "b", "c"].map(endpoint).into(),
        quorum,
        down_after: Duration::from_secs(1),
        gone_after: Duration::from_millis(20),
        exited: true,
        replica_veto_max: Duration::from_secs(3),
        promote_timeout: Duration::from_secs(2),
        parallel_syncs: 1,
        lag_max: None,
        cooldown: Duration::from_secs(10),
        failovers_max: 2,
        take_over: false,
        excluded: BTreeSet::new(),
        fencing: Fencing::Fast,
        isolation_after: Duration::from_secs(1),
        gone_loss_max: 1 << 20,
        guard,
        rescue,
        rescue_limits: RescueLimits {
            size_max: 1 << 30,
            lasts_max: Duration::from_secs(60),
        },
    }
}
