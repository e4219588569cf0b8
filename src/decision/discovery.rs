//! Finding a group's master for the first time, by asking whichever instances are listed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::entry::Identity;
use super::equality::Difference;
use super::health::Health;
use super::policy::GroupPolicy;
use super::watch::Watch;
use crate::model::{Endpoint, InstanceInfo, NodeId, Role};

/// Why a group is not registered yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case", tag = "waiting_for")]
pub enum WaitingFor {
    /// A leader, without whom nothing is decided.
    #[error("no leader yet: a majority of the voters must be able to talk")]
    Leader,
    /// Listed instances that do not answer.
    #[error("no answer from {}: start them, or take them out of INSTANCES", list_reasons(.instances))]
    Answers {
        /// Which, and what is known of each.
        instances: Vec<(Endpoint, String)>,
    },
    /// No master among those that answer.
    #[error(
        "none of {} is a master: promote the right one with REPLICAOF NO ONE", list(.asked)
    )]
    Master {
        /// Who was asked.
        asked: Vec<Endpoint>,
    },
    /// More than one.
    #[error(
        "{} all claim to be the master: make the wrong ones follow the right one with REPLICAOF, \
         list them as groups of their own, or name the right one with `promoterd adopt`", list(.masters)
    )]
    OneMaster {
        /// Which.
        masters: Vec<Endpoint>,
    },
    /// A listed replica of somebody else.
    #[error("{replica} follows {follows} and not {master}: repoint it, or list it elsewhere")]
    Follower {
        /// The replica.
        replica: Endpoint,
        /// Whom it follows.
        follows: Endpoint,
        /// The only master.
        master: Endpoint,
    },
    /// A majority of the voters with the same settings of the group.
    #[error(
        "a majority of voters with equal settings of it ({equal} of the {needed} that are needed){}: make \
         the PROMOTERD_GROUPS__F__ lines equal on all hosts (`promoterd check` shows them), then reload or \
         restart promoterd where they changed", list_voters(.differing, .unheard)
    )]
    EqualSettings {
        /// How many have those of this node, itself included.
        equal: usize,
        /// How many it takes.
        needed: usize,
        /// Who has others.
        differing: Vec<(NodeId, Difference)>,
        /// Who has not said lately what it has.
        unheard: Vec<NodeId>,
    },
}

fn list(endpoints: &[Endpoint]) -> String {
    endpoints
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn list_voters(differing: &[(NodeId, Difference)], unheard: &[NodeId]) -> String {
    let differing = differing.iter();
    let differing = differing.map(|(node, difference)| format!("; {node} {difference}"));
    let unheard = unheard.iter().map(|node| format!("; {node} is not heard"));
    differing.chain(unheard).collect()
}

fn list_reasons(instances: &[(Endpoint, String)]) -> String {
    instances
        .iter()
        .map(|(endpoint, reason)| format!("{endpoint} ({reason})"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A master, and all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// The master.
    pub master: Identity,
    /// All instances, the master included.
    pub members: BTreeSet<Endpoint>,
}

/// The group as its instances describe it.
///
/// # Errors
/// What has to change before it can be registered.
pub fn discover(
    watches: &BTreeMap<Endpoint, Watch>,
    aliases: &BTreeMap<Endpoint, Endpoint>,
    policy: &GroupPolicy,
    now: Instant,
) -> Result<Discovered, WaitingFor> {
    let real = |endpoint: &Endpoint| aliases.get(endpoint).unwrap_or(endpoint).clone();
    let answers = answers(watches, policy, now);
    let listed: BTreeSet<Endpoint> = policy.instances.iter().map(real).collect();
    let missing: Vec<(Endpoint, String)> = listed
        .iter()
        .filter(|endpoint| !answers.contains_key(*endpoint))
        .map(|endpoint| {
            (
                endpoint.clone(),
                describe(watches.get(endpoint), policy, now),
            )
        })
        .collect();
    if !missing.is_empty() {
        return Err(WaitingFor::Answers { instances: missing });
    }
    let masters: Vec<Endpoint> = answers
        .iter()
        .filter(|(_, info)| matches!(info.role, Role::Master { .. }))
        .map(|(endpoint, _)| endpoint.clone())
        .collect();
    let master = match masters.as_slice() {
        [] => {
            return Err(WaitingFor::Master {
                asked: answers.into_keys().collect(),
            });
        }
        [only] => only.clone(),
        [..] => return Err(WaitingFor::OneMaster { masters }),
    };
    for replica in &listed {
        if let Some(Role::Replica {
            master: follows, ..
        }) = answers.get(replica).map(|info| &info.role)
        {
            let follows = real(follows);
            if follows != master && !listed.contains(&follows) {
                return Err(WaitingFor::Follower {
                    replica: replica.clone(),
                    follows,
                    master,
                });
            }
        }
    }
    let info = answers[&master];
    let mut members = listed;
    members.extend(announced(info).map(&real));
    members.insert(master.clone());
    Ok(Discovered {
        master: Identity::of(master, info),
        members,
    })
}

/// The replicas that a master announces.
pub fn announced(info: &InstanceInfo) -> impl Iterator<Item = &Endpoint> {
    let replicas = match &info.role {
        Role::Master { replicas } => replicas.as_slice(),
        Role::Replica { .. } => &[],
    };
    replicas.iter().map(|replica| &replica.endpoint)
}

pub(super) fn answers<'a>(
    watches: &'a BTreeMap<Endpoint, Watch>,
    policy: &GroupPolicy,
    now: Instant,
) -> BTreeMap<Endpoint, &'a InstanceInfo> {
    watches
        .iter()
        .filter(|(_, watch)| watch.health(policy, None, now) == Health::Up)
        .filter_map(|(endpoint, watch)| {
            watch
                .sample()
                .map(|sample| (endpoint.clone(), &sample.info))
        })
        .collect()
}

pub(super) fn describe(watch: Option<&Watch>, policy: &GroupPolicy, now: Instant) -> String {
    let Some(watch) = watch else {
        return "not asked yet".to_owned();
    };
    if let Some(trouble) = watch.trouble() {
        return trouble.to_string();
    }
    match watch.health(policy, None, now) {
        Health::Down { cause, .. } => cause.to_string(),
        Health::Suspected { .. } => "connection refused".to_owned(),
        Health::Unknown | Health::Up => "not asked yet".to_owned(),
    }
}

#[cfg(test)]
#[path = "discovery_tests.rs"]
mod tests;
