//! Command line to subcommand to exit code.

use std::process::ExitCode;

use clap::Parser;
use promoterd::command::Command;

/// Keeps Redis masters writable: watches, agrees, promotes a replica, rewrites the clients' files.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    Arguments::parse().command.run()
}
