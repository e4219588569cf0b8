//! What follows a failover and delays nobody: the files of all hosts, and the other replicas.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::entry::{Step, StepName};
use super::failover::Timeline;
use super::repair::Standing;
use super::view::HeldView;
use super::watch::Watch;
use crate::model::{Endpoint, Epoch, NodeId};

/// What has not followed by then is left out of the history.
const GIVES_UP_AFTER: Duration = Duration::from_secs(30);

/// What the leader waits for after a failover.
#[derive(Debug)]
pub struct Settling {
    epoch: Epoch,
    timeline: Timeline,
    gives_up_at: Instant,
    files: bool,
    replicas: bool,
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
            files: false,
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
        let files = || views.values().filter_map(|view| view.files_epoch);
        if !self.files && files().next().is_some() && files().all(|epoch| epoch >= self.epoch) {
            self.files = true;
            self.timeline.note(StepName::FilesRewritten, now);
        }
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
        let complete = self.files && self.replicas;
        (complete || now >= self.gives_up_at).then(|| self.timeline.steps().to_vec())
    }

    /// When it is given up.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.gives_up_at
    }
}
