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
use crate::model::{LogIndex, NodeId};

/// Seven bytes that name the kind of file, and the version of its format.
const LOG_MAGIC: [u8; 8] = *b"promlog\x01";
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

/// Why what is on the disk cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecoverError {
    /// Damage with whole frames behind it: no crash does that.
    #[error(
        "damaged at byte {offset}, with good data from byte {next} on: while all other voters are up, \
         remove this node's state directory"
    )]
    Damaged {
        /// Where the damage begins.
        offset: usize,
        /// The next whole frame.
        next: usize,
    },
    /// Frames that are whole, and contradict each other.
    #[error(
        "contradicts itself at byte {offset} ({what}): while all other voters are up, remove this node's \
         state directory"
    )]
    Inconsistent {
        /// Where the frame ends that shows it.
        offset: usize,
        /// How.
        what: &'static str,
    },
    /// Written by another version, or no file of ours.
    #[error(
        "not in format 1 of promoterd: start the version that wrote it, or remove the state directory"
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
        "written with voters {found}, the settings say {expected}: put PROMOTERD_PEERS back; editing it does not \
         change the voters of a living cluster"
    )]
    OtherVoters {
        /// As written.
        found: String,
        /// As set.
        expected: String,
    },
    /// The log goes on from a snapshot that is not there.
    #[error(
        "continues a snapshot at entry {base} that is missing or older: while all other voters are up, \
         remove this node's state directory"
    )]
    SnapshotMissing {
        /// Where it ends.
        base: LogIndex,
    },
    /// There is a snapshot and no log.
    #[error(
        "is missing beside its snapshot: while all other voters are up, remove this node's state directory"
    )]
    LogMissing,
    /// The snapshot's CRC is wrong.
    #[error(
        "snapshot is damaged: while all other voters are up, remove this node's state directory"
    )]
    DamagedSnapshot,
}

/// The first bytes of a log that continues at `base`.
#[must_use]
pub fn begin(identity: &Identity, base: Position) -> Vec<u8> {
    let mut bytes = LOG_MAGIC.to_vec();
    let identity = identity.clone();
    push_frame(&mut bytes, &Header { identity, base });
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
            check_identity(identity, header.identity)?;
            replay.base = header.base;
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
    if offset == 0 && snapshot.is_some() {
        return Err(RecoverError::LogMissing);
    }
    let mut recovered = replay.finish(snapshot, offset)?;
    recovered.torn_length = torn_length;
    Ok(recovered)
}

/// The log as it is read, frame by frame.
#[derive(Debug, Default)]
struct Replay {
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
            found: join(&found.voters),
            expected: join(&expected.voters),
        });
    }
    Ok(())
}

fn join(voters: &BTreeSet<NodeId>) -> String {
    let names: Vec<&str> = voters.iter().map(NodeId::as_str).collect();
    names.join(",")
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
