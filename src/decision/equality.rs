//! Whether the voters have the same settings of a group: without a majority that has them it is not
//! registered, and after that a voter that has others is told of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::discovery::WaitingFor;
use super::policy::GroupPolicy;
use super::settings_digest::{Canonical, GroupClaim, KeyMark, SettingsDigest};
use super::view::VIEW_FRESH_FOR;
use crate::model::{GroupName, NodeId};

/// What another voter has of a group, where that is not what this node has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "settings")]
pub enum Difference {
    /// Nothing.
    NoGroup,
    /// Other settings.
    Differs {
        /// The keys, as far as they are known.
        keys: Vec<String>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGroup => formatter.write_str("does not have the group"),
            Self::Differs { keys } if keys.is_empty() => formatter.write_str("differs"),
            Self::Differs { keys } => write!(formatter, "differs in {}", keys.join(" and ")),
        }
    }
}

/// News of another voter's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EqualityNews {
    /// They are not ours.
    Differs(Difference),
    /// They are ours again.
    Equal,
}

/// A group's settings on this node and, as far as they said, on the other voters.
#[derive(Debug)]
pub(super) struct Equality {
    own: SettingsDigest,
    marks: Vec<(&'static str, KeyMark)>,
    others: BTreeMap<NodeId, Other>,
}

#[derive(Debug, Default)]
struct Other {
    /// When it last spoke of its settings.
    heard_at: Option<Instant>,
    differs: Option<Difference>,
    /// What people were told of last.
    told: Option<Difference>,
}

impl Other {
    fn is_fresh(&self, now: Instant) -> bool {
        let is_fresh = |at: Instant| now.saturating_duration_since(at) < VIEW_FRESH_FOR;
        self.heard_at.is_some_and(is_fresh)
    }
}

impl Equality {
    pub(super) fn new(policy: &GroupPolicy) -> Self {
        let canonical = Canonical::of(policy);
        Self {
            own: canonical.digest(),
            marks: canonical.marks().collect(),
            others: BTreeMap::new(),
        }
    }

    /// The settings of this node changed: what the others said is to be compared anew, when they say
    /// it again.
    pub(super) fn adjust(&mut self, policy: &GroupPolicy) {
        let canonical = Canonical::of(policy);
        let own = canonical.digest();
        if self.own == own {
            return;
        }
        self.own = own;
        self.marks = canonical.marks().collect();
        for other in self.others.values_mut() {
            other.heard_at = None;
            other.differs = None;
        }
    }

    /// Names the other voters.
    pub(super) fn among<'a>(&mut self, peers: impl IntoIterator<Item = &'a NodeId>) {
        let unheard = |peer: &NodeId| (peer.clone(), Other::default());
        self.others = peers.into_iter().map(unheard).collect();
    }

    /// What the others are to hear: key by key only where somebody has something else.
    pub(super) fn claim(&self, group: &GroupName) -> GroupClaim {
        let is_alike = self.others.values().all(|other| other.differs.is_none());
        let marks = self.marks.iter().filter(|_| !is_alike);
        GroupClaim {
            group: group.clone(),
            digest: self.own,
            marks: marks.map(|(_, mark)| *mark).collect(),
        }
    }

    /// Takes in what another voter says that it has of the group.
    pub(super) fn hear(
        &mut self,
        peer: &NodeId,
        claim: Option<&GroupClaim>,
        now: Instant,
    ) -> Option<EqualityNews> {
        let differs = match claim {
            None => Some(Difference::NoGroup),
            Some(claim) if claim.digest == self.own => None,
            Some(claim) => Some(Difference::Differs {
                keys: self.differing(&claim.marks),
            }),
        };
        let other = self.others.get_mut(peer)?;
        other.heard_at = Some(now);
        other.differs.clone_from(&differs);
        // Its next report says in which keys: people are told once, and of these.
        let is_known =
            claim.is_none_or(|claim| claim.digest == self.own || !claim.marks.is_empty());
        if !is_known || other.told == differs {
            return None;
        }
        other.told.clone_from(&differs);
        Some(differs.map_or(EqualityNews::Equal, EqualityNews::Differs))
    }

    fn differing(&self, marks: &[KeyMark]) -> Vec<String> {
        if marks.is_empty() {
            return Vec::new();
        }
        let own = self.marks.iter();
        let differing = own.filter(|(_, mark)| !marks.contains(mark));
        differing.map(|(key, _)| (*key).to_owned()).collect()
    }

    /// The voters that have something else, of those that spoke lately.
    pub(super) fn differences(&self, now: Instant) -> Vec<(NodeId, Difference)> {
        let fresh = self.others.iter().filter(|(_, other)| other.is_fresh(now));
        let differing =
            fresh.filter_map(|(peer, other)| Some((peer.clone(), other.differs.clone()?)));
        differing.collect()
    }

    /// What is waited for while no majority of the voters is known to have the same settings.
    pub(super) fn awaited(&self, now: Instant) -> Option<WaitingFor> {
        let voters = self.others.len() + 1;
        let needed = voters / 2 + 1;
        let fresh = self.others.iter().filter(|(_, other)| other.is_fresh(now));
        let equal: BTreeSet<&NodeId> = fresh
            .filter(|(_, other)| other.differs.is_none())
            .map(|(peer, _)| peer)
            .collect();
        let unheard = self.others.iter().filter(|(_, other)| !other.is_fresh(now));
        (equal.len() + 1 < needed).then(|| WaitingFor::EqualSettings {
            equal: equal.len() + 1,
            needed,
            differing: self.differences(now),
            unheard: unheard.map(|(peer, _)| peer.clone()).collect(),
        })
    }
}

#[cfg(test)]
#[path = "equality_tests.rs"]
mod tests;
