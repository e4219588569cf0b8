//! How an observer stands to the voters: whom it follows, and how stale what it knows is. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::NodeId;

/// People are told that the state is stale when it is for so long: changing voters takes less.
pub(super) const STALE_TOLD_AFTER: Duration = Duration::from_secs(10);

/// Whom an observer follows, and since when nobody confirms what it knows.
#[derive(Debug)]
pub(super) struct Following {
    voter: Option<(NodeId, Instant)>,
    /// That voter has told something.
    is_told: bool,
    /// None while a voter with a leader is there.
    stale_since: Option<Instant>,
    /// How stale it was already when this process began.
    stale_before: Duration,
    is_stale_told: bool,
    /// Why each voter is not followed.
    errors: BTreeMap<NodeId, String>,
}

/// What people are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// Nobody confirms what is known.
    Stale { stale: Duration },
    /// Somebody does again.
    Fresh,
}

impl Following {
    /// Of a process that begins, when what it has on disk is so old.
    pub(super) fn new(stale_before: Duration, now: Instant) -> Self {
        Self {
            voter: None,
            is_told: false,
            stale_since: Some(now),
            stale_before,
            is_stale_told: false,
            errors: BTreeMap::new(),
        }
    }

    pub(super) fn attached(&mut self, voter: &NodeId, now: Instant) {
        self.voter = Some((voter.clone(), now));
        self.is_told = false;
    }

    /// Whether the voter told something for the first time: one of another cluster is left before that.
    pub(super) fn is_first_word(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }

    /// The voter told something.
    pub(super) fn told(&mut self, is_confirmed: bool, now: Instant) -> Option<Notice> {
        if !is_confirmed {
            self.stale_since.get_or_insert(now);
            return None;
        }
        if let Some((voter, _)) = &self.voter {
            self.errors.remove(voter);
        }
        self.stale_since = None;
        self.stale_before = Duration::ZERO;
        std::mem::take(&mut self.is_stale_told).then_some(Notice::Fresh)
    }

    /// The voter is not followed, or no longer; true when that was not known.
    pub(super) fn lost(
        &mut self,
        voter: &NodeId,
        reason: String,
        heard_at: Option<Instant>,
        now: Instant,
    ) -> bool {
        self.voter = None;
        self.stale_since.get_or_insert(heard_at.unwrap_or(now));
        self.errors.insert(voter.clone(), reason.clone()) != Some(reason)
    }

    pub(super) fn voter(&self) -> Option<&(NodeId, Instant)> {
        self.voter.as_ref()
    }

    pub(super) fn error(&self, voter: &NodeId) -> Option<&String> {
        self.errors.get(voter)
    }

    /// Whether a voter with a leader is there.
    pub(super) fn is_fresh(&self) -> bool {
        self.stale_since.is_none()
    }

    /// For how long nobody has confirmed what is known.
    pub(super) fn stale(&self, now: Instant) -> Option<Duration> {
        let since = self.stale_since?;
        Some(self.stale_before + now.saturating_duration_since(since))
    }

    /// When to come by [`Self::due`].
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let since = self.stale_since.filter(|_| !self.is_stale_told)?;
        Some(since + STALE_TOLD_AFTER)
    }

    /// What people have to hear of now.
    pub(super) fn due(&mut self, now: Instant) -> Option<Notice> {
        let is_due = self.next_deadline().is_some_and(|at| at <= now);
        self.is_stale_told |= is_due;
        let stale = self.stale(now)?;
        is_due.then_some(Notice::Stale { stale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn what_nobody_confirms_is_stale_from_the_last_word_on_and_told_once() {
        let start = Instant::now();
        let at = |second| start + seconds(second);
        let b: NodeId = "b".parse().unwrap();
        let mut following = Following::new(seconds(100), at(0));
        assert_eq!(following.stale(at(1)), Some(seconds(101)));
        following.attached(&b, at(2));
        assert!(following.is_first_word() && !following.is_first_word());
        assert_eq!(following.told(false, at(2)), None);
        assert_eq!(following.stale(at(3)), Some(seconds(103)));
        assert_eq!(following.told(true, at(4)), None);
        assert_eq!(
            (following.stale(at(5)), following.next_deadline()),
            (None, None)
        );
        assert!(following.lost(&b, "gone".to_owned(), Some(at(20)), at(30)));
        assert!(!following.lost(&b, "gone".to_owned(), None, at(31)));
        // To be answered and left again is nothing new.
        following.attached(&b, at(31));
        assert!(!following.lost(&b, "gone".to_owned(), None, at(31)));
        assert_eq!(following.stale(at(31)), Some(seconds(11)));
        assert_eq!(following.next_deadline(), Some(at(30)));
        let notice = following.due(at(31));
        assert_eq!(notice, Some(Notice::Stale { stale: seconds(11) }));
        assert_eq!(
            (following.due(at(50)), following.next_deadline()),
            (None, None)
        );
        following.attached(&b, at(60));
        assert_eq!(following.told(true, at(60)), Some(Notice::Fresh));
        assert_eq!(following.told(true, at(61)), None);
        assert!(following.is_fresh() && following.error(&b).is_none());
    }

    #[test]
    fn a_change_of_voters_is_nobodys_business() {
        let start = Instant::now();
        let [b, c]: [NodeId; 2] = ["b", "c"].map(|name| name.parse().unwrap());
        let mut following = Following::new(Duration::ZERO, start);
        following.attached(&b, start);
        following.told(true, start);
        following.lost(
            &b,
            "gone".to_owned(),
            Some(start + seconds(60)),
            start + seconds(60),
        );
        following.attached(&c, start + seconds(61));
        assert_eq!(following.due(start + seconds(61)), None);
        assert_eq!(following.told(true, start + seconds(61)), None);
        assert_eq!(following.voter().map(|(voter, _)| voter), Some(&c));
    }
}
