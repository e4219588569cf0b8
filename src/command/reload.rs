//! `promoterd reload`: has the daemon of this host read its settings again, and tells what came of it.

use clap::Args;

use super::asking::{Socket, exit_code, runtime};
use super::{EXIT_SETTINGS, complain, say, warn};
use crate::status::ReloadReport;
use crate::status::client;

/// Which daemon.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let asked = client::post::<ReloadReport>(&arguments.socket.path, "/v1/reload", &());
    match runtime.block_on(asked) {
        Ok(report) => tell(&report, arguments.json),
        Err(error) => {
            complain(&error);
            exit_code(&error)
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
