//! Which target is to be tried when: the newest publication of each, with growing pauses between
//! failures. Owns no clock.

use std::time::{Duration, Instant};

use super::{Publication, Target};
use crate::model::{Endpoint, Epoch, GroupName};

#[cfg(test)]
mod tests;

/// Pause after the first failure.
pub(super) const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);

/// Longest pause between two attempts.
pub(super) const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);

/// How long a file that somebody else changed must stay right for the next change to be corrected at
/// once again.
const PEACE_MIN: Duration = Duration::from_secs(60);

/// The state of all targets, by their place in the settings.
#[derive(Debug)]
pub struct Schedule {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    group: GroupName,
    /// Whether its file may say how replicas are.
    names_replicas: bool,
    /// Whether a command has to try its copy: it is made after those that need none.
    has_check: bool,
    work: Work,
    /// How often it was brought in line after a change by somebody else, and when the last time.
    corrections: (u32, Option<Instant>),
}

/// `Idle` → `Pending` at a publication → (`Checking` while a command tries the copy →) `Settled` when
/// it succeeds; back to `Pending` when that could not be journalled, when somebody else changed the
/// file, or at the next publication. A failure stays `Pending`, but later.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Work {
    Idle,
    Pending {
        publication: Publication,
        failures: u32,
        at: Instant,
        is_revisit: bool,
    },
    Checking {
        publication: Publication,
        failures: u32,
        is_revisit: bool,
    },
    Settled {
        publication: Publication,
        failures: u32,
    },
}

/// A target to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its place in the settings.
    pub index: usize,
    /// What its file shall say.
    pub publication: Publication,
    /// Whether it said so before, and somebody else may have changed it.
    pub is_revisit: bool,
}

impl Line {
    fn accept(&mut self, publication: &Publication, now: Instant) {
        let is_older = |known: &Publication| publication.epoch < known.epoch;
        match &self.work {
            Work::Pending {
                publication: known, ..
            }
            | Work::Checking {
                publication: known, ..
            }
            | Work::Settled {
                publication: known, ..
            } if is_older(known) => {
                let (group, epoch) = (&publication.group, publication.epoch);
                tracing::debug!(%group, %epoch, newest = %known.epoch, "older publication dropped");
            }
            // It waits for its next attempt; to hear the same once more does not bring that nearer.
            Work::Pending {
                publication: known, ..
            }
            | Work::Checking {
                publication: known, ..
            } if known == publication => {}
            // The file names the master alone, and says so.
            Work::Settled {
                publication: known,
                failures,
            } if !self.names_replicas && is_of_replicas(known, publication) => {
                self.work = Work::Settled {
                    publication: publication.clone(),
                    failures: *failures,
                };
            }
            Work::Idle | Work::Pending { .. } | Work::Checking { .. } | Work::Settled { .. } => {
                self.work = Work::Pending {
                    publication: publication.clone(),
                    failures: 0,
                    at: now,
                    is_revisit: false,
                };
            }
        }
    }
}

impl Schedule {
    /// Nothing is to be published yet.
    #[must_use]
    pub fn new(targets: &[Target]) -> Self {
        let line = |target: &Target| Line {
            group: target.group.clone(),
            names_replicas: target.content.names_replicas(),
            has_check: target.check.is_some(),
            work: Work::Idle,
            corrections: (0, None),
        };
        Self {
            lines: targets.iter().map(line).collect(),
        }
    }

    /// Takes in what the files of a group have to say from `now` on; an older epoch changes nothing.
    pub fn accept(&mut self, publication: &Publication, now: Instant) {
        let lines = self.lines.iter_mut();
        for line in lines.filter(|line| line.group == publication.group) {
            line.accept(publication, now);
        }
    }

    /// The same for one target alone.
    pub fn accept_for(&mut self, index: usize, publication: &Publication, now: Instant) {
        self.lines[index].accept(publication, now);
    }

    /// Somebody else may have changed the file: it is looked at soon, the later the more often that was
    /// needed of late, and no sooner than `patience` from now.
    pub fn revisit(&mut self, index: usize, patience: Duration, now: Instant) {
        let line = &mut self.lines[index];
        if let (_, Some(last)) = line.corrections
            && now.saturating_duration_since(last) > PEACE_MIN
        {
            line.corrections = (0, None);
        }
        match &mut line.work {
            Work::Idle | Work::Checking { .. } => {}
            Work::Pending { at, failures, .. } => {
                let soon = if *failures == 0 {
                    Duration::ZERO
                } else {
                    RETRY_DELAY_MIN
                };
                *at = (*at).min(now + soon.max(patience));
            }
            Work::Settled { publication, .. } => {
                let delay = match line.corrections {
                    (0, _) => Duration::ZERO,
                    (corrections, _) => pause(corrections),
                };
                line.work = Work::Pending {
                    publication: publication.clone(),
                    failures: 0,
                    at: now + delay.max(patience),
                    is_revisit: true,
                };
            }
        }
    }

    /// Somebody else had changed the file, and it was brought in line.
    pub fn note_correction(&mut self, index: usize, now: Instant) {
        let corrections = &mut self.lines[index].corrections;
        *corrections = (corrections.0.saturating_add(1), Some(now));
    }

    /// A target to be tried now: the one that has waited longest. Those that a command has to try are
    /// left out where there `is_room` for no other command.
    #[must_use]
    pub fn due(&self, is_room: bool, now: Instant) -> Option<Due> {
        let has_check = |index: usize| self.lines[index].has_check;
        let pending = self.pending(is_room);
        let (index, at) = pending.min_by_key(|(index, at)| (*at, has_check(*index), *index))?;
        match &self.lines[index].work {
            Work::Pending {
                publication,
                is_revisit,
                ..
            } if at <= now => Some(Due {
                index,
                publication: publication.clone(),
                is_revisit: *is_revisit,
            }),
            Work::Idle | Work::Pending { .. } | Work::Checking { .. } | Work::Settled { .. } => {
                None
            }
        }
    }

    /// What else is due and can be replaced along with `first`, since no command tries any of them: at most
    /// `max`.
    #[must_use]
    pub fn due_beside(&self, first: &Due, max: usize, now: Instant) -> Vec<Due> {
        if self.lines[first.index].has_check {
            return Vec::new();
        }
        let lines = self.lines.iter().enumerate();
        let others = lines.filter(|(index, line)| *index != first.index && !line.has_check);
        let due = others.filter_map(|(index, line)| match &line.work {
            Work::Pending {
                publication,
                is_revisit,
                at,
                ..
            } if *at <= now => Some(Due {
                index,
                publication: publication.clone(),
                is_revisit: *is_revisit,
            }),
            Work::Idle | Work::Pending { .. } | Work::Checking { .. } | Work::Settled { .. } => {
                None
            }
        });
        due.take(max).collect()
    }

    /// When the next target is to be tried.
    #[must_use]
    pub fn next(&self, is_room: bool) -> Option<Instant> {
        self.pending(is_room).map(|(_, at)| at).min()
    }

    fn pending(&self, is_room: bool) -> impl Iterator<Item = (usize, Instant)> {
        let lines = self.lines.iter().enumerate();
        let open = lines.filter(move |(_, line)| is_room || !line.has_check);
        open.filter_map(|(index, line)| match &line.work {
            Work::Pending { at, .. } => Some((index, *at)),
            Work::Idle | Work::Checking { .. } | Work::Settled { .. } => None,
        })
    }

    /// Whether a command tries the copy of the target.
    #[must_use]
    pub fn is_checking(&self, index: usize) -> bool {
        matches!(self.lines[index].work, Work::Checking { .. })
    }

    /// A command tries the copy from now on.
    pub fn check(&mut self, index: usize) {
        let work = &mut self.lines[index].work;
        if let Work::Pending {
            publication,
            failures,
            is_revisit,
            ..
        } = work
        {
            *work = Work::Checking {
                publication: publication.clone(),
                failures: *failures,
                is_revisit: *is_revisit,
            };
        }
    }

    /// The file changed while its copy was tried: all starts again.
    pub fn restart(&mut self, index: usize, now: Instant) {
        let work = &mut self.lines[index].work;
        if let Work::Checking {
            publication,
            failures,
            is_revisit,
        } = work
        {
            *work = Work::Pending {
                publication: publication.clone(),
                failures: *failures,
                at: now,
                is_revisit: *is_revisit,
            };
        }
    }

    /// The target's file says what was to be published, or never shall.
    pub fn settle(&mut self, index: usize) {
        let work = &mut self.lines[index].work;
        if let Work::Pending {
            publication,
            failures,
            ..
        }
        | Work::Checking {
            publication,
            failures,
            ..
        } = work
        {
            *work = Work::Settled {
                publication: publication.clone(),
                failures: *failures,
            };
        }
    }

    /// An attempt for `epoch` failed: the next one comes after a pause, unless a newer epoch came.
    pub fn fail(&mut self, index: usize, epoch: Epoch, now: Instant) {
        let work = &mut self.lines[index].work;
        let is_revisit = match work {
            Work::Pending { is_revisit, .. } | Work::Checking { is_revisit, .. } => *is_revisit,
            Work::Idle | Work::Settled { .. } => false,
        };
        match work {
            Work::Pending {
                publication,
                failures,
                ..
            }
            | Work::Checking {
                publication,
                failures,
                ..
            }
            | Work::Settled {
                publication,
                failures,
            } if publication.epoch == epoch => {
                let failures = failures.saturating_add(1);
                *work = Work::Pending {
                    publication: publication.clone(),
                    failures,
                    at: now + pause(failures),
                    is_revisit,
                };
            }
            Work::Idle | Work::Pending { .. } | Work::Checking { .. } | Work::Settled { .. } => {}
        }
    }

    /// Gives up what has failed before: only what was never tried is still due.
    pub fn drop_retries(&mut self) {
        for line in &mut self.lines {
            if let Work::Pending { failures: 1.., .. } = line.work {
                line.work = Work::Idle;
            }
        }
    }
}

/// Whether the two differ, and only in how the replicas are.
fn is_of_replicas(known: &Publication, told: &Publication) -> bool {
    let endpoints = |publication: &Publication| -> Vec<Endpoint> {
        let replicas = publication.replicas.iter();
        replicas.map(|replica| replica.endpoint.clone()).collect()
    };
    known != told
        && (known.epoch, &known.master) == (told.epoch, &told.master)
        && endpoints(known) == endpoints(told)
}

pub(super) fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (RETRY_DELAY_MIN * 2u32.pow(doublings)).min(RETRY_DELAY_MAX)
}
