//! Why a client's file could not be replaced, and what an operator can do about it.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use super::{ATTEMPTS_MAX, LENGTH_MAX, Step};
use crate::clients::command::CommandError;
use crate::clients::document::EditError;
use crate::clients::template::TemplateError;

/// Why a file was not replaced.
#[derive(Debug, Error)]
pub enum ReplaceError {
    /// The path cannot be one of a file.
    #[error("client file {path} names no file: set FILE to the full path of one")]
    NoFile {
        /// As in the settings.
        path: PathBuf,
    },
    /// Renaming would put a file in place of the link.
    #[error("client file {path} is a symbolic link: set FILE to {leads_to}, where it leads")]
    Link {
        /// As in the settings.
        path: PathBuf,
        /// The end of the chain of links.
        leads_to: PathBuf,
    },
    /// A directory, a device, a pipe or a socket.
    #[error("client file {path} is no regular file: set FILE to one")]
    NotRegular {
        /// As in the settings.
        path: PathBuf,
    },
    /// Too much for a file of settings.
    #[error(
        "client file {path} is larger than {LENGTH_MAX} bytes: move the keys to a file of their own"
    )]
    TooLarge {
        /// As in the settings.
        path: PathBuf,
    },
    /// The content cannot be edited.
    #[error("client file {path} cannot be edited and stays as it is")]
    Edit {
        /// As in the settings.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<EditError>,
    },
    /// The operator's command does not want it.
    #[error(
        "CHECK refused the new content of client file {path}, which stays as it is: correct the file, or CHECK"
    )]
    Refused {
        /// As in the settings.
        path: PathBuf,
        /// How it refused.
        #[source]
        source: CommandError,
    },
    /// The template gave nothing.
    #[error("client file {path} cannot be made from its template and stays as it is")]
    Template {
        /// As in the settings.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<TemplateError>,
    },
    /// Only root may give a file away.
    #[error(
        "client file {path} belongs to user {owner}, which a replacement by the service user would \
         not keep: give it to the service user (chown), and let its readers read it by its group"
    )]
    Owner {
        /// As in the settings.
        path: PathBuf,
        /// The number of its owner.
        owner: u32,
        /// What the attempt brought.
        #[source]
        source: io::Error,
    },
    /// The service user is not in the file's group.
    #[error(
        "client file {path} belongs to group {group}, of which the service user is no member: add \
         it (SupplementaryGroups= in the unit)"
    )]
    Group {
        /// As in the settings.
        path: PathBuf,
        /// The number of its group.
        group: u32,
        /// What the attempt brought.
        #[source]
        source: io::Error,
    },
    /// An access list or a label could not be carried over.
    #[error(
        "extended attribute {name} of client file {path} cannot be kept: allow the service user to \
         set it, or remove it from the file"
    )]
    Attribute {
        /// As in the settings.
        path: PathBuf,
        /// The attribute.
        name: String,
        /// What the attempt brought.
        #[source]
        source: io::Error,
    },
    /// Somebody else writes to it all the time.
    #[error(
        "client file {path} was changed by somebody else in each of {ATTEMPTS_MAX} attempts: find \
         what writes to it"
    )]
    KeepsChanging {
        /// As in the settings.
        path: PathBuf,
    },
    /// A step failed on the disk.
    #[error("cannot {step} client file {path}: {advice}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// As in the settings.
        path: PathBuf,
        /// What to do.
        advice: &'static str,
        /// What the attempt brought.
        #[source]
        source: io::Error,
    },
}

impl ReplaceError {
    pub(super) fn step(step: Step, path: &Path, source: io::Error) -> Self {
        Self::Step {
            step: step.name(),
            path: path.to_owned(),
            advice: advice(step, &source),
            source,
        }
    }
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Stage => "write a copy beside",
            Self::KeepOwner => "keep the owner of",
            Self::Sync => "sync the copy of",
            Self::Compare => "read once more",
            Self::Rename => "rename the copy to",
            Self::SyncDirectory => "sync the directory of",
            Self::ReadBack => "read back",
        }
    }

    fn only_reads(self) -> bool {
        match self {
            Self::Open | Self::Read | Self::Compare | Self::ReadBack => true,
            Self::Stage | Self::KeepOwner | Self::Sync | Self::Rename | Self::SyncDirectory => {
                false
            }
        }
    }
}

fn advice(step: Step, source: &io::Error) -> &'static str {
    match Errno::from_io_error(source) {
        Some(Errno::NOENT) => "create the file and its directory, or correct FILE",
        Some(Errno::NOTDIR) => "a part of the path is no directory: correct FILE",
        Some(Errno::ACCESS | Errno::PERM) if step.only_reads() => {
            "let the service user read it and search its directory"
        }
        Some(Errno::ACCESS | Errno::PERM) => "let the service user write to its directory",
        Some(Errno::BUSY) => {
            "it is a mount of its own, which nothing can replace: mount its directory instead (in \
             ReadWritePaths= or the container's volumes, list the directory and not the file)"
        }
        Some(Errno::ROFS) => {
            "it is on a read-only file system: list its directory in ReadWritePaths= of the unit, or \
             remount it"
        }
        Some(Errno::NOSPC | Errno::DQUOT) => "free some space on its file system",
        Some(Errno::XDEV) => {
            "its directory spans two file systems: let the file and its directory lie on one"
        }
        Some(Errno::NAMETOOLONG) => "its name leaves no room for that of a copy: shorten it",
        Some(Errno::IO) => "the disk fails: check it",
        Some(_) | None => "the cause follows",
    }
}
