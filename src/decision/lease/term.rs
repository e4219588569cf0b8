//! How long a lease lasts: for its holder, and for those who granted it.
//!
//! The node beside the master asks every voter again and again. Its lease ends a *length* after it
//! sent the question that the last one of a majority answered, itself included; so nothing has to
//! arrive for it to end. A voter that has applied the next epoch's `Begin` answers no more, and a
//! while later no lease that it helped to can stand: a length, and what two clocks may differ
//! meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::breaks::{Break, is_broken};
use crate::model::{Epoch, GroupName, NodeId};

/// By how much the rate of a clock may be wrong, in percent. What the proof needs of the clocks; real
/// ones differ by less than a hundredth of it.
pub const DRIFT_MAX_PERCENT: u32 = 5;
/// Questions without an answer that are remembered.
const ASKED_MAX: usize = 32;

/// What a group's master needs to take writes, as committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRule {
    /// Which rule of the group it is, counted from 1.
    pub number: u64,
    /// How long a lease is.
    pub length: Duration,
    /// Whether the node beside the master said that it obeys: before, time alone proves nothing of it.
    pub is_obeyed: bool,
}

impl LeaseRule {
    /// Between two questions.
    #[must_use]
    pub fn renew_interval(self) -> Duration {
        self.length / 8
    }

    /// So long before its end the master is fenced, so that the fencer is not needed.
    #[must_use]
    pub fn fence_lead(self) -> Duration {
        self.length / 4
    }

    /// So long before its end the fencer ends a master that was not fenced: it may be late by as much.
    #[must_use]
    pub fn end_lead(self) -> Duration {
        if is_broken(Break::FencerTakenForPunctual) {
            return Duration::ZERO;
        }
        self.length / 8
    }

    /// How old a grant has to be on its giver's clock, so that no lease by it can stand on any other.
    #[must_use]
    pub fn outlived_after(self) -> Duration {
        if is_broken(Break::GrantOutlivedTooSoon) {
            return self.length;
        }
        self.length * (100 + DRIFT_MAX_PERCENT) / (100 - DRIFT_MAX_PERCENT)
    }
}

/// What the node beside a master and the voters say to one another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseMessage {
    /// The group.
    pub group: GroupName,
    /// The master's epoch.
    pub epoch: Epoch,
    /// Which question, as numbered by whoever asks.
    pub number: u64,
    /// Whether it asks, or grants what was asked.
    pub kind: LeaseMessageKind,
}

/// Whether a message asks for a lease or grants one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseMessageKind {
    /// May the master of this epoch take writes?
    Ask,
    /// It may, as far as the sender has a say.
    Grant,
}

/// The lease of one epoch, as its holder knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    epoch: Epoch,
    number: u64,
    asked: VecDeque<(u64, Instant)>,
    /// When the latest question was sent that this voter granted.
    granted: BTreeMap<NodeId, Instant>,
    asked_at: Option<Instant>,
}

impl Lease {
    /// None yet. Numbers go on behind `number`.
    #[must_use]
    pub fn new(epoch: Epoch, number: u64) -> Self {
        Self {
            epoch,
            number,
            asked: VecDeque::new(),
            granted: BTreeMap::new(),
            asked_at: None,
        }
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// When the next question is due.
    #[must_use]
    pub fn due(&self, rule: LeaseRule) -> Option<Instant> {
        self.asked_at.map(|at| at + rule.renew_interval())
    }

    /// Numbers a question that is sent at `now`.
    pub fn ask(&mut self, now: Instant) -> u64 {
        self.number += 1;
        self.asked_at = Some(now);
        if self.asked.len() == ASKED_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back((self.number, now));
        self.number
    }

    /// Takes in a voter's grant at `now`. One for another question than those that wait counts for
    /// nothing.
    pub fn granted(&mut self, by: NodeId, number: u64, now: Instant) {
        let asked = self.asked.iter().find(|(asked, _)| *asked == number);
        let Some((_, mut sent_at)) = asked.copied() else {
            return;
        };
        if is_broken(Break::LeaseCountsFromAnswer) {
            sent_at = now;
        }
        let latest = self.granted.entry(by).or_insert(sent_at);
        *latest = sent_at.max(*latest);
    }

    /// When it ends, where so many `others` make a majority with its holder.
    ///
    /// By the moment at which the question was sent: when the answer came says nothing of when it was
    /// given.
    #[must_use]
    pub fn until(&self, rule: LeaseRule, others: usize) -> Option<Instant> {
        let last = match others.checked_sub(1) {
            None => self.asked_at,
            Some(place) => {
                let mut granted: Vec<Instant> = self.granted.values().copied().collect();
                granted.sort_unstable_by(|one, other| other.cmp(one));
                granted.get(place).copied()
            }
        };
        last.map(|sent_at| sent_at + rule.length)
    }
}

/// What a voter granted.
#[derive(Debug, Clone)]
pub struct Grants {
    latest: Instant,
    holder: Option<(NodeId, Epoch)>,
}

impl Grants {
    /// A voter that starts may have granted a lease a moment before.
    #[must_use]
    pub fn new(started: Instant) -> Self {
        let never = started.checked_sub(Duration::from_secs(3600));
        let latest = never.filter(|_| is_broken(Break::RestartForgetsGrants));
        Self {
            latest: latest.unwrap_or(started),
            holder: None,
        }
    }

    /// Grants a lease of `epoch` at `now`, unless another node may have one of the same: false.
    ///
    /// What was granted of an epoch before stands no more: it was waited for before this one was done.
    pub fn give(&mut self, to: &NodeId, epoch: Epoch, rule: LeaseRule, now: Instant) -> bool {
        let is_other = |(holder, of): &(NodeId, Epoch)| *of == epoch && holder != to;
        if self.holder.as_ref().is_some_and(is_other) && now < self.outlived_at(rule) {
            return false;
        }
        self.holder = Some((to.clone(), epoch));
        self.latest = self.latest.max(now);
        true
    }

    /// From when on no lease that it granted can stand.
    #[must_use]
    pub fn outlived_at(&self, rule: LeaseRule) -> Instant {
        self.latest + rule.outlived_after()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: LeaseRule = LeaseRule {
        number: 1,
        length: Duration::from_millis(800),
        is_obeyed: true,
    };

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    #[test]
    fn a_lease_ends_a_length_after_the_question_that_the_last_of_a_majority_granted() {
        let start = Instant::now();
        let mut lease = Lease::new(Epoch(1), 0);
        let numbers: Vec<u64> = [0, 100, 200].map(|at| lease.ask(start + ms(at))).to_vec();
        assert_eq!(lease.until(RULE, 2), None);
        lease.granted(node("b"), numbers[2], start + ms(700));
        assert_eq!(lease.until(RULE, 2), None, "one of two");
        lease.granted(node("c"), numbers[0], start + ms(700));
        assert_eq!(lease.until(RULE, 2), Some(start + ms(800)));
        // Late answers to early questions take nothing back, and no answer to no question gives anything.
        lease.granted(node("b"), numbers[1], start + ms(700));
        lease.granted(node("c"), 77, start + ms(700));
        assert_eq!(lease.until(RULE, 2), Some(start + ms(800)));
        assert_eq!(lease.until(RULE, 1), Some(start + ms(1000)));
        lease.granted(node("c"), numbers[1], start + ms(700));
        assert_eq!(lease.until(RULE, 2), Some(start + ms(900)));
    }

    #[test]
    fn a_fencer_that_is_as_late_as_it_may_be_ends_a_master_before_its_lease_does() {
        let latest = RULE.length - RULE.end_lead() + RULE.length / 8;
        assert!(latest <= RULE.length, "{latest:?}");
        // The node beside it has as long to fence it before.
        assert!(RULE.fence_lead() >= 2 * RULE.end_lead());
    }

    #[test]
    fn whoever_is_a_majority_alone_grants_itself_what_it_asks() {
        let start = Instant::now();
        let mut lease = Lease::new(Epoch(1), 0);
        assert_eq!(lease.until(RULE, 0), None);
        lease.ask(start + ms(5));
        assert_eq!(lease.until(RULE, 0), Some(start + ms(805)));
    }

    #[test]
    fn a_grant_is_outlived_when_the_slowest_clock_has_seen_its_length_pass() {
        let start = Instant::now();
        let mut grants = Grants::new(start);
        // On a clock that is 5 % slow 800 ms last 842 ms; on one that is 5 % fast these are 884.2.
        let outlived = RULE.outlived_after();
        assert!(ms(884) < outlived && outlived < ms(885), "{outlived:?}");
        assert_eq!(grants.outlived_at(RULE), start + outlived);
        assert!(grants.give(&node("a"), Epoch(1), RULE, start + ms(300)));
        let early = start + ms(300) + outlived - ms(1);
        assert!(!grants.clone().give(&node("b"), Epoch(1), RULE, early));
        assert!(
            grants.clone().give(&node("b"), Epoch(2), RULE, early),
            "another epoch"
        );
        assert_eq!(grants.outlived_at(RULE), start + ms(300) + outlived);
        assert!(grants.give(&node("b"), Epoch(1), RULE, start + ms(300) + outlived));
    }
}
