//! The settings of an observer: the voters that it follows; and what makes no sense for one.

use std::collections::{BTreeMap, BTreeSet};

use super::group::Groups;
use super::keys::{self, Key, Scope};
use super::mistakes::Problem;
use super::node::Membership;
use super::reader::{Reader, Reading, example};
use super::source::Origin;
use crate::model::{Endpoint, GroupName, NodeId};

/// What only who votes has a use for.
const OF_VOTERS: [&Key; 9] = [
    &keys::ALONE,
    &keys::LISTEN,
    &keys::OBSERVERS_LISTEN,
    &keys::ELECTION_TIMEOUT,
    &keys::FENCER_SOCKET,
    &keys::SENTINEL_LISTEN,
    &keys::SENTINEL_ANNOUNCE,
    &keys::SENTINEL_USERNAME,
    &keys::SENTINEL_PASSWORD_FILE,
];

/// Whom it follows.
pub(super) fn read_voters(
    reader: &mut Reader,
    node: Option<&NodeId>,
    peers: Reading<BTreeMap<NodeId, Endpoint>>,
) -> Option<Membership> {
    for key in OF_VOTERS {
        if reader.is_given(key, "") {
            reader.refuse(key, "", Problem::NotForObserver);
        }
    }
    reader.settle(&keys::LISTEN, "", "none, since nobody calls");
    let voters = match peers {
        Reading::Given(voters) => voters,
        Reading::Mistaken => return None,
        Reading::Absent => {
            reader.refuse(&keys::PEERS, "", Problem::NobodyToFollow);
            return None;
        }
    };
    let node = node?;
    if voters.contains_key(node) {
        let node = node.clone();
        reader.refuse(&keys::NODE, "", Problem::ObserverIsVoter { node });
        return None;
    }
    // It listens nowhere.
    let listen = Endpoint::new("127.0.0.1", 7400).ok()?;
    Some(Membership { voters, listen })
}

/// Refuses to talk beyond this machine without a key.
pub(super) fn demand_key(reader: &mut Reader, membership: &Membership) {
    let mut endpoints = membership.voters.values();
    if let Some(endpoint) = endpoints.find(|endpoint| !endpoint.is_loopback()) {
        let endpoint = endpoint.clone();
        let problem = Problem::ObserverKeyNeeded { endpoint };
        reader.refuse(&keys::PEER_KEY_FILE, "", problem);
    }
}

/// None are watched; those that its clients name are known.
pub(super) fn read_groups(reader: &mut Reader) -> Groups {
    for label in reader.labels(Scope::Group) {
        reader.refuse(&keys::INSTANCES, &label, Problem::GroupOfObserver);
    }
    let clients = reader.labels(Scope::Client);
    let names = clients.iter();
    let names: BTreeSet<GroupName> = names
        .filter_map(|label| reader.peek(&keys::CLIENT_GROUP, label))
        .collect();
    let silent = |label: &&String| !reader.is_given(&keys::CLIENT_GROUP, label);
    let silent: Vec<&String> = clients.iter().filter(silent).collect();
    if names.is_empty() {
        for label in silent {
            let example = example(&keys::CLIENT_GROUP, label, &Origin::Environment);
            reader.refuse(&keys::CLIENT_GROUP, label, Problem::Missing { example });
        }
    }
    Groups {
        names: Some(names),
        settings: Some(BTreeMap::new()),
    }
}
