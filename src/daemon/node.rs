//! A whole daemon less its I/O: the core and the consensus engine, wired together.
//!
//! The loop of the daemon drives one, and the simulation drives many.

mod belonging;
mod leadership;
mod messages;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem::Discriminant;
use std::time::Instant;

use thiserror::Error;

use crate::consensus::{
    Batch, Engine, EngineSettings, InvalidSettings, Membership, ProposeError, Recovered, Refused,
    Role, Seat, Seats, Standing, Status,
};
use crate::decision::{
    Action, Deadline, DeadlineReason, Entry, Event, FollowOrder, GroupPolicy, GuardOrder,
    Happening, HoldOrder, InvalidEntry, OperationId, ProbeOrder, Records, Request, RescueOrder,
    Supervisor, WallClock,
};
use crate::model::{
    ClusterId, Endpoint, Epoch, GroupName, Incarnation, Life, LogIndex, NodeId, NodeRole, Term,
};
use crate::peer::{Dismissal, DownReason, PeerMessage, PeerReport};
pub use belonging::Origin;
use leadership::Abreast;

/// Entries after which the log is replaced by a snapshot.
const COMPACT_AFTER: u64 = 1000;

/// Something that happened to a node.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one at a time is moved, and none is kept"
)]
pub enum NodeEvent {
    /// To the core.
    Core(Event),
    /// The batch that was last handed out is durable.
    Persisted,
    /// A link came up.
    PeerUp(NodeId, Life),
    /// A link went down.
    PeerDown(NodeId, DownReason),
    /// A peer sent a message.
    PeerSent(NodeId, Life, PeerMessage),
}

/// Something for the world outside to do.
#[derive(Debug)]
pub enum NodeAction {
    /// On a probe connection.
    Probe(ProbeOrder),
    /// Make an instance follow the master.
    Follow(FollowOrder),
    /// Keep an emptied master from feeding its replicas.
    Guard(GuardOrder),
    /// Tell the fencer.
    Hold(HoldOrder),
    /// Save the data of an instance before it is demoted.
    Rescue(RescueOrder),
    /// Send to a peer, or lose it.
    Send(NodeId, PeerMessage),
    /// Make durable, then report [`NodeEvent::Persisted`]. At most one is outstanding.
    Persist(Batch),
    /// Rewrite the clients' files of this host.
    Publish {
        /// The group.
        group: GroupName,
        /// The epoch.
        epoch: Epoch,
        /// The master.
        master: Endpoint,
        /// The other instances of the group.
        replicas: Vec<Endpoint>,
    },
    /// Tell people.
    Announce(Happening),
    /// This node belongs to a cluster from now on.
    Belong(ClusterId),
    /// This node's state directory may not speak for it: act no more.
    Leave(Dismissal),
    /// Tell whoever asked that an operation is committed, or no longer tried.
    Answer(OperationId),
}

/// Why a node cannot go on.
#[derive(Debug, Error)]
pub enum NodeError {
    /// It could never take part.
    #[error("the consensus engine cannot start")]
    Settings(#[from] InvalidSettings),
    /// What is committed cannot be read.
    #[error("the replicated log cannot be applied: run the same promoterd on all nodes")]
    Entry(#[from] InvalidEntry),
    /// The snapshot cannot be read.
    #[error("the snapshot cannot be read ({0}): run the same promoterd on all nodes")]
    Snapshot(postcard::Error),
}

/// A whole daemon less its I/O.
pub struct Node {
    node: NodeId,
    peers: BTreeSet<NodeId>,
    engine: Engine,
    supervisor: Supervisor,
    /// What the core was last told of the leadership.
    told: Option<(Option<NodeId>, Term, bool)>,
    /// The committed index that a leader named, until it is applied here.
    confirm_at: Option<LogIndex>,
    abreast: Abreast,
    compacted_at: LogIndex,
    /// People heard of what was committed up to here in an earlier life.
    replayed_until: LogIndex,
    /// The last refusal of a peer's message that people were told of.
    refused: Option<(NodeId, Discriminant<Refused>)>,
    compact_after: u64,
    life: Life,
    membership: Membership,
    /// What the peers were last told of our standing.
    told_standing: Standing,
    announce_at: Instant,
}

impl Node {
    /// Starts with what the disk holds.
    ///
    /// # Errors
    /// [`NodeError`] when the settings or the snapshot are unusable.
    pub fn new(
        settings: EngineSettings,
        policies: BTreeMap<GroupName, GroupPolicy>,
        recovered: Recovered,
        origin: Origin,
        wall: WallClock,
    ) -> Result<Self, NodeError> {
        let state = match &recovered.snapshot {
            Some(snapshot) => Some(decode_state(&snapshot.state)?),
            None => None,
        };
        let compacted_at = recovered
            .snapshot
            .as_ref()
            .map_or(LogIndex(0), |snapshot| snapshot.position.index);
        let replayed_until = recovered.hard_state.committed;
        let node = settings.node.clone();
        let seat = recovered.seat.clone();
        let membership = Membership::new(
            node.clone(),
            settings.voters.clone(),
            seat.unwrap_or_else(|| Seat::new(Incarnation::default())),
            recovered.promise(),
            origin.cluster,
        );
        let peers: BTreeSet<NodeId> = settings
            .voters
            .iter()
            .filter(|voter| **voter != node)
            .cloned()
            .collect();
        let mut engine = Engine::new(settings, recovered, wall.at)?;
        let (seats, records) =
            state.unwrap_or_else(|| (engine.seats().clone(), Records::default()));
        engine.install_seats(seats);
        Ok(Self {
            supervisor: Supervisor::new(node.clone(), policies, records, wall).among(peers.clone()),
            told_standing: engine.standing(),
            engine,
            life: origin.life,
            membership,
            announce_at: wall.at,
            node,
            peers,
            told: None,
            confirm_at: None,
            abreast: Abreast::default(),
            refused: None,
            compacted_at,
            replayed_until,
            compact_after: COMPACT_AFTER,
        })
    }

    /// Says what this node is, if it is more than a voter.
    #[must_use]
    pub fn with_role(mut self, role: NodeRole) -> Self {
        self.supervisor = self.supervisor.with_role(role);
        self
    }

    /// Compacts the log after so many entries instead of the usual number.
    #[must_use]
    pub fn compacting_after(mut self, entries: u64) -> Self {
        self.compact_after = entries;
        self
    }

    /// Takes in one event at `now` and returns what to do about it, in order.
    ///
    /// # Errors
    /// [`NodeError`] when what is committed cannot be read: the daemon must stop.
    pub fn handle(&mut self, event: NodeEvent, now: Instant) -> Result<Vec<NodeAction>, NodeError> {
        let mut turn = Turn {
            now,
            actions: Vec::new(),
            pending: VecDeque::new(),
        };
        self.engine.advance_to(now);
        self.note_deposed(&mut turn);
        match event {
            NodeEvent::Core(Event::DeadlineReached) => {}
            NodeEvent::Core(event) => turn.pending.extend(self.supervisor.handle(event, now)),
            NodeEvent::Persisted => self.on_persisted(&mut turn)?,
            NodeEvent::PeerUp(peer, life) => {
                self.membership.link_up(&peer, life);
                self.announce_to(&peer, &mut turn);
                turn.announce(Happening::PeerUp { peer: peer.clone() });
                turn.pending
                    .extend(self.supervisor.handle(Event::PeerUp(peer), now));
            }
            NodeEvent::PeerDown(peer, reason) => {
                self.membership.link_down(&peer);
                if reason.is_end_of_process() {
                    self.engine.peer_ended(&peer, now);
                } else {
                    self.engine.peer_unreachable(&peer);
                }
                let reason = reason.to_string();
                turn.announce(Happening::PeerDown { peer, reason });
            }
            NodeEvent::PeerSent(peer, life, message) => {
                self.on_message(peer, life, message, &mut turn);
            }
        }
        self.note_deposed(&mut turn);
        // The engine wakes this node far more often than the core asks for; what the core will want
        // soon goes along.
        if self.supervisor.is_due(now) {
            turn.pending
                .extend(self.supervisor.handle(Event::DeadlineReached, now));
        }
        self.announce_when_due(&mut turn);
        self.drain(&mut turn)?;
        self.advance_birth(&mut turn);
        self.note_standing(&mut turn);
        self.abreast.look(&self.engine.status());
        Ok(turn.actions)
    }

    /// When to deliver [`Event::DeadlineReached`] if nothing happens sooner, and why.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        let engine = self.engine.next_deadline().map(|at| Deadline {
            at,
            reason: DeadlineReason::Engine,
        });
        let announcement = self.announcement_due().map(|at| Deadline {
            at,
            reason: DeadlineReason::Engine,
        });
        [self.supervisor.next_deadline(), engine, announcement]
            .into_iter()
            .flatten()
            .min()
    }

    /// Where the engine stands.
    #[must_use]
    pub fn engine_status(&self) -> Status {
        self.engine.status()
    }

    /// The core.
    #[must_use]
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Hands leadership to a peer before a stop, if this node leads.
    ///
    /// # Errors
    /// [`NodeError`] as for [`handle`](Self::handle).
    pub fn hand_over(&mut self, to: &NodeId, now: Instant) -> Result<Vec<NodeAction>, NodeError> {
        let mut turn = Turn {
            now,
            actions: Vec::new(),
            pending: VecDeque::new(),
        };
        self.engine.advance_to(now);
        if let Err(error) = self.engine.transfer_leadership(to) {
            tracing::debug!(%error, "leadership not handed over");
        }
        self.drain(&mut turn)?;
        Ok(turn.actions)
    }

    fn on_persisted(&mut self, turn: &mut Turn) -> Result<(), NodeError> {
        if self.on_seat_written(turn) {
            return Ok(());
        }
        let progress = self.engine.persisted();
        self.send(progress.send, turn);
        if let Some(snapshot) = progress.install {
            let (seats, records) = decode_state(&snapshot.state)?;
            self.engine.install_seats(seats);
            self.compacted_at = snapshot.position.index;
            turn.pending
                .extend(self.supervisor.install(records, turn.now));
        }
        Ok(())
    }

    /// Goes on until neither the engine nor the core has anything to do.
    fn drain(&mut self, turn: &mut Turn) -> Result<(), NodeError> {
        loop {
            while let Some(action) = turn.pending.pop_front() {
                self.carry_out(action, turn);
            }
            self.note_deposed(turn);
            if let Some(ready) = self.engine.take_ready() {
                self.send(ready.send, turn);
                for rejoin in ready.rejoined {
                    let (peer, incarnation) = (rejoin.node, rejoin.incarnation);
                    tracing::info!(%peer, %incarnation, "a voter's new state directory is let in");
                }
                for committed in ready.committed {
                    let entry = Entry::decode(&committed.payload)?;
                    let is_news = committed.index > self.replayed_until;
                    let actions = self.supervisor.handle(Event::Committed(entry), turn.now);
                    let worth_telling =
                        |action: &Action| is_news || !matches!(action, Action::Announce(_));
                    turn.pending
                        .extend(actions.into_iter().filter(worth_telling));
                }
                turn.actions.extend(ready.persist.map(NodeAction::Persist));
                continue;
            }
            self.note_leadership(turn);
            self.confirm(turn);
            if turn.pending.is_empty() && !self.compact() {
                return Ok(());
            }
        }
    }

    fn carry_out(&mut self, action: Action, turn: &mut Turn) {
        match action {
            Action::Probe(order) => turn.actions.push(NodeAction::Probe(order)),
            Action::Follow(order) => turn.actions.push(NodeAction::Follow(order)),
            Action::Guard(order) => turn.actions.push(NodeAction::Guard(order)),
            Action::Hold(order) => turn.actions.push(NodeAction::Hold(order)),
            Action::Lease { peer, message } => {
                let message = PeerMessage::Lease(message);
                turn.actions.push(NodeAction::Send(peer, message));
            }
            Action::Rescue(order) => turn.actions.push(NodeAction::Rescue(order)),
            Action::Propose(entry) => {
                if let Err(error) = self.engine.propose(entry.encode()) {
                    self.on_refused(entry, &error, turn);
                }
            }
            Action::Report(report) => {
                let status = self.engine.status();
                let committed = status.established.then_some(status.committed);
                let message = PeerMessage::Report(PeerReport {
                    report,
                    committed,
                    promise: self.engine.promise(),
                });
                turn.actions.extend(
                    self.peers
                        .iter()
                        .map(|peer| NodeAction::Send(peer.clone(), message.clone())),
                );
            }
            Action::Publish {
                group,
                epoch,
                master,
                replicas,
            } => {
                turn.actions.push(NodeAction::Publish {
                    group,
                    epoch,
                    master,
                    replicas,
                });
            }
            Action::Announce(happening) => turn.announce(happening),
            Action::Forward(request) => self.forward(request, turn),
            Action::Answer(operation) => turn.actions.push(NodeAction::Answer(operation)),
        }
    }

    /// Without a leader it is lost, and tried again.
    fn forward(&self, request: Request, turn: &mut Turn) {
        let leader = self.engine.status().leader;
        if let Some(leader) = leader.filter(|leader| *leader != self.node) {
            let message = PeerMessage::Request(request);
            turn.actions.push(NodeAction::Send(leader, message));
        }
    }

    fn on_refused(&mut self, entry: Entry, error: &ProposeError, turn: &mut Turn) {
        tracing::debug!(group = %entry.group(), %error, "proposal refused");
        let event = Event::ProposalRefused(entry.group().clone());
        turn.pending.extend(self.supervisor.handle(event, turn.now));
    }

    /// Replaces applied entries by their outcome; true when that made something to write.
    fn compact(&mut self) -> bool {
        let applied = self.engine.status().applied;
        if applied.0 < self.compacted_at.0 + self.compact_after {
            return false;
        }
        self.compacted_at = applied;
        let state = (self.engine.seats(), self.supervisor.records());
        let state =
            postcard::to_stdvec(&state).expect("records hold nothing that cannot be encoded");
        match self.engine.compact(state, applied) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "log not compacted");
                false
            }
        }
    }

    /// This node's name.
    #[must_use]
    pub fn name(&self) -> &NodeId {
        &self.node
    }

    /// Whether the engine elected this node.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.engine.status().role == Role::Leader
    }
}

struct Turn {
    now: Instant,
    actions: Vec<NodeAction>,
    pending: VecDeque<Action>,
}

impl Turn {
    fn announce(&mut self, happening: Happening) {
        self.actions.push(NodeAction::Announce(happening));
    }
}

/// What a snapshot holds: who speaks for which voter, and what was decided of the groups.
fn decode_state(state: &[u8]) -> Result<(Seats, Records), NodeError> {
    postcard::from_bytes(state).map_err(NodeError::Snapshot)
}
