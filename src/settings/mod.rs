//! Settings: environment and file become [`Settings`], or all mistakes in one go.
//!
//! Nothing here opens a socket. The only effects are reading the settings file and secret files.
//!
//! ```text
//! environment ─┐
//!              ├─> source ──> reader ──> node, group, client ──> Settings ──> report
//! file ────────┘             (keys, parse)                  └──> Mistakes
//! ```

mod changes;
mod client;
mod file;
mod group;
mod keys;
mod layer;
mod mistakes;
mod node;
mod observer;
mod parse;
mod reader;
mod report;
mod sentinel;
mod source;
#[cfg(test)]
mod tests;
mod variables;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use changes::Changes;
pub use group::GroupSettings;
pub use keys::{Availability, Fallback, KEYS, Key, Scope};
pub use mistakes::{Mistake, Mistakes, Problem};
pub use parse::{ElectionTimeout, InvalidValue, LogFormat};
pub use report::{EffectiveSetting, report};
pub use sentinel::SentinelSettings;
pub use source::{Origin, Sources};

use crate::clients::Target;
use crate::decision::Fencing;
use crate::model::{ClientName, Endpoint, GroupName, NodeId, NodeRole};
use crate::peer::ClusterKey;
use group::Groups;
use node::NodeSettings;
use reader::Reader;

/// All that an operator can decide about one daemon, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who we are; always among the voters.
    pub node: NodeId,
    /// What we are to the others.
    pub role: NodeRole,
    /// All voters with the addresses of their peer ports, ourselves included; to an observer, which is none
    /// of them, with the addresses at which they tell observers.
    pub voters: BTreeMap<NodeId, Endpoint>,
    /// Whether the operator wants a cluster of one.
    pub alone: bool,
    /// Address of our peer port.
    pub listen: Endpoint,
    /// Where observers are told; nowhere when none.
    pub observers: Option<Endpoint>,
    /// The key of the cluster, or an observer's; there is one whenever an address is beyond this machine.
    pub peer_key: Option<ClusterKey>,
    /// Where votes and decisions are kept.
    pub state_dir: PathBuf,
    /// Where status is asked for; short enough for a Unix socket.
    pub status_socket: PathBuf,
    /// Where the fencer of this host is asked; short enough for a Unix socket.
    pub fencer_socket: PathBuf,
    /// The group whose members may change anything by the status socket.
    pub admin_group: String,
    /// The Sentinel endpoint, where there is to be one.
    pub sentinel: Option<SentinelSettings>,
    /// How long a follower waits for its leader.
    pub election_timeout: ElectionTimeout,
    /// Which events are logged: a filter of `tracing-subscriber`.
    pub log: String,
    /// How they are written; told by the output when none.
    pub log_format: Option<LogFormat>,
    /// The groups to watch, at least one; an observer watches none.
    pub groups: BTreeMap<GroupName, GroupSettings>,
    /// The clients on this host. Each path is absolute and without `..`, and no two clients share a
    /// key of a file.
    pub clients: BTreeMap<ClientName, Target>,
    /// What is allowed and still unwise, for the log.
    pub warnings: Vec<String>,
    effective: Vec<EffectiveSetting>,
}

impl Settings {
    /// Every key with the value that is in force and where it comes from: node, groups, clients.
    #[must_use]
    pub fn effective(&self) -> &[EffectiveSetting] {
        &self.effective
    }
}

/// Reads all sources, secret files included. Nothing is bound or written.
///
/// # Errors
/// [`Mistakes`]: every mistake in every source, each with its place and an accepted example.
pub fn load(sources: &Sources) -> Result<Settings, Mistakes> {
    let mut reader = Reader::open(sources);
    let role = node::read_role(&mut reader);
    let (voters, node) = NodeSettings::read(&mut reader, sources, role);
    let groups = match role {
        Some(NodeRole::Observer) => observer::read_groups(&mut reader),
        Some(NodeRole::Voter | NodeRole::Witness) | None => Groups::read(&mut reader, voters),
    };
    let clients = client::read_clients(&mut reader, groups.names.as_ref());
    if let (Some(node), Some(groups)) = (&node, &groups.settings) {
        refuse_loopback_instances(&mut reader, node, groups);
        refuse_guard_without_key(&mut reader, node, groups);
        refuse_strict_on_shared_hosts(&mut reader, node, groups);
    }
    if let Some(node) = &node {
        refuse_clients_of_witness(&mut reader, node);
    }
    let remarks = reader.finish()?;
    let (Some(node), Some(groups), Some(clients)) = (node, groups.settings, clients) else {
        unreachable!("what cannot be read is a mistake");
    };
    Ok(Settings {
        node: node.node,
        role: node.role,
        voters: node.voters,
        alone: node.alone,
        listen: node.listen,
        observers: node.observers,
        peer_key: node.peer_key,
        state_dir: node.state_dir,
        status_socket: node.status_socket,
        fencer_socket: node.fencer_socket,
        admin_group: node.admin_group,
        sentinel: node.sentinel,
        election_timeout: node.election_timeout,
        log: node.log,
        log_format: node.log_format,
        groups,
        clients,
        warnings: remarks.warnings,
        effective: remarks.effective,
    })
}

/// A witness is where nobody reads the master's address; files there are a mistake about the host.
fn refuse_clients_of_witness(reader: &mut Reader, node: &NodeSettings) {
    let labels = match node.role {
        NodeRole::Voter | NodeRole::Observer => Vec::new(),
        NodeRole::Witness => reader.labels(Scope::Client),
    };
    if let Some(label) = labels.first() {
        reader.refuse(&keys::FILE, label, Problem::ClientOfWitness);
    }
}

/// What anybody can compute guards nothing.
fn refuse_guard_without_key(
    reader: &mut Reader,
    node: &NodeSettings,
    groups: &BTreeMap<GroupName, GroupSettings>,
) {
    let guarded = groups.iter().find(|(_, settings)| settings.policy.guard);
    if let Some((group, _)) = guarded.filter(|_| node.peer_key.is_none()) {
        reader.refuse(&keys::GUARD, group.as_str(), Problem::GuardWithoutKey);
    }
}

/// Two voters that die with one host are no two; and beside a master there is to be one.
fn refuse_strict_on_shared_hosts(
    reader: &mut Reader,
    node: &NodeSettings,
    groups: &BTreeMap<GroupName, GroupSettings>,
) {
    let is_strict = |settings: &GroupSettings| settings.policy.fencing == Fencing::Strict;
    let Some((group, _)) = groups.iter().find(|(_, settings)| is_strict(settings)) else {
        return;
    };
    let mut on: BTreeMap<&str, &NodeId> = BTreeMap::new();
    for (name, endpoint) in &node.voters {
        if let Some(other) = on.insert(endpoint.host(), name) {
            let problem = Problem::StrictOnSharedHost {
                nodes: [other.clone(), name.clone()],
                host: endpoint.host().to_owned(),
            };
            return reader.refuse(&keys::FENCING, group.as_str(), problem);
        }
    }
}

/// On several hosts a loopback address is another server on each: every client would be sent to its own.
fn refuse_loopback_instances(
    reader: &mut Reader,
    node: &NodeSettings,
    groups: &BTreeMap<GroupName, GroupSettings>,
) {
    if node.voters.values().all(Endpoint::is_loopback) {
        return;
    }
    for (group, settings) in groups {
        let mut instances = settings.policy.instances.iter();
        if let Some(endpoint) = instances.find(|endpoint| endpoint.is_loopback()) {
            let endpoint = endpoint.clone();
            let problem = Problem::LoopbackInstance { endpoint };
            reader.refuse(&keys::INSTANCES, group.as_str(), problem);
        }
    }
}
