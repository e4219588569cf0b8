//! What all handshakes of this node share: our cluster, and which processes of the peers are alive.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::model::{ClusterId, Life, NodeId};

/// A process that was heard so recently is alive: it shows itself twice in that time.
const ALIVE_FOR: Duration = Duration::from_secs(1);

/// Our cluster, and who of the peers was heard when.
#[derive(Debug, Default)]
pub struct Roll {
    cluster: OnceLock<ClusterId>,
    heard: Mutex<BTreeMap<NodeId, (Life, Instant)>>,
}

impl Roll {
    /// Of a node whose cluster is born, or is not.
    #[must_use]
    pub fn new(cluster: Option<ClusterId>) -> Self {
        Self {
            cluster: cluster.map(OnceLock::from).unwrap_or_default(),
            heard: Mutex::default(),
        }
    }

    /// Our cluster, as soon as it is born.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster.get().copied()
    }

    /// From now on this is our cluster.
    pub(super) fn belong(&self, cluster: ClusterId) {
        // It never changes while the links run: another one takes another start.
        let _ = self.cluster.set(cluster);
    }

    /// An authentic frame came from this process of a peer.
    pub(super) fn heard(&self, peer: &NodeId, life: Life, now: Instant) {
        let mut heard = self.lock();
        match heard.get_mut(peer) {
            Some(held) => *held = (life, now),
            None => drop(heard.insert(peer.clone(), (life, now))),
        }
    }

    /// The link to a peer ended.
    pub(super) fn left(&self, peer: &NodeId) {
        self.lock().remove(peer);
    }

    /// Whether another process of that name is alive.
    pub(super) fn has_twin(&self, peer: &NodeId, life: Life, now: Instant) -> bool {
        self.lock().get(peer).is_some_and(|(held, heard)| {
            *held != life && now.saturating_duration_since(*heard) < ALIVE_FOR
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, (Life, Instant)>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twin_is_another_process_of_the_same_name_that_was_heard_a_moment_ago() {
        let (a, b): (NodeId, NodeId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let start = Instant::now();
        for (name, life, after_ms, is_twin) in [
            (&a, 1, 0, false),
            (&a, 2, 0, true),
            (&a, 2, 999, true),
            (&a, 2, 1000, false),
            (&b, 2, 0, false),
        ] {
            let roll = Roll::default();
            roll.heard(&a, Life(1), start);
            let now = start + Duration::from_millis(after_ms);
            let found = roll.has_twin(name, Life(life), now);
            assert_eq!(found, is_twin, "{name} {life} {after_ms}");
            roll.left(&a);
            assert!(!roll.has_twin(&a, Life(2), start));
        }
    }
}
