//! The replicated log, as far as decisions need one: what the leader proposes is committed, in one order
//! for all, unless the script holds it back or chance loses it; each node applies it in its own time.

use std::collections::VecDeque;

use promoterd::decision::{Entry, Event, Identity, Records};

use crate::header::Sabotage;
use crate::instance::endpoint;
use crate::invariants;
use crate::transcript;
use crate::world::{ONE_WAY, Occurrence, World, group};

/// A leader that slept for so long knows that it leads no more before it does anything else.
const CHECKS_QUORUM: u64 = 600_000;

/// Whoever slept for longer must have noticed.
const SLEPT: u64 = 800_000;

#[derive(Debug)]
pub struct Log {
    /// The one whose proposals count.
    pub leader: Option<usize>,
    pub term: u64,
    pub is_frozen: bool,
    pub held: Vec<Entry>,
    /// Proposed in this term and not committed yet.
    underway: VecDeque<Entry>,
    entries: Vec<Entry>,
    /// What the first so many entries lead to.
    states: Vec<Records>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            leader: None,
            term: 0,
            is_frozen: false,
            held: Vec::new(),
            underway: VecDeque::new(),
            entries: Vec::new(),
            states: vec![Records::default()],
        }
    }
}

impl Log {
    pub fn length(&self) -> usize {
        self.entries.len()
    }

    pub fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    pub fn state(&self, applied: usize) -> Records {
        self.states[applied].clone()
    }

    pub fn state_at(&self, applied: usize) -> &Records {
        &self.states[applied]
    }

    /// How many entries there are, and what they lead to.
    pub fn newest(&self) -> (usize, Records) {
        (self.length(), self.state(self.length()))
    }

    /// Adds an entry; true when it changed anything.
    fn append(&mut self, entry: &Entry) -> bool {
        let mut state = self.state(self.length());
        let fits = state.apply(entry.clone()) != promoterd::decision::Change::None;
        self.entries.push(entry.clone());
        self.states.push(state);
        fits
    }
}

impl World {
    /// The group is registered already, with all of its instances.
    pub fn begin_registered(&mut self) {
        let infos = self.info("a");
        let entry = Entry::Register {
            group: group(),
            master: Identity::of(endpoint("a"), &infos),
            members: ["a", "b", "c"].map(endpoint).into(),
        };
        let fits = self.log.append(&entry);
        let noted = invariants::committed(self, &entry, fits);
        noted.expect("nothing is broken yet");
    }

    pub fn propose(&mut self, node: usize, entry: Entry) {
        let is_refused = self.weather.as_mut().is_some_and(|it| it.chance(60));
        if self.log.leader != Some(node) {
            // One that does not know it yet waits in vain.
            if self.weather.is_none() || is_refused {
                self.refuse(node, &entry);
            }
        } else if is_refused {
            self.refuse(node, &entry);
        } else if self.log.is_frozen {
            self.log.held.push(entry);
        } else {
            let (after, term) = (self.commit_delay(), self.log.term);
            if self.weather.is_some() {
                self.log.underway.push_back(entry.clone());
            }
            self.later(after, Occurrence::Commit(term, entry));
        }
    }

    fn refuse(&mut self, node: usize, entry: &Entry) {
        let refused = Event::ProposalRefused(entry.group().clone());
        self.deliver(node, 0, refused);
    }

    /// What was proposed is on the disks of a majority.
    pub fn commit_proposed(&mut self, term: u64, entry: Entry) {
        if self.weather.is_none() {
            return self.commit(&entry);
        }
        // The next leader decided what became of it. In one term the order of the proposals stands.
        if term != self.log.term {
            return;
        }
        if !self.is_majority_up() {
            let after = self.commit_delay();
            return self.later(after + 20_000, Occurrence::Commit(term, entry));
        }
        if let Some(first) = self.log.underway.pop_front() {
            self.commit(&first);
        }
    }

    fn is_majority_up(&self) -> bool {
        let up = self
            .nodes
            .iter()
            .filter(|node| !node.is_dead && !node.is_paused);
        up.count() * 2 > self.nodes.len()
    }

    pub fn commit(&mut self, entry: &Entry) {
        let entry = Entry::decode(&entry.encode()).unwrap();
        self.note("log", || transcript::entry(&entry));
        let fits = self.log.append(&entry);
        if let Err(violation) = invariants::committed(self, &entry, fits) {
            return self.fail(violation);
        }
        if let (Entry::Begin(begin), true, Some(how)) = (&entry, fits, self.sabotage) {
            self.sabotage(begin.candidate.endpoint.host(), how);
        }
        for node in 0..self.nodes.len() {
            if !self.nodes[node].is_dead {
                self.apply_later(node);
            }
        }
    }

    fn sabotage(&mut self, candidate: &str, how: Sabotage) {
        let leader = self
            .log
            .leader
            .map(|leader| self.nodes[leader].name.clone());
        let Some((weather, leader)) = self.weather.as_mut().zip(leader) else {
            return;
        };
        if weather.is_calm {
            return;
        }
        let (mut soon, mut lasts) = (weather.below(4_000), 1_000 + weather.below(800_000));
        let hit = match how {
            Sabotage::Anybody => weather.below(12),
            Sabotage::Candidates => {
                (soon, lasts) = (weather.below(1_000), 500_000 + weather.below(200_000));
                1
            }
        };
        let (now, then) = match hit {
            0 => (
                format!("kill {candidate}"),
                format!("restart {candidate} data"),
            ),
            1 => (format!("hang {candidate}"), format!("resume {candidate}")),
            2 => (format!("crash {leader}"), format!("start {leader}")),
            3 => (format!("pause {leader}"), format!("wake {leader}")),
            4 => (format!("restart {candidate} data"), "end".to_owned()),
            5 => (format!("restart {candidate} empty"), "end".to_owned()),
            6 => (format!("lead {}", self.nodes[0].name), "end".to_owned()),
            _ => return,
        };
        self.later(soon, Occurrence::Line(now));
        self.later(soon + lasts, Occurrence::Line(then));
    }

    pub fn lead(&mut self, node: usize) {
        if self.weather.is_some() {
            return self.elect_node(node);
        }
        let leadership = |leading| Event::LeadershipChanged { leading };
        let before = self.log.leader.replace(node);
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let after = if before == Some(other) { 0 } else { ONE_WAY };
            self.deliver(other, after, leadership(false));
        }
        // What is committed reaches it first.
        self.deliver(node, ONE_WAY + 1, leadership(true));
    }

    /// A node is elected, if it runs: some of what the last leader proposed is lost, all before it stays;
    /// and who led hears of it later.
    fn elect_node(&mut self, node: usize) {
        if self.nodes[node].is_dead || self.nodes[node].is_paused || !self.is_majority_up() {
            return;
        }
        self.log.leader = Some(node);
        self.log.term += 1;
        let term = self.log.term;
        let underway = std::mem::take(&mut self.log.underway);
        self.log.held.clear();
        let weather = self.weather.as_mut().expect("only in weather");
        let kept = weather.pick(underway.len() + 1);
        let told_after = weather.deposed_for();
        let established_after = 200 + weather.delay();
        for entry in underway.into_iter().take(kept) {
            self.commit(&entry);
        }
        // Whoever still thinks that it leads hears of it later.
        for other in 0..self.nodes.len() {
            let life = self.nodes[other].life;
            if self.nodes[other].leads && other != node {
                self.later(told_after, Occurrence::Deposed(other, life));
            }
        }
        self.later(established_after, Occurrence::Established(node, term));
    }

    /// Who led learns that it does so no longer, unless it does again.
    pub fn depose(&mut self, node: usize, life: u64) {
        let is_it = self.nodes[node].life == life && self.nodes[node].leads;
        if is_it && self.log.leader != Some(node) {
            self.handle(node, Event::LeadershipChanged { leading: false });
        }
    }

    /// It has applied all that was committed, and acts from now on.
    pub fn establish(&mut self, node: usize, term: u64) {
        if self.log.term != term || self.nodes[node].is_dead {
            return;
        }
        if self.nodes[node].is_paused {
            return self.lose_leader(node);
        }
        while self.nodes[node].applied < self.log.length() {
            self.apply_next(node);
        }
        self.handle(node, Event::LeadershipChanged { leading: true });
        if self.nodes[node].supervisor.awaits_confirmation() {
            self.handle(node, Event::Confirmed);
        }
    }

    /// Nobody leads, until somebody is elected.
    pub fn lose_leader(&mut self, node: usize) {
        if self.weather.is_some() && self.log.leader == Some(node) {
            self.log.leader = None;
            self.elect_later();
        }
    }

    pub fn elect_later(&mut self) {
        if let Some(weather) = &mut self.weather {
            let (after, term) = (weather.election(), self.log.term);
            self.later(after, Occurrence::Elect(term));
        }
    }

    pub fn elect(&mut self, term: u64) {
        if self.log.leader.is_some() || self.log.term != term {
            return;
        }
        let up: Vec<usize> = (0..self.nodes.len())
            .filter(|node| !self.nodes[*node].is_dead && !self.nodes[*node].is_paused)
            .collect();
        let Some(weather) = self.weather.as_mut().filter(|_| !up.is_empty()) else {
            return;
        };
        let node = up[weather.pick(up.len())];
        self.elect_node(node);
        if self.log.leader.is_none() {
            self.elect_later();
        }
    }

    /// It runs again, and takes in what came meanwhile.
    pub fn wake_node(&mut self, node: usize) {
        self.nodes[node].is_paused = false;
        let slept = self.now - self.nodes[node].paused_at;
        let is_deposed = self.nodes[node].leads && self.log.leader != Some(node);
        self.oracle.woke(node, self.nodes[node].paused_at, self.now);
        if slept > SLEPT {
            self.oracle.slept(node, self.now);
        }
        if self.weather.is_some() && is_deposed && slept > CHECKS_QUORUM {
            self.handle(node, Event::LeadershipChanged { leading: false });
        }
        for event in std::mem::take(&mut self.nodes[node].missed) {
            self.handle(node, event);
        }
        self.elect_later();
    }

    /// What was held back goes on.
    pub fn propose_again(&mut self, entry: Entry) {
        let term = self.log.term;
        if self.weather.is_some() {
            self.log.underway.push_back(entry.clone());
        }
        self.push(self.now, Occurrence::Commit(term, entry));
    }

    /// A snapshot takes the place of all that a node has not applied yet. A leader has the entries, so none
    /// is sent to it; and who led hears first of the leader that sends one.
    pub fn install(&mut self, node: usize) {
        let length = self.log.length();
        let installing = &mut self.nodes[node];
        let is_leader = self.log.leader == Some(node);
        if is_leader || installing.is_dead || installing.is_paused || installing.applied == length {
            return;
        }
        let life = installing.life;
        self.depose(node, life);
        self.nodes[node].applied = length;
        let (records, now) = (self.log.state(length), self.moment());
        let actions = self.nodes[node].supervisor.install(records, now);
        self.take_up(node, actions);
        self.handle(node, Event::DeadlineReached);
    }

    /// Somebody gives a node the settings of the others.
    pub fn make_settings_equal(&mut self, node: usize) {
        let usual = &mut self.nodes[node];
        if usual.policy != usual.usual {
            usual.policy = usual.usual.clone();
            let policies = [(group(), usual.policy.clone())].into();
            self.handle(node, Event::Adjusted(policies));
        }
    }
}
