//! `promoterd fencer`: the process that runs as root beside the daemon.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use nix::sys::mman::{MlockAllFlags, mlockall};
use tokio::runtime;
use tracing::warn;

use super::{EXIT_FAILURE, complain};
use crate::daemon::Log;
use crate::fencer::{FencerError, FencerServer, FencerSettings, ServiceName, Trust};

/// Where it listens, whom it obeys, what it may end.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where it listens. What it keeps for the next fencer lies beside it.
    #[arg(
        long,
        value_name = "SOCKET",
        env = "PROMOTERD_FENCER_SOCKET",
        default_value = "/run/promoterd-fencer/fencer.sock"
    )]
    socket: PathBuf,
    /// The user whose daemon gives orders; root may always.
    #[arg(
        long,
        value_name = "NAME",
        env = "PROMOTERD_FENCER_USER",
        default_value = "promoterd"
    )]
    user: String,
    /// The services whose processes it may end, by commas, where they start fenced.
    #[arg(
        long,
        value_name = "SERVICE",
        env = "PROMOTERD_FENCER_UNITS",
        value_delimiter = ',',
        default_value = "redis-server.service,redis.service,valkey-server.service,valkey.service,\
                         redis-server@*.service,redis@*.service,valkey-server@*.service,valkey@*.service"
    )]
    units: Vec<ServiceName>,
    /// Take the operator's word for it that every Redis and Valkey server of this host starts fenced.
    #[arg(long, value_name = "WORD", env = "PROMOTERD_FENCER_ASSUME")]
    assume: Option<Assumption>,
    /// Which events are logged: a level, or TARGET=LEVEL by commas.
    #[arg(
        long,
        value_name = "FILTER",
        env = "PROMOTERD_LOG",
        default_value = "info"
    )]
    log: String,
}

/// What the operator vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Assumption {
    /// Whatever starts a server starts it so that it takes no writes.
    StartsFenced,
}

pub(super) fn run(arguments: Arguments) -> u8 {
    let _log = Log::start(&arguments.log, None);
    stay_in_memory();
    let trust = match arguments.assume {
        Some(Assumption::StartsFenced) => Trust::Vouched,
        None => Trust::Services(arguments.units),
    };
    let settings = FencerSettings {
        socket: arguments.socket,
        user: arguments.user,
        trust,
    };
    match run_fencer(settings) {
        Ok(()) => 0,
        Err(error) => {
            complain(&error);
            EXIT_FAILURE
        }
    }
}

/// A page that has to be read back from a disk first may come too late.
fn stay_in_memory() {
    if let Err(error) = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE) {
        warn!(%error, "the fencer is not locked in memory, and may be late where memory is short");
    }
}

fn run_fencer(settings: FencerSettings) -> Result<(), FencerError> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // A task, as in the daemon: the future of `block_on` itself wakes up at a higher price.
    let outcome = runtime.block_on(async {
        let fencer = FencerServer::start(settings)?;
        match tokio::spawn(fencer.run()).await {
            Ok(outcome) => outcome,
            // Nobody aborts it.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    });
    // A systemctl that hangs does not hold the end up.
    runtime.shutdown_background();
    outcome
}
