//! Everything that can happen to a daemon, one at a time.

use std::future::pending;
use std::time::Instant;

use futures_util::StreamExt;
use signal_hook::consts::SIGHUP;
use signal_hook_tokio::Signals;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver};
use tracing::error;

use super::alarm::Alarm;
use super::node::NodeEvent;
use super::reload::Reread;
use crate::clients::Outcome;
use crate::consensus::LogError;
use crate::decision::{Event, HoldOutcome};
use crate::model::{Life, NodeId};
use crate::peer::LinkEvent;
use crate::redis::InstanceEvent;
use crate::sentinel;
use crate::status::Question;

/// The sources of all news.
pub(super) struct Inbox {
    pub(super) alarm: Alarm,
    pub(super) links: Receiver<LinkEvent>,
    pub(super) instances: UnboundedReceiver<InstanceEvent>,
    pub(super) holds: UnboundedReceiver<HoldOutcome>,
    pub(super) written: UnboundedReceiver<Result<(), LogError>>,
    pub(super) files: UnboundedReceiver<Outcome>,
    pub(super) questions: Receiver<Question>,
    /// None without a Sentinel endpoint.
    pub(super) sentinel: Option<Receiver<sentinel::Question>>,
    pub(super) signals: Signals,
    pub(super) rereads: UnboundedReceiver<Reread>,
}

/// Something that happened.
#[allow(
    clippy::large_enum_variant,
    reason = "one at a time is moved, and none is kept"
)]
pub(super) enum News {
    /// To the node.
    Node(NodeEvent),
    /// A peer sent bytes.
    Message(NodeId, Life, Vec<u8>),
    /// A client's file was rewritten, or not; its reader was made to read it again, or not.
    File(Outcome),
    /// The log cannot be written.
    LogFailed(LogError),
    /// A thread of the daemon ended, although it never should.
    Died(&'static str),
    /// Somebody asks for the status.
    Question(Question),
    /// A client of the Sentinel endpoint asks.
    Sentinel(sentinel::Question),
    /// A signal asks to read the settings again.
    Reload,
    /// That is done.
    Reread(Reread),
    /// A signal asks to stop.
    Stop(&'static str),
}

impl Inbox {
    /// The next thing that happens; at `wake_at`, that the moment came.
    pub(super) async fn next(&mut self, wake_at: Option<Instant>) -> News {
        // What others wait for comes first; status last.
        tokio::select! {
            biased;
            Some(signal) = self.signals.next() => match signal {
                SIGHUP => News::Reload,
                signal => News::Stop(name(signal)),
            },
            written = self.written.recv() => match written {
                Some(Ok(())) => News::Node(NodeEvent::Persisted),
                Some(Err(error)) => News::LogFailed(error),
                None => News::Died("log-writer"),
            },
            Some(event) = self.instances.recv() => News::Node(NodeEvent::Core(match event {
                InstanceEvent::Probe(event) => Event::Probed(event),
                InstanceEvent::Followed(outcome) => Event::Followed(outcome),
                InstanceEvent::Guarded(outcome) => Event::Guarded(outcome),
                InstanceEvent::Rescued(outcome) => Event::Rescued(outcome),
            })),
            Some(outcome) = self.holds.recv() => {
                News::Node(NodeEvent::Core(Event::Held(outcome)))
            }
            Some(event) = self.links.recv() => match event {
                LinkEvent::Up { peer, life } => News::Node(NodeEvent::PeerUp(peer, life)),
                LinkEvent::Down { peer, reason } => {
                    News::Node(NodeEvent::PeerDown(peer, reason))
                }
                LinkEvent::Received { peer, life, payload } => {
                    News::Message(peer, life, payload)
                }
            },
            outcome = self.files.recv() => outcome.map_or(News::Died("clients"), News::File),
            rung = self.alarm.wait_until(wake_at) => {
                rung.expect("a timer can be set and read");
                News::Node(NodeEvent::Core(Event::DeadlineReached))
            }
            Some(reread) = self.rereads.recv() => News::Reread(reread),
            Some(question) = self.questions.recv() => News::Question(question),
            question = asked(&mut self.sentinel) => News::Sentinel(question),
        }
    }
}

/// Nothing ever comes where there is no endpoint. One whose thread ended is told of and done without: the
/// masters are more important.
async fn asked(questions: &mut Option<Receiver<sentinel::Question>>) -> sentinel::Question {
    if let Some(open) = questions {
        if let Some(question) = open.recv().await {
            return question;
        }
        error!(
            "the thread of the Sentinel endpoint has ended: clients ask another node; restart promoterd"
        );
        *questions = None;
    }
    pending().await
}

fn name(signal: i32) -> &'static str {
    signal_hook::low_level::signal_name(signal).unwrap_or("signal")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_endpoints_thread_is_noticed_once_behind_its_last_question() {
        let (outbox, questions) = mpsc::channel(1);
        let mut questions = Some(questions);
        outbox.send(sentinel::Question::Look).await.unwrap();
        drop(outbox);
        assert!(matches!(
            asked(&mut questions).await,
            sentinel::Question::Look
        ));
        let no_more = timeout(Duration::from_millis(1), asked(&mut questions)).await;
        assert!(no_more.is_err() && questions.is_none());
    }
}
