//! `promoterd rescue list`: the data sets that were saved on this host, and how to look into them.

use clap::{Args, Subcommand};

use super::asking::{Socket, exit_code, runtime};
use super::{complain, say};
use crate::status::{RescuesReport, client, describe_rescues};

/// What to do with them.
#[derive(Debug, Subcommand)]
pub enum Rescue {
    /// Show those that are kept on this host, and how to load one beside the group and compare.
    ///
    /// Other nodes may have saved others: ask each. Exit codes: 0 shown, also when there are none; 1 refused;
    /// 2 the daemon cannot be reached.
    List(Arguments),
}

/// Which daemon, and how.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print JSON, as `/v1/rescues` has it.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

pub(super) fn run(rescue: &Rescue) -> u8 {
    let Rescue::List(arguments) = rescue;
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let asked = client::get::<RescuesReport>(&arguments.socket.path, "/v1/rescues");
    match runtime.block_on(asked) {
        Ok(report) if arguments.json => {
            let text = serde_json::to_string_pretty(&report).unwrap_or_default();
            say(&format!("{text}\n"));
            0
        }
        Ok(report) => {
            say(&describe_rescues(&report));
            0
        }
        Err(error) => {
            complain(&error);
            exit_code(&error)
        }
    }
}
