//! One daemon of a script: the real core, and what comes to it.

use promoterd::decision::{Event, GroupPolicy, Supervisor};
use promoterd::model::NodeId;
use std::time::Duration;

use crate::header::Header;
use crate::world::{ONE_WAY, Occurrence, World, group};

pub struct Node {
    pub name: String,
    pub id: NodeId,
    pub supervisor: Supervisor,
    pub policy: GroupPolicy,
    /// What the others have.
    pub usual: GroupPolicy,
    pub beside: Option<String>,
    /// What the fencer beside it holds: an instance, its life, and until when it lives.
    pub holds: Vec<(String, u8, u64)>,
    /// Counts its processes.
    pub life: u64,
    pub is_dead: bool,
    pub is_paused: bool,
    pub paused_at: u64,
    /// Its host sleeps, and its clock stands still; how long that has lasted in all.
    pub is_asleep: bool,
    pub slept: u64,
    pub missed: Vec<Event>,
    /// Whether it was told that it leads, and not yet that it no longer does.
    pub leads: bool,
    /// How many entries came to it, and when the last of them did.
    pub applied: usize,
    pub apply_at: u64,
    /// Once it has applied so many entries its state is current.
    confirm_at: Option<usize>,
    pub reported: Option<String>,
    pub wakes: (u64, usize),
}

impl World {
    pub fn add_nodes(&mut self, header: &Header<'_>) {
        for name in &header.nodes {
            let quorum = header.nodes.len() / 2 + 1;
            let usual = header.policy(quorum);
            let mut policy = usual.clone();
            if header.odd.contains(name) {
                policy.take_over = true;
            }
            if header.odd.contains(name) && self.weather.is_some() {
                // No two make the same mistake.
                policy.down_after += Duration::from_millis(1 + self.nodes.len() as u64);
            }
            let others = header.nodes.iter().filter(|other| *other != name);
            let others: Vec<NodeId> = others.map(|other| other.parse().unwrap()).collect();
            let id: NodeId = name.parse().unwrap();
            let (applied, records) = self.log.newest();
            self.nodes.push(Node {
                name: (*name).to_owned(),
                supervisor: Supervisor::new(
                    id.clone(),
                    [(group(), policy.clone())].into(),
                    records,
                    self.wall(),
                )
                .among(others),
                id,
                policy,
                usual,
                beside: header.beside.get(name).map(|name| (*name).to_owned()),
                holds: Vec::new(),
                life: 1,
                is_dead: false,
                is_paused: false,
                paused_at: 0,
                is_asleep: false,
                slept: 0,
                missed: Vec::new(),
                leads: false,
                applied,
                apply_at: 0,
                confirm_at: None,
                reported: None,
                wakes: (0, 0),
            });
            if self.weather.is_none() {
                self.deliver(self.nodes.len() - 1, 0, Event::Confirmed);
            }
        }
    }

    /// A daemon starts with the first `applied` entries of the log.
    pub fn start_node(&mut self, node: usize, applied: usize) {
        let wall = self.wall();
        let others: Vec<NodeId> = self.nodes.iter().map(|other| other.id.clone()).collect();
        let records = self.log.state(applied);
        let restarted = &mut self.nodes[node];
        let policies = [(group(), restarted.policy.clone())].into();
        let peers = others.into_iter().filter(|other| *other != restarted.id);
        restarted.supervisor =
            Supervisor::new(restarted.id.clone(), policies, records, wall).among(peers);
        restarted.life += 1;
        restarted.is_dead = false;
        restarted.applied = applied;
        restarted.apply_at = self.now;
        restarted.confirm_at = None;
        self.oracle.node_started(node, self.now);
        self.handle(node, Event::DeadlineReached);
        // Who was away for long gets a snapshot.
        if self.weather.as_mut().is_some_and(|it| it.below(3) == 0) {
            self.install(node);
        }
        for _ in self.nodes[node].applied..self.log.length() {
            self.apply_later(node);
        }
        self.elect_later();
    }

    /// What another node told: a sign of life, and, if it leads, how far the log is.
    pub fn hear(&mut self, node: usize, event: Event, committed: Option<usize>) {
        let Event::PeerReported { peer, .. } = &event else {
            return;
        };
        let peer = peer.clone();
        let is_leader = self
            .log
            .leader
            .is_some_and(|leader| self.nodes[leader].id == peer);
        if committed.is_some() && is_leader {
            self.nodes[node].confirm_at = committed;
        }
        self.handle(node, event);
        self.confirm(node);
    }

    fn confirm(&mut self, node: usize) {
        let told = &mut self.nodes[node];
        let is_current = told.confirm_at.is_some_and(|at| told.applied >= at);
        if is_current && !told.is_paused && told.supervisor.awaits_confirmation() {
            told.confirm_at = None;
            self.handle(node, Event::Confirmed);
        }
    }

    pub fn handle(&mut self, node: usize, event: Event) {
        if self.nodes[node].is_dead || self.violation.is_some() {
            return;
        }
        if self.nodes[node].is_paused {
            self.nodes[node].missed.push(event);
            return;
        }
        let now = self.moment_of(node);
        if let Event::PeerReported { peer, .. } = &event {
            self.nodes[node].supervisor.hear(peer, now);
        }
        if let Event::LeadershipChanged { leading } = &event {
            self.nodes[node].leads = *leading;
        }
        self.oracle.heard(node, &event, self.now);
        let actions = self.nodes[node].supervisor.handle(event, now);
        self.take_up(node, actions);
    }

    /// The next entry will come to a node, behind those before it.
    pub fn apply_later(&mut self, node: usize) {
        let is_leader = self.log.leader == Some(node);
        let after = match &mut self.weather {
            _ if is_leader => 0,
            Some(weather) => weather.apply_delay(),
            None => ONE_WAY,
        };
        let applier = &mut self.nodes[node];
        applier.apply_at = applier.apply_at.max(self.now + after);
        let (at, life) = (applier.apply_at, applier.life);
        self.push(at, Occurrence::Apply(node, life));
    }

    pub fn apply_next(&mut self, node: usize) {
        let applied = self.nodes[node].applied;
        let Some(entry) = self.log.entry(applied).cloned() else {
            return;
        };
        // Whoever is behind may get a snapshot instead, from the leader.
        let is_behind = self.log.leader != Some(node)
            && self.log.length() > applied + 1
            && !self.nodes[node].is_paused;
        if is_behind && self.weather.as_mut().is_some_and(|it| it.chance(3)) {
            return self.install(node);
        }
        self.nodes[node].applied += 1;
        self.handle(node, Event::Committed(entry));
        if !self.nodes[node].is_paused
            && let Err(violation) = crate::invariants::applied(self, node)
        {
            return self.fail(violation);
        }
        self.confirm(node);
    }
}
