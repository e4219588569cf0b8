//! A few nodes on loopback for tests of their links.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::admission::Admission;
use super::connection::{DownReason, LinkEvent};
use super::handshake::{Established, Failed, shake_hands};
use super::hello::tests::node;
use super::key::ClusterKey;
use super::ledger::{DropReason, LinkStatus};
use super::links::{LinkSettings, Links};
use super::pace::Pace;
use super::session::Session;
use crate::model::{Endpoint, Life, NodeId};

/// Longer than anything here takes; a test that waits for so long has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A machine under load must not make a peer silent.
pub(super) fn pace() -> Pace {
    Pace {
        connect_within: PATIENCE,
        handshake_within: PATIENCE,
        silent_after: PATIENCE,
        drain_within: PATIENCE,
        retry_delay_max: Duration::from_millis(50),
        ..Pace::default()
    }
}

pub(super) fn key() -> Option<ClusterKey> {
    Some(ClusterKey::from([1; 32]))
}

/// A port for each name, taken and not yet used.
pub(super) struct Ground {
    pub(super) listeners: BTreeMap<NodeId, TcpListener>,
    pub(super) voters: BTreeMap<NodeId, Endpoint>,
}

pub(super) struct Daemon {
    pub(super) links: Links,
    pub(super) inbox: mpsc::Receiver<LinkEvent>,
}

pub(super) async fn ground(names: &[&str]) -> Ground {
    let mut ground = Ground {
        listeners: BTreeMap::new(),
        voters: BTreeMap::new(),
    };
    for name in names {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
        ground.listeners.insert(node(name), listener);
        ground.voters.insert(node(name), endpoint);
    }
    ground
}

impl Ground {
    pub(super) fn settings(&self, name: &str) -> LinkSettings {
        LinkSettings {
            node: node(name),
            life: Life(1),
            cluster: None,
            voters: self.voters.clone(),
            listen: self.voters[&node(name)].clone(),
            key: key(),
        }
    }

    pub(super) fn address(&self, name: &str) -> SocketAddr {
        self.voters[&node(name)].to_string().parse().unwrap()
    }

    pub(super) fn start(&mut self, name: &str) -> Daemon {
        let settings = self.settings(name);
        self.start_with(settings, pace())
    }

    pub(super) fn start_with(&mut self, settings: LinkSettings, pace: Pace) -> Daemon {
        let listener = self.listeners.remove(&settings.node).unwrap();
        let (sender, inbox) = mpsc::channel(64);
        let links = Links::start_at(settings, Some(listener), pace, sender).unwrap();
        Daemon { links, inbox }
    }
}

impl Daemon {
    pub(super) async fn event(&mut self) -> LinkEvent {
        let event = timeout(PATIENCE, self.inbox.recv()).await;
        event.expect("an event in time").unwrap()
    }

    pub(super) fn has_no_event(&mut self) -> bool {
        self.inbox.try_recv().is_err()
    }

    pub(super) fn send(&self, to: &str, payload: &[u8]) {
        self.links.send(&node(to), payload.to_vec()).unwrap();
    }

    pub(super) fn peer(&self, name: &str) -> LinkStatus {
        self.links.status()[&node(name)].clone()
    }

    /// Counters tell no event, so this asks again and again.
    pub(super) async fn until(&self, is_so: impl Fn(&Links) -> bool) {
        let ask = async {
            while !is_so(&self.links) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let outcome = timeout(PATIENCE, ask).await;
        assert!(
            outcome.is_ok(),
            "{:?} {:?}",
            self.links.status(),
            self.links.strangers()
        );
    }
}

pub(super) fn up(peer: &str, life: u64) -> LinkEvent {
    LinkEvent::Up {
        peer: node(peer),
        life: Life(life),
    }
}

pub(super) fn down(peer: &str, reason: DownReason) -> LinkEvent {
    LinkEvent::Down {
        peer: node(peer),
        reason,
    }
}

pub(super) fn received(peer: &str, payload: &[u8]) -> LinkEvent {
    LinkEvent::Received {
        peer: node(peer),
        life: Life(1),
        payload: payload.to_vec(),
    }
}

pub(super) fn count(drops: &BTreeMap<DropReason, u64>, reason: DropReason) -> u64 {
    drops.get(&reason).copied().unwrap_or(0)
}

/// Plays a node by hand, up to the end of its handshake.
pub(super) async fn call(
    address: SocketAddr,
    admission: Admission,
) -> Result<Box<Established<TcpStream>>, Failed> {
    let stream = TcpStream::connect(address).await.unwrap();
    let session = Session::initiator(&key().unwrap(), admission).unwrap();
    shake_hands(stream, address, session, PATIENCE).await
}

pub(super) async fn read_to_end(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset ends the stream just as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .expect("the stream ends in time");
}
