//! A replica as whoever reads from it is told of it: where it is, and whether to read there.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Endpoint;

/// A replica of a group, as readers are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Whether to read there.
    pub health: ReplicaHealth,
    /// How many bytes it was behind its master when it was last told of; none where that is not known.
    pub lag_bytes: Option<u64>,
}

/// Whether to read from a replica, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaHealth {
    /// Nobody has looked at it for long enough to say. It is read from.
    Unknown,
    /// It follows the master.
    Healthy,
    /// It follows the master, and is too far behind.
    Behind,
    /// It does not follow the master: its link is down, a copy is on its way, or it follows somebody else.
    Detached,
    /// It does not answer.
    Down,
}

impl ReplicaHealth {
    /// Whether it is one for readers.
    #[must_use]
    pub fn is_readable(self) -> bool {
        match self {
            Self::Unknown | Self::Healthy => true,
            Self::Behind | Self::Detached | Self::Down => false,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Behind => "behind",
            Self::Detached => "detached",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for ReplicaHealth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl Replica {
    /// One that nobody has looked at.
    #[must_use]
    pub fn unknown(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            health: ReplicaHealth::Unknown,
            lag_bytes: None,
        }
    }

    /// Where to read: at every replica that is one for readers, or else at the master, so that nobody is
    /// left with none.
    #[must_use]
    pub fn readers(replicas: &[Self], master: &Endpoint) -> Vec<Endpoint> {
        let readable = replicas
            .iter()
            .filter(|replica| replica.health.is_readable());
        let readers: Vec<Endpoint> = readable.map(|replica| replica.endpoint.clone()).collect();
        match readers.is_empty() {
            true => vec![master.clone()],
            false => readers,
        }
    }
}
