//! Whole clusters of engines in virtual time, with a network and disks that fail from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::*;
use crate::model::{ClusterId, Incarnation, LogIndex, NodeId, SplitMix, Term};

/// One voter: an engine, the bytes on its disk, and a state machine that remembers all it applied.
pub(super) struct Member {
    pub(super) engine: Option<Engine>,
    pub(super) applied: Vec<LogEntry>,
    log: Vec<u8>,
    snapshot: Option<Vec<u8>>,
    writing: Option<(Instant, Batch)>,
}

/// A cluster, its network, and what must always hold in it.
pub(super) struct Cluster {
    pub(super) now: Instant,
    pub(super) members: BTreeMap<NodeId, Member>,
    pub(super) trace: Vec<String>,
    pub(super) wakes: usize,
    pub(super) disk_delay: Duration,
    start: Instant,
    seed: u64,
    random: SplitMix,
    network: BTreeMap<(Instant, u64), (NodeId, NodeId, Message)>,
    sent: u64,
    cut: BTreeSet<(NodeId, NodeId)>,
    pub(super) drop_snapshots: bool,
    /// What each index was committed as, and who led each term: neither ever changes.
    committed: BTreeMap<LogIndex, LogEntry>,
    leaders: BTreeMap<Term, NodeId>,
}

pub(super) fn name(text: &str) -> NodeId {
    text.parse().unwrap()
}

pub(super) fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

impl Cluster {
    pub(super) fn new(size: usize, seed: u64) -> Self {
        let start = Instant::now();
        let names = ["a", "b", "c", "d", "e"];
        let members = names[..size].iter().map(|text| {
            let member = Member {
                engine: None,
                applied: Vec::new(),
                log: Vec::new(),
                snapshot: None,
                writing: None,
            };
            (name(text), member)
        });
        let mut cluster = Self {
            now: start,
            members: members.collect(),
            trace: Vec::new(),
            wakes: 0,
            disk_delay: milliseconds(1),
            start,
            seed,
            random: SplitMix::new(seed),
            network: BTreeMap::new(),
            sent: 0,
            cut: BTreeSet::new(),
            drop_snapshots: false,
            committed: BTreeMap::new(),
            leaders: BTreeMap::new(),
        };
        for node in cluster.names() {
            cluster.restart(&node);
        }
        cluster
    }

    pub(super) fn names(&self) -> Vec<NodeId> {
        self.members.keys().cloned().collect()
    }

    pub(super) fn identity(&self, node: &NodeId) -> Identity {
        Identity {
            node: node.clone(),
            voters: self.members.keys().cloned().collect(),
        }
    }

    pub(super) fn member(&mut self, node: &NodeId) -> &mut Member {
        self.members.get_mut(node).unwrap()
    }

    pub(super) fn engine(&mut self, node: &NodeId) -> &mut Engine {
        self.member(node).engine.as_mut().unwrap()
    }

    pub(super) fn settings(&self, node: &NodeId) -> EngineSettings {
        EngineSettings {
            node: node.clone(),
            voters: self.members.keys().cloned().collect(),
            election_timeout_min: milliseconds(150),
            election_timeout_max: milliseconds(300),
            heartbeat_interval: milliseconds(50),
            seed: self.seed,
        }
    }

    /// Cuts the power: of what is being written, any part may have reached the disk.
    pub(super) fn crash(&mut self, node: &NodeId) {
        let cut = self.random.next();
        let identity = self.identity(node);
        let member = self.member(node);
        member.engine = None;
        let part = |bytes: &[u8]| usize::try_from(cut).unwrap() % (bytes.len() + 1);
        match member.writing.take() {
            Some((
                _,
                Batch::Append {
                    hard_state,
                    entries,
                },
            )) => {
                let mut bytes = Vec::new();
                encode(&mut bytes, hard_state.as_ref(), &entries);
                member.log.extend(&bytes[..part(&bytes)]);
            }
            Some((_, replace @ Batch::Replace { .. })) => match cut % 3 {
                0 => {}
                1 => {
                    let log = member.log.clone();
                    write(member, &identity, &replace);
                    member.log = log;
                }
                _ => write(member, &identity, &replace),
            },
            Some((_, Batch::Begin(_))) | None => {}
        }
    }

    pub(super) fn restart(&mut self, node: &NodeId) {
        let identity = self.identity(node);
        let settings = self.settings(node);
        let now = self.now;
        let member = self.member(node);
        let mut recovered = recover(&identity, &member.log, member.snapshot.as_deref()).unwrap();
        member.log.truncate(recovered.valid_length);
        if member.log.is_empty() {
            member.log = begin(&identity, &founder(&identity), Position::default());
            recovered.seat = Some(founder(&identity));
        }
        member.applied = recovered.snapshot.as_ref().map_or(Vec::new(), decode_state);
        member.engine = Some(Engine::new(settings, recovered, now).unwrap());
        self.drain(node);
    }

    /// Lets nothing pass between the two, in either direction.
    pub(super) fn cut(&mut self, one: &NodeId, other: &NodeId) {
        self.cut.insert((one.clone(), other.clone()));
        self.cut.insert((other.clone(), one.clone()));
    }

    pub(super) fn isolate(&mut self, node: &NodeId) {
        for other in self.names() {
            self.cut(node, &other);
        }
    }

    /// Each of the others sees its link to `node` end.
    pub(super) fn tell_of_end(&mut self, node: &NodeId) {
        for other in self.names() {
            if other != *node {
                self.tell_one_of_end(&other, node);
            }
        }
    }

    pub(super) fn tell_one_of_end(&mut self, told: &NodeId, node: &NodeId) {
        let now = self.now;
        if let Some(engine) = self.member(told).engine.as_mut() {
            engine.advance_to(now);
            engine.peer_ended(node, now);
            self.drain(told);
        }
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
    }

    /// The one that leads and may act, in the newest term.
    pub(super) fn leader(&self) -> Option<NodeId> {
        let established = self.members.iter().filter_map(|(node, member)| {
            let status = member.engine.as_ref()?.status();
            status.established.then_some((status.term, node.clone()))
        });
        established.max().map(|(_, node)| node)
    }

    pub(super) fn propose(&mut self, payload: &str) -> bool {
        let Some(leader) = self.leader() else {
            return false;
        };
        let taken = self.engine(&leader).propose(payload.into()).is_ok();
        self.drain(&leader);
        taken
    }

    pub(super) fn compact(&mut self, node: &NodeId) {
        let member = self.member(node);
        let state = postcard::to_allocvec(&member.applied).unwrap();
        let engine = member.engine.as_mut().unwrap();
        let applied = engine.status().applied;
        engine.compact(state, applied).unwrap();
        self.drain(node);
    }

    pub(super) fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span, |_| false);
    }

    /// Runs until `reached`, and at most `span`; whether it was reached.
    pub(super) fn run_until_within(
        &mut self,
        span: Duration,
        reached: impl Fn(&Self) -> bool,
    ) -> bool {
        self.run_until(self.now + span, &reached);
        reached(self)
    }

    fn run_until(&mut self, end: Instant, reached: impl Fn(&Self) -> bool) {
        while !reached(self) {
            let Some(next) = self.next_event().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = next;
            self.step();
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let arrival = self.network.keys().next().map(|(at, _)| *at);
        let by_member = self.members.values().flat_map(|member| {
            let written = member.writing.as_ref().map(|(at, _)| *at);
            let deadline = member.engine.as_ref().and_then(Engine::next_deadline);
            [written, deadline]
        });
        by_member.chain([arrival]).flatten().min()
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(first) = self.network.first_entry()
            && first.key().0 <= now
        {
            let (from, to, message) = first.remove();
            self.deliver(&from, &to, message);
        }
        for node in self.names() {
            let identity = self.identity(&node);
            let member = self.member(&node);
            let Some(engine) = member.engine.as_mut() else {
                continue;
            };
            if engine.next_deadline().is_some_and(|at| at <= now) {
                engine.advance_to(now);
                self.wakes += 1;
                self.drain(&node);
            }
            let member = self.member(&node);
            if member.writing.as_ref().is_some_and(|(at, _)| *at <= now) {
                let (_, batch) = member.writing.take().unwrap();
                write(member, &identity, &batch);
                let progress = self.engine(&node).persisted();
                if let Some(snapshot) = progress.install {
                    self.member(&node).applied = decode_state(&snapshot);
                }
                self.send_all(&node, progress.send);
                self.drain(&node);
            }
        }
    }

    fn deliver(&mut self, from: &NodeId, to: &NodeId, message: Message) {
        let now = self.now;
        let at = now.duration_since(self.start);
        self.trace.push(format!("{at:?} {from} {to} {message:?}"));
        let is_cut = self.cut.contains(&(from.clone(), to.clone()));
        let member = self.member(to);
        let Some(engine) = member.engine.as_mut().filter(|_| !is_cut) else {
            return;
        };
        engine.advance_to(now);
        let taken = engine.receive(from, message);
        assert!(
            matches!(
                taken,
                Ok(()) | Err(Refused::Installing | Refused::NotTheLeader { .. })
            ),
            "an honest cluster: {taken:?}"
        );
        self.drain(to);
    }

    fn drain(&mut self, node: &NodeId) {
        while let Some(ready) = self.engine(node).take_ready() {
            for entry in ready.committed {
                let agreed = self.committed.entry(entry.index).or_insert(entry.clone());
                assert_eq!(*agreed, entry, "all commit the same");
                let applied = &mut self.member(node).applied;
                assert!(applied.last().is_none_or(|last| last.index < entry.index));
                applied.push(entry);
            }
            self.send_all(node, ready.send);
            let delay = self.disk_delay.as_micros() as u64;
            let written_at = self.now + Duration::from_micros(1 + self.random.below(delay));
            if let Some(batch) = ready.persist {
                self.member(node).writing = Some((written_at, batch));
            }
        }
        let status = self.engine(node).status();
        if status.role == Role::Leader {
            let leader = self.leaders.entry(status.term).or_insert(node.clone());
            assert_eq!(leader, node, "one leader a term");
        }
    }

    fn send_all(&mut self, from: &NodeId, messages: Vec<Outgoing>) {
        for (to, message) in messages {
            if self.drop_snapshots && matches!(message.body, Body::Snapshot { .. }) {
                continue;
            }
            let arrival = self.now + Duration::from_micros(200 + self.random.below(800));
            self.sent += 1;
            let bytes = postcard::to_allocvec(&message).unwrap();
            let message = postcard::from_bytes(&bytes).unwrap();
            self.network
                .insert((arrival, self.sent), (from.clone(), to, message));
        }
    }
}

/// These clusters are born: each voter bears the incarnation 1.
fn founder(identity: &Identity) -> Seat {
    let founders = identity.voters.iter();
    let founders = founders.map(|voter| (voter.clone(), Incarnation(1)));
    Seat {
        stage: Stage::Member {
            cluster: ClusterId(1),
            founders: founders.collect(),
        },
        ..Seat::new(Incarnation(1))
    }
}

fn decode_state(snapshot: &SnapshotData) -> Vec<LogEntry> {
    postcard::from_bytes(&snapshot.state).unwrap()
}

fn write(member: &mut Member, identity: &Identity, batch: &Batch) {
    match batch {
        Batch::Append {
            hard_state,
            entries,
        } => {
            encode(&mut member.log, hard_state.as_ref(), entries);
        }
        Batch::Begin(_) => panic!("an engine never begins a directory"),
        Batch::Replace {
            snapshot,
            hard_state,
            entries,
        } => {
            member.snapshot = Some(encode_snapshot(snapshot));
            member.log = begin(identity, &founder(identity), snapshot.position);
            encode(&mut member.log, Some(hard_state), entries);
        }
    }
}

#[path = "cluster_tests.rs"]
mod tests;
