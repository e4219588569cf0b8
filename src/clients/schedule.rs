//! Which target is to be tried when: the newest publication of each, with growing pauses between
//! failures. Owns no clock.

use std::time::{Duration, Instant};

use super::{Publication, Target};
use crate::model::{Epoch, GroupName};

/// Pause after the first failure.
pub(super) const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);

/// Longest pause between two attempts.
pub(super) const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);

/// The state of all targets, by their place in the settings.
#[derive(Debug)]
pub(super) struct Schedule {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    group: GroupName,
    work: Work,
}

/// `Idle` → `Pending` at a publication → `Settled` when it succeeds; back to `Pending` when that
/// could not be journalled, or at the next publication. A failure stays `Pending`, but later.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Work {
    Idle,
    Pending {
        publication: Publication,
        failures: u32,
        at: Instant,
    },
    Settled {
        publication: Publication,
        failures: u32,
    },
}

impl Schedule {
    pub(super) fn new(targets: &[Target]) -> Self {
        let line = |target: &Target| Line {
            group: target.group.clone(),
            work: Work::Idle,
        };
        Self {
            lines: targets.iter().map(line).collect(),
        }
    }

    /// Takes in what the files of a group have to say from `now` on; an older epoch changes nothing.
    pub(super) fn accept(&mut self, publication: &Publication, now: Instant) {
        let lines = self.lines.iter_mut();
        for line in lines.filter(|line| line.group == publication.group) {
            let is_older = |known: &Publication| publication.epoch < known.epoch;
            match &line.work {
                Work::Pending {
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
                } if known == publication => {}
                Work::Idle | Work::Pending { .. } | Work::Settled { .. } => {
                    line.work = Work::Pending {
                        publication: publication.clone(),
                        failures: 0,
                        at: now,
                    };
                }
            }
        }
    }

    /// A target to be tried now, with what to publish: the one that has waited longest.
    pub(super) fn due(&self, now: Instant) -> Option<(usize, Publication)> {
        let (index, at, publication) = self.pending().min_by_key(|(index, at, _)| (*at, *index))?;
        (at <= now).then(|| (index, publication.clone()))
    }

    /// When the next target is to be tried.
    pub(super) fn next(&self) -> Option<Instant> {
        self.pending().map(|(_, at, _)| at).min()
    }

    fn pending(&self) -> impl Iterator<Item = (usize, Instant, &Publication)> {
        let lines = self.lines.iter().enumerate();
        lines.filter_map(|(index, line)| match &line.work {
            Work::Pending {
                publication, at, ..
            } => Some((index, *at, publication)),
            Work::Idle | Work::Settled { .. } => None,
        })
    }

    /// The target's file says what was to be published, or never shall.
    pub(super) fn settle(&mut self, index: usize) {
        let work = &mut self.lines[index].work;
        if let Work::Pending {
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
    pub(super) fn fail(&mut self, index: usize, epoch: Epoch, now: Instant) {
        let work = &mut self.lines[index].work;
        match work {
            Work::Pending {
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
                };
            }
            Work::Idle | Work::Pending { .. } | Work::Settled { .. } => {}
        }
    }

    /// Gives up what has failed before: only what was never tried is still due.
    pub(super) fn drop_retries(&mut self) {
        for line in &mut self.lines {
            if let Work::Pending { failures: 1.., .. } = line.work {
                line.work = Work::Idle;
            }
        }
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (RETRY_DELAY_MIN * 2u32.pow(doublings)).min(RETRY_DELAY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::{Content, Format};

    fn target(client: &str, group: &str) -> Target {
        Target {
            client: client.parse().unwrap(),
            group: group.parse().unwrap(),
            path: "/missing".into(),
            content: Content::Edit {
                format: Format::Env,
                keys: vec!["K".parse().unwrap()],
                value: None,
            },
        }
    }

    fn publication(group: &str, epoch: u64) -> Publication {
        Publication {
            group: group.parse().unwrap(),
            epoch: Epoch(epoch),
            master: format!("a:{epoch}").parse().unwrap(),
            replicas: Vec::new(),
        }
    }

    fn schedule() -> Schedule {
        Schedule::new(&[target("a", "x"), target("b", "y"), target("c", "x")])
    }

    #[test]
    fn a_publication_makes_the_targets_of_its_group_due() {
        let (mut schedule, now) = (schedule(), Instant::now());
        assert_eq!((schedule.due(now), schedule.next()), (None, None));
        schedule.accept(&publication("x", 1), now);
        for index in [0, 2] {
            assert_eq!(schedule.due(now), Some((index, publication("x", 1))));
            schedule.settle(index);
        }
        assert_eq!((schedule.due(now), schedule.next()), (None, None));
    }

    #[test]
    fn pauses_double_up_to_their_limit() {
        for (failures, milliseconds) in [
            (1, 100),
            (2, 200),
            (3, 400),
            (9, 25_600),
            (10, 30_000),
            (u32::MAX, 30_000),
        ] {
            assert_eq!(pause(failures), Duration::from_millis(milliseconds));
        }
    }

    #[test]
    fn a_failure_is_tried_again_after_its_pause_and_not_before() {
        let (mut schedule, mut now) = (schedule(), Instant::now());
        schedule.accept(&publication("y", 1), now);
        for milliseconds in [100, 200, 400] {
            schedule.fail(1, Epoch(1), now);
            schedule.accept(&publication("y", 1), now);
            let pause = Duration::from_millis(milliseconds);
            assert_eq!(schedule.next(), Some(now + pause));
            assert_eq!(schedule.due(now + pause - Duration::from_nanos(1)), None);
            now += pause;
            assert_eq!(schedule.due(now), Some((1, publication("y", 1))));
        }
    }

    #[test]
    fn a_newer_epoch_takes_the_place_of_an_older_one_at_once() {
        let (mut schedule, now) = (schedule(), Instant::now());
        schedule.accept(&publication("y", 1), now);
        schedule.fail(1, Epoch(1), now);
        schedule.accept(&publication("y", 2), now);
        assert_eq!(schedule.due(now), Some((1, publication("y", 2))));
        // The outcome of the older one, when it comes late, changes nothing.
        schedule.fail(1, Epoch(1), now);
        assert_eq!(schedule.due(now), Some((1, publication("y", 2))));
    }

    #[test]
    fn an_older_epoch_is_dropped_while_pending_and_after() {
        let (mut schedule, now) = (schedule(), Instant::now());
        schedule.accept(&publication("y", 2), now);
        schedule.accept(&publication("y", 1), now);
        assert_eq!(schedule.due(now), Some((1, publication("y", 2))));
        schedule.settle(1);
        schedule.accept(&publication("y", 1), now);
        assert_eq!(schedule.due(now), None);
        schedule.accept(&publication("y", 2), now);
        assert_eq!(
            schedule.due(now),
            Some((1, publication("y", 2))),
            "to be looked at again"
        );
    }

    #[test]
    fn what_could_not_be_journalled_is_tried_again_with_growing_pauses() {
        let (mut schedule, now) = (schedule(), Instant::now());
        schedule.accept(&publication("y", 1), now);
        for milliseconds in [100, 200] {
            schedule.settle(1);
            schedule.fail(1, Epoch(1), now);
            assert_eq!(
                schedule.next(),
                Some(now + Duration::from_millis(milliseconds))
            );
        }
    }

    #[test]
    fn dropping_retries_keeps_what_was_never_tried() {
        let (mut schedule, now) = (schedule(), Instant::now());
        schedule.accept(&publication("x", 1), now);
        schedule.fail(0, Epoch(1), now);
        schedule.drop_retries();
        let later = now + RETRY_DELAY_MAX;
        assert_eq!(schedule.due(later), Some((2, publication("x", 1))));
        schedule.settle(2);
        assert_eq!(schedule.due(later), None);
    }
}
