//! The state of each link as status shows it, and every drop: counted always, logged once a minute.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::{info, warn};

use super::log_limiter::LogLimiter;
use super::roll::Roll;
use crate::model::{Life, NodeId, with_causes};

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $reason:ident = $label:literal,)*) => {
        /// For what a connection, a call or a payload was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason {
            $($(#[$doc])* $reason,)*
        }

        impl DropReason {
            /// As metrics and logs name it.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$reason => $label,)*
                }
            }
        }
    };
}

drop_reasons! {
    /// The name of a peer was not resolved.
    Unresolved = "unresolved",
    /// No connection to a peer came about.
    Unreachable = "unreachable",
    /// Without a key, an address beyond this machine.
    NotLoopback = "not_loopback",
    /// The system did not give us a connection that waits.
    AcceptFailed = "accept_failed",
    /// Too many others began a handshake meanwhile.
    Crowded = "crowded",
    /// A handshake took too long.
    HandshakeTimedOut = "handshake_timed_out",
    /// The connection broke within the handshake.
    HandshakeBroken = "handshake_broken",
    /// The other side does not hold our key: a stranger, or garbage.
    Unauthenticated = "unauthenticated",
    /// A frame was damaged or replayed.
    Forged = "forged",
    /// A message was longer than may be.
    Oversized = "oversized",
    /// A message could not be understood.
    Malformed = "malformed",
    /// We refused a node that holds the key.
    Refused = "refused",
    /// A node that holds the key refused us.
    RefusedByPeer = "refused_by_peer",
    /// The system gave no random bytes.
    NoRandomness = "no_randomness",
    /// An established link was closed by the peer.
    Closed = "closed",
    /// An established link broke.
    Broken = "broken",
    /// Nothing valid came for too long.
    Silent = "silent",
    /// The peer did not read what we wrote.
    Slow = "slow",
    /// A newer connection of the same peer took the place of this one.
    Replaced = "replaced",
    /// A payload for a peer without a link.
    NotConnected = "not_connected",
    /// A payload longer than peers take.
    PayloadOversized = "payload_oversized",
}

impl fmt::Display for DropReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.label())
    }
}

/// An error that knows under which reason it counts.
pub(super) trait Dropped: Error {
    fn drop_reason(&self) -> DropReason;
}

/// A link that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Since when.
    pub since: Instant,
    /// The other end.
    pub address: SocketAddr,
    /// The peer's present life.
    pub life: Life,
}

/// One peer, as seen from this node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkStatus {
    /// The link, while there is one.
    pub connected: Option<Connected>,
    /// What last went wrong, with its causes; kept after the link is up again.
    pub last_error: Option<String>,
    /// How often something was dropped, by reason.
    pub drops: BTreeMap<DropReason, u64>,
}

/// What all tasks of the links write down.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) roll: Arc<Roll>,
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    peers: BTreeMap<NodeId, LinkStatus>,
    strangers: BTreeMap<DropReason, u64>,
    limiter: LogLimiter<(Option<NodeId>, DropReason)>,
}

impl Ledger {
    pub(super) fn new<'a>(peers: impl IntoIterator<Item = &'a NodeId>, roll: Roll) -> Self {
        let peers = peers
            .into_iter()
            .map(|peer| (peer.clone(), LinkStatus::default()));
        Self {
            roll: Arc::new(roll),
            pages: Mutex::new(Pages {
                peers: peers.collect(),
                strangers: BTreeMap::new(),
                limiter: LogLimiter::new(),
            }),
        }
    }

    pub(super) fn peers(&self) -> BTreeMap<NodeId, LinkStatus> {
        self.lock().peers.clone()
    }

    /// Drops of those who never said who they are, or named no peer of ours.
    pub(super) fn strangers(&self) -> BTreeMap<DropReason, u64> {
        self.lock().strangers.clone()
    }

    pub(super) fn connected(&self, peer: &NodeId, connected: Connected) {
        info!(
            %peer,
            address = %connected.address,
            life = %connected.life,
            "peer connected"
        );
        if let Some(status) = self.lock().peers.get_mut(peer) {
            status.connected = Some(connected);
        }
    }

    pub(super) fn disconnected(&self, peer: &NodeId, error: &dyn Dropped, now: Instant) {
        if let Some(status) = self.lock().peers.get_mut(peer) {
            status.connected = None;
        }
        self.dropped(Some(peer), None, error, now);
    }

    /// Counts under `culprit` where that is a peer of ours, else under strangers.
    pub(super) fn dropped(
        &self,
        culprit: Option<&NodeId>,
        address: Option<SocketAddr>,
        error: &dyn Dropped,
        now: Instant,
    ) {
        let reason = error.drop_reason();
        let text = with_causes(error);
        if let Some(suppressed) = self.write_down(culprit, reason, &text, now) {
            let peer = culprit.map(tracing::field::display);
            let address = address.map(tracing::field::display);
            warn!(peer, address, %reason, error = text, suppressed, "peer dropped");
        }
    }

    /// Counts a drop. Where it is to be logged too: how many were not since the last time.
    fn write_down(
        &self,
        culprit: Option<&NodeId>,
        reason: DropReason,
        text: &str,
        now: Instant,
    ) -> Option<u64> {
        let mut pages = self.lock();
        let peer = culprit.filter(|culprit| pages.peers.contains_key(culprit));
        pages.count(peer, reason);
        if let Some(status) = peer.and_then(|peer| pages.peers.get_mut(peer)) {
            status.last_error = Some(text.to_owned());
        }
        // Names of strangers make no keys: there is no end to them.
        pages.limiter.admit((peer.cloned(), reason), now)
    }

    /// Counts what is no event for an operator.
    pub(super) fn counted(&self, peer: &NodeId, reason: DropReason) {
        self.lock().count(Some(peer), reason);
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn count(&mut self, peer: Option<&NodeId>, reason: DropReason) {
        let drops = match peer.and_then(|peer| self.peers.get_mut(peer)) {
            Some(status) => &mut status.drops,
            None => &mut self.strangers,
        };
        *drops.entry(reason).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::peer::admission::Refusal;
    use crate::peer::connection::DownReason;
    use crate::peer::hello::tests::node;
    use crate::peer::session::SessionError;

    #[test]
    fn a_drop_counts_under_the_peer_that_caused_it_or_else_under_strangers() {
        let ledger = Ledger::new([&node("a"), &node("b")], Roll::default());
        let refused = SessionError::Refused(Refusal::UnknownNode { node: node("x") });
        for culprit in [Some("a"), Some("a"), Some("x"), None] {
            let culprit = culprit.map(node);
            ledger.dropped(culprit.as_ref(), None, &refused, Instant::now());
        }
        let expected = BTreeMap::from([(DropReason::Refused, 2)]);
        assert_eq!(ledger.peers()[&node("a")].drops, expected);
        assert_eq!(ledger.peers()[&node("b")], LinkStatus::default());
        assert_eq!(ledger.strangers(), expected);
    }

    #[test]
    fn a_flood_of_drops_is_counted_in_full_and_logged_once_a_minute() {
        let ledger = Ledger::new([&node("a")], Roll::default());
        let start = Instant::now();
        let a = node("a");
        for (culprit, second, suppressed) in [
            (None, 0, Some(0)),
            (None, 1, None),
            (None, 2, None),
            (Some(&a), 3, Some(0)),
            (None, 61, Some(2)),
        ] {
            let now = start + Duration::from_secs(second);
            let reason = DropReason::Malformed;
            let admitted = ledger.write_down(culprit, reason, "text", now);
            assert_eq!(admitted, suppressed, "at {second} s");
        }
        assert_eq!(ledger.strangers()[&DropReason::Malformed], 4);
    }

    #[test]
    fn the_last_error_tells_its_causes() {
        let ledger = Ledger::new([&node("a")], Roll::default());
        let reason = DownReason::Invalid(SessionError::Forged);
        ledger.disconnected(&node("a"), &reason, Instant::now());
        assert_eq!(
            ledger.peers()[&node("a")].last_error.as_deref(),
            Some(
                "the peer sent an invalid frame: a frame does not authenticate: it is damaged or replayed"
            )
        );
    }
}
