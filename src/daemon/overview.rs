//! What the loop tells of itself when the status socket asks.

use std::time::Instant;

use super::effects::Effects;
use super::node::Node;
use crate::consensus::Role;
use crate::model::{Endpoint, NodeId};
use crate::status::{EngineOverview, EngineRole, StatusSource, VoterOverview};

/// Everything that this node knows at `now`.
pub(super) fn source(effects: &Effects, node: &Node, now: Instant) -> StatusSource {
    let engine = node.engine_status();
    let supervisor = node.supervisor();
    StatusSource {
        node: node.name().clone(),
        engine: EngineOverview {
            role: match engine.role {
                Role::Leader => EngineRole::Leader,
                Role::Follower => EngineRole::Follower,
                Role::Candidate => EngineRole::Candidate,
            },
            leader: engine.leader,
            term: engine.term,
        },
        voters: voters(effects, node, now),
        groups: supervisor
            .groups()
            .iter()
            .map(|(name, group)| group.overview(supervisor.records().get(name), now))
            .collect(),
        files: effects.files.overview(),
        confirmed: supervisor.is_confirmed(),
        uptime: now.saturating_duration_since(effects.started_at),
    }
}

fn voters(effects: &Effects, node: &Node, now: Instant) -> Vec<VoterOverview> {
    let links = effects.links.status();
    let voter = |(name, address): (&NodeId, &Endpoint)| {
        let is_self = name == node.name();
        let link = links.get(name);
        let connected = link.and_then(|link| link.connected.as_ref());
        VoterOverview {
            node: name.clone(),
            is_self,
            connected: is_self || connected.is_some(),
            address: address.clone(),
            since: connected.map(|connected| now.saturating_duration_since(connected.since)),
            last_error: link.and_then(|link| link.last_error.clone()),
        }
    };
    effects.voters.iter().map(voter).collect()
}
