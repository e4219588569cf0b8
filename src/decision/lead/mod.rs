//! What only the leader does for a group, and only on what is committed.

mod choosing;
mod following;
mod guarding;
mod handing_over;
mod pausing;
mod promoting;
mod registering;
mod reinstating;
mod salvaging;
mod switching;
mod waiting;

use std::time::{Duration, Instant};

use super::entry::{Entry, StepName};
use super::event::Action;
use super::failover::{self, Failover, Run};
use super::group::Group;
use super::record::{Change, GroupRecord};
use super::settling::Settling;
use crate::model::UnixTime;

pub(super) use waiting::Awaited;

/// Time before a choice that found nobody is made again.
const REST_WITHOUT_CANDIDATE: Duration = Duration::from_millis(200);
/// Time before anything is proposed again after the engine refused a proposal.
const REST_AFTER_REFUSAL: Duration = Duration::from_millis(50);

impl Group {
    /// This node may act now, or may not any longer.
    pub fn on_leadership(&mut self, leading: bool, record: Option<&GroupRecord>, now: Instant) {
        self.failover = record
            .filter(|_| leading)
            .and_then(|record| Failover::resume(record, self.policy.promote_timeout, now))
            .unwrap_or_else(Failover::watching);
        self.is_leading = leading;
        self.leading_since = now;
        self.nobody_told = None;
        self.repair.reset();
        self.guard.reset();
        self.bookkeeping = super::group::Bookkeeping::default();
        self.settling = None;
        self.hopeless_since = None;
        if !leading {
            self.waiting = None;
        } else if let Some(record) = record {
            self.remember_hold(record, now);
        }
    }

    /// The engine is handing leadership over, or has too much to do: wait a moment, then look again.
    pub fn on_refused(&mut self, record: Option<&GroupRecord>, now: Instant) {
        self.on_leadership(true, record, now);
        self.proposals_from = now + REST_AFTER_REFUSAL;
    }

    /// The leader's part of a committed change.
    pub fn lead_change(
        &mut self,
        change: Change,
        entry: &Entry,
        record: &GroupRecord,
        now: Instant,
    ) {
        match change {
            Change::Begun => self.on_begun(record, now),
            Change::Done => {
                self.remember_hold(record, now);
                let ended = std::mem::replace(&mut self.failover, Failover::watching());
                if let Failover::Ending { epoch, timeline } = ended {
                    self.settling = Some(Settling::new(epoch, timeline, now));
                }
            }
            Change::Aborted => {
                let rest_until = now + failover::rest_after_aborts(record);
                self.failover = Failover::Watching {
                    rest_until: Some(rest_until),
                    passed_over: Vec::new(),
                };
            }
            Change::None => self.on_unfit(entry, record, now),
            Change::Master
            | Change::Members
            | Change::History
            | Change::Limits
            | Change::Guard
            | Change::Paused
            | Change::Resumed
            | Change::GivenUp => {}
        }
    }

    /// A proposal that did not fit: whatever waits for it, and for no other, has to look again.
    fn on_unfit(&mut self, entry: &Entry, record: &GroupRecord, now: Instant) {
        let is_awaited = match (&self.failover, entry) {
            (Failover::Beginning { epoch, .. }, Entry::Begin(begin)) => *epoch == begin.epoch,
            (
                Failover::Ending { epoch, .. },
                Entry::Done { epoch: ended, .. } | Entry::Abort { epoch: ended, .. },
            ) => epoch == ended,
            (_, Entry::Members { .. }) => {
                self.bookkeeping.members = false;
                false
            }
            (_, Entry::Identify { .. }) => {
                self.bookkeeping.identity = false;
                false
            }
            (_, Entry::Guarded { .. }) => {
                self.bookkeeping.guard = false;
                false
            }
            (_, Entry::Returned { .. }) => {
                self.bookkeeping.returned = false;
                false
            }
            (_, Entry::Limits { .. }) => {
                self.bookkeeping.limits = false;
                false
            }
            (_, Entry::Pause(_)) => {
                self.bookkeeping.pause = false;
                false
            }
            (_, Entry::Resume(_)) => {
                self.bookkeeping.resume = false;
                false
            }
            (_, Entry::GiveUp(_)) => {
                self.bookkeeping.given_up = None;
                false
            }
            (
                _,
                Entry::Register { .. }
                | Entry::Adopt(_)
                | Entry::Begin(_)
                | Entry::Done { .. }
                | Entry::Abort { .. }
                | Entry::Settled { .. },
            ) => false,
        };
        if is_awaited {
            self.failover = Failover::resume(record, self.policy.promote_timeout, now)
                .unwrap_or_else(Failover::watching);
        }
    }

    fn on_begun(&mut self, record: &GroupRecord, now: Instant) {
        let resumed = Failover::resume(record, self.policy.promote_timeout, now);
        let proposed = std::mem::replace(&mut self.failover, Failover::watching());
        self.failover = match (proposed, resumed) {
            (
                Failover::Beginning {
                    mut timeline,
                    epoch,
                },
                Some(Failover::Checking { run, asked }),
            ) if run.epoch == epoch => {
                timeline.note(StepName::Begun, now);
                Failover::Checking {
                    run: Run { timeline, ..run },
                    asked,
                }
            }
            (_, resumed) => resumed.unwrap_or_else(Failover::watching),
        };
    }

    /// Does what there is to do, step by step, until nothing moves without news.
    pub fn lead(
        &mut self,
        record: Option<&GroupRecord>,
        wall: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if now < self.proposals_from {
            return;
        }
        let Some(record) = record else {
            self.register(now, actions);
            return;
        };
        if self.held_back(record, now).is_some() {
            self.stand_by(record, wall, now, actions);
            return;
        }
        self.held_back_told = false;
        while self.advance(record, wall, now, actions) {}
        if matches!(
            self.failover,
            Failover::Watching { .. } | Failover::Preparing { .. }
        ) {
            self.keep_books(record, now, actions);
            self.log_limits(record, actions);
            self.keep_following(record, now, actions);
        }
        self.release_writes(record, now, actions);
        self.settle(record, now, actions);
    }

    /// One step of the failover; true when the next may follow at once.
    fn advance(
        &mut self,
        record: &GroupRecord,
        wall: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let before = std::mem::replace(&mut self.failover, Failover::watching());
        let phase = before.phase();
        self.failover = match before {
            Failover::Watching {
                rest_until,
                passed_over,
            } => self.watch_master(record, rest_until, passed_over, wall, now, actions),
            Failover::Choosing {
                evidence,
                timeline,
                asked_at,
                gives_up_at,
            } => {
                let choosing = Failover::Choosing {
                    evidence,
                    timeline,
                    asked_at,
                    gives_up_at,
                };
                self.choose(record, choosing, wall, now, actions)
            }
            preparing @ Failover::Preparing { .. } => {
                self.prepare(record, preparing, wall, now, actions)
            }
            holding @ Failover::Holding { .. } => {
                self.catch_up(record, holding, wall, now, actions)
            }
            Failover::Checking { run, asked } => self.check(record, run, asked, now, actions),
            Failover::Promoting { run, link, sent_at } => {
                self.await_promotion(record, run, link, sent_at, now, actions)
            }
            waiting @ (Failover::Beginning { .. } | Failover::Ending { .. }) => waiting,
        };
        self.failover.phase() != phase
    }
}

#[cfg(test)]
mod tests;
