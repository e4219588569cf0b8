//! What an administrator asks of the cluster, and the number by which it is followed to its end.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::adoption::NotAdoptable;
use super::discovery::WaitingFor;
use super::entry::Entry;
use super::pause::{Pause, PausedBy, Resume, ResumedBy};
use super::switchover::{Asked, NotSwitched};
use crate::model::{Endpoint, GroupName, NodeId, UnixTime};

/// Operations that a group remembers, so that one that is asked for again is not done again.
const OPERATIONS_MAX: usize = 32;
/// Longest reason in characters.
const REASON_LENGTH_MAX: usize = 200;
/// Longest name of a user in bytes.
const USER_LENGTH_MAX: usize = 64;

/// Drawn at random by whoever asks: the same number is the same operation, however often it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u64);

/// A text that is no number of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("an operation has 16 hexadecimal digits")]
pub struct InvalidOperationId;

impl fmt::Display for OperationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl FromStr for OperationId {
    type Err = InvalidOperationId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_right = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).map_err(|_| InvalidOperationId)?;
        is_right.then_some(Self(number)).ok_or(InvalidOperationId)
    }
}

impl Serialize for OperationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for OperationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

/// Why somebody wants it, in one line of their own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reason(String);

/// A text that is no reason.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a reason is one line of at most {REASON_LENGTH_MAX} characters")]
pub struct InvalidReason;

impl Reason {
    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = InvalidReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let is_long = text.chars().count() > REASON_LENGTH_MAX;
        if text.is_empty() || is_long || text.chars().any(char::is_control) {
            return Err(InvalidReason);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Who asked, by the kernel's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// The number of the user; [`Self::REMOTE`] for one of the Sentinel endpoint.
    pub uid: u32,
    /// The name of the user on that host, where it has one.
    #[serde(deserialize_with = "bounded_user")]
    pub user: Option<String>,
    /// The node whose status socket was used.
    pub node: NodeId,
}

fn bounded_user<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let user = Option::<String>::deserialize(deserializer)?;
    let is_name = |user: &String| user.len() <= USER_LENGTH_MAX && !user.contains(char::is_control);
    match user {
        Some(user) if !is_name(&user) => Err(serde::de::Error::custom("no name of a user")),
        user => Ok(user),
    }
}

impl Requester {
    /// The number that no user has: whoever asks is no user of the host.
    pub const REMOTE: u32 = u32::MAX;

    /// A user of this host, whose name is left out where it is none that is worth repeating.
    #[must_use]
    pub fn new(uid: u32, user: Option<String>, node: NodeId) -> Self {
        let is_name =
            |user: &String| user.len() <= USER_LENGTH_MAX && !user.contains(char::is_control);
        let user = user.filter(is_name);
        Self { uid, user, node }
    }
}

impl fmt::Display for Requester {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) if self.uid == Self::REMOTE => write!(formatter, "{user} on {}", self.node),
            Some(user) => write!(formatter, "{user} (uid {}) on {}", self.uid, self.node),
            None => write!(formatter, "uid {} on {}", self.uid, self.node),
        }
    }
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// Leave the groups alone.
    Pause {
        /// For so long; until they are resumed when none.
        lasts: Option<Duration>,
        /// Why.
        reason: Option<Reason>,
        /// Whether masters may take writes without a lease meanwhile.
        lifts_lease: bool,
    },
    /// Look after them again.
    Resume,
    /// Register the group, which waits, with this instance as its master.
    Adopt {
        /// The instance.
        master: Endpoint,
    },
    /// Have a replica take the place of the master, which is well.
    Switchover {
        /// Which; the best one when none.
        to: Option<Endpoint>,
        /// How long to try.
        within: Duration,
        /// Why.
        reason: Option<Reason>,
    },
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its number.
    pub operation: OperationId,
    /// Who wants it.
    pub by: Requester,
    /// Of which groups.
    pub groups: BTreeSet<GroupName>,
    /// What.
    pub wish: Wish,
}

impl Request {
    /// What a leader has to log for `group`, which is registered, at `at` by its clock; nothing where
    /// that is of no use any more.
    #[must_use]
    pub fn entry(&self, group: &GroupName, at: UnixTime) -> Option<Entry> {
        let group = group.clone();
        match &self.wish {
            Wish::Adopt { .. } | Wish::Switchover { .. } => None,
            Wish::Pause {
                lasts,
                reason,
                lifts_lease,
            } => Some(Entry::Pause(Pause {
                group,
                at,
                lasts: *lasts,
                reason: reason.clone(),
                by: PausedBy::Admin {
                    by: self.by.clone(),
                    operation: self.operation,
                },
                lifts_lease: *lifts_lease,
            })),
            Wish::Resume => Some(Entry::Resume(Resume {
                group,
                at,
                by: ResumedBy::Admin {
                    by: self.by.clone(),
                    operation: self.operation,
                },
            })),
        }
    }
}

impl Request {
    /// Who asks for a switchover, and why.
    #[must_use]
    pub fn asked(&self, reason: Option<&Reason>) -> Asked {
        Asked {
            by: self.by.clone(),
            operation: self.operation,
            reason: reason.cloned(),
        }
    }
}

/// Which groups somebody means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All that are registered.
    All,
    /// This one.
    Group(GroupName),
}

/// Why a request cannot even be tried.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Impossible {
    /// Neither the settings nor the log know it.
    #[error("no group is called \"{group}\"{}", among(.known))]
    UnknownGroup {
        /// As asked for.
        group: GroupName,
        /// The groups that there are.
        known: Vec<GroupName>,
    },
    /// There is nothing yet that could be acted upon.
    #[error(
        "group {group} is not registered yet, so nothing is done about it{} (`promoterd adopt {group} \
         HOST:PORT` names its master by hand)", because(.waiting.as_ref())
    )]
    NotRegistered {
        /// The group.
        group: GroupName,
        /// What it waits for.
        waiting: Option<WaitingFor>,
    },
    /// A group has one first master, and has it.
    #[error(
        "group {group} is registered already, with {master} as its master: adopt only names the master of \
         a group that waits. Nothing was changed; to have another instance in it, list it in INSTANCES and \
         make it follow {master} by REPLICAOF"
    )]
    Registered {
        /// The group.
        group: GroupName,
        /// Its master.
        master: Endpoint,
    },
    /// The instance that was named will not do.
    #[error("group {group} is not registered: {why}")]
    NotAdoptable {
        /// The group.
        group: GroupName,
        /// Why it will not do.
        why: NotAdoptable,
    },
    /// There is nobody to hand the place over to, or nobody to hand it over.
    #[error("no switchover of group {group}: {why}. Nothing was changed")]
    NotSwitchable {
        /// The group.
        group: GroupName,
        /// Why.
        why: NotSwitched,
    },
    /// Only voters decide anything.
    #[error(
        "this node is an observer and decides nothing: ask a voter, such as {voter}. Nothing was changed"
    )]
    OnlyObserves {
        /// One that can be asked.
        voter: String,
    },
    /// What is meant for one group was asked of all.
    #[error("this can only be asked of one group: name it")]
    OneGroupOnly,
    /// The same of all.
    #[error("no group is registered yet, so nothing is done about any")]
    NoneRegistered,
}

fn among(known: &[GroupName]) -> String {
    if known.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = known.iter().map(GroupName::as_str).collect();
    format!(": there are {}", names.join(", "))
}

fn because(waiting: Option<&WaitingFor>) -> String {
    waiting.map_or_else(String::new, |waiting| format!(": {waiting}"))
}

/// The operations of a group that are committed, the last ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operations(VecDeque<OperationId>);

impl Operations {
    /// Whether it is committed.
    #[must_use]
    pub fn contains(&self, operation: OperationId) -> bool {
        self.0.contains(&operation)
    }

    /// Takes note of it; false when it is an old one.
    pub fn note(&mut self, operation: OperationId) -> bool {
        if self.contains(operation) {
            return false;
        }
        if self.0.len() == OPERATIONS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(operation);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_sixteen_hexadecimal_digits() {
        let operation = OperationId(0xab);
        assert_eq!(operation.to_string(), "00000000000000ab");
        assert_eq!("00000000000000ab".parse(), Ok(operation));
        for wrong in ["", "ab", "+0000000000000ab", "00000000000000abc", "ééééé"] {
            assert_eq!(
                wrong.parse::<OperationId>(),
                Err(InvalidOperationId),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let longest = "é".repeat(REASON_LENGTH_MAX);
        assert_eq!(
            " moving hosts ".parse::<Reason>().unwrap().as_str(),
            "moving hosts"
        );
        assert!(longest.parse::<Reason>().is_ok());
        let longer = format!("{longest}x");
        for wrong in ["", "  ", "a\nb", "\u{1b}[2J", &longer] {
            assert_eq!(wrong.parse::<Reason>(), Err(InvalidReason), "{wrong}");
            let sent = postcard::to_stdvec(wrong).unwrap();
            assert!(postcard::from_bytes::<Reason>(&sent).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_user_that_a_peer_names_is_bounded() {
        let node: NodeId = "n1".parse().unwrap();
        for (user, is_read) in [
            (None, true),
            (Some("root".to_owned()), true),
            (Some("x".repeat(65)), false),
            (Some("a\rb".to_owned()), false),
        ] {
            let sent = postcard::to_stdvec(&(7_u32, &user, &node)).unwrap();
            let read = postcard::from_bytes::<Requester>(&sent);
            assert_eq!(read.is_ok(), is_read, "{user:?}");
            let own = Requester::new(7, user.clone(), node.clone());
            assert_eq!(own.user.is_some(), is_read && user.is_some(), "{user:?}");
        }
    }

    #[test]
    fn the_same_operation_is_noted_once_and_only_the_last_ones_are_kept() {
        let mut operations = Operations::default();
        assert!(operations.note(OperationId(0)));
        assert!(!operations.note(OperationId(0)));
        for number in 1..=OPERATIONS_MAX as u64 {
            assert!(operations.note(OperationId(number)));
        }
        assert!(!operations.contains(OperationId(0)));
        assert!(operations.contains(OperationId(1)));
    }
}
