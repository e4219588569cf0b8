//! The daemon: one loop that takes the next event, decides, and starts what follows.
//!
//! ```text
//!            links ─┐                                   ┌─▶ links
//!        instances ─┤                                   ├─▶ instances
//!       log writer ─┼─▶ inbox ─▶ Node::handle ─▶ effects┼─▶ log writer
//!     client files ─┤            (pure)                 ├─▶ client files
//!         deadline ─┤                                   └─▶ log, event stream
//!   status, signals ┘
//! ```

mod alarm;
mod effects;
mod files;
mod inbox;
mod journal;
mod log;
mod node;
mod observer;
mod observers;
mod operations;
mod overview;
mod public_view;
mod reload;
mod rescues;
mod sentinel;
mod service;
mod start;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::{info, warn};

pub use log::Log;
pub use node::{Node, NodeAction, NodeError, NodeEvent, Origin};
pub use observer::{Briefed, ObserverDaemon, SavedError};
pub use public_view::PublicView;
pub use reload::Surroundings;
pub use start::StartError;

use crate::consensus::{LogError, set_aside};
use crate::decision::Event;
use crate::peer::Dismissal;
use crate::settings::Settings;
use crate::status::{Order, Question};
use effects::Effects;
use inbox::{Inbox, News};
use operations::Answer;
use reload::InForce;
use service::Service;

/// Longest time that a stop may take to hand leadership over.
const HAND_OVER_MAX: Duration = Duration::from_millis(500);

/// Longest time that a whole stop takes: leadership, links, clients' files.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Why a running daemon had to stop.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// It could not start.
    #[error("promoterd cannot start")]
    Start(#[from] StartError),
    /// What is committed cannot be read.
    #[error("promoterd cannot go on")]
    Node(#[from] NodeError),
    /// The log cannot be written. After a failed sync nobody knows what the disk holds.
    #[error(
        "the replicated log cannot be written: check the disk under the state directory, then restart"
    )]
    Log(#[source] LogError),
    /// A thread of ours panicked; what it said stands in the log.
    #[error("the thread {thread} died: restart the daemon, and report what it logged before this")]
    Died {
        /// Which.
        thread: &'static str,
    },
    /// Another state directory speaks for this voter.
    #[error(
        "this node's place in the cluster was taken by another state directory, as after a replacement of its \
         machine: keep this daemon stopped, or empty {path} to let it take the place again"
    )]
    Superseded {
        /// The state directory.
        path: PathBuf,
    },
    /// An outdated state directory cannot be set aside.
    #[error("the state directory is an older copy and cannot be set aside")]
    SetAside(#[source] LogError),
}

/// How a daemon ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A signal asked for it.
    Stopped,
    /// Its state directory was an older copy and is set aside: start again, to rejoin.
    StartAgain,
}

/// A daemon that has started: everything is bound and locked.
pub struct Daemon {
    node: Node,
    inbox: Inbox,
    effects: Effects,
    state_dir: PathBuf,
    service: Service,
    surroundings: Arc<Surroundings>,
    in_force: InForce,
}

impl Daemon {
    /// Opens the state directory, binds the peer port and the status socket.
    ///
    /// # Errors
    /// [`StartError`] with what could not be had.
    pub async fn start(
        settings: Settings,
        surroundings: Arc<Surroundings>,
    ) -> Result<Self, StartError> {
        start::start(settings, surroundings).await
    }

    /// Runs until a signal asks to stop, or until it has to start on another state directory.
    ///
    /// # Errors
    /// [`DaemonError`] when it cannot go on. What it promised is on disk, so a restart is safe.
    pub async fn run(mut self) -> Result<Ended, DaemonError> {
        self.handle(NodeEvent::Core(Event::DeadlineReached))?;
        self.show_sentinel();
        self.service.ready(&self.node);
        let mut stop_at: Option<Instant> = None;
        loop {
            let deadline = self.node.next_deadline().map(|deadline| deadline.at);
            let wake_at = [deadline, stop_at, self.service.next_deadline()];
            let wake_at = wake_at.into_iter().flatten().min();
            let news = self.inbox.next(wake_at).await;
            if let Some(span) = self.effects.clock.slept() {
                info!(?span, "the host was suspended");
                self.handle(NodeEvent::Core(Event::Suspended))?;
            }
            match news {
                News::Node(event) => self.handle(event)?,
                News::Message(peer, life, payload) => {
                    if let Some(message) = effects::decode(&peer, &payload) {
                        self.handle(NodeEvent::PeerSent(peer, life, message))?;
                    }
                }
                News::File(outcome) => {
                    if let Some(event) = self.effects.files.take_in(outcome, &self.effects.stream) {
                        self.handle(NodeEvent::Core(event))?;
                    }
                }
                News::LogFailed(error) => return Err(DaemonError::Log(error)),
                News::Died(thread) => return Err(DaemonError::Died { thread }),
                News::Question(Question::Operate(order, answer)) => self.operate(order, answer)?,
                News::Question(Question::Reload(answer)) => self.begin_reload(Some(answer)),
                News::Sentinel(question) => self.answer_sentinel(question)?,
                News::Reload => self.begin_reload(None),
                News::Reread(reread) => self.finish_reload(reread)?,
                News::Question(question) => self.effects.answer(&self.node, question),
                News::Stop(signal) if stop_at.is_none() => {
                    info!(signal, "stopping");
                    self.service.stopping(STOP_MAX);
                    let is_handed_over = self.hand_over()?;
                    let patience = if is_handed_over {
                        HAND_OVER_MAX
                    } else {
                        Duration::ZERO
                    };
                    stop_at = Some(Instant::now() + patience);
                }
                News::Stop(signal) => {
                    warn!(signal, "stopping at once");
                    stop_at = Some(Instant::now());
                }
            }
            self.service.turn(Instant::now());
            let over = |at: Instant| !self.node.is_leader() || at <= Instant::now();
            if stop_at.is_some_and(over) {
                break;
            }
            if let Some(why) = self.effects.left {
                return self.leave(why).await;
            }
        }
        self.effects.stop().await;
        Ok(Ended::Stopped)
    }

    /// Ends, because the state directory may not speak for this node.
    async fn leave(self, why: Dismissal) -> Result<Ended, DaemonError> {
        let path = self.state_dir;
        // The log is closed before its files move.
        self.effects.stop().await;
        match why {
            Dismissal::Superseded => Err(DaemonError::Superseded { path }),
            Dismissal::Outdated => {
                let kept = set_aside(&path).map_err(DaemonError::SetAside)?;
                warn!(kept = %kept.display(), "the state directory is an older copy: set aside, starting anew to rejoin");
                Ok(Ended::StartAgain)
            }
        }
    }

    fn handle(&mut self, event: NodeEvent) -> Result<(), NodeError> {
        let actions = self.node.handle(event, Instant::now())?;
        let is_news = actions
            .iter()
            .any(|action| matches!(action, NodeAction::Announce(_)));
        self.effects.carry_out(actions, &self.node);
        if is_news {
            self.service.show(&self.node);
        }
        Ok(())
    }

    /// Somebody wants something who may.
    fn operate(&mut self, order: Order, answer: Answer) -> Result<(), NodeError> {
        let operations = &mut self.effects.operations;
        match operations.take_in(&self.node, order, answer, Instant::now()) {
            Some(request) => self.handle(NodeEvent::Core(Event::Requested(request))),
            None => Ok(()),
        }
    }

    /// A leader that stops would leave its peers without one for an election timeout. False when it
    /// does not lead, or nobody is there to take over.
    fn hand_over(&mut self) -> Result<bool, NodeError> {
        let peer = self.effects.connected_peer();
        let Some(peer) = peer.filter(|_| self.node.is_leader()) else {
            return Ok(false);
        };
        let actions = self.node.hand_over(&peer, Instant::now())?;
        self.effects.carry_out(actions, &self.node);
        Ok(true)
    }
}
