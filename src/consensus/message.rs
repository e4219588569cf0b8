//! What engines say to each other, in our own words, and which of it can be true at all.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::entry::{LogEntry, Payload, Position};
use crate::model::{LogIndex, Term};

/// Longest payload of one entry in bytes. Ours have about 200.
pub const PAYLOAD_LENGTH_MAX: usize = 256 * 1024;

/// Longest state in a snapshot in bytes: with its envelope it fits a peer's frame of 4 MiB.
pub const STATE_LENGTH_MAX: usize = 4 * 1024 * 1024 - 4096;

/// No living cluster gets this far in terms or entries: with one in a microsecond it takes 8 years.
/// Below it, nothing that the engine adds to a number can overflow.
const NUMBER_MAX: u64 = 1 << 48;

/// One message to another voter. The link tells who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The sender's term; for [`Body::RequestPreVote`] and its assent, the one it would stand in.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

/// The kinds of [`Message`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// A leader's entries, for the one behind `previous` on.
    Append {
        /// The entry before the first of these, for the follower to check.
        previous: Position,
        /// Without a gap; may be empty, to tell the commit index.
        entries: Vec<LogEntry>,
        /// The leader's commit index.
        committed: LogIndex,
    },
    /// The follower's log is durable and agrees with the leader's up to `index`.
    Appended {
        /// The last index that agrees; 0 merely tells a deposed leader the newer term.
        index: LogIndex,
        /// The follower's commit index.
        committed: LogIndex,
    },
    /// The follower's log differs at `previous`.
    AppendRefused {
        /// The index that differs.
        previous: LogIndex,
        /// Where the two logs may agree.
        hint: Position,
        /// The follower's commit index.
        committed: LogIndex,
    },
    /// The leader lives.
    Heartbeat {
        /// Committed, as far as this follower's log is known to agree.
        committed: LogIndex,
    },
    /// The follower lives.
    HeartbeatAnswer {
        /// The follower's commit index.
        committed: LogIndex,
    },
    /// Would you vote for me?
    RequestPreVote {
        /// The end of the sender's log.
        last: Position,
        /// Its commit index.
        committed: Position,
    },
    /// Answer to [`Body::RequestPreVote`].
    PreVote {
        /// Whether it would.
        granted: bool,
        /// Its commit index, with a refusal.
        committed: Position,
    },
    /// Vote for me.
    RequestVote {
        /// The end of the sender's log.
        last: Position,
        /// Its commit index.
        committed: Position,
        /// The leader itself asked the sender to stand.
        handover: bool,
    },
    /// Answer to [`Body::RequestVote`].
    Vote {
        /// Whether it does.
        granted: bool,
        /// Its commit index, with a refusal.
        committed: Position,
    },
    /// The leader's state, for a follower that needs entries which are no longer there.
    Snapshot {
        /// The last entry that the state contains.
        position: Position,
        /// The state.
        state: Payload,
    },
    /// The leader hands over: stand for election at once.
    StandNow,
}

impl Body {
    /// Whether it answers: it counts for something, if its sender may be counted.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Appended { .. }
            | Self::AppendRefused { .. }
            | Self::HeartbeatAnswer { .. }
            | Self::PreVote { .. }
            | Self::Vote { .. } => true,
            Self::Append { .. }
            | Self::Heartbeat { .. }
            | Self::RequestPreVote { .. }
            | Self::RequestVote { .. }
            | Self::Snapshot { .. }
            | Self::StandNow => false,
        }
    }

    /// Whether it serves to bring a log up to date, and no election.
    pub(super) fn is_about_copying(&self) -> bool {
        match self {
            Self::Append { .. }
            | Self::Appended { .. }
            | Self::AppendRefused { .. }
            | Self::Heartbeat { .. }
            | Self::HeartbeatAnswer { .. }
            | Self::Snapshot { .. } => true,
            Self::RequestPreVote { .. }
            | Self::PreVote { .. }
            | Self::RequestVote { .. }
            | Self::Vote { .. }
            | Self::StandNow => false,
        }
    }
}

/// What no honest engine would say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Absurd {
    /// 0, or beyond what a cluster can reach.
    #[error("its term is out of range")]
    Term,
    /// Beyond what a cluster can reach.
    #[error("a log index or term in it is out of range")]
    Position,
    /// An entry of a later term than its sender's, or a place without a term.
    #[error("the term of an entry in it cannot be")]
    EntryTerm,
    /// Not one behind the other.
    #[error("its entries are not contiguous")]
    Gap,
    /// Longer than anybody may propose.
    #[error("an entry or state in it is too long")]
    Length,
}

impl Message {
    /// Checks all that can be checked without knowing the receiver's state.
    pub(super) fn check(&self) -> Result<(), Absurd> {
        if self.term.0 == 0 || self.term.0 > NUMBER_MAX {
            return Err(Absurd::Term);
        }
        match &self.body {
            Body::Append {
                previous,
                entries,
                committed,
            } => {
                check_position(*previous)?;
                check_index(*committed)?;
                self.check_origin(*previous)?;
                self.check_entries(*previous, entries)
            }
            Body::Appended { index, committed } => {
                check_index(*index)?;
                check_index(*committed)
            }
            Body::AppendRefused {
                previous,
                hint,
                committed,
            } => {
                check_index(*previous)?;
                check_index(*committed)?;
                check_position(*hint)
            }
            Body::Heartbeat { committed } | Body::HeartbeatAnswer { committed } => {
                check_index(*committed)
            }
            Body::RequestPreVote { last, committed }
            | Body::RequestVote {
                last, committed, ..
            } => {
                check_position(*last)?;
                check_position(*committed)
            }
            Body::PreVote { committed, .. } | Body::Vote { committed, .. } => {
                check_position(*committed)
            }
            Body::Snapshot { position, state } => {
                check_position(*position)?;
                self.check_origin(*position)?;
                if position.index.0 == 0 {
                    return Err(Absurd::Position);
                }
                check_length(state, STATE_LENGTH_MAX)
            }
            Body::StandNow => Ok(()),
        }
    }

    /// A place in the sender's log has a term if it is behind the first, and none after the sender's own.
    fn check_origin(&self, position: Position) -> Result<(), Absurd> {
        let has_term = position.term.0 != 0;
        if has_term != (position.index.0 != 0) || position.term > self.term {
            return Err(Absurd::EntryTerm);
        }
        Ok(())
    }

    fn check_entries(&self, previous: Position, entries: &[LogEntry]) -> Result<(), Absurd> {
        let mut previous = previous;
        for entry in entries {
            if entry.index.0 != previous.index.0 + 1 {
                return Err(Absurd::Gap);
            }
            if entry.term.0 == 0 || entry.term < previous.term || entry.term > self.term {
                return Err(Absurd::EntryTerm);
            }
            check_length(&entry.payload, PAYLOAD_LENGTH_MAX)?;
            previous = Position {
                index: entry.index,
                term: entry.term,
            };
        }
        check_position(previous)
    }
}

fn check_index(index: LogIndex) -> Result<(), Absurd> {
    if index.0 > NUMBER_MAX {
        return Err(Absurd::Position);
    }
    Ok(())
}

fn check_position(position: Position) -> Result<(), Absurd> {
    if position.term.0 > NUMBER_MAX {
        return Err(Absurd::Position);
    }
    check_index(position.index)
}

fn check_length(payload: &Payload, length_max: usize) -> Result<(), Absurd> {
    if payload.len() > length_max {
        return Err(Absurd::Length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(index: u64, term: u64) -> Position {
        Position {
            index: LogIndex(index),
            term: Term(term),
        }
    }

    fn append(previous: Position, entries: &[(u64, u64)]) -> Body {
        let entries = entries
            .iter()
            .map(|(index, term)| LogEntry {
                index: LogIndex(*index),
                term: Term(*term),
                payload: vec![7].into(),
            })
            .collect();
        Body::Append {
            previous,
            entries,
            committed: LogIndex(0),
        }
    }

    fn snapshot(position: Position, length: usize) -> Body {
        Body::Snapshot {
            position,
            state: vec![0; length].into(),
        }
    }

    #[test]
    fn what_no_engine_would_say_is_refused() {
        for (term, body, verdict) in [
            (1, append(position(0, 0), &[(1, 1)]), Ok(())),
            (5, append(position(7, 3), &[(8, 3), (9, 5)]), Ok(())),
            (0, Body::StandNow, Err(Absurd::Term)),
            (NUMBER_MAX + 1, Body::StandNow, Err(Absurd::Term)),
            (5, append(position(7, 0), &[]), Err(Absurd::EntryTerm)),
            (5, append(position(0, 3), &[]), Err(Absurd::EntryTerm)),
            (5, append(position(7, 6), &[]), Err(Absurd::EntryTerm)),
            (5, append(position(7, 3), &[(9, 3)]), Err(Absurd::Gap)),
            (5, append(position(7, 3), &[(7, 3)]), Err(Absurd::Gap)),
            (5, append(position(7, 3), &[(8, 2)]), Err(Absurd::EntryTerm)),
            (5, append(position(7, 3), &[(8, 6)]), Err(Absurd::EntryTerm)),
            (1, append(position(0, 0), &[(1, 0)]), Err(Absurd::EntryTerm)),
            (5, append(position(u64::MAX, 3), &[]), Err(Absurd::Position)),
            (
                5,
                append(position(NUMBER_MAX, 3), &[(NUMBER_MAX + 1, 3)]),
                Err(Absurd::Position),
            ),
            (5, snapshot(position(3, 2), 9), Ok(())),
            (5, snapshot(position(0, 0), 9), Err(Absurd::Position)),
            (5, snapshot(position(3, 6), 9), Err(Absurd::EntryTerm)),
            (
                5,
                snapshot(position(3, 2), STATE_LENGTH_MAX + 1),
                Err(Absurd::Length),
            ),
        ] {
            let message = Message {
                term: Term(term),
                body,
            };
            assert_eq!(message.check(), verdict, "{message:?}");
        }
    }

    #[test]
    fn a_snapshot_of_the_longest_state_fits_a_peers_frame() {
        let message = Message {
            term: Term(NUMBER_MAX),
            body: snapshot(position(NUMBER_MAX, NUMBER_MAX), STATE_LENGTH_MAX),
        };
        let encoded = postcard::to_allocvec(&message).unwrap();
        assert!(encoded.len() < 4 * 1024 * 1024 - 1024, "{}", encoded.len());
        assert_eq!(postcard::from_bytes::<Message>(&encoded).unwrap(), message);
    }
}
