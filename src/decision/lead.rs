//! What only the leader does for a group, and only on what is committed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::agreement::Verdict;
use super::choice::{self, LostMaster};
use super::discovery::{self, WaitingFor};
use super::entry::{AbortReason, Begin, Candidate, Entry, Identity, StepName};
use super::event::Action;
use super::failover::{self, Check, Failover, Run, Timeline};
use super::group::Group;
use super::happening::Happening;
use super::health::Health;
use super::instance_event::{CommandFailure, LinkId, ProbeCommand, PromoteOrder};
use super::record::{Change, GroupRecord, Outcome};
use super::repair;
use super::settling::Settling;
use crate::model::{Endpoint, Epoch, Role, UnixTime};

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
        self.repair.reset();
        self.bookkeeping = super::group::Bookkeeping::default();
        self.settling = None;
        if !leading {
            self.waiting = None;
        }
    }

    /// The engine is handing leadership over, or has too much to do: wait a moment, then look again.
    pub fn on_refused(&mut self, record: Option<&GroupRecord>, now: Instant) {
        self.on_leadership(true, record, now);
        self.proposals_from = now + REST_AFTER_REFUSAL;
    }

    /// The leader's part of a committed change.
    pub fn lead_change(&mut self, change: Change, record: &GroupRecord, now: Instant) {
        match change {
            Change::Begun => self.on_begun(record, now),
            Change::Done => {
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
            // A proposal that did not fit: whatever waits for it has to look again.
            Change::None => {
                if matches!(
                    self.failover,
                    Failover::Beginning { .. } | Failover::Ending { .. }
                ) {
                    self.failover = Failover::resume(record, self.policy.promote_timeout, now)
                        .unwrap_or_else(Failover::watching);
                }
            }
            Change::Master | Change::Members | Change::History => {}
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
        while self.advance(record, wall, now, actions) {}
        if matches!(self.failover, Failover::Watching { .. }) {
            self.keep_books(record, now, actions);
            self.keep_following(record, now, actions);
        }
        self.settle(record, now, actions);
    }

    fn register(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.bookkeeping.register {
            return;
        }
        match discovery::discover(&self.watches, &self.aliases, &self.policy, now) {
            Ok(found) => {
                self.bookkeeping.register = true;
                self.waiting = None;
                actions.push(Action::Propose(Entry::Register {
                    group: self.name.clone(),
                    master: found.master,
                    members: found.members,
                }));
            }
            Err(reason) => self.wait_for(reason, now, actions),
        }
    }

    /// Why the group is not registered yet, as far as this node can tell.
    pub(super) fn why_not_registered(&self, now: Instant) -> Option<WaitingFor> {
        discovery::discover(&self.watches, &self.aliases, &self.policy, now).err()
    }

    /// Tells people why a group waits, once for each reason, and not in the first moments, when
    /// nobody can have answered yet.
    fn wait_for(&mut self, reason: WaitingFor, now: Instant, actions: &mut Vec<Action>) {
        let early = now.saturating_duration_since(self.identity_since) < self.policy.down_after;
        if early || self.waiting.as_ref() == Some(&reason) {
            return;
        }
        let group = self.name.clone();
        actions.push(Action::Announce(Happening::Waiting {
            group,
            reason: reason.clone(),
        }));
        self.waiting = Some(reason);
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
            } => self.watch_master(record, rest_until, passed_over, now, actions),
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
            Failover::Checking { run, asked } => self.check(record, run, asked, now, actions),
            Failover::Promoting {
                run,
                link,
                sent_at,
                promoted,
            } => self.await_promotion(record, run, link, sent_at, promoted, now, actions),
            waiting @ (Failover::Beginning { .. } | Failover::Ending { .. }) => waiting,
        };
        self.failover.phase() != phase
    }

    fn watch_master(
        &mut self,
        record: &GroupRecord,
        rest_until: Option<Instant>,
        passed_over: Vec<(Endpoint, choice::Ineligible)>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Failover {
        let (evidence, since) = match self.verdict(record, now) {
            Verdict::Down { evidence, since } => (evidence, since),
            Verdict::NotDown => return Failover::watching(),
            Verdict::Short { .. } | Verdict::Vetoed { .. } => {
                return Failover::Watching {
                    rest_until,
                    passed_over,
                };
            }
        };
        if rest_until.is_some_and(|until| until > now) {
            return Failover::Watching {
                rest_until,
                passed_over,
            };
        }
        let mut timeline = Timeline::new(since);
        timeline.note(StepName::Agreed, now);
        if passed_over.is_empty() {
            actions.push(Action::Announce(Happening::ObjectivelyDown {
                group: self.name.clone(),
                epoch: record.epoch(),
                master: record.master().endpoint.clone(),
                evidence: evidence.clone(),
            }));
        }
        self.ask_all(record, now, actions);
        let gives_up_at = now + super::policy::GroupPolicy::CHOICE_TIMEOUT;
        Failover::Choosing {
            evidence,
            timeline,
            asked_at: now,
            gives_up_at,
        }
    }

    /// Asks every instance but the lost master what it has.
    ///
    /// A reading that is already on its way was asked for a moment ago; it does not count as an
    /// answer, so the next one is asked for as soon as it is there.
    fn ask_all(&mut self, record: &GroupRecord, now: Instant, actions: &mut Vec<Action>) {
        let others: Vec<Endpoint> = self
            .watches
            .keys()
            .filter(|endpoint| **endpoint != record.master().endpoint)
            .cloned()
            .collect();
        for endpoint in others {
            self.ask_info(&endpoint, now, actions);
        }
    }

    fn choose(
        &mut self,
        record: &GroupRecord,
        choosing: Failover,
        wall: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Failover {
        let Failover::Choosing {
            evidence,
            mut timeline,
            asked_at,
            gives_up_at,
        } = choosing
        else {
            return choosing;
        };
        if !matches!(self.verdict(record, now), Verdict::Down { .. }) {
            return Failover::watching();
        }
        let master = &record.master().endpoint;
        if now < gives_up_at && !choice::is_complete(&self.watches, master, asked_at) {
            self.ask_stragglers(record, asked_at, now, actions);
            return Failover::Choosing {
                evidence,
                timeline,
                asked_at,
                gives_up_at,
            };
        }
        let lost = LostMaster {
            identity: record.master(),
            offset: self.master_offset(record),
        };
        let mut found = choice::choose(&self.watches, &lost, &self.policy, asked_at, record, now);
        let Some(candidate) = found.chosen.take() else {
            actions.push(Action::Announce(Happening::NobodyEligible {
                group: self.name.clone(),
                passed_over: found.passed_over.clone(),
            }));
            let rest_until = Some(now + REST_WITHOUT_CANDIDATE);
            return Failover::Watching {
                rest_until,
                passed_over: found.passed_over,
            };
        };
        timeline.note(StepName::Chosen, now);
        let epoch = record.last_begun().next();
        let begin = Begin {
            group: self.name.clone(),
            epoch,
            from: record.master().clone(),
            loss_estimate: self.loss_estimate(record, &candidate, now),
            candidate,
            evidence,
            passed_over: found.passed_over,
            leader: self.node.clone(),
            at: wall,
        };
        actions.push(Action::Propose(Entry::Begin(begin)));
        Failover::Beginning { epoch, timeline }
    }

    fn ask_stragglers(
        &mut self,
        record: &GroupRecord,
        asked_at: Instant,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let late: Vec<Endpoint> = self
            .watches
            .iter()
            .filter(|(endpoint, watch)| {
                **endpoint != record.master().endpoint
                    && watch
                        .sample()
                        .is_none_or(|sample| sample.asked_at < asked_at)
            })
            .map(|(endpoint, _)| endpoint.clone())
            .collect();
        for endpoint in late {
            self.ask_info(&endpoint, now, actions);
        }
    }

    /// Bytes that the candidate may lack: what was seen of the master, and what it may have written
    /// since, at its peak rate, until it was last known to live.
    fn loss_estimate(&self, record: &GroupRecord, candidate: &Candidate, now: Instant) -> u64 {
        let Some(seen) = self.master_offset(record) else {
            return 0;
        };
        let unseen = self
            .watches
            .get(&record.master().endpoint)
            .map_or(0, |watch| watch.stream().unseen(now));
        (seen.0 + unseen).saturating_sub(candidate.offset.0)
    }

    fn check(
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
            return self.abort(
                run,
                AbortReason::TimedOut(self.policy.promote_timeout),
                actions,
            );
        }
        let Some(watch) = self.watches.get(&endpoint) else {
            let lost = CommandFailure::Lost("the instance is not watched".to_owned());
            return self.abort(run, AbortReason::Refused(lost), actions);
        };
        if let Health::Down { cause, .. } = watch.health(&self.policy, None, now) {
            let lost = CommandFailure::Lost(cause.to_string());
            return self.abort(run, AbortReason::Refused(lost), actions);
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
        let Some(sample) = watch.sample().filter(|sample| sample.asked_at >= asked_at) else {
            // Another reading may have been on its way.
            self.ask_info(&endpoint, now, actions);
            return Failover::Checking { run, asked };
        };
        match failover::check(&mandate, &sample.info) {
            Check::Unfit(why) => self.abort(run, why, actions),
            Check::Promoted(master) => {
                run.timeline.note(StepName::Promoted, now);
                self.finish(record, run, master, actions)
            }
            Check::AsChosen => {
                let order = PromoteOrder::under(&mandate);
                self.send(
                    &endpoint,
                    vec![(link, ProbeCommand::Promote(order))],
                    actions,
                );
                // Sent right behind it: the history that the promotion begins.
                self.ask_info(&endpoint, now, actions);
                Failover::Promoting {
                    run,
                    link,
                    sent_at: now,
                    promoted: false,
                }
            }
        }
    }

    /// The answer to a promotion.
    pub(super) fn on_promote_replied(
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
            promoted,
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
                promoted,
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
                Failover::Promoting {
                    run,
                    link,
                    sent_at,
                    promoted: true,
                }
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

    #[allow(
        clippy::too_many_arguments,
        reason = "the fields of the phase, and its surroundings"
    )]
    fn await_promotion(
        &mut self,
        record: &GroupRecord,
        run: Run,
        link: LinkId,
        sent_at: Instant,
        promoted: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Failover {
        let Some(mandate) = record.mandate() else {
            return Failover::watching();
        };
        if now >= run.gives_up_at {
            return self.abort(
                run,
                AbortReason::TimedOut(self.policy.promote_timeout),
                actions,
            );
        }
        let endpoint = mandate.begin().candidate.endpoint.clone();
        let watch = self.watches.get(&endpoint);
        if watch.and_then(|watch| watch.open_link()) != Some(link) {
            return Failover::Checking { run, asked: None };
        }
        let promotion = Failover::Promoting {
            run,
            link,
            sent_at,
            promoted,
        };
        let Some(sample) = watch
            .and_then(|watch| watch.sample())
            .filter(|sample| promoted && sample.asked_at >= sent_at)
        else {
            return promotion;
        };
        let Failover::Promoting { run, .. } = promotion else {
            return promotion;
        };
        match &sample.info.role {
            Role::Master { .. } => {
                let master = Identity::of(endpoint, &sample.info);
                self.finish(record, run, master, actions)
            }
            // Read before the promotion, or turned back by somebody since: look again.
            Role::Replica { .. } => Failover::Checking { run, asked: None },
        }
    }

    fn finish(
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

    fn abort(&mut self, run: Run, why: AbortReason, actions: &mut Vec<Action>) -> Failover {
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

    /// Logs what was learnt of the group's instances.
    fn keep_books(&mut self, record: &GroupRecord, now: Instant, actions: &mut Vec<Action>) {
        let master = record.master();
        let Some(watch) = self.watches.get(&master.endpoint) else {
            return;
        };
        let is_up = watch.health(&self.policy, Some(master.run_id), now) == Health::Up;
        let Some(sample) = watch.sample().filter(|_| is_up) else {
            return;
        };
        let Role::Master { .. } = &sample.info.role else {
            return;
        };
        if sample.asked_at < self.identity_since {
            return;
        }
        let same_life = sample.info.run_id == master.run_id;
        let identity = Identity::of(master.endpoint.clone(), &sample.info);
        if !self.bookkeeping.identity
            && identity != *master
            && (same_life
                || self.is_continued(record, &sample.info)
                || self.is_all_that_is_left(record, &sample.info, now))
        {
            self.bookkeeping.identity = true;
            actions.push(Action::Propose(Entry::Identify {
                group: self.name.clone(),
                epoch: record.epoch(),
                master: identity,
            }));
        }
        let mut members: BTreeSet<Endpoint> = self.policy.instances.clone();
        members.extend(record.members().iter().cloned());
        members.extend(discovery::announced(&sample.info).cloned());
        let members: BTreeSet<Endpoint> = members.iter().map(|member| self.real(member)).collect();
        if !self.bookkeeping.members && same_life && members != *record.members() {
            self.bookkeeping.members = true;
            let group = self.name.clone();
            actions.push(Action::Propose(Entry::Members { group, members }));
        }
    }

    /// Has every instance follow the master, once it is known to be one.
    fn keep_following(&mut self, record: &GroupRecord, now: Instant, actions: &mut Vec<Action>) {
        let master = record.master();
        let is_ready = self.own_health(record, now) == Health::Up
            && self
                .watches
                .get(&master.endpoint)
                .and_then(|watch| watch.sample())
                .is_some_and(|sample| {
                    sample.info.run_id == master.run_id
                        && matches!(sample.info.role, Role::Master { .. })
                });
        if !is_ready {
            return;
        }
        let mut repair = std::mem::take(&mut self.repair);
        let standings = self.standings(record, now);
        let orders = repair.poll(&self.name, record, &self.policy, &standings, now);
        let returned = self.find_loss(record, &standings);
        self.repair = repair;
        if let Some(entry) = returned.filter(|_| !self.bookkeeping.returned) {
            self.bookkeeping.returned = true;
            actions.push(Action::Propose(entry));
        }
        actions.extend(orders.into_iter().map(Action::Follow));
    }

    /// The old master of the last failover, if it is back with what the new one never got.
    fn find_loss(
        &self,
        record: &GroupRecord,
        standings: &std::collections::BTreeMap<Endpoint, (repair::Standing, &super::watch::Watch)>,
    ) -> Option<Entry> {
        let last = record
            .failovers()
            .iter()
            .rev()
            .find(|past| past.outcome == Outcome::Done)
            .filter(|past| past.loss.is_none() && past.begin.epoch == record.epoch())?;
        let (_, watch) = standings.get(&last.begin.from.endpoint)?;
        let lost_bytes = repair::loss(record.master(), &last.begin.from, &watch.sample()?.info)?;
        Some(Entry::Returned {
            group: self.name.clone(),
            epoch: last.begin.epoch,
            lost_bytes,
        })
    }

    fn settle(&mut self, record: &GroupRecord, now: Instant, actions: &mut Vec<Action>) {
        let Some(mut settling) = self.settling.take() else {
            return;
        };
        if settling.epoch() != record.epoch() {
            return;
        }
        let views = self.views_now(record, now);
        let standings = self.standings(record, now);
        match settling.observe(&views, &standings, now) {
            Some(steps) => actions.push(Action::Propose(Entry::Settled {
                group: self.name.clone(),
                epoch: settling.epoch(),
                steps,
            })),
            None => self.settling = Some(settling),
        }
    }
}
