//! Registering a group by hand, where its instances do not agree on who is the master.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::discovery::{self, Discovered};
use super::entry::Identity;
use super::group::Group;
use super::policy::GroupPolicy;
use super::record::GroupRecord;
use super::repair::Standing;
use super::request::{OperationId, Requester};
use super::watch::Watch;
use crate::model::{Endpoint, GroupName, Role, UnixTime};

/// An administrator says who the master is of a group that is not registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// The group.
    pub group: GroupName,
    /// Its master.
    pub master: Identity,
    /// All its instances, the master included.
    pub members: BTreeSet<Endpoint>,
    /// Who said so.
    pub by: Requester,
    /// When, by the leader's clock.
    pub at: UnixTime,
    /// The number of the operation.
    pub operation: OperationId,
}

/// Why an instance cannot be made the master of a group that waits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotAdoptable {
    /// Nobody named it.
    #[error(
        "{instance} is neither in INSTANCES nor named by one of these: list it there on all hosts, or name \
         one of {}", list(.known)
    )]
    Unknown {
        /// As asked for.
        instance: Endpoint,
        /// The instances that are watched.
        known: Vec<Endpoint>,
    },
    /// It does not answer.
    #[error("{instance} does not answer this node ({why}): only a master that answers is adopted")]
    Silent {
        /// As asked for.
        instance: Endpoint,
        /// What is known of that.
        why: String,
    },
    /// It is no master.
    #[error(
        "{instance} is a replica of {follows} and no master: name that one, or promote this one with \
         REPLICAOF NO ONE first"
    )]
    Replica {
        /// As asked for.
        instance: Endpoint,
        /// Whom it follows.
        follows: Endpoint,
    },
}

fn list(known: &[Endpoint]) -> String {
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    known.join(", ")
}

/// The group with `named` as its master, and all that are listed or announced as its instances,
/// whatever they say of themselves.
///
/// # Errors
/// [`NotAdoptable`] unless it answers and says that it is a master.
pub(super) fn adopt(
    watches: &BTreeMap<Endpoint, Watch>,
    aliases: &BTreeMap<Endpoint, Endpoint>,
    policy: &GroupPolicy,
    named: &Endpoint,
    now: Instant,
) -> Result<Discovered, NotAdoptable> {
    let real = |endpoint: &Endpoint| aliases.get(endpoint).unwrap_or(endpoint).clone();
    let master = real(named);
    let instance = named.clone();
    if !watches.contains_key(&master) {
        let known = watches.keys().cloned().collect();
        return Err(NotAdoptable::Unknown { instance, known });
    }
    let answers = discovery::answers(watches, policy, now);
    let Some(info) = answers.get(&master) else {
        let why = discovery::describe(watches.get(&master), policy, now);
        return Err(NotAdoptable::Silent { instance, why });
    };
    if let Role::Replica { master, .. } = &info.role {
        let follows = real(master);
        return Err(NotAdoptable::Replica { instance, follows });
    }
    let mut members: BTreeSet<Endpoint> = policy.instances.iter().map(real).collect();
    members.extend(discovery::announced(info).map(real));
    members.insert(master.clone());
    let master = Identity::of(master, info);
    Ok(Discovered { master, members })
}

impl Group {
    /// What becomes of the instances that do not follow the master that was named, in words.
    #[must_use]
    pub fn bystanders(&self, record: &GroupRecord, now: Instant) -> Vec<(Endpoint, String)> {
        let standings = self.standings(record, now);
        let master = &record.master().endpoint;
        let members = record.members().iter().map(|member| self.real(member));
        let others = members.filter(|member| *member != master);
        let others: BTreeSet<Endpoint> = others.cloned().collect();
        let outlook = |endpoint: &Endpoint| match standings.get(endpoint) {
            None => Some("does not answer: it is judged by what it says once it does"),
            Some((Standing::Follows | Standing::Joins, _)) => None,
            Some((Standing::Astray, _)) => {
                Some("follows somebody else: it is made to follow the master, and gets its data")
            }
            Some((Standing::Rogue, _)) => Some(
                "claims to be a master too, and has no data but the group's own: it is made a replica",
            ),
            Some((Standing::Stranger, _)) => Some(
                "claims to be a master too, with data of its own: it is never touched; empty it to have it \
                 as a replica, or list it elsewhere",
            ),
        };
        let told = others.into_iter().filter_map(|endpoint| {
            let outlook = outlook(&endpoint)?.to_owned();
            Some((endpoint, outlook))
        });
        told.collect()
    }
}

#[cfg(test)]
#[path = "adoption_tests.rs"]
mod tests;
