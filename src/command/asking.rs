//! What the subcommands share that ask the daemon of this host.

use std::path::PathBuf;

use clap::Args;
use tokio::runtime::{self, Runtime};

use super::{EXIT_FAILURE, complain};
use crate::status::client::ClientError;

/// The daemon could not be reached, so nothing was asked.
pub(super) const NOT_REACHABLE: u8 = 2;

/// Where the daemon is asked.
#[derive(Debug, Clone, Args)]
pub struct Socket {
    /// The daemon's status socket.
    #[arg(
        long = "socket",
        value_name = "SOCKET",
        env = "PROMOTERD_STATUS_SOCKET",
        default_value = "/run/promoterd/status.sock"
    )]
    pub(super) path: PathBuf,
}

/// What it takes to ask; without it, the exit code.
pub(super) fn runtime() -> Result<Runtime, u8> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| {
        complain(&error);
        EXIT_FAILURE
    })
}

/// The exit code of a command whose question was not answered.
pub(super) fn exit_code(error: &ClientError) -> u8 {
    match error {
        ClientError::Unreachable { .. } | ClientError::Denied { .. } => NOT_REACHABLE,
        ClientError::TimedOut { .. }
        | ClientError::Broken { .. }
        | ClientError::Unbounded { .. }
        | ClientError::Refused { .. }
        | ClientError::NotUnderstood { .. } => EXIT_FAILURE,
    }
}
