//! The settings of this node: who it is, who the voters are, where it listens and keeps its state.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::file;
use super::keys::{self, Key};
use super::mistakes::Problem;
use super::observer;
use super::parse::{
    AbsolutePath, Address, ElectionTimeout, List, LogFilter, LogFormat, Peer, RoleWord, SocketPath,
    Switch, SystemGroup,
};
use super::reader::{Reader, Reading, example};
use super::sentinel::{self, SentinelSettings};
use super::source::{Origin, Sources};
use crate::model::{Endpoint, NodeId, NodeRole};
use crate::peer::ClusterKey;

/// Most voters that a cluster may have.
const VOTERS_MAX: usize = 7;

/// All that is about this node.
pub(super) struct NodeSettings {
    pub(super) node: NodeId,
    pub(super) role: NodeRole,
    pub(super) voters: BTreeMap<NodeId, Endpoint>,
    pub(super) alone: bool,
    pub(super) listen: Endpoint,
    pub(super) observers: Option<Endpoint>,
    pub(super) peer_key: Option<ClusterKey>,
    pub(super) state_dir: PathBuf,
    pub(super) status_socket: PathBuf,
    pub(super) fencer_socket: PathBuf,
    pub(super) admin_group: String,
    pub(super) sentinel: Option<SentinelSettings>,
    pub(super) election_timeout: ElectionTimeout,
    pub(super) log: String,
    pub(super) log_format: Option<LogFormat>,
}

impl NodeSettings {
    /// Reads the section: how many voters there are, where that is clear, and all of it, unless there
    /// is a mistake anywhere.
    pub(super) fn read(
        reader: &mut Reader,
        sources: &Sources,
        role: Option<NodeRole>,
    ) -> (Option<usize>, Option<Self>) {
        let node = read_node(reader, sources.host_name());
        let alone = reader
            .read_or_default(&keys::ALONE, "")
            .map(|Switch(alone)| alone);
        let peers = read_peers(reader);
        let voters = match (&peers, alone) {
            (Reading::Given(voters), _) => Some(voters.len()),
            (Reading::Absent, Some(true)) => Some(1),
            (Reading::Absent | Reading::Mistaken, _) => None,
        };
        let is_observer = role == Some(NodeRole::Observer);
        let membership = match is_observer {
            true => observer::read_voters(reader, node.as_ref(), peers),
            false => Membership::read(reader, node.as_ref(), alone, peers),
        };
        let observers = reader.read_or_told(&keys::OBSERVERS_LISTEN, "");
        let observers = observers.map(|it| it.map(|Address(endpoint)| endpoint));
        let peer_key = read_peer_key(reader);
        if let (Some(membership), Some(None)) = (&membership, &peer_key) {
            match is_observer {
                true => observer::demand_key(reader, membership),
                false => membership.demand_key(reader, observers.as_ref()),
            }
        }
        let rest = Self::read_rest(reader, node, role, alone, membership, observers, peer_key);
        (voters, rest)
    }

    fn read_rest(
        reader: &mut Reader,
        node: Option<NodeId>,
        role: Option<NodeRole>,
        alone: Option<bool>,
        membership: Option<Membership>,
        observers: Option<Option<Endpoint>>,
        peer_key: Option<Option<ClusterKey>>,
    ) -> Option<Self> {
        // Only the form of the name: the file itself was gathered before.
        let config: Option<Option<AbsolutePath>> = reader.read_or_told(&keys::CONFIG, "");
        let own = membership.as_ref().map(|membership| &membership.listen);
        let sentinel = sentinel::read(reader, own);
        let is_capable = reader.read_restricted(&keys::HTTP_LISTEN, "");
        let state_dir = reader
            .read_or_default(&keys::STATE_DIR, "")
            .map(|AbsolutePath(path)| path);
        let status_socket = reader
            .read_or_default(&keys::STATUS_SOCKET, "")
            .map(|SocketPath(path)| path);
        let fencer_socket = reader
            .read_or_default(&keys::FENCER_SOCKET, "")
            .map(|SocketPath(path)| path);
        let admin_group = reader
            .read_or_default(&keys::ADMIN_GROUP, "")
            .map(|SystemGroup(group)| group);
        let election_timeout = reader.read_or_default(&keys::ELECTION_TIMEOUT, "");
        let log = reader
            .read_or_default(&keys::LOG, "")
            .map(|LogFilter(filter)| filter);
        let log_format = reader.read_or_told(&keys::LOG_FORMAT, "");
        let Membership { voters, listen } = membership?;
        (config.is_some() && is_capable).then_some(Self {
            node: node?,
            voters,
            role: role?,
            alone: alone?,
            listen,
            observers: observers?,
            peer_key: peer_key?,
            state_dir: state_dir?,
            status_socket: status_socket?,
            fencer_socket: fencer_socket?,
            admin_group: admin_group?,
            sentinel: sentinel?,
            election_timeout: election_timeout?,
            log: log?,
            log_format: log_format?,
        })
    }
}

/// What this node is: it tells which other keys make sense.
pub(super) fn read_role(reader: &mut Reader) -> Option<NodeRole> {
    let RoleWord(role) = reader.read_or_default(&keys::ROLE, "")?;
    Some(role)
}

fn read_node(reader: &mut Reader, host_name: &str) -> Option<NodeId> {
    match reader.read(&keys::NODE, "") {
        Reading::Given(node) => Some(node),
        Reading::Mistaken => None,
        Reading::Absent => match host_name.parse() {
            Ok(node) => {
                reader.settle(&keys::NODE, "", host_name);
                Some(node)
            }
            Err(error) => {
                let reason = format!("the host name is not usable: {error}");
                let example = example(&keys::NODE, "", &Origin::Environment);
                reader.refuse(&keys::NODE, "", Problem::Invalid { reason, example });
                None
            }
        },
    }
}

/// Who votes, and where we listen to them.
pub(super) struct Membership {
    pub(super) voters: BTreeMap<NodeId, Endpoint>,
    pub(super) listen: Endpoint,
}

impl Membership {
    fn read(
        reader: &mut Reader,
        node: Option<&NodeId>,
        alone: Option<bool>,
        peers: Reading<BTreeMap<NodeId, Endpoint>>,
    ) -> Option<Self> {
        let listen = reader
            .read(&keys::LISTEN, "")
            .map(|Address(endpoint)| endpoint);
        match (peers, alone?) {
            (Reading::Mistaken, _) => None,
            (Reading::Absent, true) => {
                reader.settle(&keys::PEERS, "", keys::PEERS.default);
                Self::solo(reader, node?, listen)
            }
            (Reading::Absent, false) => {
                let example = example(&keys::PEERS, "", &Origin::Environment);
                reader.refuse(&keys::PEERS, "", Problem::NoCluster { example });
                None
            }
            (Reading::Given(voters), alone) => {
                let others = voters.len() - usize::from(voters.contains_key(node?));
                let problem = match (alone, others) {
                    (true, 1..) => Some(Problem::NotAlone),
                    (false, 0) => Some(Problem::AloneUnsaid),
                    (true, 0) | (false, 1..) => None,
                };
                let is_refused = problem.is_some();
                if let Some(problem) = problem {
                    reader.refuse(&keys::PEERS, "", problem);
                }
                let membership = Self::joined(reader, node?, voters, listen)?;
                (!is_refused).then_some(membership)
            }
        }
    }

    fn solo(reader: &mut Reader, node: &NodeId, listen: Reading<Endpoint>) -> Option<Self> {
        let listen = match listen {
            Reading::Given(listen) => listen,
            Reading::Mistaken => return None,
            Reading::Absent => {
                reader.settle(&keys::LISTEN, "", "none, since nobody calls");
                // The address that status shows for this node.
                Endpoint::new("127.0.0.1", 7400).ok()?
            }
        };
        let voters = BTreeMap::from([(node.clone(), listen.clone())]);
        Some(Self { voters, listen })
    }

    fn joined(
        reader: &mut Reader,
        node: &NodeId,
        voters: BTreeMap<NodeId, Endpoint>,
        listen: Reading<Endpoint>,
    ) -> Option<Self> {
        let Some(entry) = voters.get(node) else {
            let names: Vec<&str> = voters.keys().map(NodeId::as_str).collect();
            let (node, peers) = (node.clone(), names.join(", "));
            reader.refuse(&keys::NODE, "", Problem::NotAPeer { node, peers });
            return None;
        };
        let listen = match listen {
            Reading::Given(listen) => listen,
            Reading::Mistaken => return None,
            Reading::Absent => {
                reader.settle(&keys::LISTEN, "", entry);
                entry.clone()
            }
        };
        if voters.len().is_multiple_of(2) {
            let (count, fewer) = (voters.len(), voters.len() - 1);
            reader.warn(format!(
                "{count} voters survive no more losses than {fewer}: run an odd number"
            ));
        }
        Some(Self { voters, listen })
    }

    /// Refuses to talk beyond this machine without a key.
    fn demand_key(&self, reader: &mut Reader, observers: Option<&Option<Endpoint>>) {
        let own = std::iter::once(&self.listen).chain(observers.into_iter().flatten());
        let mut endpoints = own.chain(self.voters.values());
        if let Some(endpoint) = endpoints.find(|endpoint| !endpoint.is_loopback()) {
            let endpoint = endpoint.clone();
            reader.refuse(&keys::PEER_KEY_FILE, "", Problem::KeyNeeded { endpoint });
        }
    }
}

fn read_peers(reader: &mut Reader) -> Reading<BTreeMap<NodeId, Endpoint>> {
    let peers: Vec<Peer> = match reader.read(&keys::PEERS, "") {
        Reading::Given(List(peers)) => peers,
        Reading::Absent => return Reading::Absent,
        Reading::Mistaken => return Reading::Mistaken,
    };
    let names = peers.iter().map(|Peer(name, _)| name.to_string());
    let endpoints = peers.iter().map(|Peer(_, endpoint)| endpoint.to_string());
    let mut is_right = reader.demand_once(&keys::PEERS, "", names.chain(endpoints));
    if peers.len() > VOTERS_MAX {
        let (count, max) = (peers.len(), VOTERS_MAX);
        reader.refuse(&keys::PEERS, "", Problem::TooManyVoters { count, max });
        is_right = false;
    }
    if !is_right {
        return Reading::Mistaken;
    }
    Reading::Given(
        peers
            .into_iter()
            .map(|Peer(name, endpoint)| (name, endpoint))
            .collect(),
    )
}

fn read_peer_key(reader: &mut Reader) -> Option<Option<ClusterKey>> {
    let key = &keys::PEER_KEY_FILE;
    let path = match reader.read_secret_path(key, "", "peer-key") {
        Reading::Given(path) => path,
        Reading::Mistaken => return None,
        Reading::Absent => return Some(None),
    };
    let text = read_secret(reader, key, "", &path)?;
    match ClusterKey::parse(&text) {
        Ok(key) => Some(Some(key)),
        Err(error) => {
            let reason = error.to_string();
            reader.refuse(key, "", Problem::BadSecret { path, reason });
            None
        }
    }
}

/// Reads the secret file that a key names, and warns when others may read it.
pub(super) fn read_secret(
    reader: &mut Reader,
    key: &'static Key,
    label: &str,
    path: &Path,
) -> Option<Zeroizing<String>> {
    match file::read_secret(path) {
        Ok(secret) => {
            if let Some(mode) = secret.too_open {
                let (variable, path) = (key.variable(label), path.display());
                reader.warn(format!(
                    "{variable}: {path} has mode {mode:04o}, so others can read or change the secret: chmod 0640"
                ));
            }
            Some(secret.text)
        }
        Err(problem) => {
            reader.refuse(key, label, problem);
            None
        }
    }
}
