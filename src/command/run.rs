//! `promoterd run`: the daemon.

use std::panic;

use tokio::runtime;

use super::{EXIT_FAILURE, EXIT_SETTINGS, complain, load_settings};
use crate::daemon::{Daemon, DaemonError, Ended, Log};
use crate::settings::Settings;

pub(super) fn run() -> u8 {
    let settings = match load_settings() {
        Ok(settings) => settings,
        Err(mistakes) => {
            complain(&mistakes);
            return EXIT_SETTINGS;
        }
    };
    let log = Log::start(&settings);
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    match run_daemon(settings, &log) {
        Ok(()) => 0,
        Err(error) => {
            complain(&error);
            EXIT_FAILURE
        }
    }
}

fn run_daemon(settings: Settings, log: &Log) -> Result<(), DaemonError> {
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
