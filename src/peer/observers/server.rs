//! The voter's side: a thread of its own that listens to observers and tells them what the loop shows.

use std::io;
use std::net::{SocketAddr, TcpListener as BoundListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::select;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::guests::{Guest, Guests};
use super::visit::{VisitError, receive};
use super::word::PublicState;
use crate::model::{Endpoint, NodeId, with_causes};
use crate::peer::dial::addresses_of;
use crate::peer::key::ClusterKey;
use crate::peer::ledger::{DropReason, Dropped};
use crate::peer::links::{bind, is_loopback};
use crate::peer::lobby::Lobby;
use crate::peer::log_limiter::LogLimiter;

/// Most observers of one voter.
const OBSERVERS_MAX: usize = 1_000;
/// Handshakes at once: all observers of a voter that is lost come to the others in the same moment.
const LOBBY_LENGTH_MAX: usize = 512;
/// For the names of the address to listen at to be resolved.
const RESOLVE_WITHIN: Duration = Duration::from_secs(1);
/// Pause after a failure to accept, as when file descriptors run out.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// What the observers' port needs to know.
#[derive(Debug, Clone)]
pub struct ObserversSettings {
    /// This voter.
    pub node: NodeId,
    /// Where to listen.
    pub listen: Endpoint,
    /// The cluster key, from which that of the observers follows. Without one, loopback only.
    pub key: Option<ClusterKey>,
}

/// Why there is no observers' port.
#[derive(Debug, Error)]
pub enum ObserversError {
    /// There is no key, and it would be reached from beyond this machine.
    #[error(
        "observers at {listen} come from beyond this machine and there is no cluster key: run `promoterd keygen` and \
         set PROMOTERD_PEER_KEY_FILE"
    )]
    KeyNeeded {
        /// Where we should listen.
        listen: Endpoint,
    },
    /// The name has no address, the port is taken, or the address is not ours.
    #[error(
        "cannot listen at {listen} for observers: it must be an address of this machine and its port free; see \
         PROMOTERD_OBSERVERS__LISTEN"
    )]
    Listen {
        /// Where we should listen.
        listen: Endpoint,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no thread for it.
    #[error("the system gives no thread for the observers' port: raise its limits")]
    Thread(#[source] io::Error),
}

/// The observers' port, served. Dropping it ends all connections.
#[derive(Debug)]
pub struct Observers {
    views: watch::Sender<Arc<PublicState>>,
    guests: Arc<Guests>,
    address: SocketAddr,
    /// Dropped to stop the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the tasks of this side share.
#[derive(Debug)]
pub(super) struct Reception {
    pub(super) node: NodeId,
    /// That of the observers.
    pub(super) key: ClusterKey,
    pub(super) views: watch::Receiver<Arc<PublicState>>,
    pub(super) guests: Arc<Guests>,
    loopback_only: bool,
    dropped: Mutex<LogLimiter<DropReason>>,
}

impl Observers {
    /// Listens, and serves on a thread of its own.
    ///
    /// # Errors
    /// [`ObserversError`]
    pub async fn start(settings: ObserversSettings) -> Result<Self, ObserversError> {
        Self::start_with(settings, OBSERVERS_MAX).await
    }

    /// The same, for so many observers at once.
    pub(super) async fn start_with(
        settings: ObserversSettings,
        count_max: usize,
    ) -> Result<Self, ObserversError> {
        let listener = listen(&settings).await?;
        let failed = |source| ObserversError::Listen {
            listen: settings.listen.clone(),
            source,
        };
        let address = listener.local_addr().map_err(failed)?;
        let listener = listener.into_std().map_err(failed)?;
        let (views, views_seen) = watch::channel(Arc::default());
        let guests = Guests::new(count_max);
        let cluster_key = settings.key.clone().unwrap_or_else(ClusterKey::well_known);
        let reception = Arc::new(Reception {
            node: settings.node,
            key: cluster_key.for_observers(),
            views: views_seen,
            guests: Arc::clone(&guests),
            loopback_only: settings.key.is_none(),
            dropped: Mutex::new(LogLimiter::new()),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ObserversError::Thread)?;
        let serve = move || {
            runtime.block_on(async {
                select! {
                    served = reception.serve(listener) => if let Err(error) = served {
                        warn!(%error, "observers are not told any more: restart promoterd");
                    },
                    // Whoever may stop it has, or is gone.
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new()
            .name("observers".to_owned())
            .spawn(serve);
        Ok(Self {
            views,
            guests,
            address,
            stop: Some(stop),
            thread: Some(thread.map_err(ObserversError::Thread)?),
        })
    }

    /// Tells all observers what is different now. Never waits.
    pub fn show(&self, state: &PublicState) {
        self.views.send_replace(Arc::new(state.clone()));
    }

    /// Those that are connected.
    #[must_use]
    pub fn guests(&self) -> Vec<Guest> {
        self.guests.all()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Observers {
    /// The port is free behind it: a daemon that starts again needs it.
    fn drop(&mut self) {
        drop(self.stop.take());
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            debug!("the thread of the observers' port had ended by itself");
        }
    }
}

impl Reception {
    /// Accepts connections for as long as the task is there.
    async fn serve(self: Arc<Self>, listener: BoundListener) -> io::Result<()> {
        let listener = TcpListener::from_std(listener)?;
        let mut lobby = Lobby::new(LOBBY_LENGTH_MAX);
        loop {
            match listener.accept().await {
                Ok((stream, address)) => self.let_in(stream, address, &mut lobby),
                Err(error) => {
                    self.note_dropped(None, &VisitError::Accept(error));
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }

    fn let_in(self: &Arc<Self>, stream: TcpStream, address: SocketAddr, lobby: &mut Lobby) {
        if self.loopback_only && !is_loopback(&address) {
            return self.note_dropped(Some(address), &VisitError::NotLoopback);
        }
        let guest = receive(Arc::clone(self), stream, address);
        if lobby.let_in(address.ip().to_canonical(), guest) {
            self.note_dropped(None, &VisitError::Crowded);
        }
    }

    /// Strangers, and observers that are none of ours: told once a minute of each kind.
    pub(super) fn note_dropped(&self, address: Option<SocketAddr>, error: &VisitError) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(suppressed) = dropped.admit(error.drop_reason(), Instant::now()) else {
            return;
        };
        let address = address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        let error = with_causes(error);
        warn!(address, suppressed, "observer dropped: {error}");
    }
}

async fn listen(settings: &ObserversSettings) -> Result<TcpListener, ObserversError> {
    let listen = &settings.listen;
    let failed = |source| ObserversError::Listen {
        listen: listen.clone(),
        source,
    };
    let addresses = timeout(RESOLVE_WITHIN, addresses_of(listen))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(failed)?;
    if settings.key.is_none() && !addresses.iter().all(is_loopback) {
        let listen = listen.clone();
        return Err(ObserversError::KeyNeeded { listen });
    }
    let listener = bind(&addresses).map_err(failed)?;
    debug!(%listen, "observers are listened to");
    Ok(listener)
}
