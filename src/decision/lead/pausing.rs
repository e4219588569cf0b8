//! What the leader does about a group that is paused, and when it pauses one itself.

use std::time::Instant;

use crate::decision::agreement::Verdict;
use crate::decision::entry::Entry;
use crate::decision::event::Action;
use crate::decision::failover::Failover;
use crate::decision::group::Group;
use crate::decision::happening::Happening;
use crate::decision::held_back::HeldBack;
use crate::decision::pause::{Pause, PausedBy, Resume, ResumedBy};
use crate::decision::record::GroupRecord;
use crate::model::UnixTime;

impl Group {
    /// Notes when the time of the pause that stands is over.
    pub fn time_pause(
        &mut self,
        record: &GroupRecord,
        is_news: bool,
        wall: UnixTime,
        now: Instant,
    ) {
        self.pause_over_at = record
            .pause()
            .and_then(|pause| pause.over_at(is_news, wall, now));
    }

    /// Why nothing is done about the group, if nothing is.
    #[must_use]
    pub fn held_back(&self, record: &GroupRecord, now: Instant) -> Option<HeldBack> {
        if let Some(pause) = record.pause() {
            let by = pause.by.to_string();
            return Some(HeldBack::Paused { by });
        }
        self.deferred_to(now).map(HeldBack::Sentinels)
    }

    /// Tells once that a master is down and left so on purpose.
    fn note_held_back(&mut self, record: &GroupRecord, now: Instant, actions: &mut Vec<Action>) {
        let Verdict::Down { evidence, .. } = self.verdict(record, now) else {
            self.held_back_told = false;
            return;
        };
        let Some(why) = self.held_back(record, now).filter(|_| !self.held_back_told) else {
            return;
        };
        self.held_back_told = true;
        actions.push(Action::Announce(Happening::HeldBack {
            group: self.name.clone(),
            master: record.master().endpoint.clone(),
            evidence,
            why,
        }));
    }

    /// Nothing is begun and nothing repaired. An epoch that is open is finished all the same: its
    /// candidate may be a master already, and only its end tells the clients which one counts.
    pub(super) fn stand_by(
        &mut self,
        record: &GroupRecord,
        wall: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if record.mandate().is_some() {
            while self.advance(record, wall, now, actions) {}
        } else {
            match self.failover {
                Failover::Watching { .. } | Failover::Choosing { .. } => {
                    self.failover = Failover::watching();
                    self.nobody_told = None;
                    self.keep_books(record, now, actions);
                }
                // What was proposed before the pause comes back void.
                Failover::Beginning { .. } | Failover::Ending { .. } => {}
                Failover::Checking { .. } | Failover::Promoting { .. } => {
                    self.failover = Failover::watching();
                }
                Failover::Preparing { .. } | Failover::Holding { .. } => {
                    self.stop_switching(record, wall, now, actions);
                }
            }
        }
        self.release_writes(record, now, actions);
        if record.mandate().is_none() {
            self.note_held_back(record, now, actions);
        }
        self.settle(record, now, actions);
        self.end_pause(record, wall, now, actions);
    }

    fn end_pause(
        &mut self,
        record: &GroupRecord,
        wall: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let is_over = self.pause_over_at.is_some_and(|over_at| over_at <= now);
        let Some(of) = record.pause().and_then(Pause::operation) else {
            return;
        };
        if is_over && !self.bookkeeping.resume {
            self.bookkeeping.resume = true;
            actions.push(Action::Propose(Entry::Resume(Resume {
                group: self.name.clone(),
                at: wall,
                by: ResumedBy::Expiry { of },
            })));
        }
    }

    /// Whether another failover would be one too many.
    pub(super) fn is_flapping(&self, record: &GroupRecord, wall: UnixTime) -> bool {
        let max = self.policy.failovers_max;
        max > 0 && record.failovers_lately(wall) >= max
    }

    pub(super) fn pause_for_flapping(
        &mut self,
        record: &GroupRecord,
        wall: UnixTime,
        actions: &mut Vec<Action>,
    ) {
        if self.bookkeeping.pause {
            return;
        }
        self.bookkeeping.pause = true;
        let failovers = record.failovers_lately(wall);
        actions.push(Action::Propose(Entry::Pause(Pause {
            group: self.name.clone(),
            at: wall,
            lasts: None,
            reason: None,
            by: PausedBy::Flapping { failovers },
        })));
    }
}
