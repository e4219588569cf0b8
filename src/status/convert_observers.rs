//! From what is known of observers to what the socket says.

use super::convert::{files_of, milliseconds};
use super::schema::GroupReport;
use super::schema_observers::{FollowingReport, ObserverReport, ToldReport};
use super::source::{FollowedOverview, FollowingOverview, ObserverOverview, StatusSource};

impl From<&FollowingOverview> for FollowingReport {
    fn from(following: &FollowingOverview) -> Self {
        let told = following.groups.iter().map(|group| ToldReport {
            group: group.name.clone(),
            others: group
                .replicas
                .iter()
                .map(|it| it.endpoint.clone())
                .collect(),
            left_alone: group.is_paused,
        });
        Self {
            voter: following.voter.clone(),
            since_ms: following.since.map(milliseconds),
            stale_ms: following.stale.map(milliseconds),
            informed: following.is_informed,
            unsaved: following.unsaved.clone(),
            unknown: following.unknown.clone(),
            told: told.collect(),
        }
    }
}

impl From<&ObserverOverview> for ObserverReport {
    fn from(observer: &ObserverOverview) -> Self {
        Self {
            node: observer.node.clone(),
            address: observer.address.to_string(),
            since_ms: milliseconds(observer.since),
            epochs: observer.epochs.clone(),
        }
    }
}

/// An observer watches no instance, so it has nothing to say of any.
pub(super) fn followed_report(group: &FollowedOverview, source: &StatusSource) -> GroupReport {
    GroupReport {
        name: group.name.clone(),
        epoch: Some(group.epoch),
        phase: "following".to_owned(),
        master: Some(group.master.clone()),
        master_run_id: None,
        waiting: None,
        differing: Vec::new(),
        paused: None,
        deferred_to: None,
        master_instance: None,
        replicas: Vec::new(),
        readers: group.replicas.clone(),
        down: Vec::new(),
        passed_over: Vec::new(),
        awaited: None,
        guard: None,
        files: files_of(&group.name, source),
        failovers: Vec::new(),
    }
}
