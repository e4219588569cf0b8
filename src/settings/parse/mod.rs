//! The types of values: each is read from the raw text, and says what it did not like.

mod amount;
mod edit;
mod place;
mod word;

use std::str::FromStr;

use thiserror::Error;

pub use amount::ElectionTimeout;
pub(super) use amount::{Count, Size, Span};
pub(super) use edit::{EditPaths, EnvKeys};
pub(super) use place::{AbsolutePath, Address, Peer, SocketPath};
pub use word::LogFormat;
pub(super) use word::{Level, LogFilter, Renamed, RoleWord, Switch, SystemGroup, Username};

use crate::clients::command::InvalidCommandLine;
use crate::clients::{InvalidKeyPath, UnknownValueKind};
use crate::model::{InvalidEndpoint, InvalidName};

/// Why a text is no value of its key.
#[derive(Debug, Error)]
pub enum InvalidValue {
    /// Nothing is there.
    #[error("the value is empty: leave the key out instead")]
    Empty,
    /// A comma with nothing before or behind it.
    #[error("an item of the list is empty: take out its comma too")]
    EmptyItem,
    /// No span of time.
    #[error("{0} is no span of time: write a number and a unit")]
    Span(String),
    /// No range of time.
    #[error("{0} is no range of time: write MIN-MAX with units")]
    Range(String),
    /// A range that no election can use.
    #[error("{0} must begin at 20ms or later, end at 1m or sooner, and end above its beginning")]
    RangeBounds(String),
    /// No whole number.
    #[error("{0} is no whole number")]
    Count(String),
    /// Neither on nor off.
    #[error("{0} is neither true or on, nor false or off")]
    Switch(String),
    /// No group of the system.
    #[error("{0} is no name of a group of users: use 1 to 32 letters, digits, '.', '-' or '_'")]
    SystemGroup(String),
    /// No number of bytes.
    #[error(
        "{0} is no size in bytes: write a number with no unit or with KiB, MiB, GiB, KB, MB or GB, or none"
    )]
    Size(String),
    /// No path that we follow. It is not repeated: it may be a secret in the place of its file's name.
    #[error(
        "the value must be an absolute path without \"..\", control characters and a blank at its end"
    )]
    Path,
    /// A path beyond the bound of the system, in bytes.
    #[error("the path is longer than the {0} bytes that the system allows")]
    LongPath(usize),
    /// A URL, which may hold a password.
    #[error("an address is HOST:PORT, without scheme, user and password")]
    Url,
    /// No address.
    #[error("{0}")]
    Endpoint(#[from] InvalidEndpoint),
    /// No name.
    #[error("{0}")]
    Name(#[from] InvalidName),
    /// No kind of value.
    #[error("{0}")]
    ValueKind(#[from] UnknownValueKind),
    /// No command.
    #[error("{0}")]
    Command(#[from] InvalidCommandLine),
    /// No path to a value.
    #[error("{0}")]
    KeyPath(#[from] InvalidKeyPath),
    /// No voter.
    #[error("{0} is not NAME=HOST:PORT")]
    Peer(String),
    /// None of the known words.
    #[error("{given} is none of {known}")]
    Word {
        /// What was given.
        given: String,
        /// The words that are accepted.
        known: &'static str,
    },
    /// No filter for the log.
    #[error("{0} is neither a level (error, warn, info, debug, trace, off) nor TARGET=LEVEL")]
    Filter(String),
    /// No user name.
    #[error("the value is no user name: use 1 to 128 characters without blanks")]
    Username,
    /// No renamed command.
    #[error("{given} is not COMMAND=NAME, with one of {known} and a name without blanks")]
    Renamed {
        /// What was given.
        given: String,
        /// The commands that may be renamed.
        known: String,
    },
    /// No key of an env file.
    #[error("{0} is no key of an env file: use letters, digits and '_', with no digit first")]
    EditKey(String),
    /// Too small or too large.
    #[error("{given} is out of bounds: {min} to {max} is accepted")]
    Bounds {
        /// What was given.
        given: String,
        /// The smallest value that is accepted.
        min: &'static str,
        /// The largest one.
        max: &'static str,
    },
}

/// Values by commas, with blanks around them allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct List<T>(pub(in crate::settings) Vec<T>);

impl<T: FromStr<Err: Into<InvalidValue>>> FromStr for List<T> {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let items = text.split(',').map(str::trim).map(|item| match item {
            "" => Err(InvalidValue::EmptyItem),
            item => item.parse().map_err(Into::into),
        });
        items.collect::<Result<_, _>>().map(Self)
    }
}

/// Shows a bounded part of a text, never what may be a user and password before an `@`.
pub(in crate::settings) fn quote(text: &str) -> String {
    let shown: String = match text.rsplit_once('@') {
        Some((_, rest)) => format!("***@{rest}"),
        None => text.to_owned(),
    };
    format!("{:?}", shown.chars().take(80).collect::<String>())
}
