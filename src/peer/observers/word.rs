//! What voters and observers say to each other. Nothing of it is secret to a client's host.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::{ClusterId, Endpoint, Epoch, GroupName, LogIndex, NodeId, Replica};
use crate::peer::hello::{decode, encode};

/// Version of what is said. It is the first thing that an observer says, in two bytes, and stays so.
pub const OBSERVERS_VERSION: u16 = 2;
/// Longest position, in bytes.
pub const POSITION_LENGTH_MAX: usize = 32 << 10;

/// What an observer says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// [`OBSERVERS_VERSION`] of the release that it runs.
    pub version: u16,
    /// Its name.
    pub node: NodeId,
}

/// What a voter answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The observer is told all from now on, once it has said its first position.
    Welcome {
        /// The voter.
        voter: NodeId,
    },
    /// It is not.
    Refused(ObserverRefusal),
}

/// Why an observer that holds the key is told nothing.
///
/// The order of the variants is part of the wire format, whatever the version: add at the end.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum ObserverRefusal {
    /// The two speak different versions.
    #[error(
        "the voter speaks version {refuser} and not {refused}: run the same release of promoterd on all hosts"
    )]
    Version {
        /// Of the voter.
        refuser: u16,
        /// Of the observer.
        refused: u16,
    },
    /// It bears the voter's name.
    #[error("both are named {node}: give each its own PROMOTERD_NODE")]
    OwnName {
        /// The name.
        node: NodeId,
    },
    /// Too many are there.
    #[error("{max} observers follow that voter already")]
    Full {
        /// As many as it takes.
        max: usize,
    },
}

/// What is known of a group in public: what the clients' files on a voter's host say too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicGroup {
    /// The committed epoch.
    pub epoch: Epoch,
    /// Its master.
    pub master: Endpoint,
    /// The other instances, in the order of their addresses, as the voter sees them.
    pub replicas: Vec<Replica>,
    /// Whether an administrator has it left alone.
    pub is_paused: bool,
    /// How far the voter had applied the log when it said this: of two words about one epoch the later one
    /// counts.
    pub index: LogIndex,
}

/// All that a voter tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicState {
    /// Its cluster; none before it is born.
    pub cluster: Option<ClusterId>,
    /// Whether it knows a leader, and one has confirmed its state: then this is no old story.
    pub is_confirmed: bool,
    /// Groups never go away.
    pub groups: BTreeMap<GroupName, Arc<PublicGroup>>,
}

/// What a voter says: the first time all of it, then what changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The voter's cluster; none before it is born.
    pub cluster: Option<ClusterId>,
    /// See [`PublicState::is_confirmed`].
    pub is_confirmed: bool,
    /// The groups that changed.
    pub groups: BTreeMap<GroupName, Arc<PublicGroup>>,
}

/// What an observer says of itself: the epoch that all of its files of a group name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// By group; 0 where a file is not right yet.
    pub files: BTreeMap<GroupName, Epoch>,
}

/// Why bytes are no [`Opening`] that we can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnreadableOpening {
    /// It is of another version, so its rest was not looked at.
    Version(u16),
    /// It is of our version and damaged.
    Malformed,
}

impl Opening {
    /// The version comes first and stays first, so that every release can read that much.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.version.to_be_bytes().to_vec();
        bytes.extend(encode(&self.node));
        bytes
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`UnreadableOpening`]
    pub fn decode(bytes: &[u8]) -> Result<Self, UnreadableOpening> {
        let (version, rest) = bytes
            .split_first_chunk::<2>()
            .ok_or(UnreadableOpening::Malformed)?;
        let version = u16::from_be_bytes(*version);
        if version != OBSERVERS_VERSION {
            return Err(UnreadableOpening::Version(version));
        }
        let node = decode(rest).ok_or(UnreadableOpening::Malformed)?;
        Ok(Self { version, node })
    }
}

impl Answer {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads it; none when the bytes are no answer.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes)
    }
}

impl PublicGroup {
    /// Whether both say the same, whenever they did.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let Self {
            epoch,
            master,
            replicas,
            is_paused,
            index: _,
        } = self;
        let other = (
            &other.epoch,
            &other.master,
            &other.replicas,
            &other.is_paused,
        );
        (epoch, master, replicas, is_paused) == other
    }
}

impl News {
    /// What `now` has that `told` had not; none when that is nothing.
    #[must_use]
    pub fn between(told: Option<&PublicState>, now: &PublicState) -> Option<Self> {
        let is_told = |name: &GroupName, group: &Arc<PublicGroup>| {
            let told = told.and_then(|told| told.groups.get(name));
            told.is_some_and(|told| Arc::ptr_eq(told, group) || told == group)
        };
        let groups = now.groups.iter();
        let groups: BTreeMap<_, _> = groups
            .filter(|(name, group)| !is_told(name, group))
            .map(|(name, group)| (name.clone(), Arc::clone(group)))
            .collect();
        let head = |state: &PublicState| (state.cluster, state.is_confirmed);
        let is_same = told.is_some_and(|told| head(told) == head(now)) && groups.is_empty();
        (!is_same).then_some(Self {
            cluster: now.cluster,
            is_confirmed: now.is_confirmed,
            groups,
        })
    }

    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads it; none when the bytes are no news.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes)
    }
}

impl Position {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads it; none when the bytes are no position.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::peer::observers) fn group(epoch: u64, master: &str, index: u64) -> PublicGroup {
        PublicGroup {
            epoch: Epoch(epoch),
            master: master.parse().unwrap(),
            replicas: vec![Replica::unknown("r:1".parse().unwrap())],
            is_paused: false,
            index: LogIndex(index),
        }
    }

    pub(in crate::peer::observers) fn state(groups: &[(&str, PublicGroup)]) -> PublicState {
        let groups = groups.iter();
        let named = groups.map(|(name, group)| (name.parse().unwrap(), Arc::new(group.clone())));
        PublicState {
            cluster: Some(ClusterId(7)),
            is_confirmed: true,
            groups: named.collect(),
        }
    }

    #[test]
    fn what_is_said_reads_back_and_nothing_else_does() {
        let all = state(&[("f", group(2, "m:1", 9)), ("g", group(1, "n:1", 3))]);
        let news = News::between(None, &all).unwrap();
        let position = Position {
            files: [("f".parse().unwrap(), Epoch(2))].into(),
        };
        let answer = Answer::Refused(ObserverRefusal::Full { max: 3 });
        let opening = Opening {
            version: OBSERVERS_VERSION,
            node: "api-7".parse().unwrap(),
        };
        assert_eq!(News::decode(&news.encode()), Some(news.clone()));
        assert_eq!(Position::decode(&position.encode()), Some(position.clone()));
        assert_eq!(Answer::decode(&answer.encode()), Some(answer.clone()));
        assert_eq!(Opening::decode(&opening.encode()), Ok(opening.clone()));
        let longer = |bytes: Vec<u8>| [&bytes[..], &[0]].concat();
        assert_eq!(News::decode(&longer(news.encode())), None);
        assert_eq!(Position::decode(&longer(position.encode())), None);
        assert_eq!(Answer::decode(&longer(answer.encode())), None);
        assert_eq!(
            Opening::decode(&longer(opening.encode())),
            Err(UnreadableOpening::Malformed)
        );
        for length in 0..news.encode().len() {
            assert_eq!(News::decode(&news.encode()[..length]), None);
        }
    }

    #[test]
    fn an_opening_of_another_version_says_at_least_that() {
        let bytes = [0, 3, 0xff, 0xff];
        assert_eq!(Opening::decode(&bytes), Err(UnreadableOpening::Version(3)));
        assert_eq!(Opening::decode(&[0]), Err(UnreadableOpening::Malformed));
    }

    #[test]
    fn only_what_changed_is_told() {
        let one = state(&[("f", group(2, "m:1", 9)), ("g", group(1, "n:1", 3))]);
        assert_eq!(News::between(Some(&one), &one), None);
        let mut two = one.clone();
        two.groups
            .insert("g".parse().unwrap(), Arc::new(group(2, "o:1", 11)));
        let news = News::between(Some(&one), &two).unwrap();
        let names: Vec<&str> = news.groups.keys().map(GroupName::as_str).collect();
        assert_eq!(names, ["g"]);
        let doubtful = PublicState {
            is_confirmed: false,
            ..two.clone()
        };
        let news = News::between(Some(&two), &doubtful).unwrap();
        assert!(news.groups.is_empty() && !news.is_confirmed);
    }
}
