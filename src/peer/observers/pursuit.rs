//! Which voter an observer follows next, and when. Each has an order of its own, so that those of a voter
//! that is lost spread over all others.

use std::time::Duration;

use crate::model::{NodeId, SplitMix};

/// What all of them wait at most before the first call of another voter, so as not to come at once.
const SPREAD: Duration = Duration::from_millis(20);
/// Delay once all voters were called in vain; it doubles with each further round.
const ROUND_DELAY_MIN: Duration = Duration::from_millis(100);
const ROUND_DELAY_MAX: Duration = Duration::from_secs(2);
/// How long a voter that knows no leader is followed before another one is asked; it doubles with each that
/// does not either.
const DOUBT_MIN: Duration = Duration::from_secs(1);
const DOUBT_MAX: Duration = Duration::from_secs(30);

/// The voters in one observer's order, and how they did lately.
#[derive(Debug)]
pub(super) struct Pursuit {
    voters: Vec<NodeId>,
    at: usize,
    /// Calls in vain since a voter confirmed anything.
    failures: usize,
    /// Voters in doubt since then.
    doubts: u32,
    random: SplitMix,
}

impl Pursuit {
    /// In an order that `seed` tells. There is at least one voter.
    pub(super) fn new(voters: impl IntoIterator<Item = NodeId>, seed: u64) -> Self {
        let mut random = SplitMix::new(seed);
        let mut voters: Vec<NodeId> = voters.into_iter().collect();
        assert!(!voters.is_empty(), "an observer has voters to follow");
        for end in (1..voters.len()).rev() {
            let place = usize::try_from(random.below(end as u64 + 1)).unwrap_or(end);
            voters.swap(place, end);
        }
        Self {
            voters,
            at: 0,
            failures: 0,
            doubts: 0,
            random,
        }
    }

    /// The one to follow.
    pub(super) fn voter(&self) -> &NodeId {
        &self.voters[self.at]
    }

    /// It cannot be followed, or no longer: the next one is to be called after this delay.
    pub(super) fn failed(&mut self) -> Duration {
        self.at = (self.at + 1) % self.voters.len();
        self.failures += 1;
        let rounds = self.failures / self.voters.len();
        let longest = match rounds {
            0 => return SPREAD.mul_f64(self.chance()),
            _ => {
                let doublings = u32::try_from(rounds - 1).unwrap_or(u32::MAX).min(16);
                (ROUND_DELAY_MIN * 2_u32.pow(doublings)).min(ROUND_DELAY_MAX)
            }
        };
        longest.mul_f64(0.5 + self.chance())
    }

    /// It knows no leader for as long as [`patience`](Self::patience) says.
    pub(super) fn doubted(&mut self) -> Duration {
        self.at = (self.at + 1) % self.voters.len();
        self.doubts += 1;
        SPREAD.mul_f64(self.chance())
    }

    /// It said that its state is confirmed.
    pub(super) fn confirmed(&mut self) {
        self.failures = 0;
        self.doubts = 0;
    }

    /// How long one that knows no leader is followed.
    pub(super) fn patience(&self) -> Duration {
        (DOUBT_MIN * 2_u32.pow(self.doubts.min(8))).min(DOUBT_MAX)
    }

    /// From 0 to 1.
    fn chance(&mut self) -> f64 {
        const PARTS: u64 = 1 << 32;
        self.random.below(PARTS) as f64 / PARTS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeMap;

    fn pursuit(seed: u64) -> Pursuit {
        let names = ["a", "b", "c"].map(|name| name.parse().unwrap());
        Pursuit::new(names, seed)
    }

    #[test]
    fn observers_spread_over_all_voters_and_those_of_a_lost_one_over_the_others() {
        let mut firsts = BTreeMap::<(NodeId, NodeId), usize>::new();
        for seed in 0..600 {
            let mut pursuit = pursuit(seed);
            let first = pursuit.voter().clone();
            pursuit.failed();
            let second = pursuit.voter().clone();
            assert_ne!(first, second);
            *firsts.entry((first, second)).or_default() += 1;
        }
        assert_eq!(firsts.len(), 6, "{firsts:?}");
        assert!(firsts.values().all(|count| *count > 60), "{firsts:?}");
    }

    #[test]
    fn every_voter_is_called_before_any_is_waited_for_and_then_ever_more_rarely() {
        let mut pursuit = pursuit(7);
        let delays: Vec<Duration> = (0..15).map(|_| pursuit.failed()).collect();
        for (number, delay) in delays.iter().enumerate() {
            let (least, most) = match number {
                0 | 1 => (0, 20),
                2..5 => (50, 150),
                5..8 => (100, 300),
                8..11 => (200, 600),
                11..14 => (400, 1_200),
                _ => (800, 2_400),
            };
            let within = Duration::from_millis(least)..=Duration::from_millis(most);
            assert!(within.contains(delay), "{number}: {delay:?}");
        }
        for _ in 0..100 {
            assert!(pursuit.failed() <= Duration::from_secs(3));
        }
        pursuit.confirmed();
        assert!(pursuit.failed() <= SPREAD);
    }

    #[test]
    fn a_voter_without_a_leader_is_left_ever_later_until_one_has_one() {
        let mut pursuit = pursuit(1);
        let mut left = Vec::new();
        for _ in 0..6 {
            left.push(pursuit.patience().as_secs());
            let before = pursuit.voter().clone();
            pursuit.doubted();
            assert_ne!(*pursuit.voter(), before);
        }
        assert_eq!(left, [1, 2, 4, 8, 16, 30]);
        pursuit.confirmed();
        assert_eq!(pursuit.patience(), DOUBT_MIN);
    }
}
