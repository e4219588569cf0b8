//! The log: where events go, in which form, and which of them.

use std::io::{self, IsTerminal};

use tracing::warn;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use super::journal::{Datagrams, Journal};
use crate::settings::LogFormat;

/// The log of this process.
#[derive(Debug)]
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    // Writes what is left when dropped.
    _writer: WorkerGuard,
}

impl Log {
    /// Starts it, for the events of `filter` in this format; told by the output when none. Once a process.
    ///
    /// It is written by a thread of its own: whoever reads it may stop reading, and the daemon goes on;
    /// then events are lost, and none is waited for.
    #[must_use]
    pub fn start(filter: &str, format: Option<LogFormat>) -> Self {
        let (filter, handle) = reload::Layer::new(EnvFilter::new(filter));
        let to_journal = match format {
            Some(format) => format == LogFormat::Journald,
            None => is_journal(),
        };
        let (journal, unheard) = match to_journal.then(Datagrams::open).transpose() {
            Ok(journal) => (journal, None),
            Err(error) => (None, Some(error)),
        };
        let (layer, guard) = match journal {
            Some(journal) => {
                let (writer, guard) = queue().finish(journal);
                (Journal(writer).boxed(), guard)
            }
            None => {
                let (writer, guard) = queue().finish(io::stderr());
                let is_json = format == Some(LogFormat::Json);
                (on_stderr(writer, is_json), guard)
            }
        };
        tracing_subscriber::registry()
            .with(filter)
            .with(layer)
            .init();
        if let Some(error) = unheard {
            warn!(%error, "the journal of systemd does not listen: the log goes to standard error");
        }
        Self {
            filter: handle,
            _writer: guard,
        }
    }

    /// Has other events logged from now on.
    pub(super) fn set_filter(&self, filter: &str) {
        // It fails only once the subscriber is gone, and that stays as long as the process.
        drop(self.filter.reload(EnvFilter::new(filter)));
    }
}

type Filtered = tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Registry>, Registry>;

/// Lines that wait to be written; beyond that they are lost.
fn queue() -> NonBlockingBuilder {
    const LINES_MAX: usize = 4096;
    NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX)
}

fn on_stderr(writer: NonBlocking, is_json: bool) -> Box<dyn Layer<Filtered> + Send + Sync> {
    let lines = fmt::layer()
        .with_target(false)
        .with_ansi(!is_json && io::stderr().is_terminal())
        // It would be told on the very output that failed, by a macro that panics there.
        .log_internal_errors(false)
        .with_writer(writer);
    match is_json {
        true => lines.json().flatten_event(true).boxed(),
        false => lines.boxed(),
    }
}

/// Whether standard error is a stream to the journal. Source: `$JOURNAL_STREAM` in systemd.exec(5).
fn is_journal() -> bool {
    let told = std::env::var("JOURNAL_STREAM").ok();
    let own = rustix::fs::fstat(io::stderr()).ok();
    told.zip(own)
        .is_some_and(|(told, own)| told == format!("{}:{}", own.st_dev, own.st_ino))
}
