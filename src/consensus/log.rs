//! The bytes of the durable log and of the snapshot: encoding, and what a crash may have left of them.
//!
//! A log file is eight bytes that name the format, a frame with the [`Header`], then one frame a
//! batch. A frame is the length of its body, a CRC-32 of length and body, and the body. Each batch is
//! durable before the next is written, so a crash can only damage the last frame; zeros behind it were
//! written ahead of time.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::entry::{HardState, LogEntry, Position, SnapshotData};
use super::frame::{push_frame, torn_length, whole_frame, without_zeros};
use super::seat::{Promise, Seat, Stage};
use crate::model::{Incarnation, LogIndex, NodeId};

/// Seven bytes that name the kind of file, and the version of its format.
const LOG_MAGIC: [u8; 8] = *b"promlog\x02";
const SNAPSHOT_MAGIC: [u8; 8] = *b"promsnp\x01";

/// Whose log it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The node that wrote it.
    pub node: NodeId,
    /// The voters it agrees with.
    pub voters: BTreeSet<NodeId>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    identity: Identity,
    /// What the directory says of itself.
    seat: Seat,
    /// What the snapshot that this log continues contains.
    base: Position,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    hard_state: Option<HardState>,
    entries: Vec<LogEntry>,
}

/// What a node knows after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// What the state directory says of itself; none when it has not even begun, see [`begin`].
    pub seat: Option<Seat>,
    /// The hard state.
    pub hard_state: HardState,
    /// The state at the start of the log, for the state machine to begin with.
    pub snapshot: Option<SnapshotData>,
    /// All entries behind the snapshot, without a gap, committed or not.
    pub entries: Vec<LogEntry>,
    /// The log file is good up to here; 0 when it has not even begun, see [`begin`].
    pub valid_length: usize,
    /// How many bytes behind that are remains of a write that a crash interrupted.
    pub torn_length: usize,
}

impl Recovered {
    /// Counts a start, of a directory that bears `fresh` where it is new, and returns what it says of
    /// itself from now on.
    pub fn start(&mut self, fresh: Incarnation) -> Seat {
        let seat = self.seat.get_or_insert_with(|| Seat::new(fresh));
        seat.starts += 1;
        seat.clone()
    }

    /// How far the promises go that this state knows of.
    #[must_use]
    pub fn promise(&self) -> Promise {
        let base = self
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.position.index);
        let last = self.entries.last().map(|entry| entry.index);
        Promise {
            term: self.hard_state.term,
            index: last.or(base).unwrap_or_default(),
        }
    }
}

/// Why what is on the disk cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecoverError {
    /// Damage with whole frames behind it: no crash does that.
    #[error(
        "damaged at byte {offset}, with good data from byte {next} on: empty this node's \
         state directory, and it rejoins"
    )]
    Damaged {
        /// Where the damage begins.
        offset: usize,
        /// The next whole frame.
        next: usize,
    },
    /// Frames that are whole, and contradict each other.
    #[error(
        "contradicts itself at byte {offset} ({what}): empty this node's state directory, and it rejoins"
    )]
    Inconsistent {
        /// Where the frame ends that shows it.
        offset: usize,
        /// How.
        what: &'static str,
    },
    /// Written by another version, or no file of ours.
    #[error(
        "not in format 2 of promoterd: start the version that wrote it, or remove the state directory"
    )]
    UnknownFormat,
    /// Copied from another node, or the node was renamed.
    #[error(
        "belongs to node {found}, this is {expected}: set PROMOTERD_NODE, or use this node's own state directory"
    )]
    OtherNode {
        /// Who wrote it.
        found: NodeId,
        /// Who we are.
        expected: NodeId,
    },
    /// Written with other voters.
    #[error(
        "belongs to a living cluster of the voters {found}, PROMOTERD_PEERS says {expected} ({difference}): \
         put the names back. Addresses may be edited. To replace the machine of a voter keep its name, and \
         start it with an empty state directory. To change the names: stop promoterd on all hosts, empty \
         PROMOTERD_STATE_DIR on each, start all with the same PROMOTERD_PEERS; the groups are found again"
    )]
    OtherVoters {
        /// As written.
        found: String,
        /// As set.
        expected: String,
        /// Who was added, who is missing.
        difference: String,
    },
    /// The log goes on from a snapshot that is not there.
    #[error(
        "continues a snapshot at entry {base} that is missing or older: empty this node's \
         state directory, and it rejoins"
    )]
    SnapshotMissing {
        /// Where it ends.
        base: LogIndex,
    },
    /// The snapshot's CRC is wrong.
    #[error("snapshot is damaged: empty this node's state directory, and it rejoins")]
    DamagedSnapshot,
}

/// The first bytes of a log that continues at `base`.
#[must_use]
pub fn begin(identity: &Identity, seat: &Seat, base: Position) -> Vec<u8> {
    let mut bytes = LOG_MAGIC.to_vec();
    let (identity, seat) = (identity.clone(), seat.clone());
    push_frame(
        &mut bytes,
        &Header {
            identity,
            seat,
            base,
        },
    );
    bytes
}

/// Adds one batch's frame: the hard state where it changed, and entries.
pub fn encode(bytes: &mut Vec<u8>, hard_state: Option<&HardState>, entries: &[LogEntry]) {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        hard_state: Option<&'a HardState>,
        entries: &'a [LogEntry],
    }
    push_frame(
        bytes,
        &Borrowed {
            hard_state,
            entries,
        },
    );
}

/// The bytes of a snapshot file.
#[must_use]
pub fn encode_snapshot(snapshot: &SnapshotData) -> Vec<u8> {
    let mut bytes = SNAPSHOT_MAGIC.to_vec();
    push_frame(&mut bytes, snapshot);
    bytes
}

/// Reads a snapshot file.
///
/// # Errors
/// [`RecoverError`] when it is not exactly what [`encode_snapshot`] wrote.
pub fn decode_snapshot(bytes: &[u8]) -> Result<SnapshotData, RecoverError> {
    check_magic(bytes, SNAPSHOT_MAGIC)?;
    match whole_frame(bytes, SNAPSHOT_MAGIC.len()) {
        Some((body, end)) if end == bytes.len() => decode(body, end),
        Some(_) | None => Err(RecoverError::DamagedSnapshot),
    }
}

/// Finds out what a node knew from the bytes of its two files, as a crash may have left them.
///
/// # Errors
/// [`RecoverError`] when more is wrong than a crash explains.
pub fn recover(
    identity: &Identity,
    log: &[u8],
    snapshot: Option<&[u8]>,
) -> Result<Recovered, RecoverError> {
    let snapshot = snapshot.map(decode_snapshot).transpose()?;
    let mut replay = Replay::default();
    let mut offset = 0;
    if check_magic(log, LOG_MAGIC).is_ok() {
        if let Some((body, end)) = whole_frame(log, LOG_MAGIC.len()) {
            let header: Header = decode(body, end)?;
            if let Err(error) = check_identity(identity, header.identity) {
                return match header.seat.stage {
                    // Nothing was promised to anybody yet, so the settings may still change.
                    Stage::Empty | Stage::Forming { .. } => Ok(Recovered::default()),
                    Stage::Member { .. } => Err(error),
                };
            }
            replay.base = header.base;
            replay.seat = Some(header.seat);
            offset = end;
            while let Some((body, end)) = whole_frame(log, offset) {
                replay.add(decode(body, end)?, identity, end)?;
                offset = end;
            }
        }
    } else if !LOG_MAGIC.starts_with(without_zeros(log)) {
        return Err(RecoverError::UnknownFormat);
    }
    let torn_length = torn_length(log, offset)?;
    // The log says whose directory it is: without it, a snapshot counts for nothing.
    let snapshot = snapshot.filter(|_| offset > 0);
    let mut recovered = replay.finish(snapshot, offset)?;
    recovered.torn_length = torn_length;
    Ok(recovered)
}

/// The log as it is read, frame by frame.
#[derive(Debug, Default)]
struct Replay {
    seat: Option<Seat>,
    base: Position,
    hard_state: HardState,
    entries: Vec<LogEntry>,
}

impl Replay {
    fn add(&mut self, record: Record, identity: &Identity, end: usize) -> Result<(), RecoverError> {
        let wrong = |what| RecoverError::Inconsistent { offset: end, what };
        if let Some(hard_state) = record.hard_state {
            if hard_state.term < self.hard_state.term {
                return Err(wrong("the term goes back"));
            }
            if hard_state
                .vote
                .iter()
                .any(|vote| !identity.voters.contains(vote))
            {
                return Err(wrong("the vote is for no voter"));
            }
            self.hard_state = hard_state;
        }
        let Some(first) = record.entries.first() else {
            return Ok(());
        };
        let kept = first.index.0.checked_sub(self.base.index.0 + 1);
        match kept.and_then(|kept| usize::try_from(kept).ok()) {
            Some(kept) if kept <= self.entries.len() => self.entries.truncate(kept),
            Some(_) | None => return Err(wrong("there is a gap between entries")),
        }
        for entry in record.entries {
            let last = self.last();
            if entry.index.0 != last.index.0 + 1 || entry.term < last.term {
                return Err(wrong("entries are out of order"));
            }
            self.entries.push(entry);
        }
        Ok(())
    }

    fn last(&self) -> Position {
        self.entries.last().map_or(self.base, position_of)
    }

    /// Joins log and snapshot. The snapshot is replaced first, so it may be ahead of the log.
    fn finish(
        mut self,
        snapshot: Option<SnapshotData>,
        end: usize,
    ) -> Result<Recovered, RecoverError> {
        let at = snapshot.as_ref().map(|snapshot| snapshot.position);
        let at = at.unwrap_or_default();
        if at.index < self.base.index {
            let base = self.base.index;
            return Err(RecoverError::SnapshotMissing { base });
        }
        if at.index == self.base.index && at.term != self.base.term {
            let what = "it continues another snapshot";
            return Err(RecoverError::Inconsistent { offset: end, what });
        }
        if at.index > self.base.index {
            let known = self
                .entries
                .iter()
                .position(|entry| position_of(entry) == at);
            match known {
                Some(place) => drop(self.entries.drain(..=place)),
                // A leader's snapshot that replaced a log which was behind, or had gone astray.
                None => self.entries.clear(),
            }
            self.base = at;
        }
        let last = self.last();
        let mut hard_state = self.hard_state;
        // The snapshot can be a term ahead of the hard state that was to follow it. No vote was cast
        // in that term: it would have been durable before.
        if hard_state.term < last.term {
            hard_state.term = last.term;
            hard_state.vote = None;
        }
        hard_state.committed = hard_state.committed.clamp(at.index, last.index);
        Ok(Recovered {
            seat: self.seat,
            hard_state,
            snapshot,
            entries: self.entries,
            valid_length: end,
            torn_length: 0,
        })
    }
}

fn position_of(entry: &LogEntry) -> Position {
    Position {
        index: entry.index,
        term: entry.term,
    }
}

fn decode<T: DeserializeOwned>(body: &[u8], end: usize) -> Result<T, RecoverError> {
    postcard::from_bytes(body).map_err(|_| RecoverError::Inconsistent {
        offset: end,
        what: "a frame holds what this version does not know",
    })
}

fn check_magic(bytes: &[u8], magic: [u8; 8]) -> Result<(), RecoverError> {
    if bytes.starts_with(&magic) {
        Ok(())
    } else {
        Err(RecoverError::UnknownFormat)
    }
}

fn check_identity(expected: &Identity, found: Identity) -> Result<(), RecoverError> {
    if found.node != expected.node {
        return Err(RecoverError::OtherNode {
            found: found.node,
            expected: expected.node.clone(),
        });
    }
    if found.voters != expected.voters {
        return Err(RecoverError::OtherVoters {
            found: join(found.voters.iter()),
            expected: join(expected.voters.iter()),
            difference: difference(&found.voters, &expected.voters),
        });
    }
    Ok(())
}

fn difference(before: &BTreeSet<NodeId>, after: &BTreeSet<NodeId>) -> String {
    let added = join(after.difference(before));
    let missing = join(before.difference(after));
    match (added.is_empty(), missing.is_empty()) {
        (false, false) => format!("{added} added, {missing} missing"),
        (false, true) => format!("{added} added"),
        (true, _) => format!("{missing} missing"),
    }
}

fn join<'a>(voters: impl Iterator<Item = &'a NodeId>) -> String {
    let names: Vec<&str> = voters.map(NodeId::as_str).collect();
    names.join(",")
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
