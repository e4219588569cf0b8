//! From a committed `Begin` to the proposal of `Done` or `Abort`.

use crate::breaks::{Break, is_broken};
use crate::decision::entry::{AbortReason, Entry, Identity, StepName};
use crate::decision::event::Action;
use crate::decision::failover::{self, Check, Failover, Run};
use crate::decision::group::Group;
use crate::decision::happening::Happening;
use crate::decision::health::Health;
use crate::decision::instance_event::{CommandFailure, LinkId, ProbeCommand, PromoteOrder};
use crate::decision::record::GroupRecord;
use crate::decision::watch::{Orders, Watch};
use crate::model::{Endpoint, Epoch, WriteLimits};
use std::time::Instant;

impl Group {
    pub(super) fn check(
        &mut self,
        record: &GroupRecord,
        mut run: Run,
        asked: Option<(LinkId, Instant)>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Failover {
        let Some(mandate) = record.mandate() else {
            return Failover::watching();
        };
        let endpoint = mandate.begin().candidate.endpoint.clone();
        if now >= run.gives_up_at {
            let why = self.overdue(&mandate, &run);
            return self.abort(run, why, actions);
        }
        let handed_over = self.hand_over(record, &mandate, &mut run, now, actions);
        let Some(watch) = self.watches.get(&endpoint) else {
            let why = lost(&run, "the instance is not watched".to_owned());
            return self.abort(run, why, actions);
        };
        if let Health::Down { cause, .. } = watch.health(&self.policy, None, now) {
            let why = lost(&run, cause.to_string());
            return self.abort(run, why, actions);
        }
        let Some(link) = watch.open_link() else {
            return Failover::Checking { run, asked: None };
        };
        if is_broken(Break::CandidateNotAskedAgain) {
            return self.order_promotion(record, run, link, now, actions);
        }
        let Some((_, asked_at)) = asked.filter(|(on, _)| *on == link) else {
            self.ask_info(&endpoint, now, actions);
            return Failover::Checking {
                run,
                asked: Some((link, now)),
            };
        };
        if let Some(failure) = watch.info_failure(asked_at) {
            // After another connection it may be another process that refuses.
            let why = match run.promoted {
                true => AbortReason::LostAfterPromotion(failure.to_string()),
                false => AbortReason::Refused(failure.clone()),
            };
            return self.abort(run, why, actions);
        }
        let Some(sample) = watch.sample().filter(|sample| sample.asked_at >= asked_at) else {
            // Another reading may have been on its way.
            self.ask_info(&endpoint, now, actions);
            return Failover::Checking { run, asked };
        };
        if !self.is_released(record, mandate.begin(), now) {
            return Failover::Checking { run, asked };
        }
        match failover::check(&mandate, &sample.info) {
            Check::Unfit(why) => self.abort(run, why, actions),
            Check::Promoted(master) => {
                if !run.promoted && !mandate.begin().reinstates() {
                    run.timeline.note(StepName::Promoted, now);
                }
                self.finish(record, run, master, actions)
            }
            Check::AsChosen if self.is_open_to_writes(record, &endpoint) => {
                self.fence_candidate(run, asked, &endpoint, actions)
            }
            Check::AsChosen => {
                match handed_over {
                    Ok(Some(reached)) if reached <= sample.info.history.offset => {}
                    Ok(reached) => {
                        if reached.is_some() {
                            self.ask_info(&endpoint, now, actions);
                        }
                        return Failover::Checking { run, asked };
                    }
                    Err(why) => return self.abort(run, AbortReason::NotSwitched(why), actions),
                }
                self.order_promotion(record, run, link, now, actions)
            }
        }
    }

    /// The candidate is as it was chosen: it is promoted on the connection on which it said so.
    fn order_promotion(
        &mut self,
        record: &GroupRecord,
        run: Run,
        link: LinkId,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Failover {
        let Some(mandate) = record.mandate() else {
            return Failover::watching();
        };
        let endpoint = mandate.begin().candidate.endpoint.clone();
        let mut orders = Orders::new();
        let is_fenced = self.watches.get(&endpoint).is_some_and(Watch::is_fenced);
        if is_fenced && !self.leases(Some(record)) {
            // A fence of its past would keep the new master from taking writes.
            let limits = self.limits_to_restore(record, &endpoint);
            orders.push((link, ProbeCommand::SetLimits(limits)));
        }
        let order = PromoteOrder::under(&mandate);
        orders.push((link, ProbeCommand::Promote(order)));
        self.send(&endpoint, orders, actions);
        // Sent right behind it: the history that the promotion begins.
        self.ask_info(&endpoint, now, actions);
        Failover::Promoting {
            run,
            link,
            sent_at: now,
        }
    }

    /// Whether a candidate would take writes as soon as it is promoted, where a lease is needed for that.
    fn is_open_to_writes(&self, record: &GroupRecord, candidate: &Endpoint) -> bool {
        let watch = self.watches.get(candidate);
        let is_fenced =
            watch.is_some_and(Watch::is_seen_fenced) || is_broken(Break::CandidateNotFenced);
        self.leases(Some(record)) && !is_fenced
    }

    /// Where leases are needed only the node beside the new master lets it take writes.
    fn fence_candidate(
        &mut self,
        run: Run,
        asked: Option<(LinkId, Instant)>,
        candidate: &Endpoint,
        actions: &mut Vec<Action>,
    ) -> Failover {
        let mut orders = Orders::new();
        if let Some(watch) = self.watches.get_mut(candidate) {
            watch.set_limits(WriteLimits::FENCE, &mut orders);
        }
        self.send(candidate, orders, actions);
        Failover::Checking { run, asked }
    }

    /// The answer to a promotion.
    pub(in crate::decision) fn on_promote_replied(
        &mut self,
        link: LinkId,
        epoch: Epoch,
        result: Result<(), CommandFailure>,
        record: Option<&GroupRecord>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let before = std::mem::replace(&mut self.failover, Failover::watching());
        let Failover::Promoting {
            mut run,
            link: sent_on,
            sent_at,
        } = before
        else {
            self.failover = before;
            // Its connection was given up meanwhile.
            if let Failover::Checking { run, .. } = &mut self.failover
                && run.epoch == epoch
                && result.is_ok()
            {
                run.note_promoted(now);
                self.announce_promoted(epoch, record, actions);
            }
            return;
        };
        let is_old = run.epoch != epoch || sent_on != link;
        if is_old && !is_broken(Break::OldOutcomeActedUpon) {
            self.failover = Failover::Promoting {
                run,
                link: sent_on,
                sent_at,
            };
            return;
        }
        self.failover = match result {
            Ok(()) if is_broken(Break::AbortsAfterPromotion) => {
                let why = AbortReason::TimedOut(self.policy.promote_timeout);
                self.abort(run, why, actions)
            }
            Ok(()) => {
                run.note_promoted(now);
                self.announce_promoted(epoch, record, actions);
                Failover::Promoting { run, link, sent_at }
            }
            // Whether it was carried out is not known: look again.
            Err(
                CommandFailure::Lost(_) | CommandFailure::TimedOut | CommandFailure::Malformed(_),
            ) => Failover::Checking { run, asked: None },
            Err(
                failure @ (CommandFailure::Loading
                | CommandFailure::Busy
                | CommandFailure::Denied(_)
                | CommandFailure::Refused(_)
                | CommandFailure::OtherProcess(_)
                | CommandFailure::WrongRole(_)),
            ) => self.abort(run, AbortReason::Refused(failure), actions),
        };
        self.note_transition();
    }

    fn announce_promoted(
        &self,
        epoch: Epoch,
        record: Option<&GroupRecord>,
        actions: &mut Vec<Action>,
    ) {
        if let Some(mandate) = record.and_then(GroupRecord::mandate) {
            actions.push(Action::Announce(Happening::Promoted {
                group: self.name.clone(),
                epoch,
                master: mandate.begin().candidate.endpoint.clone(),
            }));
        }
    }

    pub(super) fn await_promotion(
        &mut self,
        record: &GroupRecord,
        run: Run,
        link: LinkId,
        sent_at: Instant,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Failover {
        let Some(mandate) = record.mandate() else {
            return Failover::watching();
        };
        let candidate = &mandate.begin().candidate;
        let watch = self.watches.get(&candidate.endpoint);
        if watch.and_then(Watch::open_link) != Some(link) {
            return Failover::Checking { run, asked: None };
        }
        if !run.promoted {
            if now < run.gives_up_at {
                return Failover::Promoting { run, link, sent_at };
            }
            let why = self.overdue(&mandate, &run);
            return self.abort(run, why, actions);
        }
        let health = watch.map(|watch| watch.health(&self.policy, None, now));
        if let Some(Health::Down { cause, .. }) = health {
            let why = lost(&run, cause.to_string());
            return self.abort(run, why, actions);
        }
        let sample = watch.and_then(|watch| watch.sample());
        if let Some(sample) = sample.filter(|sample| sample.asked_at >= sent_at) {
            return match failover::check(&mandate, &sample.info) {
                Check::Promoted(master) => self.finish(record, run, master, actions),
                // Read before the promotion, or turned back by somebody since: look again.
                Check::AsChosen => Failover::Checking { run, asked: None },
                // A copy that it took from somebody ended between its check and its promotion.
                Check::Unfit(why) => {
                    let why = AbortReason::LostAfterPromotion(why.to_string());
                    self.abort(run, why, actions)
                }
            };
        }
        let is_refused = watch.is_some_and(|watch| watch.info_failure(sent_at).is_some());
        if is_refused || now >= run.gives_up_at {
            // It is the master; how its history is called now will be read when it can be.
            let master = candidate.identity();
            return self.finish(record, run, master, actions);
        }
        Failover::Promoting { run, link, sent_at }
    }

    pub(super) fn finish(
        &mut self,
        record: &GroupRecord,
        run: Run,
        master: Identity,
        actions: &mut Vec<Action>,
    ) -> Failover {
        let Some(mandate) = record.mandate() else {
            return Failover::watching();
        };
        let done = Failover::done(mandate.begin(), master, &run.timeline);
        actions.push(Action::Propose(done));
        Failover::Ending {
            epoch: run.epoch,
            timeline: run.timeline,
        }
    }

    pub(super) fn abort(
        &mut self,
        run: Run,
        why: AbortReason,
        actions: &mut Vec<Action>,
    ) -> Failover {
        actions.push(Action::Propose(Entry::Abort {
            group: self.name.clone(),
            epoch: run.epoch,
            why,
        }));
        Failover::Ending {
            epoch: run.epoch,
            timeline: run.timeline,
        }
    }
}

/// Why the epoch comes to nothing when its candidate is no longer there.
fn lost(run: &Run, how: String) -> AbortReason {
    match run.promoted {
        true => AbortReason::LostAfterPromotion(how),
        false => AbortReason::Refused(CommandFailure::Lost(how)),
    }
}
