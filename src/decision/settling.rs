//! What follows a failover and delays nobody: the files of all hosts, and the other replicas.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::entry::{Step, StepName};
use super::failover::Timeline;
use super::repair::Standing;
use super::view::{HeldView, REPORT_INTERVAL};
use super::watch::Watch;
use crate::model::{Endpoint, Epoch, NodeId};

/// What has not followed by then is left out of the history.
const GIVES_UP_AFTER: Duration = Duration::from_secs(30);
/// Until then every voter that can be reached has reported of the new master, with the epoch of its
/// files where it has any: a report comes at once, and again each [`REPORT_INTERVAL`].
const FILES_HEARD_WITHIN: Duration = REPORT_INTERVAL.saturating_mul(2);

/// What the leader waits for after a failover.
#[derive(Debug)]
pub struct Settling {
    epoch: Epoch,
    timeline: Timeline,
    gives_up_at: Instant,
    files: Files,
    replicas: bool,
}

/// How far the files of all hosts are: `Unheard` → `Awaited` → `Over`, or at its end `Unheard` → `Over`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Files {
    /// No host has said that it has any.
    Unheard {
        /// From when on there are none.
        until: Instant,
    },
    /// Some have, and are not rewritten.
    Awaited,
    /// They are rewritten, or there are none.
    Over,
}

impl Settling {
    /// Starts with the epoch that ended at `now`.
    #[must_use]
    pub fn new(epoch: Epoch, mut timeline: Timeline, now: Instant) -> Self {
        timeline.note(StepName::Committed, now);
        Self {
            epoch,
            timeline,
            gives_up_at: now + GIVES_UP_AFTER,
            files: Files::Unheard {
                until: now + FILES_HEARD_WITHIN,
            },
            replicas: false,
        }
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What happened so far.
    pub fn timeline(&mut self) -> &mut Timeline {
        &mut self.timeline
    }

    /// Looks at what the voters' files name and whom the instances follow; gives all steps once
    /// everything has followed, or it is given up.
    pub fn observe(
        &mut self,
        views: &BTreeMap<NodeId, HeldView>,
        standings: &BTreeMap<Endpoint, (Standing, &Watch)>,
        now: Instant,
    ) -> Option<Vec<Step>> {
        // A host without files of this group says nothing of them.
        let named: Vec<Epoch> = views.values().filter_map(|view| view.files_epoch).collect();
        self.observe_files(&named, now);
        // Nobody waits for what is not touched.
        let follow =
            |standing: &Standing| matches!(standing, Standing::Follows | Standing::Stranger);
        if !self.replicas
            && !standings.is_empty()
            && standings.values().all(|(standing, _)| follow(standing))
        {
            self.replicas = true;
            self.timeline.note(StepName::ReplicasFollow, now);
        }
        let complete = self.files == Files::Over && self.replicas;
        (complete || now >= self.gives_up_at).then(|| self.timeline.steps().to_vec())
    }

    /// Looks at the epochs of the hosts' files, each as its host said it.
    fn observe_files(&mut self, named: &[Epoch], now: Instant) {
        self.files = match self.files {
            Files::Unheard { until } if named.is_empty() => {
                if now < until {
                    Files::Unheard { until }
                } else {
                    Files::Over
                }
            }
            Files::Unheard { .. } | Files::Awaited => {
                if named.is_empty() || named.iter().any(|epoch| *epoch < self.epoch) {
                    Files::Awaited
                } else {
                    self.timeline.note(StepName::FilesRewritten, now);
                    Files::Over
                }
            }
            Files::Over => Files::Over,
        };
    }

    /// When it is given up, or, before that, when there are no files.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        match self.files {
            Files::Unheard { until } => until,
            Files::Awaited | Files::Over => self.gives_up_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(settling: &Settling) -> Vec<StepName> {
        let steps = settling.timeline.steps();
        steps.iter().map(|step| step.what).collect()
    }

    #[test]
    fn files_are_waited_for_where_a_host_has_any_and_no_longer_than_it_takes_to_hear_of_them() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let (old, new) = (Epoch(1), Epoch(2));
        let done = vec![StepName::Committed];
        let rewritten = vec![StepName::Committed, StepName::FilesRewritten];
        for (looks, files, expected) in [
            // What the hosts say, and when.
            (
                vec![(at(0), vec![])],
                Files::Unheard { until: at(1000) },
                &done,
            ),
            (
                vec![(at(0), vec![]), (at(999), vec![])],
                Files::Unheard { until: at(1000) },
                &done,
            ),
            (
                vec![(at(0), vec![]), (at(1000), vec![])],
                Files::Over,
                &done,
            ),
            (vec![(at(0), vec![old])], Files::Awaited, &done),
            // One that is not heard for a while has its files all the same.
            (
                vec![(at(0), vec![old]), (at(5000), vec![])],
                Files::Awaited,
                &done,
            ),
            (vec![(at(3), vec![old, new])], Files::Awaited, &done),
            (vec![(at(3), vec![new])], Files::Over, &rewritten),
            (
                vec![(at(0), vec![]), (at(3), vec![old]), (at(9), vec![new, new])],
                Files::Over,
                &rewritten,
            ),
        ] {
            let mut settling = Settling::new(new, Timeline::new(start), start);
            for (now, named) in &looks {
                settling.observe_files(named, *now);
            }
            assert_eq!(settling.files, files, "{looks:?}");
            assert_eq!(steps(&settling), *expected, "{looks:?}");
            let deadline = match files {
                Files::Unheard { until } => until,
                Files::Awaited | Files::Over => start + GIVES_UP_AFTER,
            };
            assert_eq!(settling.deadline(), deadline, "{looks:?}");
        }
    }
}
