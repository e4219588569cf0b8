//! The failover machine: what the leader does from the first agreement to a committed new master.

use std::time::{Duration, Instant};

use super::entry::{AbortReason, Begin, Entry, Evidence, Identity, Step, StepName};
use super::failover_record::Outcome;
use super::instance_event::{CommandFailure, LinkId};
use super::record::{GroupRecord, Mandate};
use super::switchover::{self, Hold, Wanted};
use crate::model::{Endpoint, Epoch, InstanceInfo, Loading, Role, RunId};

use super::choice::Ineligible;

/// Where the leader is in a failover of one group.
///
/// ```text
#[doc = include_str!("transitions.txt")]
/// ```
///
/// A switchover goes from `Watching` to `Beginning` by `Preparing` and `Holding`, and its `Checking` looks at
/// the master too.
///
/// A leader that finds an open epoch in the log starts at `Checking`; one that is deposed goes
/// back to `Watching` from anywhere.
#[derive(Debug)]
pub enum Failover {
    /// Nothing is decided.
    Watching {
        /// Nothing is tried before this moment, after an attempt that came to nothing.
        rest_until: Option<Instant>,
        /// Why nobody could be promoted at the last attempt.
        passed_over: Vec<(Endpoint, Ineligible)>,
    },
    /// The replicas are asked what they have.
    Choosing {
        /// Why the master is held down.
        evidence: Evidence,
        /// What happened so far.
        timeline: Timeline,
        /// When they were asked.
        asked_at: Instant,
        /// When the choice is made with the answers that there are.
        gives_up_at: Instant,
    },
    /// A switchover is wanted: the replicas are asked how far they are.
    Preparing {
        /// What is wanted.
        wanted: Wanted,
        /// What happened so far.
        timeline: Timeline,
        /// When they were asked.
        asked_at: Instant,
        /// When those who did not answer are passed over, and those who lag are asked again.
        looks_at: Instant,
    },
    /// The master holds its clients' writes, and its successor catches up.
    Holding {
        /// What is wanted.
        wanted: Wanted,
        /// What happened so far.
        timeline: Timeline,
        /// The successor.
        candidate: Endpoint,
        /// What the master was told.
        hold: Hold,
        /// When the successor was last asked how far it is.
        asked_at: Instant,
        /// When it is asked again; nothing while it has not answered.
        looks_at: Option<Instant>,
    },
    /// `Begin` is proposed.
    Beginning {
        /// The epoch that it would open.
        epoch: Epoch,
        /// What happened so far.
        timeline: Timeline,
    },
    /// The candidate of the open epoch is asked whether it still is what was chosen.
    Checking {
        /// The epoch that is carried out.
        run: Run,
        /// When it was asked, on the connection it has now.
        asked: Option<(LinkId, Instant)>,
    },
    /// `REPLICAOF NO ONE` is on its way, or was accepted and its history is not known yet.
    Promoting {
        /// The epoch that is carried out.
        run: Run,
        /// The connection on which it was checked.
        link: LinkId,
        /// When it was sent.
        sent_at: Instant,
    },
    /// `Done` or `Abort` is proposed.
    Ending {
        /// The epoch that it ends.
        epoch: Epoch,
        /// What happened so far.
        timeline: Timeline,
    },
}

/// An open epoch in the hands of this leader.
#[derive(Debug)]
pub struct Run {
    /// The epoch.
    pub epoch: Epoch,
    /// What happened so far.
    pub timeline: Timeline,
    /// When it is aborted.
    pub gives_up_at: Instant,
    /// Whether the candidate accepted its promotion: this epoch cannot have come to nothing while it lives.
    pub promoted: bool,
    /// In a switchover: what the master was told since this leader carries it out.
    pub hold: Option<Hold>,
}

impl Run {
    /// The candidate accepted its promotion.
    pub fn note_promoted(&mut self, now: Instant) {
        self.timeline.note(StepName::Promoted, now);
        self.promoted = true;
    }
}

/// The steps of a failover, timed from the first evidence.
#[derive(Debug, Clone)]
pub struct Timeline {
    started_at: Instant,
    steps: Vec<Step>,
}

impl Timeline {
    /// Starts at the moment of the first evidence.
    #[must_use]
    pub fn new(started_at: Instant) -> Self {
        Self {
            started_at,
            steps: Vec::new(),
        }
    }

    /// Notes a step.
    pub fn note(&mut self, what: StepName, now: Instant) {
        let after = now.saturating_duration_since(self.started_at);
        self.steps.push(Step { what, after });
    }

    /// Notes a step that may come more than once: the first one counts.
    pub fn note_first(&mut self, what: StepName, now: Instant) {
        if self.steps.iter().all(|step| step.what != what) {
            self.note(what, now);
        }
    }

    /// The moment of the first evidence.
    #[must_use]
    pub fn started_at(&self) -> Instant {
        self.started_at
    }

    /// The steps so far.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// What a look at the candidate comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// It is what was chosen: promote it.
    AsChosen,
    /// It is a master already, by an earlier command of this very epoch.
    Promoted(Identity),
    /// It must not be promoted.
    Unfit(AbortReason),
}

/// Compares what the candidate says now with what was committed.
///
/// A candidate that restarted empty would answer `REPLICAOF NO ONE` with OK too.
#[must_use]
pub fn check(mandate: &Mandate<'_>, info: &InstanceInfo) -> Check {
    let candidate = &mandate.begin().candidate;
    if info.run_id != candidate.run_id {
        return Check::Unfit(AbortReason::CandidateChanged(format!(
            "it restarted (run id {}, was {})",
            info.run_id, candidate.run_id
        )));
    }
    if info.loading != Loading::No {
        return Check::Unfit(AbortReason::Refused(CommandFailure::Loading));
    }
    let goes_on = info
        .history
        .continues
        .is_some_and(|(id, _)| id == candidate.replication_id);
    if info.history.id != candidate.replication_id && !goes_on {
        return Check::Unfit(AbortReason::CandidateChanged(format!(
            "its replication history is {}, was {}",
            info.history.id, candidate.replication_id
        )));
    }
    if info.history.offset < candidate.offset {
        return Check::Unfit(AbortReason::CandidateChanged(format!(
            "its offset is {}, was {}",
            info.history.offset, candidate.offset
        )));
    }
    match &info.role {
        Role::Master { .. } => Check::Promoted(Identity::of(candidate.endpoint.clone(), info)),
        Role::Replica { .. } => Check::AsChosen,
    }
}

impl Failover {
    /// Nothing is decided, and nothing stands in the way.
    #[must_use]
    pub fn watching() -> Self {
        Self::Watching {
            rest_until: None,
            passed_over: Vec::new(),
        }
    }

    /// Takes over the open epoch of `record`, if there is one.
    #[must_use]
    pub fn resume(record: &GroupRecord, promote_timeout: Duration, now: Instant) -> Option<Self> {
        let mandate = record.mandate()?;
        // Meanwhile a master that is well takes no writes.
        let lasts = match mandate.begin().asked() {
            Some(_) => promote_timeout.min(switchover::CATCH_UP),
            None => promote_timeout,
        };
        let run = Run {
            epoch: mandate.epoch(),
            timeline: Timeline::new(now),
            gives_up_at: now + lasts,
            promoted: false,
            hold: None,
        };
        Some(Self::Checking { run, asked: None })
    }

    /// The entry that ends the run with a new master.
    #[must_use]
    pub fn done(begin: &Begin, master: Identity, timeline: &Timeline) -> Entry {
        Entry::Done {
            group: begin.group.clone(),
            epoch: begin.epoch,
            master,
            steps: timeline.steps.clone(),
        }
    }

    /// Whether nothing is under way, and nothing waited for.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(
            self,
            Self::Watching {
                rest_until: None,
                ..
            }
        )
    }

    /// The next moment at which time alone changes something.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Watching { rest_until, .. } => *rest_until,
            Self::Choosing { gives_up_at, .. } => Some(*gives_up_at),
            Self::Checking { run, .. } | Self::Promoting { run, .. } => Some(run.gives_up_at),
            Self::Preparing {
                wanted, looks_at, ..
            } => Some(wanted.gives_up_at.min(*looks_at)),
            Self::Holding { hold, looks_at, .. } => {
                let gives_up_at = hold.sent_at + switchover::CATCH_UP;
                Some(looks_at.map_or(gives_up_at, |looks_at| looks_at.min(gives_up_at)))
            }
            Self::Beginning { .. } | Self::Ending { .. } => None,
        }
    }

    /// What happened so far in the epoch that this leader carries out.
    pub fn timeline(&mut self) -> Option<&mut Timeline> {
        match self {
            Self::Watching { .. } => None,
            Self::Choosing { timeline, .. }
            | Self::Preparing { timeline, .. }
            | Self::Holding { timeline, .. }
            | Self::Beginning { timeline, .. }
            | Self::Ending { timeline, .. } => Some(timeline),
            Self::Checking { run, .. } | Self::Promoting { run, .. } => Some(&mut run.timeline),
        }
    }

    /// The word for it in status.
    #[must_use]
    pub fn phase(&self) -> &'static str {
        match self {
            Self::Watching { .. } => "watching",
            Self::Choosing { .. } => "choosing",
            Self::Preparing { .. } => "preparing",
            Self::Holding { .. } => "holding",
            Self::Beginning { .. } => "beginning",
            Self::Checking { .. } => "checking",
            Self::Promoting { .. } => "promoting",
            Self::Ending { .. } => "ending",
        }
    }
}

/// How long to rest before the next epoch, after so many aborted ones in a row.
///
/// The first one is followed by another at once; then 100 ms, doubling up to 5 s.
#[must_use]
pub fn rest_after_aborts(record: &GroupRecord) -> Duration {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);
    let aborts = aborted(record).count();
    match u32::try_from(aborts).unwrap_or(u32::MAX) {
        0 | 1 => Duration::ZERO,
        many => FIRST.saturating_mul(1 << (many - 2).min(10)).min(LONGEST),
    }
}

/// The processes that the epochs since the last success could not promote, and were to blame for it.
pub fn aborted(record: &GroupRecord) -> impl Iterator<Item = RunId> {
    record
        .failovers()
        .iter()
        .rev()
        .take_while(|past| matches!(past.outcome, Outcome::Aborted(_)))
        .filter(|past| match &past.outcome {
            Outcome::Aborted(why) => why.is_of_candidate(),
            Outcome::Open | Outcome::Done => false,
        })
        .map(|past| past.begin.candidate.run_id)
}

#[cfg(test)]
#[path = "failover_tests.rs"]
mod tests;
