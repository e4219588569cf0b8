//! Commands of an operator: what tries a file before it counts, and what makes its reader take it in.
//!
//! A command line is split into words as a shell splits them, and run without one: no variables, no
//! pipes, no redirections. What it prints is kept for the status, and never logged.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use rustix::io::Errno;
use thiserror::Error;

mod output;
mod run;

#[cfg(test)]
mod tests;

pub use run::{Running, start};

/// What stands for the file in a command line.
const PLACE: &str = "{}";

/// The words of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(Vec<String>);

/// A command and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What to run.
    pub line: CommandLine,
    /// After that it is killed, with all that it started.
    pub limit: Duration,
}

/// A text that is no [`CommandLine`]. It is not repeated: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidCommandLine {
    /// A quote without its fellow, or a backslash at the end.
    #[error("the command has a quote that is not closed, or ends with a backslash")]
    Unclosed,
    /// No word.
    #[error("the command names no program")]
    Empty,
    /// The program depends on the directory.
    #[error("the program must be named by its full path, or by its name alone")]
    Relative,
    /// A zero byte.
    #[error("the command holds a NUL byte")]
    Nul,
}

/// Why a command did not do its work.
#[derive(Debug, Error)]
pub enum CommandError {
    /// It did not begin.
    #[error("{program} cannot be run: {}", advice(source))]
    Start {
        /// Its first word.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It ended badly.
    #[error("{program} failed ({status})")]
    Failed {
        /// Its first word.
        program: String,
        /// How it ended.
        status: String,
    },
    /// It did not end.
    #[error("{program} did not end within {limit:?} and was killed, with all that it had started")]
    Endless {
        /// Its first word.
        program: String,
        /// How long it could have taken.
        limit: Duration,
    },
}

/// What came of a command.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub result: Result<(), CommandError>,
    /// The end of what it printed: bounded, in one line a line, and without what may be a password.
    pub output: String,
}

impl CommandLine {
    /// The program, as it was named.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.0[0]
    }

    /// The words with `file` in place of each `{}`.
    #[must_use]
    pub fn with_file(&self, file: &Path) -> Vec<String> {
        let file = file.to_string_lossy();
        let place = |word: &String| word.replace(PLACE, &file);
        self.0.iter().map(place).collect()
    }

    /// The same; where no `{}` stands, `file` comes last, so that nothing else can be meant.
    #[must_use]
    pub fn about_file(&self, file: &Path) -> Vec<String> {
        let mut words = self.with_file(file);
        if !self.0.iter().any(|word| word.contains(PLACE)) {
            words.push(file.to_string_lossy().into_owned());
        }
        words
    }
}

impl FromStr for CommandLine {
    type Err = InvalidCommandLine;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('\0') {
            return Err(InvalidCommandLine::Nul);
        }
        let words = shlex::split(text).ok_or(InvalidCommandLine::Unclosed)?;
        let program = words.first().filter(|program| !program.is_empty());
        let program = program.ok_or(InvalidCommandLine::Empty)?;
        if program.contains('/') && !program.starts_with('/') {
            return Err(InvalidCommandLine::Relative);
        }
        Ok(Self(words))
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.program())
    }
}

fn advice(source: &io::Error) -> &'static str {
    match Errno::from_io_error(source) {
        Some(Errno::NOENT) => "name a program that exists, with the interpreter that it wants",
        Some(Errno::ACCESS | Errno::PERM) => "let the service user execute it",
        Some(_) | None => {
            "see whether it is a program, and whether the host has processes and memory left"
        }
    }
}
