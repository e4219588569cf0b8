//! `promoterd reload`: has the daemon of this host read its settings again, and tells what came of it.

use std::path::PathBuf;

use clap::Args;
use tokio::runtime;

use super::{EXIT_FAILURE, EXIT_SETTINGS, complain, say, warn};
use crate::status::ReloadReport;
use crate::status::client::{self, ClientError};

/// The daemon could not be reached.
const NOT_REACHABLE: u8 = 2;

/// Which daemon.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
    /// The daemon's status socket.
    #[arg(
        long,
        env = "PROMOTERD_STATUS_SOCKET",
        default_value = "/run/promoterd/status.sock"
    )]
    socket: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error);
            return EXIT_FAILURE;
        }
    };
    let asked = client::post::<ReloadReport>(&arguments.socket, "/v1/reload", &());
    match runtime.block_on(asked) {
        Ok(report) => tell(&report, arguments.json),
        Err(error) => {
            complain(&error);
            match error {
                ClientError::Unreachable { .. } | ClientError::Denied { .. } => NOT_REACHABLE,
                ClientError::TimedOut { .. }
                | ClientError::Broken { .. }
                | ClientError::Unbounded { .. }
                | ClientError::Refused { .. }
                | ClientError::NotUnderstood { .. } => EXIT_FAILURE,
            }
        }
    }
}

fn tell(report: &ReloadReport, json: bool) -> u8 {
    let is_good = report.mistakes.is_empty();
    if json {
        let text = serde_json::to_string_pretty(report).unwrap_or_default();
        say(&format!("{text}\n"));
    } else {
        for mistake in &report.mistakes {
            warn(mistake);
        }
        if !is_good {
            warn("nothing was changed: the settings in force stay");
        } else if report.applied.is_empty() {
            say("nothing to take on\n");
        }
        for variable in &report.applied {
            say(&format!("taken on: {variable}\n"));
        }
        for variable in &report.needs_restart {
            say(&format!("needs a restart: {variable}\n"));
        }
    }
    if is_good { 0 } else { EXIT_SETTINGS }
}
