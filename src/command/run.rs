//! `promoterd run`: the daemon.

use std::panic;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;

use super::{EXIT_FAILURE, EXIT_SETTINGS, complain, load_settings};
use crate::daemon::{Daemon, DaemonError, Ended, Log, ObserverDaemon, Surroundings};
use crate::model::NodeRole;
use crate::settings::Settings;

/// How long threads that wait for something may hold the end up.
const SHUTDOWN_MAX: Duration = Duration::from_secs(1);

pub(super) fn run() -> u8 {
    let settings = match load_settings() {
        Ok(settings) => settings,
        Err(mistakes) => {
            complain(&mistakes);
            return EXIT_SETTINGS;
        }
    };
    let surroundings = Arc::new(Surroundings {
        log: Log::start(&settings.log, settings.log_format),
        read_settings: load_settings,
    });
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let run = match settings.role {
        NodeRole::Voter | NodeRole::Witness => run_daemon,
        NodeRole::Observer => run_observer,
    };
    match run(settings, &surroundings) {
        Ok(()) => 0,
        Err(error) => {
            complain(&error);
            EXIT_FAILURE
        }
    }
}

fn run_observer(settings: Settings, surroundings: &Arc<Surroundings>) -> Result<(), DaemonError> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| DaemonError::Start(error.into()))?;
    let outcome = runtime.block_on(async {
        let daemon = ObserverDaemon::start(settings, Arc::clone(surroundings)).await?;
        daemon.run().await
    });
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    outcome
}

fn run_daemon(settings: Settings, surroundings: &Arc<Surroundings>) -> Result<(), DaemonError> {
    // One thread: what happens in the daemon is the loop, and a wake-up costs least on its own core.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| DaemonError::Start(error.into()))?;
    let outcome = runtime.block_on(async {
        loop {
            let daemon = Daemon::start(settings.clone(), Arc::clone(surroundings)).await?;
            // A task, for it wakes up often: each time, the future of `block_on` itself would cost a write
            // to an eventfd and two more calls of `epoll_wait`.
            match tokio::spawn(daemon.run()).await {
                Ok(Ok(Ended::StartAgain)) => {}
                Ok(outcome) => return outcome.map(drop),
                // Nobody aborts it.
                Err(error) => panic::resume_unwind(error.into_panic()),
            }
        }
    });
    // A disk or a name service that hangs does not hold the end up.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    outcome
}
