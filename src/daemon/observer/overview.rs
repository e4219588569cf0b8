//! What an observer tells of itself: on the status socket, and to the service manager.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::ObserverDaemon;
use crate::model::{Incarnation, Term};
use crate::status::{
    EngineOverview, EngineRole, FollowedOverview, FollowingOverview, StatusSource, VoterOverview,
};

impl ObserverDaemon {
    /// Everything that it knows at `now`.
    pub(super) fn source(&self, now: Instant) -> StatusSource {
        StatusSource {
            node: self.in_force.started().node.clone(),
            engine: EngineOverview {
                role: EngineRole::Observer,
                leader: None,
                term: Term(0),
            },
            cluster: self.briefed.knowledge().cluster(),
            incarnation: Incarnation::default(),
            waiting: None,
            voters: self.voters(now),
            groups: Vec::new(),
            readers: BTreeMap::new(),
            files: self.files.overview(),
            confirmed: self.following.is_fresh(),
            following: Some(self.following_overview(now)),
            observers: None,
            uptime: now.saturating_duration_since(self.started_at),
        }
    }

    fn following_overview(&self, now: Instant) -> FollowingOverview {
        let known = self.briefed.knowledge().groups();
        let groups = known.iter().map(|(name, group)| FollowedOverview {
            name: name.clone(),
            epoch: group.epoch,
            master: group.master.clone(),
            replicas: group.replicas.clone(),
            is_paused: group.is_paused,
        });
        let named = self
            .in_force
            .started()
            .clients
            .values()
            .map(|target| &target.group);
        let unknown: BTreeSet<_> = named.filter(|name| !known.contains_key(*name)).collect();
        let voter = self.following.voter();
        FollowingOverview {
            voter: voter.map(|(voter, _)| voter.clone()),
            since: voter.map(|(_, since)| now.saturating_duration_since(*since)),
            stale: self.following.stale(now),
            is_informed: self.briefed.knowledge().cluster().is_some(),
            unsaved: self.saving.error.clone(),
            unknown: unknown.into_iter().cloned().collect(),
            groups: groups.collect(),
        }
    }

    fn voters(&self, now: Instant) -> Vec<VoterOverview> {
        let followed = self.following.voter();
        let voters = self.in_force.started().voters.iter();
        let overview = voters.map(|(name, address)| {
            let link = followed.filter(|(voter, _)| voter == name);
            VoterOverview {
                node: name.clone(),
                is_self: false,
                role: None,
                connected: link.is_some(),
                address: address.clone(),
                since: link.map(|(_, since)| now.saturating_duration_since(*since)),
                last_error: self.following.error(name).cloned(),
            }
        });
        overview.collect()
    }

    /// One line: whom it follows, and each group with its master.
    pub(super) fn describe(&self) -> String {
        let part = match self.following.voter() {
            Some((voter, _)) if self.following.is_fresh() => format!("observer of {voter}"),
            Some((voter, _)) => format!("observer of {voter}, which knows no leader"),
            None => "observer, and follows no voter".to_owned(),
        };
        let groups = self.briefed.knowledge().groups().iter();
        let groups =
            groups.map(|(name, group)| format!("{name} epoch {} at {}", group.epoch, group.master));
        std::iter::once(part)
            .chain(groups)
            .collect::<Vec<_>>()
            .join("; ")
    }
}
