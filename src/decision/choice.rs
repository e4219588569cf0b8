//! Choosing the replica to promote, with a reason for each that is passed over.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::entry::{Candidate, Identity};
use super::failover;
use super::policy::GroupPolicy;
use super::record::GroupRecord;
use super::watch::Watch;
use crate::model::{
    Endpoint, InstanceInfo, Loading, MasterLink, ReplicationId, ReplicationOffset, Role, RunId,
};

/// Why an instance is not promoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
// Named from outside: the log's codec cannot read a name that is mixed with the fields.
#[serde(rename_all = "snake_case")]
pub enum Ineligible {
    /// There is no connection to it.
    #[error("unreachable: {why}")]
    Unreachable {
        /// As the connection said.
        why: String,
    },
    /// It was asked at the moment of choice and did not answer in time.
    #[error("no answer within {waited_ms} ms")]
    NoAnswer {
        /// Milliseconds waited.
        waited_ms: u64,
    },
    /// `replica-priority 0`.
    #[error("its priority is 0")]
    PriorityZero,
    /// It reads a data set.
    #[error("it is loading a data set")]
    Loading,
    /// It never completed a copy of its master.
    #[error("it never completed a synchronisation")]
    NeverSynced,
    /// Its data are not of this group.
    #[error("its replication history {id} is not the group's")]
    OtherHistory {
        /// `master_replid`.
        id: ReplicationId,
    },
    /// Further behind than `lag_max`.
    #[error("{lag_bytes} bytes behind, {allowed_bytes} allowed")]
    LagTooLarge {
        /// Bytes behind the last offset that was seen of the lost master.
        lag_bytes: u64,
        /// `lag_max`.
        allowed_bytes: u64,
    },
    /// Excluded by the operator.
    #[error("excluded by the settings")]
    Excluded,
    /// The master lives, and does not feed it.
    #[error("the master's stream does not reach it")]
    NotFed,
}

/// The master that is lost, or that hands its place over, as far as a choice needs it.
#[derive(Debug, Clone)]
pub struct LostMaster<'a> {
    /// As logged.
    pub identity: &'a Identity,
    /// The last offset seen of it.
    pub offset: Option<ReplicationOffset>,
    /// Whether it lives, so that whoever takes its place has to have its stream.
    pub feeds: bool,
}

/// The outcome of a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The best of those that may be promoted.
    pub chosen: Option<Candidate>,
    /// All the others that may not, and why.
    pub passed_over: Vec<(Endpoint, Ineligible)>,
}

/// Chooses the instance to promote among `watches`, from answers to what was asked at `asked_at` or
/// later: highest priority first (the lowest number), then the most data, then the smallest run id.
///
/// Priority 0 is never chosen. Offsets (bytes) are compared only between instances that share the
/// master's replication history. Redis documentation, "Replica selection and priority". A process
/// that the last epochs could not promote comes after all others.
#[must_use]
pub fn choose(
    watches: &BTreeMap<Endpoint, Watch>,
    lost: &LostMaster<'_>,
    policy: &GroupPolicy,
    asked_at: Instant,
    record: &GroupRecord,
    now: Instant,
) -> Choice {
    let failed: BTreeSet<RunId> = failover::aborted(record).collect();
    let mut passed_over = Vec::new();
    let mut eligible = Vec::new();
    for (endpoint, watch) in watches {
        if *endpoint == lost.identity.endpoint {
            continue;
        }
        match look(watch, lost, policy, asked_at, now) {
            // The lost master itself, under another name.
            Ok((info, _)) if info.run_id == lost.identity.run_id => {}
            Ok((info, candidate)) => {
                let reach = lost.identity.reach(&info.history);
                eligible.push((info.priority, reach, candidate));
            }
            Err(reason) => passed_over.push((endpoint.clone(), reason)),
        }
    }
    let best = eligible
        .into_iter()
        .min_by_key(|(priority, reach, candidate)| {
            let has_failed = failed.contains(&candidate.run_id);
            (
                has_failed,
                *priority,
                Reverse(*reach),
                Reverse(candidate.offset),
                candidate.run_id,
            )
        });
    Choice {
        chosen: best.map(|(_, _, candidate)| candidate),
        passed_over,
    }
}

/// What one instance said since `asked_at`, and the candidate that it makes.
///
/// # Errors
/// The first reason against it.
pub fn look<'a>(
    watch: &'a Watch,
    lost: &LostMaster<'_>,
    policy: &GroupPolicy,
    asked_at: Instant,
    now: Instant,
) -> Result<(&'a InstanceInfo, Candidate), Ineligible> {
    let info = fresh_info(watch, asked_at, now)?;
    assess(watch.endpoint(), info, lost, policy).map(|candidate| (info, candidate))
}

/// Whether every instance that could be asked has answered.
#[must_use]
pub fn is_complete(
    watches: &BTreeMap<Endpoint, Watch>,
    lost: &Endpoint,
    asked_at: Instant,
) -> bool {
    watches
        .iter()
        .filter(|(endpoint, watch)| *endpoint != lost && watch.open_link().is_some())
        .all(|(_, watch)| {
            watch
                .sample()
                .is_some_and(|sample| sample.asked_at >= asked_at)
                || watch.info_failure(asked_at).is_some()
        })
}

fn fresh_info(watch: &Watch, asked_at: Instant, now: Instant) -> Result<&InstanceInfo, Ineligible> {
    if watch.open_link().is_none() {
        let why = watch
            .trouble()
            .map_or_else(|| "connection refused".to_owned(), ToString::to_string);
        return Err(Ineligible::Unreachable { why });
    }
    if let Some(failure) = watch.info_failure(asked_at) {
        let why = format!("INFO failed: {failure}");
        return Err(Ineligible::Unreachable { why });
    }
    match watch.sample() {
        Some(sample) if sample.asked_at >= asked_at => Ok(&sample.info),
        Some(_) | None => {
            let waited = now.saturating_duration_since(asked_at).as_millis();
            Err(Ineligible::NoAnswer {
                waited_ms: u64::try_from(waited).unwrap_or(u64::MAX),
            })
        }
    }
}

/// Whether the instance may be promoted in the place of `lost`.
///
/// # Errors
/// The first reason against it.
pub fn assess(
    endpoint: &Endpoint,
    info: &InstanceInfo,
    lost: &LostMaster<'_>,
    policy: &GroupPolicy,
) -> Result<Candidate, Ineligible> {
    if policy.excluded.contains(endpoint) {
        return Err(Ineligible::Excluded);
    }
    if info.priority == 0 {
        return Err(Ineligible::PriorityZero);
    }
    if info.loading != Loading::No {
        return Err(Ineligible::Loading);
    }
    let Some(reach) = lost.identity.reach(&info.history) else {
        return Err(match &info.role {
            Role::Replica {
                link: MasterLink::Syncing | MasterLink::Down { seconds: None },
                ..
            } => Ineligible::NeverSynced,
            Role::Replica { .. } | Role::Master { .. } => Ineligible::OtherHistory {
                id: info.history.id,
            },
        });
    };
    let is_fed = match &info.role {
        Role::Replica { link, .. } => *link == MasterLink::Up,
        Role::Master { .. } => false,
    };
    if lost.feeds && !is_fed {
        return Err(Ineligible::NotFed);
    }
    let lag_bytes = lost.offset.map_or(0, |offset| offset.ahead_of(reach));
    if let Some(allowed_bytes) = policy.lag_max.filter(|allowed| lag_bytes > *allowed) {
        return Err(Ineligible::LagTooLarge {
            lag_bytes,
            allowed_bytes,
        });
    }
    Ok(Candidate::of(endpoint, info))
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
