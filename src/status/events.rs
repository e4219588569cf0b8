//! The event stream: one JSON object a line, from the daemon's loop to whoever listens.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;

use super::schema::SCHEMA;
use crate::decision::Happening;
use crate::model::{NodeId, UnixTime};

/// Lines kept for a slow reader; the oldest are dropped for it, and it is told how many.
const BACKLOG_MAX: usize = 256;

/// Where the daemon's loop tells what happens; cloned freely, never waits for a reader.
#[derive(Debug, Clone)]
pub struct EventFeed {
    node: NodeId,
    lines: broadcast::Sender<Arc<str>>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    happening: &'a Happening,
    at: UnixTime,
    node: &'a NodeId,
}

impl EventFeed {
    /// A feed of what `node` sees.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        let (lines, _) = broadcast::channel(BACKLOG_MAX);
        Self { node, lines }
    }

    /// Tells all who listen; costs nothing while nobody does.
    pub fn publish(&self, happening: &Happening, at: UnixTime) {
        if self.lines.receiver_count() == 0 {
            return;
        }
        let line = Line {
            happening,
            at,
            node: &self.node,
        };
        match serde_json::to_string(&line) {
            // An error says that the last reader has just left.
            Ok(line) => drop(self.lines.send(line.into())),
            Err(error) => warn!(%error, "an event could not be written as JSON and is left out"),
        }
    }

    /// All that is published from now on, behind a first line `{"event":"hello",...}`.
    ///
    /// Keeps `place` for as long as the stream lives.
    pub(super) fn stream<P: Send + 'static>(
        &self,
        place: P,
    ) -> impl Stream<Item = Result<String, Infallible>> + Send + use<P> {
        let hello = json!({
            "event": "hello",
            "schema": SCHEMA,
            "node": self.node,
            "version": env!("CARGO_PKG_VERSION"),
        });
        // Listens from here on, so that whoever has read the hello misses nothing after it.
        let state = (Some(hello.to_string()), self.lines.subscribe(), place);
        unfold(state, async |(hello, mut lines, place)| {
            let line = match hello {
                Some(hello) => format!("{hello}\n"),
                None => next_line(&mut lines).await?,
            };
            Some((Ok(line), (None, lines, place)))
        })
    }
}

async fn next_line(lines: &mut broadcast::Receiver<Arc<str>>) -> Option<String> {
    match lines.recv().await {
        Ok(line) => Some(format!("{line}\n")),
        Err(RecvError::Lagged(missed)) => Some(format!(
            "{}\n",
            json!({"event": "lagged", "missed": missed})
        )),
        Err(RecvError::Closed) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::StreamExt;
    use serde_json::Value;

    use super::*;
    use crate::decision::{Cause, WaitingFor};

    fn feed() -> EventFeed {
        EventFeed::new("b".parse().unwrap())
    }

    async fn next(stream: impl Stream<Item = Result<String, Infallible>>) -> Value {
        let line = pin!(stream).next().await.unwrap().unwrap();
        assert!(line.ends_with('\n') && line.matches('\n').count() == 1);
        serde_json::from_str(&line).unwrap()
    }

    #[tokio::test]
    async fn an_event_is_one_line_with_its_time_and_its_node() {
        let feed = feed();
        let mut stream = pin!(feed.stream(()));
        feed.publish(
            &Happening::SubjectivelyDown {
                group: "features".parse().unwrap(),
                instance: "10.0.0.1:6379".parse().unwrap(),
                is_master: true,
                cause: Cause::WrongRole,
            },
            UnixTime(1234),
        );
        feed.publish(
            &Happening::Waiting {
                group: "features".parse().unwrap(),
                reason: WaitingFor::Leader,
            },
            UnixTime(1235),
        );
        assert_eq!(
            next(&mut stream).await,
            json!({"event": "hello", "schema": 1, "node": "b", "version": env!("CARGO_PKG_VERSION")})
        );
        assert_eq!(
            next(&mut stream).await,
            json!({
                "event": "subjectively_down", "group": "features", "instance": "10.0.0.1:6379",
                "is_master": true, "cause": "wrong_role", "at": 1234, "node": "b"
            })
        );
        assert_eq!(
            next(&mut stream).await,
            json!({
                "event": "waiting", "group": "features", "reason": {"waiting_for": "leader"},
                "at": 1235, "node": "b"
            })
        );
    }

    #[tokio::test]
    async fn a_reader_that_lags_is_told_how_much_it_missed_and_goes_on() {
        let feed = feed();
        let mut stream = pin!(feed.stream(()));
        let published = BACKLOG_MAX as u64 + 3;
        for for_ms in 0..published {
            feed.publish(&Happening::Slept { for_ms }, UnixTime(for_ms));
        }
        assert_eq!(next(&mut stream).await["event"], "hello");
        assert_eq!(
            next(&mut stream).await,
            json!({"event": "lagged", "missed": 3})
        );
        for for_ms in 3..published {
            assert_eq!(next(&mut stream).await["for_ms"], for_ms);
        }
    }
}
