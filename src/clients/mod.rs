//! Clients' files: what each names, how it is edited, and the one way in which it is replaced.
//!
//! [`document`] edits text and [`template`] makes it anew; neither touches the file. [`transaction`]
//! replaces one file so that it is only ever seen whole, old or new. [`journal`] remembers which epoch
//! each file has reached, so that none goes back. [`worker`] is the thread that runs all of it, one file
//! after the other.

use std::path::PathBuf;

use crate::model::{ClientName, Endpoint, Epoch, GroupName, Replica};

pub mod command;
mod digest;
pub mod document;
pub mod journal;
pub mod reloads;
pub mod schedule;
pub mod template;
pub mod transaction;
mod watch;
pub mod worker;

use command::Command;
pub use digest::Digest;
pub use document::{Format, InvalidKeyPath, KeyPath, UnknownValueKind, ValueKind, split_paths};
pub use journal::Journal;
pub use worker::{FileOutcome, Outcome, ReloadOutcome, ReloadState, Replaced, Trouble, Worker};

/// A file of a client on this host, and what in it names the master of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whose file it is.
    pub client: ClientName,
    /// The group whose master it names.
    pub group: GroupName,
    /// Where it is. Its last part may not be a symbolic link.
    pub path: PathBuf,
    /// How its content comes about.
    pub content: Content,
    /// Tries a copy of the file before it takes the file's place.
    pub check: Option<Command>,
    /// Makes the client read the file again after a change.
    pub reload: Option<Command>,
}

/// How the content of a file comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Some values in it are changed, and nothing else.
    Edit {
        /// How it is written.
        format: Format,
        /// The keys or paths whose values name the master. All of their occurrences are kept right.
        keys: Vec<KeyPath>,
        /// Those whose values list where to read.
        lists: Vec<KeyPath>,
        /// What the values hold; none to tell it from each old value.
        value: Option<ValueKind>,
    },
    /// It is made whole from a template.
    Template {
        /// Where that is.
        source: PathBuf,
    },
}

impl Content {
    /// Whether it may say how replicas are.
    #[must_use]
    pub fn names_replicas(&self) -> bool {
        match self {
            Self::Edit { lists, .. } => !lists.is_empty(),
            Self::Template { .. } => true,
        }
    }
}

/// What the files of a group's clients have to say: the master of a committed epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The group.
    pub group: GroupName,
    /// The committed epoch.
    pub epoch: Epoch,
    /// The master of that epoch.
    pub master: Endpoint,
    /// The other instances of the group that are known, in the order of their addresses.
    pub replicas: Vec<Replica>,
}
