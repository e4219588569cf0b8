//! What an engine needs to know before it starts.

use std::collections::BTreeSet;
use std::time::Duration;

use thiserror::Error;

use crate::model::NodeId;

/// Who takes part, and how long to wait for a leader. Times count in whole milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// Ourselves.
    pub node: NodeId,
    /// All voters, ourselves included.
    pub voters: BTreeSet<NodeId>,
    /// Without a leader for this long, the first voter may stand for election.
    pub election_timeout_min: Duration,
    /// By then each has; where between the two is drawn from the seed, for each node and term.
    pub election_timeout_max: Duration,
    /// How often a leader shows that it lives: see [`heartbeat_interval`].
    pub heartbeat_interval: Duration,
    /// Names the sequence of all random choices.
    pub seed: u64,
}

/// Settings with which no cluster would ever elect a leader.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSettings {
    /// We are none of the voters.
    #[error(
        "node {node} is not among the voters: add it to PROMOTERD_PEERS, or run it as an observer"
    )]
    NotAVoter {
        /// Ourselves.
        node: NodeId,
    },
    /// The times contradict each other.
    #[error(
        "the heartbeat interval ({heartbeat:?}) must be at least 1ms and below the shortest election timeout \
         ({min:?}), and that below the longest ({max:?}, at most 1h): 300ms-600ms is proven"
    )]
    Times {
        /// The heartbeat interval.
        heartbeat: Duration,
        /// The shortest election timeout.
        min: Duration,
        /// The longest election timeout.
        max: Duration,
    },
}

impl EngineSettings {
    /// Longest election timeout: beyond it somebody mistook the unit.
    const ELECTION_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

    pub(super) fn check(&self) -> Result<(), InvalidSettings> {
        if !self.voters.contains(&self.node) {
            return Err(InvalidSettings::NotAVoter {
                node: self.node.clone(),
            });
        }
        let (heartbeat, min, max) = (
            self.heartbeat_interval,
            self.election_timeout_min,
            self.election_timeout_max,
        );
        let in_order =
            0 < ticks(heartbeat) && ticks(heartbeat) < ticks(min) && ticks(min) < ticks(max);
        if !in_order || max > Self::ELECTION_TIMEOUT_MAX {
            return Err(InvalidSettings::Times {
                heartbeat,
                min,
                max,
            });
        }
        Ok(())
    }
}

/// How often a leader should show that it lives: a follower waits for at least one and a half. At
/// the defaults it comes a little before a probe is due, so that one waking serves both.
#[must_use]
pub fn heartbeat_interval(election_timeout_min: Duration) -> Duration {
    election_timeout_min * 13 / 20
}

/// How many ticks of the engine a span lasts: one a millisecond.
pub(super) fn ticks(span: Duration) -> usize {
    usize::try_from(span.as_millis()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_could_never_elect_are_refused() {
        let node: NodeId = "a".parse().unwrap();
        let milliseconds = Duration::from_millis;
        for (heartbeat, min, max, valid) in [
            (50, 150, 300, true),
            (1, 2, 3, true),
            (0, 150, 300, false),
            (150, 150, 300, false),
            (50, 300, 300, false),
            (50, 150, 3_600_001, false),
        ] {
            let settings = EngineSettings {
                node: node.clone(),
                voters: BTreeSet::from([node.clone()]),
                election_timeout_min: milliseconds(min),
                election_timeout_max: milliseconds(max),
                heartbeat_interval: milliseconds(heartbeat),
                seed: 0,
            };
            assert_eq!(settings.check().is_ok(), valid, "{heartbeat} {min} {max}");
            let stranger = EngineSettings {
                voters: BTreeSet::from(["b".parse().unwrap()]),
                ..settings
            };
            assert_eq!(
                stranger.check(),
                Err(InvalidSettings::NotAVoter { node: node.clone() })
            );
        }
    }
}
