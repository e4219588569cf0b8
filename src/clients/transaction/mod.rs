//! The replacement of one client's file: whoever reads it sees the old or the new content, whole.
//!
//! The steps, in order: open, read, edit and verify ([`document`]), stage a copy beside the file with
//! its owner, group, mode and extended attributes, sync it, compare the file with what was read,
//! rename, sync the directory, read back. Up to the rename a failure leaves the old file and nothing
//! else; from then on the new one stands. A `check` command belongs between the sync and the
//! comparison, a `reload` behind the reading back.
//!
//! [`document`]: super::document

use std::io;

use crate::model::Endpoint;

use super::document::{self, Edit};
use super::{Digest, Target};

mod error;
mod original;
mod stage;

#[cfg(test)]
mod tests;

pub use error::ReplaceError;
use original::{Location, Original};
use stage::Stage;
pub use stage::remove_stale_stages;

/// Largest file that is read.
pub const LENGTH_MAX: u64 = 1024 * 1024;

/// How often an edit starts again because somebody else wrote to the file meanwhile.
pub const ATTEMPTS_MAX: u32 = 5;

/// What stands in the file now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replacement {
    /// Whether the file was replaced; it was right before where not.
    pub changed: bool,
    /// The digest of its content.
    pub digest: Digest,
}

/// A step that reaches the disk. Named in errors, and where a test may fail it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Open,
    Read,
    Stage,
    KeepOwner,
    Sync,
    Compare,
    Rename,
    SyncDirectory,
    ReadBack,
}

/// Called before each step; what it fails with, the step fails with. Does nothing outside of tests.
type Before<'a> = &'a mut dyn FnMut(Step) -> io::Result<()>;

/// Makes the target's file name `master`, or leaves it exactly as it is. Blocks for two syncs.
///
/// # Errors
/// [`ReplaceError`]. The file is whole in any case: the old one, or, where only the sync of its
/// directory or the reading back failed, the new one.
pub fn replace(target: &Target, master: &Endpoint) -> Result<Replacement, ReplaceError> {
    replace_watched(target, master, &mut |_| Ok(()))
}

fn replace_watched(
    target: &Target,
    master: &Endpoint,
    before: Before<'_>,
) -> Result<Replacement, ReplaceError> {
    let location = Location::open(&target.path, before)?;
    for _ in 0..ATTEMPTS_MAX {
        if let Some(replacement) = attempt(target, master, &location, before)? {
            return Ok(replacement);
        }
    }
    Err(ReplaceError::KeepsChanging {
        path: target.path.clone(),
    })
}

/// One run through all steps; none when somebody else changed the file meanwhile.
fn attempt(
    target: &Target,
    master: &Endpoint,
    location: &Location,
    before: Before<'_>,
) -> Result<Option<Replacement>, ReplaceError> {
    let original = Original::read(location, before)?;
    let edit = Edit {
        keys: &target.keys,
        value: target.value,
        master,
    };
    let edited = document::edit(target.format, original.content(), edit).map_err(|source| {
        ReplaceError::Edit {
            path: target.path.clone(),
            source,
        }
    })?;
    let digest = Digest::of(edited.bytes());
    if !edited.is_changed() {
        return Ok(Some(Replacement {
            changed: false,
            digest,
        }));
    }
    let stage = Stage::create(location, &original, edited.bytes(), before)?;
    if !original.is_current(location, before)? {
        return Ok(None);
    }
    stage.take_place(before)?;
    location.sync(before)?;
    let stands = location.digest(before)? == Some(digest);
    Ok(stands.then_some(Replacement {
        changed: true,
        digest,
    }))
}
