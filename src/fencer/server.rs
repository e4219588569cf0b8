//! The root-side process: it listens, keeps what it was told, and ends servers in time.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use thiserror::Error;
use tokio::net::UnixListener;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use super::connection::{Asked, serve};
use super::keeper::Keeper;
use super::socket::{Gate, SocketError, listen};
use super::timer::Timer;
use super::trust::Trust;

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 16;
/// Orders that wait for the keeper; beyond it nothing more is read.
const ORDERS_MAX: usize = 64;
/// Pause after a failure to accept, as when file descriptors run out.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// Where there is no watchdog, the fencer still looks around from time to time.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(3600);

/// What a fencer is told at its start.
#[derive(Debug, Clone)]
pub struct FencerSettings {
    /// Where it listens; beside it lies what it keeps for the next fencer.
    pub socket: PathBuf,
    /// The user who gives orders, beside root.
    pub user: String,
    /// Which processes it may end.
    pub trust: Trust,
}

/// Why there is no fencer.
#[derive(Debug, Error)]
pub enum FencerError {
    /// The socket.
    #[error("the fencer cannot be asked anything")]
    Socket(#[from] SocketError),
    /// What the last one left.
    #[error("what the last fencer held cannot be read: {path}")]
    Holds {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A timer, a signal handler.
    #[error("the system does not give what the fencer needs: raise its limits")]
    System(#[from] io::Error),
}

/// A fencer that has started.
pub struct FencerServer {
    timer: Timer,
    signals: Signals,
    keeper: Keeper,
    listener: UnixListener,
    gate: Gate,
    orders: Receiver<Asked>,
    asked: Sender<Asked>,
    connections: JoinSet<()>,
    watchdog: Interval,
    told: Option<usize>,
}

impl FencerServer {
    /// Goes on with what the last fencer held, and listens.
    ///
    /// # Errors
    /// [`FencerError`] with what could not be had.
    pub fn start(settings: FencerSettings) -> Result<Self, FencerError> {
        let path = settings.socket.with_file_name("holds");
        let keeper = Keeper::open(settings.trust.clone(), path.clone());
        let mut keeper = keeper.map_err(|source| FencerError::Holds { path, source })?;
        // What came due while there was no fencer comes first of all.
        keeper.end_due();
        let (listener, gate) = listen(&settings.socket, &settings.user)?;
        let (asked, orders) = channel(ORDERS_MAX);
        let limit = sd_notify::watchdog_enabled().unwrap_or(WATCHDOG_INTERVAL);
        let mut watchdog = interval(limit / 2);
        watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
        info!(socket = %settings.socket.display(), user = settings.user, trust = ?settings.trust,
            held = keeper.held(), version = env!("CARGO_PKG_VERSION"), "fencer started");
        Ok(Self {
            timer: Timer::new()?,
            signals: Signals::new([SIGTERM, SIGINT])?,
            keeper,
            listener,
            gate,
            orders,
            asked,
            connections: JoinSet::new(),
            watchdog,
            told: None,
        })
    }

    /// Runs until a signal asks it to stop. What it holds is left to the next one.
    ///
    /// # Errors
    /// [`FencerError`] when its timer fails.
    pub async fn run(mut self) -> Result<(), FencerError> {
        tell(&[NotifyState::Ready]);
        loop {
            self.show();
            tokio::select! {
                biased;
                rung = self.timer.wait_until(self.keeper.next_moment()) => {
                    rung?;
                    self.keeper.end_due();
                }
                Some(_) = self.signals.next() => break,
                Some(asked) = self.orders.recv() => self.keeper.take_in(asked),
                assessed = self.keeper.next_assessed() => self.keeper.take_in_assessed(assessed),
                accepted = self.listener.accept(), if self.connections.len() < CONNECTIONS_MAX => {
                    match accepted {
                        Ok((stream, _)) => {
                            self.connections.spawn(serve(stream, self.gate, self.asked.clone()));
                        }
                        Err(error) => {
                            warn!(%error, "the fencer cannot accept a connection, will try again");
                            // It counts as one, and the timer goes on meanwhile.
                            self.connections.spawn(sleep(ACCEPT_RETRY_DELAY));
                        }
                    }
                }
                Some(_) = self.connections.join_next() => {}
                _ = self.watchdog.tick() => tell(&[NotifyState::Watchdog]),
            }
        }
        info!(
            held = self.keeper.held(),
            "fencer stops; what it holds is left to the next one"
        );
        tell(&[NotifyState::Stopping]);
        Ok(())
    }

    fn show(&mut self) {
        let held = self.keeper.held();
        if self.told.replace(held) != Some(held) {
            tell(&[NotifyState::Status(&format!("servers held: {held}"))]);
        }
    }
}

/// Outside systemd nobody listens.
fn tell(states: &[NotifyState<'_>]) {
    drop(sd_notify::notify(states));
}
