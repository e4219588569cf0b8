//! What the daemon's loop lets the endpoint see: all that it answers from, as of one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::decision::GroupOutline;
use crate::model::{ClusterId, Endpoint, GroupName, NodeId, Role, Term};

/// What one node knows at one moment.
#[derive(Debug, Clone)]
pub struct View {
    /// When all of it was looked at. A group may have been looked at since.
    pub taken_at: Instant,
    /// This node.
    pub node: NodeId,
    /// The cluster that it belongs to; none before it is born.
    pub cluster: Option<ClusterId>,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// The number of the last election that it heard of.
    pub term: Term,
    /// Since when nobody leads, if so.
    pub leaderless_since: Option<Instant>,
    /// How long an election may take before there is no quorum.
    pub election_max: Duration,
    /// Whether a leader has confirmed since the start of the daemon that its state is not an old one.
    pub is_confirmed: bool,
    /// The other voters.
    pub peers: Vec<PeerView>,
    /// The registered groups.
    pub groups: BTreeMap<GroupName, Arc<GroupView>>,
}

/// One other voter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView {
    /// Its name.
    pub node: NodeId,
    /// Where clients reach its Sentinel endpoint; none where it has none.
    pub sentinel: Option<Endpoint>,
    /// Whether there is a link to it.
    pub is_connected: bool,
    /// When it was last heard.
    pub heard_at: Option<Instant>,
}

/// One group, and what only a look before tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// What the core says.
    pub outline: GroupOutline,
    /// Since when the master is objectively down, if it is.
    pub down_since: Option<Instant>,
    /// Since when each instance says that it is what it says: whether it is a master.
    pub roles: BTreeMap<Endpoint, (bool, Instant)>,
}

/// What a node is called where Sentinel has a run id: the same wherever and whenever it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentinelId([u8; 20]);

impl SentinelId {
    /// That of a voter of a cluster.
    #[must_use]
    pub fn of(cluster: Option<ClusterId>, node: &NodeId) -> Self {
        let mut hasher = Sha256::new_with_prefix(b"promoterd sentinel\n");
        hasher.update(cluster.unwrap_or_default().0.to_be_bytes());
        hasher.update(node.as_str());
        let digest: [u8; 32] = hasher.finalize().into();
        let mut id = [0; 20];
        id.copy_from_slice(&digest[..20]);
        Self(id)
    }
}

impl fmt::Display for SentinelId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl View {
    /// Whether a leader's word reaches this node: else what it tells may be outdated.
    #[must_use]
    pub fn has_quorum(&self, now: Instant) -> bool {
        let lasts = |since: Instant| now.saturating_duration_since(since) > self.election_max;
        self.is_confirmed && !self.leaderless_since.is_some_and(lasts)
    }

    /// The group that a client names.
    #[must_use]
    pub fn group(&self, name: &[u8]) -> Option<&GroupView> {
        let name: GroupName = std::str::from_utf8(name).ok()?.parse().ok()?;
        self.groups.get(&name).map(|group| &**group)
    }

    /// The other voters that have a Sentinel endpoint, each with its address.
    pub fn sentinels(&self) -> impl Iterator<Item = (&PeerView, &Endpoint)> {
        let peers = self.peers.iter();
        peers.filter_map(|peer| peer.sentinel.as_ref().map(|endpoint| (peer, endpoint)))
    }

    /// What Sentinel calls the number of other Sentinels: none where this node stands alone.
    #[must_use]
    pub fn other_sentinels(&self, now: Instant) -> usize {
        if self.has_quorum(now) {
            self.sentinels().count()
        } else {
            0
        }
    }

    /// Voters that can be counted on, this node included.
    #[must_use]
    pub fn usable(&self) -> usize {
        1 + self.peers.iter().filter(|peer| peer.is_connected).count()
    }

    /// This node where Sentinel has a run id.
    #[must_use]
    pub fn id(&self) -> SentinelId {
        SentinelId::of(self.cluster, &self.node)
    }
}

impl GroupView {
    /// Takes in what the core says now, beside what was seen of the group before.
    #[must_use]
    pub fn after(before: Option<&Self>, outline: GroupOutline, now: Instant) -> Self {
        let down_before = before.and_then(|before| before.down_since);
        let role_before = |endpoint: &Endpoint| before?.roles.get(endpoint).copied();
        let roles = outline.instances.iter().filter_map(|instance| {
            let (_, info) = instance.read.as_ref()?;
            let is_master = matches!(info.role, Role::Master { .. });
            let since = role_before(&instance.endpoint)
                .filter(|(was_master, _)| *was_master == is_master)
                .map_or(now, |(_, since)| since);
            Some((instance.endpoint.clone(), (is_master, since)))
        });
        Self {
            down_since: outline.is_down.then(|| down_before.unwrap_or(now)),
            roles: roles.collect(),
            outline,
        }
    }
}
