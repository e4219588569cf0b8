//! A planned switchover: from the wish to `Begin`, and what the master has to say behind that.

use super::handing_over::is_logged;
use crate::decision::agreement::Verdict;
use crate::decision::choice::{self, Ineligible, LostMaster};
use crate::decision::entry::{Begin, Candidate, Entry, Grounds, StepName};
use crate::decision::event::Action;
use crate::decision::failover::{Failover, Timeline};
use crate::decision::group::Group;
use crate::decision::health::Health;
use crate::decision::instance_event::CommandFailure;
use crate::decision::record::GroupRecord;
use crate::decision::request::{Request, Wish};
use crate::decision::switchover::{
    Asked, CATCH_UP, CLOSE, GivenUp, Hold, LOOK_INTERVAL, NotSwitched, PREPARING_INTERVAL,
    TRIED_FOR_MAX, Wanted,
};
use crate::decision::watch::Watch;
use crate::model::{Endpoint, InstanceInfo, ReplicationOffset, UnixTime};
use std::time::{Duration, Instant};

/// What an instance said longer ago than this is no ground for an answer to an administrator.
const KNOWN_FOR: Duration = Duration::from_secs(5);

impl Group {
    /// The replica that would take the place of the master if somebody asked for it now, by what the
    /// instances said since `asked_at`, or lately.
    ///
    /// # Errors
    /// [`NotSwitched`] when there is none, or it is no time for a switchover.
    pub(in crate::decision) fn switchable(
        &self,
        record: &GroupRecord,
        to: Option<&Endpoint>,
        asked_at: Option<Instant>,
        now: Instant,
    ) -> Result<Candidate, NotSwitched> {
        if let Some(why) = self.held_back(record, now) {
            return Err(NotSwitched::HeldBack(why));
        }
        if record.mandate().is_some() || record.is_vacant() {
            return Err(NotSwitched::UnderWay);
        }
        let master = self.well_master(record, now)?;
        let lost = LostMaster {
            identity: record.master(),
            offset: Some(master.history.offset),
            feeds: true,
        };
        let known = now.checked_sub(KNOWN_FOR).unwrap_or(now);
        let asked_at = asked_at.unwrap_or(known);
        let Some(to) = to else {
            let found = self.best_replica(record, &lost, asked_at, now);
            let nobody = NotSwitched::NobodyEligible(found.passed_over);
            return found.chosen.ok_or(nobody);
        };
        let instance = self.real(to);
        if *instance == record.master().endpoint {
            return Err(NotSwitched::IsMaster(to.clone()));
        }
        let is_member = record.members().iter().any(|it| self.real(it) == instance);
        let Some(watch) = self.watches.get(instance).filter(|_| is_member) else {
            let others = record.members().iter();
            let known = others.filter(|it| **it != record.master().endpoint);
            return Err(NotSwitched::Unknown {
                instance: to.clone(),
                known: known.cloned().collect(),
            });
        };
        if self.cannot_lease(record, now).contains(instance) {
            return Err(NotSwitched::NotEligible {
                instance: to.clone(),
                why: Ineligible::NoFencer,
            });
        }
        choice::look(watch, &lost, &self.policy, asked_at, now)
            .map(|(_, candidate)| candidate)
            .map_err(|why| NotSwitched::NotEligible {
                instance: to.clone(),
                why,
            })
    }

    /// What the master says, if it is the logged one and as well as it can be.
    fn well_master(
        &self,
        record: &GroupRecord,
        now: Instant,
    ) -> Result<&InstanceInfo, NotSwitched> {
        let endpoint = &record.master().endpoint;
        let not_well = |why: &str| NotSwitched::MasterNotWell {
            master: endpoint.clone(),
            why: why.to_owned(),
        };
        if let Verdict::Down { evidence, .. } = self.verdict(record, now) {
            return Err(not_well(&evidence.to_string()));
        }
        match self.own_health(record, now) {
            Health::Up => {}
            Health::Down { cause, .. } => return Err(not_well(&cause.to_string())),
            Health::Suspected { .. } => return Err(not_well("it does not answer")),
            Health::Unknown => return Err(not_well("it was not heard yet")),
        }
        let sample = self.watches.get(endpoint).and_then(Watch::current_sample);
        let info = sample.map(|sample| &sample.info);
        let info = info.ok_or_else(|| not_well("it has not told yet what it has"))?;
        is_logged(record, info).map_err(|why| not_well(&why))?;
        Ok(info)
    }

    /// An administrator wants another master. What cannot be done is logged as given up, so that whoever
    /// asked hears of it by any node.
    pub(in crate::decision) fn want_switchover(
        &mut self,
        request: &Request,
        record: &GroupRecord,
        wall: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let Wish::Switchover { to, within, reason } = &request.wish else {
            return;
        };
        let is_told = self.bookkeeping.given_up == Some(request.operation);
        if is_told || now < self.proposals_from {
            return;
        }
        let asked = request.asked(reason.as_ref());
        match &self.failover {
            Failover::Watching { .. } => {}
            Failover::Preparing { wanted, .. } | Failover::Holding { wanted, .. } => {
                if wanted.asked.operation != request.operation {
                    self.give_up(asked, NotSwitched::UnderWay, wall, actions);
                }
                return;
            }
            Failover::Choosing { .. } | Failover::Checking { .. } | Failover::Promoting { .. } => {
                self.give_up(asked, NotSwitched::UnderWay, wall, actions);
                return;
            }
            // What comes of it is known in a moment, and it may be this very operation.
            Failover::Beginning { .. } | Failover::Ending { .. } => return,
        }
        if let Err(why) = self.switchable(record, to.as_ref(), None, now) {
            self.give_up(asked, why, wall, actions);
            return;
        }
        let wanted = Wanted {
            asked,
            to: to.clone(),
            gives_up_at: now + (*within).min(TRIED_FOR_MAX),
        };
        self.ask_all_and_the_master(record, now, actions);
        self.failover = Failover::Preparing {
            wanted,
            timeline: Timeline::new(now),
            asked_at: now,
            looks_at: now + PREPARING_INTERVAL,
        };
        self.note_transition();
    }

    fn ask_all_and_the_master(
        &mut self,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.ask_all(record, now, actions);
        self.ask_info(&record.master().endpoint, now, actions);
    }

    fn give_up(
        &mut self,
        asked: Asked,
        why: NotSwitched,
        wall: UnixTime,
        actions: &mut Vec<Action>,
    ) -> Failover {
        self.bookkeeping.given_up = Some(asked.operation);
        actions.push(Action::Propose(Entry::GiveUp(GivenUp {
            group: self.name.clone(),
            asked,
            at: wall,
            why,
        })));
        Failover::watching()
    }

    /// Chooses the successor, once all have said how far they are and it is close to the master.
    pub(super) fn prepare(
        &mut self,
        record: &GroupRecord,
        preparing: Failover,
        wall: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Failover {
        let Failover::Preparing {
            wanted,
            timeline,
            asked_at,
            looks_at,
        } = preparing
        else {
            return preparing;
        };
        let (is_late, is_time) = (now >= wanted.gives_up_at, now >= looks_at);
        let master = &record.master().endpoint;
        let has_answered = self.watches.get(master).is_some_and(|watch| {
            let asked = watch.sample().map(|sample| sample.asked_at);
            asked.is_some_and(|asked| asked >= asked_at)
        });
        let is_complete = has_answered && choice::is_complete(&self.watches, master, asked_at);
        if !is_complete && !is_late && !is_time {
            self.ask_stragglers(record, asked_at, now, actions);
            if !has_answered {
                self.ask_info(&master.clone(), now, actions);
            }
            return Failover::Preparing {
                wanted,
                timeline,
                asked_at,
                looks_at,
            };
        }
        let candidate = match self.switchable(record, wanted.to.as_ref(), Some(asked_at), now) {
            Ok(candidate) => candidate,
            Err(why) => return self.give_up(wanted.asked, why, wall, actions),
        };
        let lag_bytes = self
            .master_offset(record)
            .map_or(0, |offset| offset.ahead_of(candidate.offset));
        if lag_bytes < CLOSE && !is_late {
            return self.hold(record, wanted, timeline, candidate, wall, now, actions);
        }
        if is_late {
            let instance = candidate.endpoint;
            let why = match lag_bytes < CLOSE {
                true => NotSwitched::TimedOut,
                false => NotSwitched::TooFarBehind {
                    instance,
                    lag_bytes,
                },
            };
            return self.give_up(wanted.asked, why, wall, actions);
        }
        if !is_time {
            return Failover::Preparing {
                wanted,
                timeline,
                asked_at,
                looks_at,
            };
        }
        self.ask_all_and_the_master(record, now, actions);
        Failover::Preparing {
            wanted,
            timeline,
            asked_at: now,
            looks_at: now + PREPARING_INTERVAL,
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "all that a state takes over from the one before"
    )]
    fn hold(
        &mut self,
        record: &GroupRecord,
        wanted: Wanted,
        timeline: Timeline,
        candidate: Candidate,
        wall: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Failover {
        let master = record.master().endpoint.clone();
        let Some(link) = self.watches.get(&master).and_then(Watch::open_link) else {
            let why = "its connection closed".to_owned();
            return self.give_up(
                wanted.asked,
                NotSwitched::MasterNotWell { master, why },
                wall,
                actions,
            );
        };
        Failover::Holding {
            wanted,
            timeline,
            candidate: candidate.endpoint,
            hold: self.hold_writes(&master, link, now, actions),
            asked_at: now,
            looks_at: None,
        }
    }

    /// Proposes `Begin` once the successor has all that the master has.
    pub(super) fn catch_up(
        &mut self,
        record: &GroupRecord,
        holding: Failover,
        wall: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Failover {
        let Failover::Holding {
            wanted,
            mut timeline,
            candidate,
            hold,
            mut asked_at,
            mut looks_at,
        } = holding
        else {
            return holding;
        };
        let reached = match self.held_offset(record, &hold, now) {
            Ok(reached) => reached,
            Err(why) => return self.give_up(wanted.asked, why, wall, actions),
        };
        let waited = now.saturating_duration_since(hold.sent_at);
        let successor = match self.successor(record, &candidate, hold.sent_at, now) {
            Ok(successor) => successor,
            Err(why) => return self.give_up(wanted.asked, why, wall, actions),
        };
        let offset = successor.as_ref().map(|successor| successor.offset);
        match (reached, successor) {
            (Some(reached), Some(successor)) if successor.offset >= reached => {
                timeline.note(StepName::CaughtUp, now);
                return self.begin_switchover(
                    record,
                    wanted.asked,
                    timeline,
                    successor,
                    wall,
                    actions,
                );
            }
            (None, _) if waited >= CATCH_UP => {
                let why = NotSwitched::NotHeld(CommandFailure::TimedOut);
                return self.give_up(wanted.asked, why, wall, actions);
            }
            (Some(reached), _) if waited >= CATCH_UP => {
                let why = NotSwitched::NotCaughtUp {
                    instance: candidate,
                    lag_bytes: reached.ahead_of(offset.unwrap_or(ReplicationOffset(0))),
                    waited,
                };
                return self.give_up(wanted.asked, why, wall, actions);
            }
            (Some(_) | None, _) => {}
        }
        let has_answered = self.watches.get(&candidate).is_some_and(|watch| {
            let sample = watch.sample().map(|sample| sample.asked_at);
            sample.is_some_and(|at| at >= asked_at)
        });
        match looks_at {
            Some(at) if at <= now => {
                asked_at = now;
                looks_at = None;
                self.ask_info(&candidate, now, actions);
            }
            None if has_answered => looks_at = Some(now + LOOK_INTERVAL),
            // Another reading may have been on its way.
            None => self.ask_info(&candidate, now, actions),
            Some(_) => {}
        }
        Failover::Holding {
            wanted,
            timeline,
            candidate,
            hold,
            asked_at,
            looks_at,
        }
    }

    /// How far the master is that holds its writes; nothing while it has not said so.
    fn held_offset(
        &self,
        record: &GroupRecord,
        hold: &Hold,
        now: Instant,
    ) -> Result<Option<ReplicationOffset>, NotSwitched> {
        let endpoint = &record.master().endpoint;
        let not_well = |why: String| NotSwitched::MasterNotWell {
            master: endpoint.clone(),
            why,
        };
        if let Verdict::Down { evidence, .. } = self.verdict(record, now) {
            return Err(not_well(evidence.to_string()));
        }
        if self.watches.get(endpoint).and_then(Watch::open_link) != Some(hold.link) {
            return Err(not_well("its connection closed".to_owned()));
        }
        hold.outcome.clone().transpose()
    }

    /// What the successor says; nothing while it has not answered.
    fn successor(
        &self,
        record: &GroupRecord,
        endpoint: &Endpoint,
        asked_at: Instant,
        now: Instant,
    ) -> Result<Option<Candidate>, NotSwitched> {
        let not_eligible = |why: Ineligible| NotSwitched::NotEligible {
            instance: endpoint.clone(),
            why,
        };
        let watch = self.watches.get(endpoint);
        let watch = watch.ok_or_else(|| {
            not_eligible(Ineligible::Unreachable {
                why: "it is not watched".to_owned(),
            })
        })?;
        let lost = LostMaster {
            identity: record.master(),
            // How far it is behind is what is waited for.
            offset: None,
            feeds: true,
        };
        match choice::look(watch, &lost, &self.policy, asked_at, now) {
            Ok((_, candidate)) => Ok(Some(candidate)),
            Err(Ineligible::NoAnswer { .. }) => Ok(None),
            Err(why) => Err(not_eligible(why)),
        }
    }

    fn begin_switchover(
        &mut self,
        record: &GroupRecord,
        asked: Asked,
        timeline: Timeline,
        candidate: Candidate,
        wall: UnixTime,
        actions: &mut Vec<Action>,
    ) -> Failover {
        let epoch = record.last_begun().next();
        actions.push(Action::Propose(Entry::Begin(Begin {
            group: self.name.clone(),
            epoch,
            from: record.master().clone(),
            candidate,
            grounds: Grounds::Asked(asked),
            passed_over: Vec::new(),
            loss_estimate: Some(0),
            leader: self.node.clone(),
            at: wall,
        })));
        Failover::Beginning { epoch, timeline }
    }

    /// A switchover for which no epoch has begun stops where nothing is to be done about the group.
    pub(super) fn stop_switching(
        &mut self,
        record: &GroupRecord,
        wall: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let before = std::mem::replace(&mut self.failover, Failover::watching());
        let (Failover::Preparing { wanted, .. } | Failover::Holding { wanted, .. }) = before else {
            self.failover = before;
            return;
        };
        let why = self.held_back(record, now);
        let why = why.map_or(NotSwitched::TimedOut, NotSwitched::HeldBack);
        self.failover = self.give_up(wanted.asked, why, wall, actions);
    }
}
