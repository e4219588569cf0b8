//! From the agreement that a master is lost to the proposal that names its successor.

use super::REST_WITHOUT_CANDIDATE;
use crate::decision::agreement::Verdict;
use crate::decision::choice::{self, LostMaster};
use crate::decision::entry::{Begin, Candidate, Entry, Grounds, StepName};
use crate::decision::event::Action;
use crate::decision::failover::{Failover, Timeline};
use crate::decision::group::Group;
use crate::decision::happening::Happening;
use crate::decision::policy::GroupPolicy;
use crate::decision::record::GroupRecord;
use crate::decision::watch::Watch;
use crate::model::{Endpoint, UnixTime};
use std::time::Instant;

impl Group {
    pub(super) fn watch_master(
        &mut self,
        record: &GroupRecord,
        rest_until: Option<Instant>,
        passed_over: Vec<(Endpoint, choice::Ineligible)>,
        wall: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Failover {
        let verdict = self.verdict(record, now);
        if verdict == Verdict::NotDown {
            self.nobody_told = None;
            self.awaited = None;
            if !record.is_vacant() {
                return Failover::watching();
            }
        }
        let rests = rest_until.is_some_and(|until| until > now);
        let watching = Failover::Watching {
            rest_until,
            passed_over,
        };
        let (evidence, since) = match verdict {
            Verdict::NotDown | Verdict::Short { .. } => {
                return self
                    .reinstate(record, rests, wall, now, actions)
                    .unwrap_or(watching);
            }
            Verdict::Vetoed { .. } => return watching,
            Verdict::Down { .. } if rests => return watching,
            Verdict::Down { evidence, since } => (evidence, since),
        };
        if self.is_flapping(record, wall) {
            self.pause_for_flapping(record, wall, actions);
            return Failover::watching();
        }
        let mut timeline = Timeline::new(since);
        timeline.note(StepName::Agreed, now);
        if self.nobody_told.is_none() && self.awaited.is_none() {
            actions.push(Action::Announce(Happening::ObjectivelyDown {
                group: self.name.clone(),
                epoch: record.epoch(),
                master: record.master().endpoint.clone(),
                evidence: evidence.clone(),
            }));
        }
        self.ask_all(record, now, actions);
        let gives_up_at = now + GroupPolicy::CHOICE_TIMEOUT;
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
    pub(super) fn ask_all(
        &mut self,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
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

    pub(super) fn choose(
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
            feeds: false,
        };
        let found = self.best_replica(record, &lost, asked_at, now);
        let chosen = found.chosen.clone();
        let chosen = chosen.or_else(|| self.last_resort(record, &found.passed_over, now));
        let chosen = chosen.or_else(|| self.salvage(record, now, actions));
        let Some(candidate) = chosen else {
            self.tell_nobody_eligible(&found.passed_over, actions);
            let rest_until = Some(now + REST_WITHOUT_CANDIDATE);
            return Failover::Watching {
                rest_until,
                passed_over: found.passed_over,
            };
        };
        self.nobody_told = None;
        let candidate = self.prefer_master(record, candidate, now);
        let since = timeline.started_at();
        if let Some(until) = self.put_off(record, &evidence, since, &candidate, now, actions) {
            return Failover::Watching {
                rest_until: Some(until),
                passed_over: found.passed_over,
            };
        }
        self.awaited = None;
        timeline.note(StepName::Chosen, now);
        let epoch = record.next_epoch();
        let begin = Begin {
            group: self.name.clone(),
            epoch,
            from: record.master().clone(),
            loss_estimate: self.loss_estimate(record, &candidate, now),
            candidate,
            grounds: Grounds::Lost(evidence),
            passed_over: found.passed_over,
            leader: self.node.clone(),
            at: wall,
        };
        actions.push(Action::Propose(Entry::Begin(begin)));
        Failover::Beginning { epoch, timeline }
    }

    /// Who would take the place of `lost`, by what the instances said since `asked_at`.
    pub(super) fn best_replica(
        &self,
        record: &GroupRecord,
        lost: &LostMaster<'_>,
        asked_at: Instant,
        now: Instant,
    ) -> choice::Choice {
        let cannot_lease = self.cannot_lease(record, now);
        let (watches, policy) = (&self.watches, &self.policy);
        choice::choose(watches, lost, policy, &cannot_lease, asked_at, record, now)
    }

    /// Tells people why nobody can be promoted, once for each set of reasons.
    pub(super) fn tell_nobody_eligible(
        &mut self,
        passed_over: &[(Endpoint, choice::Ineligible)],
        actions: &mut Vec<Action>,
    ) {
        let reasons = passed_over
            .iter()
            .map(|(endpoint, reason)| (endpoint.clone(), std::mem::discriminant(reason)))
            .collect();
        if self.nobody_told.as_ref() == Some(&reasons) {
            return;
        }
        self.nobody_told = Some(reasons);
        actions.push(Action::Announce(Happening::NobodyEligible {
            group: self.name.clone(),
            passed_over: passed_over.to_vec(),
        }));
    }

    pub(super) fn ask_stragglers(
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
                    && watch.info_failure(asked_at).is_none()
            })
            .map(|(endpoint, _)| endpoint.clone())
            .collect();
        for endpoint in late {
            self.ask_info(&endpoint, now, actions);
        }
    }

    /// Bytes that the candidate may lack: what was seen of the master, and what it may have written
    /// since, at its peak rate, until it was last known to live. None where nothing was seen of it.
    pub(super) fn loss_estimate(
        &self,
        record: &GroupRecord,
        candidate: &Candidate,
        now: Instant,
    ) -> Option<u64> {
        if candidate.endpoint == record.master().endpoint {
            return Some(self.loss_if_kept(record, candidate));
        }
        let seen = self.master_offset(record)?;
        let sample = self
            .watches
            .get(&candidate.endpoint)
            .and_then(Watch::sample);
        let reach = sample.and_then(|sample| record.master().reach(&sample.info.history));
        // What is left of an earlier history is nothing of this one.
        let Some(_) = reach else { return Some(seen.0) };
        let unseen = self
            .watches
            .get(&record.master().endpoint)
            .map_or(0, |watch| watch.stream().unseen(now));
        Some((seen.0 + unseen).saturating_sub(candidate.offset.0))
    }
}
