//! The subcommands: thin, each in a file of its own.

pub mod status;
