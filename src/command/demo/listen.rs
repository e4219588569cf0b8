//! What the daemons of the demo say: their event streams, and their answers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};

use super::{DemoError, Story};
use crate::decision::Happening;
use crate::status::client::{self, ClientError};
use crate::status::{HistoryReport, Readiness, StepReport};

/// Time between two attempts to reach a daemon that is starting, and between two looks at an interrupt.
const INTERVAL: Duration = Duration::from_millis(20);

/// Something that a daemon told.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) at: Instant,
    pub(super) node: String,
    pub(super) happening: Happening,
}

#[derive(Deserialize)]
struct Line {
    node: String,
    #[serde(flatten)]
    happening: Happening,
}

/// Listens to the event streams of all daemons.
pub(super) struct Listener {
    heard: Receiver<Heard>,
}

impl Listener {
    /// Starts to listen at these sockets, as soon as each is there.
    pub(super) fn start(sockets: Vec<PathBuf>) -> io::Result<Self> {
        let (sender, heard) = mpsc::channel();
        let runtime = runtime()?;
        // It ends when the daemons do, or with the demo.
        thread::Builder::new()
            .name("listener".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let streams = sockets.iter().map(|socket| listen(socket, sender.clone()));
                    futures_util::future::join_all(streams).await;
                });
            })?;
        Ok(Self { heard })
    }

    /// Hands everything that is heard to `see`, until that says it has seen enough, or `span` is
    /// over; whether it has.
    pub(super) fn listen_for(
        &self,
        span: Duration,
        story: &Story,
        mut see: impl FnMut(&Heard) -> bool,
    ) -> Result<bool, DemoError> {
        let until = Instant::now() + span;
        loop {
            story.check()?;
            let left = until.saturating_duration_since(Instant::now());
            match self.heard.recv_timeout(left.min(INTERVAL)) {
                Ok(heard) if see(&heard) => return Ok(true),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Ok(false),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(DemoError::Thread),
            }
        }
    }
}

async fn listen(socket: &Path, heard: Sender<Heard>) {
    let mut events = loop {
        match client::events(socket).await {
            Ok(events) => break events,
            Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    };
    while let Ok(Some(line)) = events.next().await {
        let at = Instant::now();
        // Lines of other kinds, such as the daemon's hello, are not of interest here.
        let Ok(Line { node, happening }) = serde_json::from_str(&line) else {
            continue;
        };
        if heard
            .send(Heard {
                at,
                node,
                happening,
            })
            .is_err()
        {
            return;
        }
    }
}

/// Whether a daemon is ready, or why it is not.
pub(super) fn readiness(socket: &Path) -> Result<(), String> {
    let runtime = runtime().map_err(|error| error.to_string())?;
    runtime
        .block_on(client::get::<Readiness>(socket, "/readyz"))
        .map(drop)
        .map_err(|error| error.to_string())
}

/// The steps of the last failover.
pub(super) fn steps(socket: &Path) -> Result<Vec<StepReport>, DemoError> {
    let runtime = runtime().map_err(DemoError::System)?;
    let history: HistoryReport = runtime
        .block_on(client::get(socket, "/v1/history"))
        .map_err(|error: ClientError| DemoError::Status(error))?;
    let last = history.failovers.into_iter().next();
    Ok(last
        .ok_or(DemoError::NotSeen {
            what: "a failover in the history",
        })?
        .steps)
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
