//! The subcommands. All but `run`, `fencer` and `demo` only read, or talk to the status socket.

mod asking;
mod check;
mod demo;
mod fencer;
mod keygen;
mod operate;
mod reload;
mod render;
mod rescue;
mod run;
mod status;

use std::process::ExitCode;

use clap::Subcommand;

use crate::model::with_causes;
use crate::settings::{self, Mistakes, Settings, Sources};

/// Bad settings: `EX_CONFIG` of sysexits.h.
const EXIT_SETTINGS: u8 = 78;
/// Anything else that failed.
const EXIT_FAILURE: u8 = 1;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon of this host, until SIGTERM or SIGINT.
    ///
    /// Exit codes: 0 stopped by a signal; 78 the settings have mistakes, each is named; 1 it could not
    /// start, or could not go on.
    Run,
    /// Run the fencer of this host, as root, until SIGTERM or SIGINT: for groups with FENCING=strict.
    ///
    /// It ends the process of a Redis master whose daemon let its lease lapse. Exit codes: 0 stopped by a
    /// signal; 1 it could not start, or could not go on; 2 an argument is mistaken.
    Fencer(fencer::Arguments),
    /// Read the settings, print what is in force and where each value comes from.
    ///
    /// Binds nothing. Exit codes: 0 they are good; 78 they have mistakes, each is named.
    Check,
    /// Show what the daemon of this host knows, and what it did.
    ///
    /// Exit codes: 0 all is well; 1 something is wrong, and the first line says what; 2 the daemon cannot
    /// be reached.
    Status(status::Arguments),
    /// Leave a group alone: watch it and tell of it, and do nothing about it.
    ///
    /// Works on any node, and counts on all. Exit codes: 0 it is committed; 1 refused; 2 the daemon cannot
    /// be reached; 3 not known yet, it may still take effect.
    Pause(operate::Pause),
    /// Look after a group again.
    ///
    /// Exit codes as of `pause`.
    Resume(operate::Resume),
    /// Register a group that waits, with this instance as its master.
    ///
    /// For instances that do not agree on who is the master, or do not all answer, and for settings that are
    /// not equal. The instance has to answer and to be a master. Exit codes as of `pause`.
    Adopt(operate::Adopt),
    /// Have a replica take the place of the master, which is well, without the loss of a write.
    ///
    /// Works on any node. The master holds its clients' writes until the replica has them all, a few
    /// milliseconds as a rule. Exit codes: 0 done; 1 refused, or it came to nothing; 2 the daemon cannot be
    /// reached; 3 not known yet, it may still take effect.
    Switchover(operate::Switchover),
    /// Have the daemon of this host read its settings again.
    ///
    /// Takes on what a running daemon can, and names what needs a restart. Exit codes: 0 done; 1 refused;
    /// 2 the daemon cannot be reached; 78 the settings have mistakes, each is named, and nothing changed.
    Reload(reload::Arguments),
    /// Show what the clients' files of this host would say, or how they would change, and change nothing.
    ///
    /// For the master that the daemon of this host knows, or for a supposed one. Exit codes: 0 nothing would
    /// change; 1 something would; 2 the daemon cannot be reached; 3 a file cannot be made; 78 the settings
    /// have mistakes, each is named.
    Render(render::Arguments),
    /// The data that were saved from old masters before they were demoted, where `RESCUE=on`.
    #[command(subcommand)]
    Rescue(rescue::Rescue),
    /// Print a new cluster key, to be put in the file that PROMOTERD_PEER_KEY_FILE names on every node.
    ///
    /// Exit codes: 0 printed; 1 not.
    Keygen(keygen::Arguments),
    /// Start a master, two replicas, three daemons and a client here, kill the master, and show what happens.
    ///
    /// Exit codes: 0 the whole failover was seen; 1 it was not.
    Demo(demo::Arguments),
}

impl Command {
    /// Does it.
    pub fn run(self) -> ExitCode {
        let code = match self {
            Self::Run => run::run(),
            Self::Fencer(arguments) => fencer::run(arguments),
            Self::Check => check::run(),
            Self::Status(arguments) => status::run(&arguments),
            Self::Pause(arguments) => operate::pause(&arguments),
            Self::Resume(arguments) => operate::resume(&arguments),
            Self::Adopt(arguments) => operate::adopt(&arguments),
            Self::Switchover(arguments) => operate::switchover(&arguments),
            Self::Reload(arguments) => reload::run(&arguments),
            Self::Render(arguments) => render::run(&arguments),
            Self::Rescue(rescue) => rescue::run(&rescue),
            Self::Keygen(arguments) => keygen::run(&arguments),
            Self::Demo(arguments) => demo::run(&arguments),
        };
        ExitCode::from(code)
    }
}

fn load_settings() -> Result<Settings, Mistakes> {
    let host_name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    settings::load(&Sources::new(std::env::vars_os(), host_name))
}

/// Everything that a subcommand says to people goes through here.
fn say(text: &str) {
    use std::io::Write;
    // A reader that went away, such as `head`, is no reason to fail.
    drop(std::io::stdout().write_all(text.as_bytes()));
}

/// What people should know beside the outcome.
fn warn(text: &str) {
    use std::io::Write;
    drop(std::io::stderr().write_all(format!("promoterd: {text}\n").as_bytes()));
}

/// And everything that went wrong, with its causes.
fn complain(error: &dyn std::error::Error) {
    use std::io::Write;
    let text = format!("promoterd: {}\n", with_causes(error));
    drop(std::io::stderr().write_all(text.as_bytes()));
}
