//! One daemon: the real [`Node`] on a simulated disk, with what the checks need to know of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use promoterd::clients::Publication;
use promoterd::consensus::{Batch, EngineSettings, LogEntry};
use promoterd::daemon::{Node, NodeAction, NodeEvent, Origin};
use promoterd::decision::{Event, GroupPolicy, Happening, WallClock};
use promoterd::model::{
    ClusterId, Endpoint, Epoch, GroupName, Incarnation, Life, LogIndex, NodeId, NodeRole, Replica,
};
use promoterd::peer::{Dismissal, PeerMessage};

use super::clock::Clock;
use super::disk::Disk;
use super::files::{Files, Kept};
use super::invariants::{Step, Violation};
use super::pipes::Micros;
use super::work::Work;
use super::world::{Happens, World};

/// Entries after which a simulated daemon compacts its log: a few, so that runs get there.
const COMPACT_AFTER: u64 = 12;
/// A daemon that failed is started again after so long, by its unit.
const RESTARTED_AFTER: Micros = 500_000;

/// One daemon and its host.
pub struct Host {
    pub id: NodeId,
    pub node: Option<Node>,
    /// Counts its processes.
    pub life: u64,
    pub incarnation: Life,
    pub clock: Clock,
    pub disk: Disk,
    /// The clients' files, their journal, and what the clients have read.
    pub kept: Kept,
    /// The daemon's thread for them; none on a witness.
    pub files: Option<Files>,
    /// When it was last told to look again.
    pub files_due: Option<Instant>,
    /// It was stopped in the middle of a step.
    pub files_held: bool,
    pub settings: EngineSettings,
    /// It does not run, and what comes to it waits.
    pub paused: bool,
    pub inbox: VecDeque<NodeEvent>,
    pub wake_number: u64,
    /// What its log holds, by what it handed out to be written.
    pub log: BTreeMap<LogIndex, LogEntry>,
    pub applied: LogIndex,
    /// What it last published of each group, in all its lives.
    pub published: BTreeMap<GroupName, (Epoch, Endpoint)>,
    /// What its fencer was told: which process lives until when.
    pub holds: BTreeMap<(usize, u64), Micros>,
    /// Until then its fencer takes no orders; it ends what it holds all the same.
    pub fencer_deaf_until: Micros,
    /// The same, and nobody hears that it does not.
    pub fencer_mute_until: Micros,
    /// Consecutive steps at one moment.
    pub busy: (Micros, u32),
    /// Consecutive deadlines after which it was due at once again.
    pub woken_in_vain: u32,
    /// Its state directory was emptied, and it has not rejoined since.
    pub is_emptied: bool,
    /// Its settings are not those of the others.
    pub differs: bool,
    /// What its settings say of the groups.
    pub settings_of_groups: BTreeMap<GroupName, GroupPolicy>,
    /// It was told to stop, and waits until then for another leader.
    pub stops_at: Option<Micros>,
    pub role: NodeRole,
    /// Until then its disk is slow.
    pub slow_disk_until: Micros,
}

impl Host {
    pub fn is_running(&self) -> bool {
        self.node.is_some() && !self.paused
    }

    /// Whether its daemon is the leader of the engine.
    pub fn leads(&self) -> bool {
        self.node.as_ref().is_some_and(Node::is_leader)
    }

    /// What its log holds once `batch` is written.
    fn take_in(&mut self, batch: &Batch) {
        let entries = match batch {
            Batch::Append { entries, .. } => {
                if let Some(first) = entries.first() {
                    self.log.split_off(&first.index);
                }
                entries
            }
            Batch::Replace { entries, .. } => {
                self.log.clear();
                entries
            }
            Batch::Begin(_) => {
                self.log.clear();
                return;
            }
        };
        let indexed = entries.iter().map(|entry| (entry.index, entry.clone()));
        self.log.extend(indexed);
    }
}

impl World {
    /// A daemon starts with what its disk holds.
    pub fn start_node(&mut self, node: usize) {
        if self.hosts[node].node.is_some() {
            return;
        }
        if self.hosts[node].disk.ailment.is_some() {
            // The log is written anew at the start, and that fails.
            self.note(|| format!("node {node} cannot start on its disk"));
            return self.later(RESTARTED_AFTER, Happens::Start { node });
        }
        let wall = WallClock {
            at: self.instant(node),
            time: self.hosts[node].clock.wall(self.now),
        };
        let policies = self.hosts[node].settings_of_groups.clone();
        let incarnation = Life(self.random.next());
        let origin = Origin {
            life: incarnation,
            cluster: ClusterId(self.random.next()),
        };
        let fresh = Incarnation(self.random.next());
        let host = &mut self.hosts[node];
        let recovered = match host.disk.recover(fresh) {
            Ok(recovered) => recovered,
            Err(error) => return self.fail(Violation::new("recovery", error.to_string())),
        };
        if recovered.torn_length > 0 {
            self.tally.torn_tails += 1;
        }
        host.log = recovered
            .entries
            .iter()
            .map(|entry| (entry.index, entry.clone()))
            .collect();
        host.life += 1;
        host.incarnation = incarnation;
        host.applied = recovered
            .snapshot
            .as_ref()
            .map_or(LogIndex(0), |snapshot| snapshot.position.index);
        let started = Node::new(host.settings.clone(), policies, recovered, origin, wall);
        match started {
            Ok(started) => {
                let started = started.compacting_after(COMPACT_AFTER);
                host.node = Some(started.with_role(host.role));
            }
            Err(error) => return self.fail(Violation::new("start", error.to_string())),
        }
        self.oracle.node_started(node);
        self.start_files(node);
        self.note(|| format!("node {node} starts"));
        self.tell(node, NodeEvent::Core(Event::DeadlineReached));
        for other in 0..self.hosts.len() {
            if other != node {
                let delay = self.random.below(20_000);
                let (one, other) = (node.min(other), node.max(other));
                self.later(delay, Happens::Dial { one, other });
            }
        }
    }

    /// Power fails, or the process is killed: what was not synced may be lost.
    pub fn crash_node(&mut self, node: usize) {
        let Some(running) = self.hosts[node].node.take() else {
            return;
        };
        self.tally.hear_transitions(running.supervisor());
        let host = &mut self.hosts[node];
        host.disk.crash(&mut self.random);
        self.note(|| format!("node {node} crashes"));
        self.forget_node(node);
    }

    /// The process ends in good order: what it has to write is written.
    pub fn end_node(&mut self, node: usize) {
        let Some(running) = self.hosts[node].node.take() else {
            return;
        };
        self.tally.hear_transitions(running.supervisor());
        // It ends all the same where its disk refuses.
        let written = self.hosts[node].disk.finish(&mut self.random);
        self.note(|| format!("node {node} ends: {written:?}"));
        self.forget_node(node);
    }

    /// Its disk refused: it ends with the reason, and is started again (`RestartSec=`).
    fn fail_node(&mut self, node: usize) {
        self.note(|| format!("node {node} ends: its log cannot be written"));
        self.tally.failed_writes += 1;
        if let Some(running) = self.hosts[node].node.take() {
            self.tally.hear_transitions(running.supervisor());
        }
        self.forget_node(node);
        self.later(RESTARTED_AFTER, Happens::Start { node });
    }

    fn forget_node(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        host.paused = false;
        host.stops_at = None;
        host.inbox.clear();
        self.end_files(node);
        self.drop_sessions_of(node);
        self.drop_connections_of(node);
    }

    pub fn resume_node(&mut self, node: usize) {
        if !std::mem::take(&mut self.hosts[node].paused) {
            return;
        }
        self.note(|| format!("node {node} goes on"));
        let waiting = std::mem::take(&mut self.hosts[node].inbox);
        for event in waiting {
            self.tell(node, event);
        }
        self.arm(node);
        self.resume_files(node);
    }

    pub fn wake(&mut self, node: usize, number: u64) {
        let host = &self.hosts[node];
        if host.wake_number == number && host.is_running() {
            self.tell(node, NodeEvent::Core(Event::DeadlineReached));
        }
    }

    pub fn on_written(&mut self, node: usize, life: u64) {
        let host = &mut self.hosts[node];
        if host.life != life || !host.disk.is_writing() {
            return;
        }
        if host.disk.finish(&mut self.random).is_err() {
            return self.fail_node(node);
        }
        self.note(|| format!("node {node} has written"));
        self.tell(node, NodeEvent::Persisted);
    }

    /// Hands a daemon an event and carries out what it wants.
    pub fn tell(&mut self, node: usize, event: NodeEvent) {
        let now = self.instant(node);
        let host = &mut self.hosts[node];
        if host.paused {
            host.inbox.push_back(event);
            return;
        }
        let Some(running) = &mut host.node else {
            return;
        };
        let was_deadline = matches!(event, NodeEvent::Core(Event::DeadlineReached));
        match running.handle(event, now) {
            Ok(actions) => self.after_turn(node, was_deadline, actions),
            Err(error) => self.fail(Violation::new("node", error.to_string())),
        }
        self.stop_if_deposed(node);
    }

    /// A leader that is to stop hands leadership to a peer.
    pub fn hand_over(&mut self, node: usize, peer: &NodeId) {
        let now = self.instant(node);
        let Some(running) = &mut self.hosts[node].node else {
            return;
        };
        match running.hand_over(peer, now) {
            Ok(actions) => self.after_turn(node, false, actions),
            Err(error) => self.fail(Violation::new("node", error.to_string())),
        }
    }

    /// Checks what a turn of a daemon came to, and carries it out.
    fn after_turn(&mut self, node: usize, was_deadline: bool, actions: Vec<NodeAction>) {
        let step = Step {
            node,
            was_deadline,
            actions: &actions,
        };
        if let Err(violation) = super::invariants::check(self, &step) {
            return self.fail(violation);
        }
        self.note_voter(node);
        self.show_observers(node, &actions);
        for action in actions {
            self.carry_out(node, action);
        }
        self.arm(node);
    }

    /// An emptied daemon that has become a voter again may be told from the others no more.
    fn note_voter(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let is_voter = host
            .node
            .as_ref()
            .is_some_and(|node| node.waiting().is_none());
        if is_voter && std::mem::take(&mut host.is_emptied) {
            self.tally.rejoined += 1;
            self.note(|| format!("node {node} is a voter again"));
        }
    }

    /// Somebody removes a daemon's state directory. What a majority holds must stay.
    pub fn empty_node(&mut self, node: usize) {
        let emptied = self.hosts.iter().enumerate();
        let emptied = emptied.filter(|(other, host)| *other == node || host.is_emptied);
        if emptied.count() > (self.hosts.len() - 1) / 2 {
            return;
        }
        self.crash_node(node);
        self.note(|| format!("node {node} loses its state directory"));
        self.hosts[node].disk.wipe();
        self.hosts[node].kept.wipe();
        self.hosts[node].is_emptied = true;
        self.tally.emptied += 1;
        let lasts = 1_000 + self.random.below(400_000);
        self.later(lasts, Happens::Start { node });
    }

    fn arm(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        host.wake_number += 1;
        let number = host.wake_number;
        let deadline = host.node.as_ref().and_then(Node::next_deadline);
        if let Some(deadline) = deadline {
            let at = self.micros(node, deadline.at);
            self.at(at, Happens::Wake { node, number });
        }
    }

    fn carry_out(&mut self, node: usize, action: NodeAction) {
        match action {
            NodeAction::Probe(order) => self.probe(node, order),
            NodeAction::Hold(order) => self.order_hold(node, order),
            NodeAction::Follow(order) => self.order_work(node, Work::Follow(order)),
            NodeAction::Guard(order) => self.order_work(node, Work::Guard(order)),
            NodeAction::Rescue(order) => self.order_work(node, Work::Rescue(order)),
            NodeAction::Send(peer, message) => self.send(node, &peer, &message),
            NodeAction::Persist(batch) => self.persist(node, batch),
            NodeAction::Publish {
                group,
                epoch,
                master,
                replicas,
            } => {
                self.note(|| format!("node {node} publishes {group} {epoch} {master}"));
                let said = (epoch, master.clone());
                self.hosts[node].published.insert(group.clone(), said);
                let publication = Publication {
                    group,
                    epoch,
                    master,
                    replicas: replicas.into_iter().map(Replica::unknown).collect(),
                };
                self.publish(node, publication);
            }
            NodeAction::Answer(operation) => {
                self.tally.operations += 1;
                self.note(|| format!("node {node} answers {operation}"));
            }
            NodeAction::Announce(happening) => {
                self.tally.hear(&happening);
                self.note_loss(&happening);
                self.note(|| format!("node {node}: {happening:?}"));
            }
            NodeAction::Belong(cluster) => {
                self.note(|| format!("node {node} belongs to {cluster}"));
            }
            NodeAction::Leave(why) => self.leave(node, why),
        }
    }

    fn note_loss(&mut self, happening: &Happening) {
        if let Happening::DataLost { master, .. } = happening
            && let Some(index) = self.server_at(master)
        {
            let life = self.servers[index].life;
            self.oracle.losses_accepted.insert((index, life));
        }
    }

    /// Its disk is older than what others know of it: it starts again with an empty one.
    fn leave(&mut self, node: usize, why: Dismissal) {
        if why == Dismissal::Superseded {
            return self.fail(Violation::new("seat", format!("node {node} is superseded")));
        }
        self.crash_node(node);
        self.hosts[node].disk.wipe();
        self.later(1_000, Happens::Start { node });
    }

    fn persist(&mut self, node: usize, batch: Batch) {
        let longest = if self.random.below(10) == 0 {
            5_000
        } else {
            500
        };
        let fast = 50 + self.random.below(longest);
        let slow = 20_000 + self.random.below(400_000);
        let host = &mut self.hosts[node];
        let replaces = matches!(batch, Batch::Replace { .. });
        let appends = matches!(batch, Batch::Append { .. });
        if replaces {
            self.tally.snapshots += 1;
        }
        host.take_in(&batch);
        self.transcript
            .note(self.now, || format!("node {node} writes {batch:?}"));
        host.disk.start(batch);
        if appends {
            self.on_appending(node);
        }
        let host = &self.hosts[node];
        let life = host.life;
        let lasts = if host.slow_disk_until > self.now {
            slow
        } else {
            fast
        };
        if replaces {
            self.on_replacing(node, lasts);
        }
        self.later(lasts, Happens::Written { node, life });
    }

    fn send(&mut self, node: usize, peer: &NodeId, message: &PeerMessage) {
        let to = self.hosts.iter().position(|host| host.id == *peer);
        let Some(to) = to else {
            return self.fail(Violation::new("send", format!("{peer} is no node")));
        };
        let bytes = message.encode();
        self.transcript.mix_bytes(&bytes);
        self.send_bytes(node, to, bytes);
    }
}
