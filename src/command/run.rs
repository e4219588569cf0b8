//! `promoterd run`: the daemon.

use std::io::{self, IsTerminal};
use std::panic;

use tokio::runtime;
use tracing_subscriber::EnvFilter;

use super::{EXIT_FAILURE, EXIT_SETTINGS, complain, load_settings};
use crate::daemon::{Daemon, DaemonError, Ended};
use crate::settings::{LogFormat, Settings};

pub(super) fn run() -> u8 {
    let settings = match load_settings() {
        Ok(settings) => settings,
        Err(mistakes) => {
            complain(&mistakes);
            return EXIT_SETTINGS;
        }
    };
    start_log(&settings);
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    match run_daemon(settings) {
        Ok(()) => 0,
        Err(error) => {
            complain(&error);
            EXIT_FAILURE
        }
    }
}

fn run_daemon(settings: Settings) -> Result<(), DaemonError> {
    // One thread: what happens in the daemon is the loop, and a wake-up costs least on its own core.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| DaemonError::Start(error.into()))?;
    runtime.block_on(async {
        loop {
            let daemon = Daemon::start(settings.clone()).await?;
            // A task, for it wakes up often: each time, the future of `block_on` itself would cost a write
            // to an eventfd and two more calls of `epoll_wait`.
            match tokio::spawn(daemon.run()).await {
                Ok(Ok(Ended::StartAgain)) => {}
                Ok(outcome) => return outcome.map(drop),
                // Nobody aborts it.
                Err(error) => panic::resume_unwind(error.into_panic()),
            }
        }
    })
}

fn start_log(settings: &Settings) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&settings.log))
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        // It would be told on the very output that failed, by a macro that panics there.
        .log_internal_errors(false)
        .with_writer(io::stderr);
    match settings.log_format {
        Some(LogFormat::Json) => builder.json().flatten_event(true).init(),
        Some(LogFormat::Text) | None => builder.init(),
    }
}
