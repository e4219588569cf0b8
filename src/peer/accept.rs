//! The called side: accepts connections, and hands those that prove to be a peer to its task.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::admission::Admission;
use super::connection::{Ended, Link, run};
use super::handshake::{Established, Failed, HandshakeError, shake_hands};
use super::key::ClusterKey;
use super::ledger::{DropReason, Dropped, Ledger};
use super::lobby::Lobby;
use super::pace::Pace;
use super::session::Session;
use crate::model::NodeId;

/// How many connections may be in their handshake at once.
const LOBBY_LENGTH_MAX: usize = 16;

/// Why a connection did not become a link before it had its say.
#[derive(Debug, Error)]
enum AcceptError {
    #[error("cannot accept a connection: raise the limit of open files if it is reached")]
    Accept(#[source] io::Error),
    #[error("connections beyond this machine need a cluster key: set PROMOTERD_PEER_KEY_FILE")]
    NotLoopback,
    #[error(
        "the longest waiting of {LOBBY_LENGTH_MAX} unfinished handshakes gave way to a newer one"
    )]
    Crowded,
}

impl Dropped for AcceptError {
    fn drop_reason(&self) -> DropReason {
        match self {
            Self::Accept(_) => DropReason::AcceptFailed,
            Self::NotLoopback => DropReason::NotLoopback,
            Self::Crowded => DropReason::Crowded,
        }
    }
}

/// What a handshake on this side needs.
pub(super) struct Reception {
    /// None: loopback addresses only.
    pub(super) key: Option<ClusterKey>,
    pub(super) admission: Admission,
    pub(super) ledger: Arc<Ledger>,
    pub(super) pace: Arc<Pace>,
    /// Where the task of each peer takes its connections.
    pub(super) arrivals: BTreeMap<NodeId, mpsc::Sender<Box<Established<TcpStream>>>>,
}

impl Reception {
    /// Accepts connections until the task is aborted.
    pub(super) async fn keep_accepting(self: Arc<Self>, listener: TcpListener) {
        let mut lobby = Lobby::new(LOBBY_LENGTH_MAX);
        loop {
            match listener.accept().await {
                Ok((stream, address)) => self.let_in(stream, address, &mut lobby),
                Err(error) => self.rest_after(error).await,
            }
        }
    }

    fn let_in(self: &Arc<Self>, stream: TcpStream, address: SocketAddr, lobby: &mut Lobby) {
        if self.key.is_none() && !address.ip().to_canonical().is_loopback() {
            return self.dropped(None, Some(address), &AcceptError::NotLoopback);
        }
        let reception = Arc::clone(self);
        let guest = async move { reception.receive(stream, address).await };
        if lobby.let_in(address.ip().to_canonical(), guest) {
            self.dropped(None, None, &AcceptError::Crowded);
        }
    }

    async fn receive(&self, stream: TcpStream, address: SocketAddr) {
        match self.introduce(stream, address).await {
            Ok(established) => {
                if let Some(arrivals) = self.arrivals.get(&established.peer.node) {
                    // Fails only while the links stop.
                    let _ = arrivals.send(established).await;
                }
            }
            Err(Failed { error, claimed }) => {
                self.dropped(claimed.as_ref(), Some(address), &error);
            }
        }
    }

    async fn introduce(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<Box<Established<TcpStream>>, Failed> {
        let unclaimed = |error| Failed {
            error,
            claimed: None,
        };
        let key = self.key.clone().unwrap_or_else(ClusterKey::well_known);
        let session = Session::responder(&key, self.admission.clone())
            .map_err(|error| unclaimed(HandshakeError::Session(error)))?;
        stream
            .set_nodelay(true)
            .map_err(|error| unclaimed(HandshakeError::Broken(error)))?;
        shake_hands(stream, address, session, self.pace.handshake_within).await
    }

    async fn rest_after(&self, error: io::Error) {
        let caller_left = matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
        );
        self.dropped(None, None, &AcceptError::Accept(error));
        if !caller_left {
            sleep(self.pace.accept_pause).await;
        }
    }

    fn dropped(&self, peer: Option<&NodeId>, address: Option<SocketAddr>, error: &dyn Dropped) {
        let now = Instant::now().into_std();
        self.ledger.dropped(peer, address, error, now);
    }
}

/// Runs the connections of one peer that calls us, one at a time, the newest in preference.
pub(super) async fn keep_serving(
    link: Link,
    mut arrivals: mpsc::Receiver<Box<Established<TcpStream>>>,
) {
    let mut next = arrivals.recv().await;
    while let Some(established) = next {
        let newer = async {
            match arrivals.recv().await {
                Some(newer) => newer,
                None => std::future::pending().await,
            }
        };
        next = match run(&link, established, newer).await {
            Ended::Replaced(newer) => Some(newer),
            Ended::Down => arrivals.recv().await,
            Ended::Stopped => return,
        };
    }
}
