//! From a committed `Begin` to the proposal of `Done` or `Abort`.

use crate::decision::entry::{AbortReason, Entry, Identity, StepName};
use crate::decision::event::Action;
use crate::decision::failover::{self, Check, Failover, Run};
use crate::decision::group::Group;
use crate::decision::happening::Happening;
use crate::decision::health::Health;
use crate::decision::instance_event::{CommandFailure, LinkId, ProbeCommand, PromoteOrder};
use crate::decision::record::GroupRecord;
use crate::decision::watch::{Orders, Watch};
use crate::model::{Epoch, Role};
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
        match failover::check(&mandate, &sample.info) {
            Check::Unfit(why) => self.abort(run, why, actions),
            Check::Promoted(master) => {
                if !run.promoted && !mandate.begin().reinstates() {
                    run.timeline.note(StepName::Promoted, now);
                }
                self.finish(record, run, master, actions)
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
                let mut orders = Orders::new();
                if watch.is_fenced() {
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
        }
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
            return;
        };
        if run.epoch != epoch || sent_on != link {
            self.failover = Failover::Promoting {
                run,
                link: sent_on,
                sent_at,
            };
            return;
        }
        self.failover = match result {
            Ok(()) => {
                run.timeline.note(StepName::Promoted, now);
                if let Some(mandate) = record.and_then(GroupRecord::mandate) {
                    actions.push(Action::Announce(Happening::Promoted {
                        group: self.name.clone(),
                        epoch,
                        master: mandate.begin().candidate.endpoint.clone(),
                    }));
                }
                run.promoted = true;
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
            return match &sample.info.role {
                Role::Master { .. } => {
                    let master = Identity::of(candidate.endpoint.clone(), &sample.info);
                    self.finish(record, run, master, actions)
                }
                // Read before the promotion, or turned back by somebody since: look again.
                Role::Replica { .. } => Failover::Checking { run, asked: None },
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
