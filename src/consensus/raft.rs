//! Translation between our words and those of raft-rs, field by field.
//!
//! No protobuf is ever parsed or written: its types serve as plain structs.

use raft::eraftpb::{
    ConfState, Entry as RaftEntry, HardState as RaftHardState, Message as RaftMessage, MessageType,
    Snapshot as RaftSnapshot,
};
use slog::{Drain, Level, Never, OwnedKVList, Record};

use super::entry::{HardState, LogEntry, Payload, Position, SnapshotData};
use super::message::{Body, Message};
use crate::model::{LogIndex, NodeId, Term};

/// The voters in the order of their names; raft-rs numbers them from 1.
#[derive(Debug, Clone)]
pub(super) struct Voters(Vec<NodeId>);

impl Voters {
    pub(super) fn new(sorted: impl IntoIterator<Item = NodeId>) -> Self {
        Self(sorted.into_iter().collect())
    }

    pub(super) fn number(&self, node: &NodeId) -> Option<u64> {
        let place = self.0.binary_search(node).ok()?;
        Some(place as u64 + 1)
    }

    /// The voter with this number; none for 0, by which raft-rs means nobody.
    pub(super) fn name(&self, number: u64) -> Option<&NodeId> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.0.get(place)
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// How many voters come before `node`, without `left_out`.
    pub(super) fn count_before(&self, node: &NodeId, left_out: &NodeId) -> u32 {
        let before = self
            .0
            .iter()
            .filter(|voter| *voter < node && *voter != left_out);
        u32::try_from(before.count()).unwrap_or(u32::MAX)
    }

    pub(super) fn is_single(&self) -> bool {
        self.0.len() == 1
    }

    fn configuration(&self) -> ConfState {
        let numbers: Vec<u64> = (1..=self.0.len() as u64).collect();
        ConfState::from((numbers, Vec::new()))
    }

    /// A hard state of ours; a vote for somebody who is no voter cannot be.
    pub(super) fn hard_state_to_raft(&self, hard_state: &HardState) -> RaftHardState {
        let vote = hard_state.vote.as_ref().and_then(|node| self.number(node));
        RaftHardState {
            term: hard_state.term.0,
            vote: vote.unwrap_or_default(),
            commit: hard_state.committed.0,
            ..RaftHardState::default()
        }
    }

    pub(super) fn hard_state_from_raft(&self, hard_state: &RaftHardState) -> HardState {
        HardState {
            term: Term(hard_state.term),
            vote: self.name(hard_state.vote).cloned(),
            committed: LogIndex(hard_state.commit),
        }
    }

    /// The voters come from our settings, never from whoever sent the snapshot.
    pub(super) fn snapshot_to_raft(&self, snapshot: SnapshotData) -> RaftSnapshot {
        let mut converted = RaftSnapshot {
            data: snapshot.state.into_shared(),
            ..RaftSnapshot::default()
        };
        let metadata = converted.mut_metadata();
        metadata.index = snapshot.position.index.0;
        metadata.term = snapshot.position.term.0;
        metadata.set_conf_state(self.configuration());
        converted
    }

    pub(super) fn message_to_raft(&self, from: u64, to: u64, message: Message) -> RaftMessage {
        let mut converted = RaftMessage {
            from,
            to,
            term: message.term.0,
            ..RaftMessage::default()
        };
        converted.set_msg_type(message_type(&message.body));
        match message.body {
            Body::Append {
                previous,
                entries,
                committed,
            } => {
                converted.index = previous.index.0;
                converted.log_term = previous.term.0;
                converted.commit = committed.0;
                let entries: Vec<RaftEntry> = entries.into_iter().map(entry_to_raft).collect();
                converted.set_entries(entries.into());
            }
            Body::Appended { index, committed } => {
                converted.index = index.0;
                converted.commit = committed.0;
            }
            Body::AppendRefused {
                previous,
                hint,
                committed,
            } => {
                converted.index = previous.0;
                converted.reject = true;
                converted.reject_hint = hint.index.0;
                converted.log_term = hint.term.0;
                converted.commit = committed.0;
            }
            Body::Heartbeat { committed } | Body::HeartbeatAnswer { committed } => {
                converted.commit = committed.0;
            }
            Body::RequestPreVote { last, committed } => {
                set_request(&mut converted, last, committed);
            }
            Body::RequestVote {
                last,
                committed,
                handover,
            } => {
                set_request(&mut converted, last, committed);
                if handover {
                    converted.context = raft::CAMPAIGN_TRANSFER.into();
                }
            }
            Body::PreVote { granted, committed } | Body::Vote { granted, committed } => {
                converted.reject = !granted;
                converted.commit = committed.index.0;
                converted.commit_term = committed.term.0;
            }
            Body::Snapshot { position, state } => {
                let snapshot = SnapshotData { position, state };
                converted.set_snapshot(self.snapshot_to_raft(snapshot));
            }
            Body::StandNow => {}
        }
        converted
    }
}

fn message_type(body: &Body) -> MessageType {
    match body {
        Body::Append { .. } => MessageType::MsgAppend,
        Body::Appended { .. } | Body::AppendRefused { .. } => MessageType::MsgAppendResponse,
        Body::Heartbeat { .. } => MessageType::MsgHeartbeat,
        Body::HeartbeatAnswer { .. } => MessageType::MsgHeartbeatResponse,
        Body::RequestPreVote { .. } => MessageType::MsgRequestPreVote,
        Body::PreVote { .. } => MessageType::MsgRequestPreVoteResponse,
        Body::RequestVote { .. } => MessageType::MsgRequestVote,
        Body::Vote { .. } => MessageType::MsgRequestVoteResponse,
        Body::Snapshot { .. } => MessageType::MsgSnapshot,
        Body::StandNow => MessageType::MsgTimeoutNow,
    }
}

fn set_request(message: &mut RaftMessage, last: Position, committed: Position) {
    message.index = last.index.0;
    message.log_term = last.term.0;
    message.commit = committed.index.0;
    message.commit_term = committed.term.0;
}

/// What raft-rs wants to send; none for what never leaves a node that does not forward proposals.
pub(super) fn message_from_raft(mut message: RaftMessage) -> Option<Message> {
    let committed = LogIndex(message.commit);
    let index = LogIndex(message.index);
    let committed_position = position(message.commit, message.commit_term);
    let body = match message.get_msg_type() {
        MessageType::MsgAppend => Body::Append {
            previous: position(message.index, message.log_term),
            entries: message
                .take_entries()
                .into_iter()
                .map(entry_from_raft)
                .collect(),
            committed,
        },
        MessageType::MsgAppendResponse if message.reject => Body::AppendRefused {
            previous: index,
            hint: position(message.reject_hint, message.log_term),
            committed,
        },
        MessageType::MsgAppendResponse => Body::Appended { index, committed },
        MessageType::MsgHeartbeat => Body::Heartbeat { committed },
        MessageType::MsgHeartbeatResponse => Body::HeartbeatAnswer { committed },
        MessageType::MsgRequestPreVote => Body::RequestPreVote {
            last: position(message.index, message.log_term),
            committed: committed_position,
        },
        MessageType::MsgRequestVote => Body::RequestVote {
            last: position(message.index, message.log_term),
            committed: committed_position,
            handover: message.context == raft::CAMPAIGN_TRANSFER,
        },
        MessageType::MsgRequestPreVoteResponse => Body::PreVote {
            granted: !message.reject,
            committed: committed_position,
        },
        MessageType::MsgRequestVoteResponse => Body::Vote {
            granted: !message.reject,
            committed: committed_position,
        },
        MessageType::MsgSnapshot => {
            let SnapshotData { position, state } = snapshot_from_raft(message.get_snapshot());
            Body::Snapshot { position, state }
        }
        MessageType::MsgTimeoutNow => Body::StandNow,
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp => return None,
    };
    Some(Message {
        term: Term(message.term),
        body,
    })
}

pub(super) fn position(index: u64, term: u64) -> Position {
    Position {
        index: LogIndex(index),
        term: Term(term),
    }
}

pub(super) fn entry_to_raft(entry: LogEntry) -> RaftEntry {
    RaftEntry {
        index: entry.index.0,
        term: entry.term.0,
        data: entry.payload.into_shared(),
        ..RaftEntry::default()
    }
}

pub(super) fn entry_from_raft(entry: RaftEntry) -> LogEntry {
    LogEntry {
        index: LogIndex(entry.index),
        term: Term(entry.term),
        payload: Payload::from_shared(entry.data),
    }
}

pub(super) fn snapshot_from_raft(snapshot: &RaftSnapshot) -> SnapshotData {
    let metadata = snapshot.get_metadata();
    SnapshotData {
        position: position(metadata.index, metadata.term),
        state: Payload::from_shared(snapshot.data.clone()),
    }
}

/// Passes on what raft-rs logs, at `trace`, since each of its state changes shows in our own events.
pub(super) fn logger() -> slog::Logger {
    slog::Logger::root(Forward, slog::o!())
}

struct Forward;

impl Drain for Forward {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _values: &OwnedKVList) -> Result<(), Never> {
        if record.level().is_at_least(Level::Warning) {
            tracing::debug!(message = %record.msg(), level = %record.level());
        } else {
            tracing::trace!(message = %record.msg(), level = %record.level());
        }
        Ok(())
    }
}
