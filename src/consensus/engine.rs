//! The engine behind the seam: raft-rs, driven by moments instead of ticks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use raft::{Config, RawNode, SnapshotStatus, StateRole};

use super::entry::HardState;
use super::guard::{Refused, View};
use super::log::Recovered;
use super::message::{Body, Message, PAYLOAD_LENGTH_MAX, STATE_LENGTH_MAX};
use super::raft::{Voters, entry_to_raft, logger, position};
use super::seat::{OWN_ENTRY, Promise, Rejoin, Seats, Standing};
use super::settings::{EngineSettings, InvalidSettings, ticks};
use super::status::{BACKLOG_MAX, CompactError, Progress, ProposeError, Ready, Role, Status};
use super::storage::Storage;
use super::succession::Succession;
use crate::breaks::{Break, is_broken};
use crate::model::{Incarnation, LogIndex, NodeId, SplitMix, Term};

/// Most bytes of entries in one message, unless a single one is longer.
const APPEND_LENGTH_MAX: u64 = 512 * 1024;

/// Most messages with entries on their way to one follower.
const IN_FLIGHT_MAX: usize = 64;

/// One voter's part in the agreement. It owns no clock, socket, file or random source.
///
/// After each call that may have changed something, drain [`Engine::take_ready`].
pub struct Engine {
    pub(super) settings: EngineSettings,
    pub(super) voters: Voters,
    pub(super) number: u64,
    pub(super) raft: RawNode<Storage>,
    /// The moment of the last tick that ran; one follows each millisecond.
    pub(super) clock: Instant,
    /// The hard state in the newest batch, and the newest that is known to be durable.
    pub(super) written: HardState,
    pub(super) durable: HardState,
    pub(super) outstanding: Option<Outstanding>,
    pub(super) compacted: bool,
    /// When each follower that we await an answer from was sent a snapshot.
    pub(super) snapshots_sent: BTreeMap<u64, Instant>,
    pub(super) succession: Option<Succession>,
    /// Our state directory, and whether its cluster is born.
    pub(super) incarnation: Incarnation,
    pub(super) awake: bool,
    pub(super) standing: Standing,
    /// Who speaks for which voter: as applied, and what of the log is not applied yet.
    pub(super) seats: Seats,
    pub(super) rejoins: BTreeMap<LogIndex, Rejoin>,
    /// While we lead: who is brought up to date and not counted.
    pub(super) learners: BTreeMap<u64, Incarnation>,
    pub(super) promised: Promise,
    /// How far the log is committed is to be written down with the next batch.
    pub(super) keep_commit: bool,
}

/// A batch on its way to the disk, and what may happen once it is there.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) ready: u64,
    pub(super) hard_state: HardState,
    pub(super) progress: Progress,
}

impl Engine {
    /// Continues from what the disk holds; nothing of it is handed out again but entries behind the
    /// snapshot, once they are known to be committed. A single voter leads at once.
    ///
    /// Before its cluster is born it does nothing; see [`Engine::take_seat`].
    ///
    /// # Errors
    /// [`InvalidSettings`] with which no leader could ever be elected.
    pub fn new(
        settings: EngineSettings,
        recovered: Recovered,
        now: Instant,
    ) -> Result<Self, InvalidSettings> {
        settings.check()?;
        let voters = Voters::new(settings.voters.iter().cloned());
        let number = voters.number(&settings.node).unwrap_or_default();
        let seat = recovered.seat.clone();
        let promised = recovered.promise();
        let hard_state = recovered.hard_state;
        let entries = recovered.entries.clone();
        let storage = Storage::new(
            voters.hard_state_to_raft(&hard_state),
            voters.snapshot_to_raft(recovered.snapshot.unwrap_or_default()),
            recovered.entries.into_iter().map(entry_to_raft).collect(),
        );
        let config = configuration(&settings, number, &storage);
        let raft = RawNode::new(&config, storage, &logger())
            .expect("settings were checked, and the storage never fails");
        let mut engine = Self {
            settings,
            voters,
            number,
            raft,
            clock: now,
            written: hard_state.clone(),
            durable: hard_state,
            outstanding: None,
            compacted: false,
            snapshots_sent: BTreeMap::new(),
            succession: None,
            incarnation: Incarnation::default(),
            awake: false,
            standing: Standing::Unborn,
            seats: Seats::default(),
            rejoins: BTreeMap::new(),
            learners: BTreeMap::new(),
            promised,
            keep_commit: false,
        };
        engine.note_rejoins(&entries);
        engine.draw_election_timeout();
        if let Some(seat) = seat {
            engine.take_seat(&seat);
        }
        Ok(engine)
    }

    /// A single voter needs nobody.
    pub(super) fn stand_alone(&mut self) {
        if self.voters.is_single() && self.raft.raft.state != StateRole::Leader {
            let elected = self.raft.campaign();
            assert!(elected.is_ok(), "a single voter elects itself");
            self.draw_election_timeout();
        }
    }

    /// Lets time pass until `now`. An earlier moment than the last changes nothing.
    ///
    /// A gap of more than two election timeouts (the machine slept) passes as if it were only that
    /// long: enough for a leader to find that it is none any more, and for others to ask for votes once.
    pub fn advance_to(&mut self, now: Instant) {
        let elapsed = ticks(now.saturating_duration_since(self.clock));
        let span_max = 2 * ticks(self.settings.election_timeout_max);
        self.clock += Duration::from_millis(elapsed as u64);
        if self.is_installing() || self.standing != Standing::Voter {
            return;
        }
        for _ in 0..elapsed.min(span_max) {
            if self.raft.tick() {
                self.draw_election_timeout();
                self.forget_learners();
            }
        }
        self.succeed(now);
    }

    /// The next moment at which the passing of time alone changes anything.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let raft = &self.raft.raft;
        let remaining = match raft.state {
            StateRole::Leader if self.voters.is_single() => return None,
            // Whether it still has a quorum is seen along with the heartbeats.
            StateRole::Leader => raft.heartbeat_timeout() - raft.heartbeat_elapsed(),
            StateRole::Follower | StateRole::Candidate | StateRole::PreCandidate => raft
                .randomized_election_timeout()
                .saturating_sub(raft.election_elapsed),
        };
        if self.is_installing() || self.standing != Standing::Voter {
            return None;
        }
        let by_tick = self.clock + Duration::from_millis(remaining.max(1) as u64);
        Some(self.next_turn().map_or(by_tick, |turn| turn.min(by_tick)))
    }

    /// Takes in a message that the link says is from `from`.
    ///
    /// # Errors
    /// [`Refused`] when no honest voter could send it to us now; the engine is then unchanged.
    pub fn receive(&mut self, from: &NodeId, message: Message) -> Result<(), Refused> {
        let number = self
            .voters
            .number(from)
            .filter(|number| *number != self.number);
        let Some(number) = number else {
            return Err(Refused::NotAVoter { from: from.clone() });
        };
        if self.is_installing() {
            return Err(Refused::Installing);
        }
        let is_copying = message.body.is_about_copying();
        match self.standing {
            Standing::Unborn => return Err(Refused::Unborn),
            Standing::Rejoining if !is_copying => return Err(Refused::Rejoining),
            Standing::Rejoining | Standing::Voter => {}
        }
        if self.learners.contains_key(&number) && !is_copying {
            return Err(Refused::NotSeated { from: from.clone() });
        }
        self.view().admit(from, &message)?;
        if matches!(message.body, Body::HeartbeatAnswer { .. }) {
            self.repeat_lost_snapshot(number);
        }
        let message = self.voters.message_to_raft(number, self.number, message);
        if let Err(error) = self.raft.step(message) {
            tracing::debug!(%from, %error, "message not taken in");
        }
        self.draw_election_timeout();
        Ok(())
    }

    /// Proposes an entry. It may still be lost until it comes back in [`Ready::committed`].
    ///
    /// # Errors
    /// [`ProposeError`] when it was certainly not taken.
    pub fn propose(&mut self, payload: Vec<u8>) -> Result<(), ProposeError> {
        let status = self.status();
        if status.role != Role::Leader {
            let leader = status.leader;
            return Err(ProposeError::NotLeader { leader });
        }
        let length = payload.len();
        let is_reserved = payload.first() == Some(&OWN_ENTRY);
        if length == 0 || length > PAYLOAD_LENGTH_MAX || is_reserved {
            return Err(ProposeError::Length { length });
        }
        if self.raft.raft.lead_transferee.is_some() {
            return Err(ProposeError::HandingOver);
        }
        self.raft
            .propose(Vec::new(), payload)
            .map_err(|_| ProposeError::Backlogged)
    }

    /// Hands leadership to `to`, once that one has all entries; tried for one election timeout.
    ///
    /// # Errors
    /// [`ProposeError::NotLeader`] when it is not ours to give.
    pub fn transfer_leadership(&mut self, to: &NodeId) -> Result<(), ProposeError> {
        let Status { role, leader, .. } = self.status();
        match (role, self.voters.number(to)) {
            (Role::Leader, Some(number)) => {
                self.raft.transfer_leader(number);
                Ok(())
            }
            (Role::Leader | Role::Follower | Role::Candidate, _) => {
                Err(ProposeError::NotLeader { leader })
            }
        }
    }

    /// Tells that the link to `peer` broke, so what was on its way may be lost: it is sent again
    /// without waiting for a heartbeat to find out.
    pub fn peer_unreachable(&mut self, peer: &NodeId) {
        if let Some(number) = self.voters.number(peer) {
            self.raft.report_unreachable(number);
            self.raft.report_snapshot(number, SnapshotStatus::Failure);
            self.snapshots_sent.remove(&number);
        }
    }

    /// Lets `state`, to which the entries up to `applied` lead, stand for them.
    ///
    /// The batch that makes it durable comes with the next [`Ready`].
    ///
    /// # Errors
    /// [`CompactError`], and the log stays as it is.
    pub fn compact(&mut self, state: Vec<u8>, applied: LogIndex) -> Result<(), CompactError> {
        let length = state.len();
        if length > STATE_LENGTH_MAX {
            return Err(CompactError::StateTooLong { length });
        }
        let base = self.raft.store().latest_snapshot().get_metadata().index;
        let handed_out = self.raft.raft.raft_log.applied;
        if applied.0 <= base || applied.0 > handed_out {
            return Err(CompactError::NotApplied {
                index: applied,
                first: LogIndex(base + 1),
                applied: LogIndex(handed_out),
            });
        }
        self.raft.mut_store().compact(applied.0, state.into());
        self.compacted = true;
        Ok(())
    }

    /// What there is to do; none while a batch is on its way to the disk, and when there is nothing.
    pub fn take_ready(&mut self) -> Option<Ready> {
        self.forget_learners();
        while self.outstanding.is_none()
            && (self.compacted || self.keep_commit || self.raft.has_ready())
        {
            let ready = self.next_ready();
            if ready != Ready::default() {
                return Some(ready);
            }
        }
        None
    }

    /// Takes note that the batch of the last [`Ready`] is durable.
    ///
    /// # Panics
    /// If that one had no batch, or this was said before.
    pub fn persisted(&mut self) -> Progress {
        let outstanding = self.outstanding.take();
        let outstanding = outstanding.expect("a batch is on its way to the disk");
        self.durable = outstanding.hard_state;
        self.note_promises(&outstanding.progress.send);
        self.raft.on_persist_ready(outstanding.ready);
        if let Some(snapshot) = &outstanding.progress.install {
            self.raft.advance_apply_to(snapshot.position.index.0);
        }
        outstanding.progress
    }

    /// Where this voter stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let raft = &self.raft.raft;
        let role = match raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        };
        Status {
            term: Term(raft.term),
            leader: self.voters.name(raft.leader_id).cloned(),
            role,
            committed: LogIndex(raft.raft_log.committed),
            applied: LogIndex(raft.raft_log.applied),
            established: role == Role::Leader
                && (raft.apply_to_current_term() || is_broken(Break::LeaderActsBeforeCaughtUp)),
        }
    }

    /// While a snapshot is on its way to the disk, raft-rs stumbles over an election (its applied
    /// index lies before the first entry), so time stands still and messages are turned away.
    pub(super) fn is_installing(&self) -> bool {
        self.outstanding
            .as_ref()
            .is_some_and(|outstanding| outstanding.progress.install.is_some())
    }

    fn view(&self) -> View {
        let raft = &self.raft.raft;
        let (index, term) = raft.raft_log.commit_info();
        let is_announced = self.durable.term.0 == raft.term
            && self.durable.vote.as_ref() == Some(&self.settings.node)
            && raft.raft_log.last_index() == raft.raft_log.persisted;
        View {
            term: Term(raft.term),
            is_leader: raft.state == StateRole::Leader,
            leader: self.voters.name(raft.leader_id).cloned(),
            last: LogIndex(raft.raft_log.last_index()),
            committed: position(index, term),
            stands_unannounced: raft.state == StateRole::Candidate && !is_announced,
        }
    }

    /// raft-rs draws from a generator of its own whenever it changes its role; here the seed, the
    /// node and the term decide, so it does no harm to say it once too often.
    pub(super) fn draw_election_timeout(&mut self) {
        let min = ticks(self.settings.election_timeout_min);
        let spread = ticks(self.settings.election_timeout_max) - min;
        let mut by_node = SplitMix::new(self.settings.seed ^ self.number.rotate_left(32));
        let mut by_term = SplitMix::new(by_node.next() ^ self.raft.raft.term);
        let drawn = usize::try_from(by_term.below(spread as u64)).unwrap_or_default();
        self.raft.raft.set_randomized_election_timeout(min + drawn);
    }
}

fn configuration(settings: &EngineSettings, number: u64, storage: &Storage) -> Config {
    Config {
        id: number,
        election_tick: ticks(settings.election_timeout_min),
        min_election_tick: ticks(settings.election_timeout_min),
        max_election_tick: ticks(settings.election_timeout_max),
        heartbeat_tick: ticks(settings.heartbeat_interval),
        applied: storage.latest_snapshot().get_metadata().index,
        max_size_per_msg: APPEND_LENGTH_MAX,
        max_inflight_msgs: IN_FLIGHT_MAX,
        max_uncommitted_size: BACKLOG_MAX,
        check_quorum: true,
        pre_vote: true,
        batch_append: false,
        ..Config::default()
    }
}
