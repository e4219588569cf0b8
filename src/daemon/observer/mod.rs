//! The daemon of an observer: follows a voter, keeps this host's files right, and says how stale it is.
//!
//! ```text
//!  voters ═▶ follower ─▶ loop ─▶ client files (worker)
//!                         ├────▶ state directory
//!     status, signals ───▶└────▶ log, event stream, its position to the voter
//! ```

mod briefed;
mod following;
mod overview;
mod saved;
mod start;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use signal_hook::consts::SIGHUP;
use signal_hook_tokio::Signals;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;
use tracing::{debug, error, info, warn};

use super::files::Files;
use super::reload::{InForce, Reread};
use super::service::Service;
use super::stream::{Stream, wall_clock};
use super::{DaemonError, StartError, Surroundings};
use crate::clients::{Outcome, Worker};
use crate::decision::{Event, Impossible};
use crate::model::{NodeId, UnixTime, with_causes};
use crate::peer::{FollowEvent, Follower, LostReason, Position};
use crate::settings::Settings;
use crate::status::{OperationOverview, OperationState, Question, ReloadReport, RescuesReport};
pub use briefed::Briefed;
use following::{Following, Notice};
pub use saved::SavedError;
use saved::{Saved, StateDirectory, save};

/// Longest time that a stop waits for the clients' files.
const FILES_MAX: Duration = Duration::from_secs(5);
/// How old the moment may be that is kept on disk as the last confirmed one.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// An observer that has started.
pub struct ObserverDaemon {
    in_force: InForce,
    surroundings: Arc<Surroundings>,
    started_at: Instant,
    directory: StateDirectory,
    briefed: Briefed,
    /// When a voter with a leader last confirmed what is known, by this host's clock, as of the last save.
    confirmed_at: Option<UnixTime>,
    saving: Saving,
    following: Following,
    follower: Follower,
    position: Position,
    worker: Worker,
    files: Files,
    stream: Stream,
    service: Service,
    server: JoinHandle<Infallible>,
    inbox: Inbox,
}

/// The sources of all news.
struct Inbox {
    signals: Signals,
    voters: Receiver<FollowEvent>,
    files: UnboundedReceiver<Outcome>,
    questions: Receiver<Question>,
    saves: UnboundedReceiver<Result<(), SavedError>>,
    rereads: UnboundedReceiver<Reread>,
}

/// How the state on disk stands.
struct Saving {
    ended: UnboundedSender<Result<(), SavedError>>,
    is_running: bool,
    is_wanted: bool,
    due: Instant,
    error: Option<String>,
}

/// Something that happened.
#[allow(
    clippy::large_enum_variant,
    reason = "one at a time is moved, and none is kept"
)]
enum Occurrence {
    Signal(i32),
    Voter(FollowEvent),
    File(Outcome),
    Saved(Result<(), SavedError>),
    Reread(Reread),
    Question(Question),
    Died(&'static str),
    Time,
}

impl ObserverDaemon {
    /// Opens the state directory, binds the status socket, begins to follow.
    ///
    /// # Errors
    /// [`StartError`] with what could not be had.
    pub async fn start(
        settings: Settings,
        surroundings: Arc<Surroundings>,
    ) -> Result<Self, StartError> {
        start::start(settings, surroundings).await
    }

    /// Runs until a signal asks to stop.
    ///
    /// # Errors
    /// [`DaemonError`] when it cannot go on.
    pub async fn run(mut self) -> Result<(), DaemonError> {
        self.worker.lead(false);
        self.service.ready_as(self.describe());
        loop {
            match self.next().await {
                Occurrence::Signal(SIGHUP) => self.begin_reload(None),
                Occurrence::Signal(signal) => {
                    info!(signal, "stopping");
                    break;
                }
                Occurrence::Voter(event) => self.take_in(event),
                Occurrence::File(outcome) => self.take_in_file(outcome),
                Occurrence::Saved(outcome) => self.note_saved(outcome),
                Occurrence::Reread(reread) => self.finish_reload(reread),
                Occurrence::Question(question) => self.answer(question),
                Occurrence::Died(thread) => return Err(DaemonError::Died { thread }),
                Occurrence::Time => {}
            }
            let now = Instant::now();
            if let Some(notice) = self.following.due(now) {
                self.tell(&notice);
            }
            if self.is_kept() && self.saving.due <= now {
                self.keep();
            }
            self.service.show_as(self.describe());
            self.service.turn(now);
        }
        self.service.stopping(FILES_MAX * 2);
        self.stop().await;
        Ok(())
    }

    async fn next(&mut self) -> Occurrence {
        let save_due = self.is_kept().then_some(self.saving.due);
        let deadlines = [
            self.following.next_deadline(),
            self.service.next_deadline(),
            save_due,
        ];
        let wake_at = deadlines.into_iter().flatten().min();
        let inbox = &mut self.inbox;
        let rings = async {
            match wake_at {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(signal) = inbox.signals.next() => Occurrence::Signal(signal),
            event = inbox.voters.recv() => event.map_or(Occurrence::Died("follower"), Occurrence::Voter),
            outcome = inbox.files.recv() => outcome.map_or(Occurrence::Died("clients"), Occurrence::File),
            Some(outcome) = inbox.saves.recv() => Occurrence::Saved(outcome),
            Some(reread) = inbox.rereads.recv() => Occurrence::Reread(reread),
            Some(question) = inbox.questions.recv() => Occurrence::Question(question),
            () = rings => Occurrence::Time,
        }
    }

    fn take_in(&mut self, event: FollowEvent) {
        let now = Instant::now();
        match event {
            FollowEvent::Attached { voter, address } => {
                self.following.attached(&voter, now);
                debug!(%voter, %address, "voter answers");
            }
            FollowEvent::Told {
                is_confirmed,
                taken,
                knowledge,
            } => {
                self.note_first_word();
                let known = self.briefed.knowledge().cluster();
                let is_news = !taken.is_empty() || known != knowledge.cluster();
                // The files first: their clients wait for them.
                for publication in self.briefed.take_in(is_confirmed, &taken, knowledge) {
                    self.worker.publish(publication);
                }
                self.worker.lead(is_confirmed);
                let was_fresh = self.following.is_fresh();
                let notice = self.following.told(is_confirmed, now);
                if was_fresh && !is_confirmed {
                    self.confirmed_at = Some(wall_clock().time);
                }
                if is_news || was_fresh != is_confirmed {
                    self.keep();
                }
                if let Some(notice) = notice {
                    self.tell(&notice);
                }
            }
            FollowEvent::Lost {
                voter,
                reason,
                heard_at,
            } => {
                let was_fresh = self.following.is_fresh();
                let why = with_causes(&reason);
                let is_new = self.following.lost(&voter, why.clone(), heard_at, now);
                self.worker.lead(false);
                if was_fresh {
                    let ago =
                        heard_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
                    let ago = u64::try_from(ago.as_millis()).unwrap_or_default();
                    self.confirmed_at = Some(UnixTime(wall_clock().time.0.saturating_sub(ago)));
                    self.keep();
                }
                if is_new {
                    log_lost(&voter, &reason, &why);
                }
            }
        }
    }

    fn note_first_word(&mut self) {
        if self.following.is_first_word()
            && let Some((voter, _)) = self.following.voter()
        {
            info!(%voter, "follows a voter");
        }
    }

    /// Whether the state has to be saved when its time comes: as it grows older, or when that failed.
    fn is_kept(&self) -> bool {
        self.following.is_fresh() || self.saving.error.is_some()
    }

    fn take_in_file(&mut self, outcome: Outcome) {
        let event = self.files.take_in(outcome, &self.stream);
        if let Some(Event::FilesRewritten { group, epoch }) = event {
            self.position.files.insert(group, epoch);
            self.follower.place(self.position.clone());
        }
    }

    fn tell(&self, notice: &Notice) {
        match notice {
            Notice::Stale { stale } => {
                let is_informed = self.briefed.knowledge().cluster().is_some();
                warn!(
                    ?stale,
                    is_informed,
                    "stale: no voter with a leader answers, and the files name the last masters \
                    that are known"
                );
            }
            Notice::Fresh => info!("not stale any more: a voter with a leader answers"),
        }
    }

    fn saved(&self) -> Saved {
        Saved {
            knowledge: self.briefed.knowledge().clone(),
            confirmed_at: self.confirmed_at,
        }
    }

    /// Has the state saved, behind the one that is being saved.
    fn keep(&mut self) {
        self.saving.due = Instant::now() + SAVE_INTERVAL;
        if std::mem::replace(&mut self.saving.is_running, true) {
            self.saving.is_wanted = true;
            return;
        }
        if self.following.is_fresh() {
            self.confirmed_at = Some(wall_clock().time);
        }
        let (directory, saved) = (self.directory.path().to_owned(), self.saved());
        let ended = self.saving.ended.clone();
        tokio::task::spawn_blocking(move || {
            // The loop is gone only while the daemon stops.
            drop(ended.send(save(&directory, &saved)));
        });
    }

    fn note_saved(&mut self, outcome: Result<(), SavedError>) {
        self.saving.is_running = false;
        let error = outcome.err().map(|error| with_causes(&error));
        if let Some(error) = error.as_ref().filter(|_| self.saving.error.is_none()) {
            error!(
                "the state of this observer is not saved, and would be lost at a restart: {error}"
            );
        }
        self.saving.error = error;
        if std::mem::take(&mut self.saving.is_wanted) {
            self.keep();
        }
    }

    fn answer(&mut self, question: Question) {
        // Whoever asked may have lost patience.
        match question {
            Question::Alive(answer) => drop(answer.send(())),
            Question::Overview(answer) => drop(answer.send(self.source(Instant::now()))),
            Question::Operate(_, answer) => drop(answer.send(Err(self.refusal()))),
            Question::Operation(operation, answer) => drop(answer.send(OperationOverview {
                operation,
                state: OperationState::Unknown,
                groups: Vec::new(),
            })),
            Question::Rescues(answer) => drop(answer.send(RescuesReport::default())),
            Question::Reload(answer) => self.begin_reload(Some(answer)),
        }
    }

    fn refusal(&self) -> Impossible {
        let followed = self.following.voter().map(|(voter, _)| voter);
        let voter = followed.or_else(|| self.in_force.started().voters.keys().next());
        let voter = voter.map_or_else(String::new, ToString::to_string);
        Impossible::OnlyObserves { voter }
    }

    fn begin_reload(&mut self, answer: Option<oneshot::Sender<ReloadReport>>) {
        self.service.reloading();
        self.in_force.read_again(&self.surroundings, answer);
    }

    /// Only the log follows at once.
    fn finish_reload(&mut self, reread: Reread) {
        let (opened, asker) = self.in_force.open(reread);
        let report = match opened {
            Ok(settings) => self.in_force.take_on(settings, &self.surroundings.log),
            Err(report) => report,
        };
        self.service.ready_as(self.describe());
        asker.tell(report);
    }

    async fn stop(mut self) {
        if self.following.is_fresh() {
            self.confirmed_at = Some(wall_clock().time);
        }
        let saved = self.saved();
        self.server.abort();
        // It ends only by being aborted, and takes its socket along.
        drop(self.server.await);
        drop(self.follower);
        let worker = self.worker;
        let stopped = tokio::task::spawn_blocking(move || worker.stop(FILES_MAX)).await;
        if let Ok(Err(still_writing)) = stopped {
            warn!(%still_writing, "stopped all the same");
        }
        // What is being saved ends before what is saved last.
        while self.saving.is_running {
            self.saving.is_running = self.inbox.saves.recv().await.is_none();
        }
        let directory = self.directory;
        let kept = tokio::task::spawn_blocking(move || save(directory.path(), &saved)).await;
        if let Ok(Err(error)) = kept {
            let error = with_causes(&error);
            error!(
                "the state of this observer is not saved, and would be lost at a restart: {error}"
            );
        }
    }
}

fn log_lost(voter: &NodeId, reason: &LostReason, why: &str) {
    match reason {
        LostReason::OtherCluster(_) => {
            error!(%voter, "voter of another cluster, nothing that it tells is taken: {why}");
        }
        LostReason::Unwelcome
        | LostReason::Refused(_)
        | LostReason::WrongVoter { .. }
        | LostReason::Session(_) => warn!(%voter, "voter not followed: {why}"),
        LostReason::Closed
        | LostReason::Broken(_)
        | LostReason::Silent
        | LostReason::Slow
        | LostReason::Leaderless(_) => info!(%voter, "voter left: {why}"),
        LostReason::Unreachable(_) | LostReason::NoAnswer => {
            debug!(%voter, "voter not reached: {why}")
        }
    }
}
