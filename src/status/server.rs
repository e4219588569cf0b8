//! The server: one request a connection, few connections, and nobody keeps one for nothing.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::admin::{Caller, Gatekeeper};
use super::events::EventFeed;
use super::routes::{Desk, router};
use super::socket::{self, SocketFile, StatusError};
use super::source::Question;
use super::stall::Impatient;

/// Connections at once; more wait to be accepted.
pub(super) const CONNECTIONS_MAX: usize = 64;
/// How long a client may take to send its request.
pub(super) const REQUEST_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a client may take nothing of an answer.
const STALL_MAX: Duration = Duration::from_secs(30);
/// Largest request line and headers, in bytes.
const REQUEST_LENGTH_MAX: usize = 16 * 1024;
/// Most header lines.
const HEADERS_MAX: usize = 32;
/// Pause after a failure to accept, as when file descriptors run out.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The status socket, bound and not yet served.
#[derive(Debug)]
pub struct StatusServer {
    listener: UnixListener,
    file: SocketFile,
}

impl StatusServer {
    /// Listens at `path` with mode 0660; replaces a socket that nobody answers on.
    ///
    /// The directory must exist, unless it is called `promoterd`: then it is created.
    ///
    /// # Errors
    /// [`StatusError`], when another daemon answers there, or the socket cannot be made.
    pub async fn bind(path: &Path) -> Result<Self, StatusError> {
        let (listener, file) = socket::listen(path).await?;
        Ok(Self { listener, file })
    }

    /// Serves until it is dropped; then all connections end and the socket file goes away.
    ///
    /// The loop behind `questions` is never waited for: when the channel is full, or there is no
    /// answer in two seconds, the client gets 503.
    ///
    /// Whoever may connect may read; `gatekeeper` says who may change anything.
    pub async fn serve(
        self,
        questions: mpsc::Sender<Question>,
        feed: EventFeed,
        gatekeeper: Gatekeeper,
    ) -> Infallible {
        let Self {
            listener,
            file: _file,
        } = self;
        let router = router(Desk::new(questions, feed)).layer(Extension(gatekeeper));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                    match accepted {
                        Ok((stream, _)) => {
                            connections.spawn(converse(stream, router.clone()));
                        }
                        Err(error) => {
                            warn!(%error, "cannot accept on the status socket, will try again");
                            tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                        }
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn converse(stream: UnixStream, router: Router) {
    let caller = stream.peer_cred().ok().map(Caller::from);
    let router = router.layer(Extension(caller));
    let stream = TokioIo::new(Impatient::new(stream, STALL_MAX));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WAIT_MAX)
        .max_buf_size(REQUEST_LENGTH_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false)
        .serve_connection(stream, TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        debug!(%error, "a client of the status socket left, or was left");
    }
}
