//! The stop switch: a group that is paused is watched and told of, and nothing is done about it.
//!
//! A pause begins and ends by entries of the log, so all nodes agree on it at every position, and a
//! `Begin` behind a pause is void whoever proposed it. No node asks a clock whether a pause still
//! stands: when its time is over the leader logs its end. How much time is left is measured by a
//! clock that nobody sets; only a node that started since the pause began has nothing but the
//! logged time to go by, and then never waits longer than the whole time anew.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::request::{OperationId, Reason, Requester};
use crate::model::{Epoch, GroupName, UnixTime};

/// Pauses that a group remembers.
const PAUSES_MAX: usize = 16;
/// The time in which `failovers_max` failovers may happen.
pub const FLAPPING_WINDOW: Duration = Duration::from_secs(3600);

/// The start of a pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The group.
    pub group: GroupName,
    /// When, by the leader's clock.
    pub at: UnixTime,
    /// How long; until somebody resumes it when none.
    pub lasts: Option<Duration>,
    /// Why, in the words of whoever asked.
    pub reason: Option<Reason>,
    /// Who or what began it.
    pub by: PausedBy,
    /// Whether the master may take writes without a lease meanwhile: nobody is promoted, so nobody else
    /// takes any.
    pub lifts_lease: bool,
}

/// Who or what began a pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// An administrator.
    Admin {
        /// Who.
        by: Requester,
        /// By which operation.
        operation: OperationId,
    },
    /// The group failed over too often.
    Flapping {
        /// So often within an hour.
        failovers: usize,
    },
}

/// The end of a pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The group.
    pub group: GroupName,
    /// When, by the leader's clock.
    pub at: UnixTime,
    /// Who or what ended it.
    pub by: ResumedBy,
}

/// Who or what ended a pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumedBy {
    /// An administrator.
    Admin {
        /// Who.
        by: Requester,
        /// By which operation.
        operation: OperationId,
    },
    /// Its time was over.
    Expiry {
        /// The operation that began it, so that no later pause is ended in its place.
        of: OperationId,
    },
    /// Another pause took its place.
    Replaced,
}

impl Pause {
    /// When it ends by itself, by the clock of the leader that logged it.
    #[must_use]
    pub fn until(&self) -> Option<UnixTime> {
        self.lasts.map(|lasts| self.at.after(lasts))
    }

    /// The operation that asked for it.
    #[must_use]
    pub fn operation(&self) -> Option<OperationId> {
        match &self.by {
            PausedBy::Admin { operation, .. } => Some(*operation),
            PausedBy::Flapping { .. } => None,
        }
    }

    /// When its time is over, for a node that hears of it at `now`, when its clock says `wall`.
    ///
    /// `is_news` says that it was logged a moment ago: then its time begins now, whatever clocks say.
    #[must_use]
    pub fn over_at(&self, is_news: bool, wall: UnixTime, now: Instant) -> Option<Instant> {
        let lasts = self.lasts?;
        let left = if is_news {
            lasts
        } else {
            let until = self.at.after(lasts);
            Duration::from_millis(until.0.saturating_sub(wall.0)).min(lasts)
        };
        now.checked_add(left)
    }
}

impl fmt::Display for PausedBy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin { by, .. } => by.fmt(formatter),
            Self::Flapping { failovers } => write!(
                formatter,
                "promoterd, after {failovers} failovers within an hour"
            ),
        }
    }
}

impl fmt::Display for ResumedBy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin { by, .. } => by.fmt(formatter),
            Self::Expiry { .. } => formatter.pad("its time being over"),
            Self::Replaced => formatter.pad("another pause"),
        }
    }
}

/// One pause, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseRecord {
    /// How it began.
    pub pause: Pause,
    /// When it ended, and by whom; it still stands when none.
    pub ended: Option<(UnixTime, ResumedBy)>,
}

/// The pauses of a group, as committed, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pauses {
    past: VecDeque<PauseRecord>,
    /// Failovers up to this epoch count no longer for flapping: an administrator has seen them.
    forgiven: Epoch,
}

impl Pauses {
    /// The one that stands.
    #[must_use]
    pub fn current(&self) -> Option<&Pause> {
        let last = self.past.back()?;
        last.ended.is_none().then_some(&last.pause)
    }

    /// All that are remembered, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &PauseRecord> {
        self.past.iter()
    }

    /// Failovers up to this epoch are no sign of flapping.
    #[must_use]
    pub fn forgiven(&self) -> Epoch {
        self.forgiven
    }

    /// Begins one. What an administrator wants takes the place of the one that stands; what nobody
    /// asked for does not. False when nothing changes.
    pub fn begin(&mut self, pause: Pause) -> bool {
        if self.current().is_some() && pause.operation().is_none() {
            return false;
        }
        self.end(pause.at, ResumedBy::Replaced);
        if self.past.len() == PAUSES_MAX {
            self.past.pop_front();
        }
        let ended = None;
        self.past.push_back(PauseRecord { pause, ended });
        true
    }

    /// Ends the one that stands, if `resume` means that; false when nothing changes.
    pub fn resume(&mut self, resume: Resume, last_begun: Epoch) -> bool {
        match &resume.by {
            ResumedBy::Admin { .. } => self.forgiven = last_begun,
            ResumedBy::Expiry { of } => {
                if self.current().and_then(Pause::operation) != Some(*of) {
                    return false;
                }
            }
            ResumedBy::Replaced => return false,
        }
        self.end(resume.at, resume.by)
    }

    fn end(&mut self, at: UnixTime, by: ResumedBy) -> bool {
        match self.past.back_mut().filter(|last| last.ended.is_none()) {
            Some(last) => {
                last.ended = Some((at, by));
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
#[path = "pause_tests.rs"]
mod tests;
