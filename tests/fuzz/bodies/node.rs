//! A whole daemon less its I/O, to which peers that hold the key say anything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use promoterd::consensus::{
    EngineSettings, HardState, LogEntry, Recovered, Seat, Stage, heartbeat_interval,
};
use promoterd::daemon::{Node, NodeAction, NodeEvent, Origin};
use promoterd::decision::{Entry, Event, GroupOverview, GroupPolicy, Identity, WallClock};
use promoterd::model::{
    ClusterId, Endpoint, GroupName, Incarnation, Life, LogIndex, NodeId, ReplicationId, RunId,
    Term, UnixTime,
};
use promoterd::peer::{DownReason, PeerMessage};
use promoterd::settings::{self, Sources};

use super::Input;
use super::peers::voters;

/// More actions than that no one event is worth.
const ACTIONS_MAX: usize = 2_000;
/// Steps after which three daemons have a leader.
const ELECTION_STEPS: usize = 2_000;
/// Messages that one input may hold.
const MESSAGES_MAX: usize = 64;

pub const INSTANCES: [&str; 3] = ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];
pub const CLUSTER: ClusterId = ClusterId(9);

/// The same for all inputs of a process: a base for virtual time.
fn epoch() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(|| Instant::now() + Duration::from_secs(86_400))
}

pub fn wall() -> WallClock {
    WallClock {
        at: epoch(),
        time: UnixTime(1_700_000_000_000),
    }
}

pub fn group() -> GroupName {
    "features".parse().expect("a name")
}

pub fn instance(number: usize) -> Endpoint {
    INSTANCES[number].parse().expect("an endpoint")
}

/// As the settings of an operator make them.
pub fn policies() -> BTreeMap<GroupName, GroupPolicy> {
    static POLICIES: OnceLock<BTreeMap<GroupName, GroupPolicy>> = OnceLock::new();
    let make = || {
        let variables = [
            ("PROMOTERD_NODE", "a".to_owned()),
            (
                "PROMOTERD_PEERS",
                "a=127.0.0.1:7400,b=127.0.0.2:7400,c=127.0.0.3:7400".to_owned(),
            ),
            ("PROMOTERD_GROUPS__FEATURES__INSTANCES", INSTANCES.join(",")),
        ];
        let loaded = settings::load(&Sources::new(variables, "a")).expect("good settings");
        let policies = loaded.groups.into_iter();
        policies.map(|(name, group)| (name, group.policy)).collect()
    };
    POLICIES.get_or_init(make).clone()
}

pub fn incarnation(node: &NodeId) -> Incarnation {
    Incarnation(u64::from(node.as_str().as_bytes()[0]))
}

pub fn seat(node: &NodeId) -> Seat {
    Seat {
        incarnation: incarnation(node),
        starts: 1,
        stage: Stage::Member {
            cluster: CLUSTER,
            founders: voters()
                .into_iter()
                .map(|node| (node.clone(), incarnation(&node)))
                .collect(),
        },
    }
}

pub fn register() -> Entry {
    Entry::Register {
        group: group(),
        master: Identity {
            endpoint: instance(0),
            run_id: RunId::from_bytes([1; 20]),
            replication_id: ReplicationId::from_bytes([2; 20]),
            continues: None,
        },
        members: (0..3).map(instance).collect::<BTreeSet<_>>(),
    }
}

pub fn engine_settings(node: &NodeId) -> EngineSettings {
    let (min, max) = (Duration::from_millis(150), Duration::from_millis(300));
    EngineSettings {
        node: node.clone(),
        voters: voters(),
        election_timeout_min: min,
        election_timeout_max: max,
        heartbeat_interval: heartbeat_interval(min),
        seed: 1,
    }
}

/// Of a cluster that has a group.
fn recovered(node: &NodeId) -> Recovered {
    Recovered {
        seat: Some(seat(node)),
        hard_state: HardState {
            term: Term(1),
            vote: None,
            committed: LogIndex(1),
        },
        entries: vec![LogEntry {
            index: LogIndex(1),
            term: Term(1),
            payload: register().encode().into(),
        }],
        ..Recovered::default()
    }
}

pub fn start(node: &NodeId, recovered: Recovered) -> Option<Node> {
    let origin = Origin {
        life: Life(1),
        cluster: CLUSTER,
    };
    Node::new(engine_settings(node), policies(), recovered, origin, wall()).ok()
}

/// Daemons on a network and disks that do everything at once.
pub struct Trio {
    nodes: BTreeMap<NodeId, Node>,
    mail: VecDeque<(NodeId, NodeId, PeerMessage)>,
    now: Instant,
    /// What was said until there was a leader.
    pub heard: Vec<(NodeId, NodeId, PeerMessage)>,
}

impl Trio {
    pub fn with_leader() -> Self {
        let start = |node: NodeId| Some((node.clone(), start(&node, recovered(&node))?));
        let mut trio = Self {
            nodes: voters().into_iter().filter_map(start).collect(),
            mail: VecDeque::new(),
            now: epoch(),
            heard: Vec::new(),
        };
        for node in voters() {
            for peer in voters().into_iter().filter(|peer| *peer != node) {
                trio.tell(&node, NodeEvent::PeerUp(peer, Life(1)));
            }
        }
        for _ in 0..ELECTION_STEPS {
            match trio.mail.pop_front() {
                Some((from, to, message)) => {
                    trio.heard.push((from.clone(), to.clone(), message.clone()));
                    trio.tell(&to, NodeEvent::PeerSent(from, Life(1), message));
                }
                None if trio
                    .nodes
                    .values()
                    .any(|node| node.supervisor().is_leading()) =>
                {
                    return trio;
                }
                None => trio.wait(),
            }
        }
        panic!("three daemons elected nobody");
    }

    fn wait(&mut self) {
        let deadlines = self.nodes.values().filter_map(Node::next_deadline);
        let next = deadlines.map(|deadline| deadline.at).min();
        self.now = self.now.max(next.unwrap_or(self.now));
        for node in voters() {
            self.tell(&node, NodeEvent::Core(Event::DeadlineReached));
        }
    }

    fn tell(&mut self, node: &NodeId, event: NodeEvent) {
        let now = self.now;
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let running = self.nodes.get_mut(node).expect("one of the three");
            let actions = running
                .handle(event, now)
                .expect("honest daemons understand");
            for action in actions {
                match action {
                    NodeAction::Send(to, message) => {
                        self.mail.push_back((node.clone(), to, message));
                    }
                    NodeAction::Persist(_) => events.push_back(NodeEvent::Persisted),
                    _ => {}
                }
            }
        }
    }

    /// What the leader knows of its groups.
    pub fn overview(self) -> Vec<GroupOverview> {
        let (_, node, now) = self.into_one(true);
        let supervisor = node.supervisor();
        let groups = supervisor.groups().iter();
        groups
            .map(|(name, group)| group.overview(supervisor.records().get(name), now))
            .collect()
    }

    /// The leader, or one that follows.
    fn into_one(mut self, leads: bool) -> (NodeId, Node, Instant) {
        let mut names = self.nodes.iter();
        let found = names.find(|(_, node)| node.supervisor().is_leading() == leads);
        let name = found.expect("there are both").0.clone();
        let node = self.nodes.remove(&name).expect("it was just found");
        (name, node, self.now)
    }
}

/// First byte: whether the daemon leads. Then what its peers do.
pub fn messages(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (name, node, now) = Trio::with_leader().into_one(input.byte() & 1 == 1);
    let peers: Vec<NodeId> = voters().into_iter().filter(|peer| *peer != name).collect();
    let mut target = Target {
        node,
        now,
        is_writing: false,
    };
    for _ in 0..MESSAGES_MAX {
        if input.is_empty() || !target.step(&peers, &mut input) {
            return;
        }
    }
}

struct Target {
    node: Node,
    now: Instant,
    is_writing: bool,
}

impl Target {
    /// False when the daemon cannot go on.
    fn step(&mut self, peers: &[NodeId], input: &mut Input<'_>) -> bool {
        let what = input.byte();
        let peer = peers[usize::from(what & 1)].clone();
        let event = match what >> 1 {
            0 => NodeEvent::PeerUp(peer, Life(u64::from(input.byte()))),
            1 => NodeEvent::PeerDown(peer, DownReason::Closed),
            2 => NodeEvent::PeerDown(peer, DownReason::Silent),
            3 | 4 if self.is_writing => {
                self.is_writing = false;
                NodeEvent::Persisted
            }
            3..=6 => {
                self.now += Duration::from_millis(u64::from(input.byte()));
                NodeEvent::Core(Event::DeadlineReached)
            }
            _ => {
                let Ok(message) = PeerMessage::decode(input.part()) else {
                    return true;
                };
                let again = PeerMessage::decode(&message.encode());
                assert_eq!(again.as_ref(), Ok(&message), "read back as another");
                NodeEvent::PeerSent(peer, Life(1), message)
            }
        };
        // Entries that a leader had committed, and that nobody can read, end a daemon.
        let Ok(actions) = self.node.handle(event, self.now) else {
            return false;
        };
        assert!(actions.len() <= ACTIONS_MAX, "{} actions", actions.len());
        for action in actions {
            match action {
                NodeAction::Persist(_) => {
                    assert!(!self.is_writing, "two batches are outstanding");
                    self.is_writing = true;
                }
                NodeAction::Send(_, message) => assert!(message.encode().len() <= 4 << 20),
                NodeAction::Leave(_) => return false,
                _ => {}
            }
        }
        let deadline = self.node.next_deadline();
        assert!(deadline.is_none_or(|deadline| deadline.at > self.now - Duration::from_secs(60)));
        self.node
            .supervisor()
            .groups()
            .iter()
            .for_each(|(name, group)| {
                let record = self.node.supervisor().records().get(name);
                drop(group.overview(record, self.now));
            });
        true
    }
}
