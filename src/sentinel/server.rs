//! The endpoint's thread: accepts clients, and shares nothing with the daemon's loop but two channels.

use std::io;
use std::net::TcpListener as BoundListener;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::net::{SendFlags, sockopt};
use rustix::process::{Resource, getpriority_process, getrlimit, setpriority_process};
use rustix::thread::gettid;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::select;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, sleep, timeout};
use tracing::{debug, error, warn};

use super::access::Access;
use super::connection::converse;
use super::events::Translator;
use super::feed::Outlet;
use super::hub::{Hub, SWEEP_INTERVAL};
use super::question::Question;
use super::session::ServerFacts;
use crate::model::Endpoint;

/// Most clients at once, where the limit of open files allows them.
const CLIENTS_MAX: usize = 10_000;
/// Files that the rest of the daemon is left.
const FILES_RESERVED: u64 = 512;
/// Pause after a failure to accept, as when file descriptors run out.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// A daemon that has just started tells clients nothing before a leader confirmed that it is not
/// outdated; after so long it tells them all the same.
const CONFIRMATION_WAIT_MAX: Duration = Duration::from_secs(3);
/// A client's host that says nothing for so long is asked whether it is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// How much nicer this thread is than the daemon's loop.
const NICER_BY: i32 = 5;

/// Why there is no Sentinel endpoint.
#[derive(Debug, Error)]
pub enum SentinelError {
    /// It cannot be bound.
    #[error(
        "cannot listen at {listen} for clients that speak Sentinel: correct PROMOTERD_SENTINEL__LISTEN, or \
         stop what listens there"
    )]
    Listen {
        /// As set.
        listen: Endpoint,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no thread for it.
    #[error("the system gives no thread for the Sentinel endpoint: raise its limits")]
    Thread(#[source] io::Error),
}

/// The endpoint, bound and not yet served.
#[derive(Debug)]
pub struct SentinelServer {
    listener: BoundListener,
    port: u16,
}

/// The endpoint, served.
#[derive(Debug)]
pub struct Serving {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl SentinelServer {
    /// Listens. Clients wait from here on.
    ///
    /// # Errors
    /// [`SentinelError`]
    pub async fn bind(listen: &Endpoint) -> Result<Self, SentinelError> {
        let failed = |source| SentinelError::Listen {
            listen: listen.clone(),
            source,
        };
        let listener = TcpListener::bind((listen.host(), listen.port()))
            .await
            .map_err(failed)?;
        let listener = listener.into_std().map_err(failed)?;
        Ok(Self {
            listener,
            port: listen.port(),
        })
    }

    /// Serves on a thread of its own until it is stopped. What it wants of the loop goes to `questions`.
    ///
    /// # Errors
    /// [`SentinelError::Thread`]
    pub fn start(
        self,
        access: Access,
        outlet: Outlet,
        questions: mpsc::Sender<Question>,
    ) -> Result<Serving, SentinelError> {
        let (stop, stopped) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(SentinelError::Thread)?;
        let serve = move || {
            be_nice();
            let served = runtime.block_on(self.serve(access, outlet, questions, stopped));
            if let Err(error) = served {
                error!(%error, "clients that speak Sentinel are not answered any more");
            }
        };
        let thread = thread::Builder::new()
            .name("sentinel".to_owned())
            .spawn(serve);
        let thread = thread.map_err(SentinelError::Thread)?;
        Ok(Serving { stop, thread })
    }

    async fn serve(
        self,
        access: Access,
        outlet: Outlet,
        questions: mpsc::Sender<Question>,
        stopped: oneshot::Receiver<()>,
    ) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let Outlet { mut views, news } = outlet;
        let translator = Translator::new(views.borrow_and_update().clone());
        let facts = ServerFacts {
            started_at: Instant::now(),
            port: self.port,
            clients: 0,
            subscribers: 0,
            clients_max: clients_max(),
            accepted: 0,
            rejected: 0,
            commands: 0,
            dropped: 0,
        };
        let hub = Hub::new(access, views.clone(), questions, facts);
        let accepting = async {
            let confirmed = views.wait_for(|view| view.is_confirmed);
            drop(timeout(CONFIRMATION_WAIT_MAX, confirmed).await);
            keep_accepting(&listener, &hub).await;
        };
        select! {
            biased;
            // Whoever may stop it has, or is gone.
            _ = stopped => {}
            // Before anybody is answered: an event is worth more.
            () = hub.pass_on(news, translator) => {}
            () = keep_sweeping(&hub) => {}
            () = accepting => {}
        }
        Ok(())
    }
}

impl Serving {
    /// Ends all connections, and the thread.
    pub fn stop(self) {
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            debug!("the thread of the Sentinel endpoint had ended by itself");
        }
    }
}

async fn keep_sweeping(hub: &Hub) {
    let mut turns = interval(SWEEP_INTERVAL);
    loop {
        turns.tick().await;
        hub.sweep(Instant::now());
    }
}

/// All conversations are one task: thousands of clients are idle, and a task costs more than what one of
/// them keeps.
async fn keep_accepting(listener: &TcpListener, hub: &Hub) {
    let mut conversations = FuturesUnordered::new();
    let (mut is_failing, mut is_full) = (false, false);
    loop {
        select! {
            stream = accept(listener, &mut is_failing) => match hub.next_number() {
                Some(number) => {
                    is_full &= !is_roomy(hub.facts());
                    prepare(&stream);
                    let client = hub.let_in(number, stream, Instant::now());
                    conversations.push(converse(hub, client));
                }
                None => {
                    if !std::mem::replace(&mut is_full, true) {
                        let clients = hub.facts().clients;
                        warn!(
                            clients,
                            "too many clients of the Sentinel endpoint, more are turned away"
                        );
                    }
                    turn_away(&stream);
                }
            },
            Some(()) = conversations.next() => {}
        }
    }
}

/// Whether it is far enough from the limit that reaching it again is news.
fn is_roomy(facts: ServerFacts) -> bool {
    facts.clients * 10 < facts.clients_max * 9
}

async fn accept(listener: &TcpListener, is_failing: &mut bool) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                *is_failing = false;
                return stream;
            }
            Err(error) => {
                if !std::mem::replace(is_failing, true) {
                    warn!(%error, "cannot accept on the Sentinel endpoint, will try again");
                }
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}

/// What fails here is noticed when the socket is used.
fn prepare(stream: &TcpStream) {
    drop(stream.set_nodelay(true));
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, KEEPALIVE_AFTER);
}

fn turn_away(stream: &TcpStream) {
    let reply = b"-ERR max number of clients reached\r\n";
    let _ = rustix::net::send(stream, reply, SendFlags::NOSIGNAL);
}

/// As many as leave the rest of the daemon its files.
fn clients_max() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let left = usize::try_from(files.saturating_sub(FILES_RESERVED)).unwrap_or(usize::MAX);
    if left < CLIENTS_MAX {
        warn!(
            clients = left,
            "the Sentinel endpoint takes fewer clients than it could: raise LimitNOFILE="
        );
    }
    left.min(CLIENTS_MAX)
}

/// However many clients ask, the loop goes first.
fn be_nice() {
    let thread = Some(gettid());
    let nicer = getpriority_process(thread).map(|nice| (nice + NICER_BY).min(19));
    if let Err(error) = nicer.and_then(|nice| setpriority_process(thread, nice)) {
        warn!(%error, "the thread of the Sentinel endpoint has the priority of the loop");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_come_and_go_at_the_limit_are_warned_of_once() {
        for (clients, clients_max, expected) in [
            (0, 1, true),
            (0, 0, false),
            (8_999, 10_000, true),
            (9_000, 10_000, false),
            (9_999, 10_000, false),
        ] {
            let facts = ServerFacts {
                started_at: Instant::now(),
                port: 26379,
                clients,
                subscribers: 0,
                clients_max,
                accepted: 0,
                rejected: 0,
                commands: 0,
                dropped: 0,
            };
            assert_eq!(is_roomy(facts), expected, "{clients} of {clients_max}");
        }
    }
}
