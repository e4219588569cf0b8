//! Why the journal cannot be used, or refuses something.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::LENGTH_MAX;
use crate::model::{ClientName, Epoch, GroupName};

/// Why the journal cannot be used, or refuses something.
#[derive(Debug, Error)]
pub enum JournalError {
    /// A step failed on the disk.
    #[error(
        "cannot {step} {path}: let the service user write to the state directory, and see that its disk is well and has space"
    )]
    Disk {
        /// What was tried.
        step: &'static str,
        /// The journal, or its successor.
        path: PathBuf,
        /// What the attempt brought.
        #[source]
        source: io::Error,
    },
    /// It is not one of ours, or of another version.
    #[error("{path} is no journal of clients' files, or one of another version")]
    Foreign {
        /// The journal.
        path: PathBuf,
    },
    /// More than we ever write.
    #[error("{path} is larger than {LENGTH_MAX} bytes, which it never should be")]
    TooLarge {
        /// The journal.
        path: PathBuf,
    },
    /// Bytes that were once durable have changed.
    #[error("{path} is damaged at byte {offset}: check the disk")]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// Where the first unreadable record begins.
        offset: u64,
    },
    /// Files never go back.
    #[error(
        "publication older than the file's: the file of {client} has reached epoch {reached} of \
         {group}, and epoch {epoch} was to be written"
    )]
    OlderThanFile {
        /// Whose file.
        client: ClientName,
        /// Which group.
        group: GroupName,
        /// What it holds.
        reached: Epoch,
        /// What was refused.
        epoch: Epoch,
    },
}

pub(super) fn disk_error(
    step: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Disk { step, path, source }
}
