//! All links of this node: one to each other voter, called by whichever name sorts first.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::accept::{Reception, keep_serving};
use super::admission::{Admission, Expected};
use super::connection::{Link, LinkEvent};
use super::dial::{Dialer, Resolver, addresses_of};
use super::hello::{Hello, PROTOCOL_VERSION, VotersDigest};
use super::key::ClusterKey;
use super::ledger::{DropReason, Ledger, LinkStatus};
use super::outbox::{NotSent, Outbox};
use super::pace::Pace;
use super::roll::Roll;
use crate::model::{ClusterId, Endpoint, Life, NodeId};

/// How many callers may wait to be accepted. Whom there is no room for, the kernel has call again after a
/// second; strangers come in crowds.
const BACKLOG: u32 = 1024;

/// What the links need to know.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// Our own name, one of `voters`.
    pub node: NodeId,
    /// Our present life.
    pub life: Life,
    /// Our cluster, where it is born.
    pub cluster: Option<ClusterId>,
    /// All voters, ourselves included, and where they listen.
    pub voters: BTreeMap<NodeId, Endpoint>,
    /// Where we listen.
    pub listen: Endpoint,
    /// What the voters share. Without one, the links go no further than loopback.
    pub key: Option<ClusterKey>,
}

/// Why the links cannot start.
#[derive(Debug, Error)]
pub enum LinkError {
    /// Our own name is not among the voters.
    #[error(
        "{node} is not among the voters: name it in PROMOTERD_PEERS, or correct PROMOTERD_NODE"
    )]
    NotAVoter {
        /// Our name.
        node: NodeId,
    },
    /// There is no key, and something is not on loopback.
    #[error(
        "{endpoint} is beyond this machine and there is no cluster key: run `promoterd keygen` and set PROMOTERD_PEER_KEY_FILE"
    )]
    KeyNeeded {
        /// What is not on loopback.
        endpoint: String,
    },
    /// The name to listen at has no address, or not in time.
    #[error("cannot resolve {listen} to listen there: correct PROMOTERD_LISTEN or PROMOTERD_PEERS")]
    Resolve {
        /// Where we should listen.
        listen: Endpoint,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The port is taken, or the address is not ours.
    #[error(
        "cannot listen at {listen}: it must be an address of this machine and its port free; see PROMOTERD_LISTEN"
    )]
    Listen {
        /// Where we should listen.
        listen: Endpoint,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The links of this node. Dropping it ends them all at once; [`Links::stop`] is kinder.
#[derive(Debug)]
pub struct Links {
    outboxes: BTreeMap<NodeId, Arc<Outbox>>,
    ledger: Arc<Ledger>,
    pace: Arc<Pace>,
    stop: CancellationToken,
    /// Of each peer, its task.
    peers: JoinSet<()>,
    /// The task that accepts.
    reception: JoinSet<()>,
}

impl Links {
    /// Listens, and begins to call the peers that are ours to call. All that happens goes to `inbox`;
    /// while it is full, nothing more is read from the peers.
    ///
    /// # Errors
    /// [`LinkError`] when the settings allow no links, or the address to listen at cannot be had.
    pub async fn start(
        settings: LinkSettings,
        inbox: mpsc::Sender<LinkEvent>,
    ) -> Result<Self, LinkError> {
        let pace = Pace::default();
        // A cluster of one is called by nobody.
        let listener = match settings.voters.len() {
            ..=1 => None,
            _ => Some(listen(&settings, &pace).await?),
        };
        Self::start_at(settings, listener, pace, inbox)
    }

    /// Begins on a listener that is there already, where somebody may call.
    pub(super) fn start_at(
        settings: LinkSettings,
        listener: Option<TcpListener>,
        pace: Pace,
        inbox: mpsc::Sender<LinkEvent>,
    ) -> Result<Self, LinkError> {
        let mut voters = settings.voters;
        if voters.remove(&settings.node).is_none() {
            return Err(LinkError::NotAVoter {
                node: settings.node,
            });
        }
        if settings.key.is_none()
            && let Some(listener) = &listener
        {
            check_loopback(&voters, &settings.listen, listener)?;
        }
        let names = voters.keys().chain([&settings.node]);
        let hello = Hello {
            protocol_version: PROTOCOL_VERSION,
            node: settings.node.clone(),
            life: settings.life,
            voters: VotersDigest::of(names),
            cluster: None,
        };
        let outboxes = voters
            .keys()
            .map(|peer| (peer.clone(), Arc::new(Outbox::new(peer.clone()))));
        let links = Self {
            outboxes: outboxes.collect(),
            ledger: Arc::new(Ledger::new(voters.keys(), Roll::new(settings.cluster))),
            pace: Arc::new(pace),
            stop: CancellationToken::new(),
            peers: JoinSet::new(),
            reception: JoinSet::new(),
        };
        Ok(links.begin(voters, hello, settings.key, listener, inbox))
    }

    /// Starts the task of each peer and the one that accepts.
    fn begin(
        mut self,
        voters: BTreeMap<NodeId, Endpoint>,
        hello: Hello,
        key: Option<ClusterKey>,
        listener: Option<TcpListener>,
        inbox: mpsc::Sender<LinkEvent>,
    ) -> Self {
        let roll = Arc::clone(&self.ledger.roll);
        let admission = |expected| Admission {
            hello: hello.clone(),
            expected,
            roll: Arc::clone(&roll),
        };
        let mut arrivals = BTreeMap::new();
        for (peer, endpoint) in &voters {
            let link = self.link(peer, inbox.clone());
            if hello.node < *peer {
                let dialer = Dialer {
                    link,
                    resolver: Resolver::new(endpoint.clone()),
                    admission: admission(Expected::Node(peer.clone())),
                    key: key.clone(),
                };
                self.peers.spawn(dialer.keep_connected());
            } else {
                let (sender, receiver) = mpsc::channel(1);
                arrivals.insert(peer.clone(), sender);
                self.peers.spawn(keep_serving(link, receiver));
            }
        }
        let reception = Arc::new(Reception {
            key,
            admission: admission(Expected::Caller(Arc::new(voters.into_keys().collect()))),
            ledger: Arc::clone(&self.ledger),
            pace: Arc::clone(&self.pace),
            arrivals,
        });
        if let Some(listener) = listener {
            self.reception.spawn(reception.keep_accepting(listener));
        }
        self
    }

    fn link(&self, peer: &NodeId, inbox: mpsc::Sender<LinkEvent>) -> Link {
        Link {
            peer: peer.clone(),
            outbox: Arc::clone(&self.outboxes[peer]),
            ledger: Arc::clone(&self.ledger),
            inbox,
            stop: self.stop.clone(),
            pace: Arc::clone(&self.pace),
        }
    }

    /// Queues a payload for a peer; never waits. It arrives whole, behind those sent before it, or
    /// the link goes down.
    ///
    /// # Errors
    /// [`NotSent`] when it can be told at once that it will not arrive. Counted, not logged.
    pub fn send(&self, to: &NodeId, payload: Vec<u8>) -> Result<(), NotSent> {
        let Some(outbox) = self.outboxes.get(to) else {
            return Err(NotSent::UnknownPeer { peer: to.clone() });
        };
        let outcome = outbox.push(payload);
        match &outcome {
            Ok(()) | Err(NotSent::UnknownPeer { .. }) => {}
            Err(NotSent::Oversized { .. }) => {
                self.ledger.counted(to, DropReason::PayloadOversized);
            }
            // An overflow is counted with the link that it ends; this one too is for nobody.
            Err(NotSent::NotConnected { .. } | NotSent::Overflow { .. }) => {
                self.ledger.counted(to, DropReason::NotConnected);
            }
        }
        outcome
    }

    /// From now on this is our cluster, in every handshake.
    pub fn belong(&self, cluster: ClusterId) {
        self.ledger.roll.belong(cluster);
    }

    /// Each peer, as its link stands.
    #[must_use]
    pub fn status(&self) -> BTreeMap<NodeId, LinkStatus> {
        self.ledger.peers()
    }

    /// How often somebody was dropped who is none of the peers, or did not get to say so.
    #[must_use]
    pub fn strangers(&self) -> BTreeMap<DropReason, u64> {
        self.ledger.strangers()
    }

    /// Writes what is queued, ends all links and stops to listen, within half a second.
    ///
    /// No `Down` is told any more; the inbox need not be read meanwhile.
    pub async fn stop(mut self) {
        self.reception.shutdown().await;
        self.stop.cancel();
        let all = async { while self.peers.join_next().await.is_some() {} };
        if timeout(self.pace.stop_within, all).await.is_err() {
            self.peers.shutdown().await;
        }
    }
}

async fn listen(settings: &LinkSettings, pace: &Pace) -> Result<TcpListener, LinkError> {
    let listen = &settings.listen;
    let addresses = timeout(pace.resolve_within, addresses_of(listen))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|source| LinkError::Resolve {
            listen: listen.clone(),
            source,
        })?;
    let beyond = addresses.iter().find(|address| !is_loopback(address));
    if settings.key.is_none() && beyond.is_some() {
        return Err(LinkError::KeyNeeded {
            endpoint: listen.to_string(),
        });
    }
    bind(&addresses).map_err(|source| LinkError::Listen {
        listen: listen.clone(),
        source,
    })
}

/// At the first of the addresses that can be had.
pub(super) fn bind(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    let listen_at = |address: &SocketAddr| {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(*address)?;
        socket.listen(BACKLOG)
    };
    let mut outcome = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in addresses {
        outcome = listen_at(address);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn check_loopback(
    peers: &BTreeMap<NodeId, Endpoint>,
    listen: &Endpoint,
    listener: &TcpListener,
) -> Result<(), LinkError> {
    let address = listener.local_addr().map_err(|source| LinkError::Listen {
        listen: listen.clone(),
        source,
    })?;
    // Names are judged by the addresses that they turn out to have, at each call.
    let beyond = peers.values().find(|endpoint| {
        endpoint
            .address()
            .is_some_and(|address| !address.to_canonical().is_loopback())
    });
    let beyond = match beyond {
        Some(endpoint) => endpoint.to_string(),
        None if !is_loopback(&address) => address.to_string(),
        None => return Ok(()),
    };
    Err(LinkError::KeyNeeded { endpoint: beyond })
}

pub(super) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
