//! What the loop tells of itself when the status socket asks.

use std::collections::BTreeMap;
use std::time::Instant;

use super::effects::Effects;
use super::node::Node;
use crate::consensus::Role;
use crate::model::{Endpoint, NodeId};
use crate::peer::DropReason;
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
        cluster: node.cluster(),
        incarnation: node.incarnation(),
        waiting: node.waiting().map(|waiting| waiting.to_string()),
        voters: voters(effects, node, now),
        groups: supervisor
            .groups()
            .iter()
            .map(|(name, group)| group.overview(supervisor.records().get(name), now))
            .collect(),
        readers: supervisor
            .records()
            .iter()
            .map(|(name, _)| (name.clone(), effects.readers.told(name).to_vec()))
            .collect(),
        files: effects.files.overview(),
        confirmed: supervisor.is_confirmed(),
        following: None,
        observers: effects.observers.as_ref().map(|it| it.overview(now)),
        uptime: now.saturating_duration_since(effects.started_at),
    }
}

fn voters(effects: &Effects, node: &Node, now: Instant) -> Vec<VoterOverview> {
    let links = effects.links.status();
    let strangers = effects.links.strangers();
    let voter = |(name, address): (&NodeId, &Endpoint)| {
        let is_self = name == node.name();
        let link = links.get(name);
        let connected = link.and_then(|link| link.connected.as_ref());
        VoterOverview {
            node: name.clone(),
            is_self,
            role: node.supervisor().role_of(name),
            connected: is_self || connected.is_some(),
            address: address.clone(),
            since: connected.map(|connected| now.saturating_duration_since(connected.since)),
            last_error: link
                .and_then(|link| link.last_error.clone())
                .or_else(|| unheard(connected.is_none() && name < node.name(), &strangers)),
        }
    };
    effects.voters.iter().map(voter).collect()
}

/// What may be wrong with a peer that `calls` us (its name sorts before ours) and has never come
/// through: who does not hold our key cannot say who he is, so this is counted under strangers.
fn unheard(calls: bool, strangers: &BTreeMap<DropReason, u64>) -> Option<String> {
    let refused = strangers.get(&DropReason::Unauthenticated)?;
    calls.then(|| {
        format!(
            "it has to call this node and has not come through; {refused} calls of somebody without \
             our cluster key were refused: use the same peer key on all nodes"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_has_to_call_and_was_never_heard_may_be_one_of_those_without_the_key() {
        let none = BTreeMap::from([(DropReason::Crowded, 3)]);
        let some = BTreeMap::from([(DropReason::Unauthenticated, 7)]);
        for (calls, strangers, told) in [
            (true, &none, false),
            (false, &some, false),
            (true, &some, true),
        ] {
            let reason = unheard(calls, strangers);
            assert_eq!(reason.is_some(), told, "{calls} {strangers:?}");
            assert!(reason.is_none_or(|reason| reason.contains("; 7 calls ")));
        }
    }
}
