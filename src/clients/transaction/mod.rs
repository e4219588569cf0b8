//! The replacement of one client's file: whoever reads it sees the old or the new content, whole.
//!
//! The steps, in order: open, read, edit and verify ([`document`]), stage a copy beside the file with
//! its owner, group, mode and extended attributes, sync it, compare the file with what was read,
//! rename, sync the directory, read back. Up to the rename a failure leaves the old file and nothing
//! else; from then on the new one stands. A `check` command runs between [`prepare`] and
//! [`Staged::commit`], a `reload` behind the latter.
//!
//! [`document`]: super::document

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::document::{self, Edit};
use super::{Content, Digest, Publication, Target, template};
use crate::model::Replica;

mod error;
mod original;
mod stage;

#[cfg(test)]
mod mount_tests;
#[cfg(test)]
mod template_tests;
#[cfg(test)]
mod tests;

pub use error::ReplaceError;
pub use original::Identity;
use original::{Location, Original};
use stage::Stage;
pub use stage::remove_stale_stages;

/// Largest file that is read.
pub const LENGTH_MAX: u64 = 1024 * 1024;

/// How often an edit starts again because somebody else wrote to the file meanwhile.
pub const ATTEMPTS_MAX: u32 = 5;

/// What stands in the file now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Whether the file was replaced; it was right before where not.
    pub changed: bool,
    /// The digest of its content.
    pub digest: Digest,
    /// By which to tell later whether somebody touched it.
    pub identity: Identity,
}

/// What a look at the file came to.
pub enum Prepared {
    /// It says what it shall.
    Right(Replacement),
    /// It does not, and the copy that does lies beside it.
    Staged(Staged),
}

/// A synced copy that may take the file's place. Dropped, it is removed.
pub struct Staged {
    location: Arc<Location>,
    original: Option<Original>,
    stage: Stage,
    digest: Digest,
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

/// Makes the target's file say what is published, or leaves it exactly as it is.
#[cfg(test)]
fn replace(target: &Target, publication: &Publication) -> Result<Replacement, ReplaceError> {
    replace_watched(target, publication, &mut |_| Ok(()))
}

#[cfg(test)]
fn replace_watched(
    target: &Target,
    publication: &Publication,
    before: Before<'_>,
) -> Result<Replacement, ReplaceError> {
    for _ in 0..ATTEMPTS_MAX {
        match prepare_watched(target, publication, before)? {
            Prepared::Right(replacement) => return Ok(replacement),
            Prepared::Staged(staged) => {
                if let Some(replacement) = staged.commit_watched(before)? {
                    return Ok(replacement);
                }
            }
        }
    }
    Err(keeps_changing(target))
}

/// All steps before the first that others can see. Blocks for a sync.
///
/// # Errors
/// [`ReplaceError`]; nothing is left behind.
pub fn prepare(target: &Target, publication: &Publication) -> Result<Prepared, ReplaceError> {
    prepare_watched(target, publication, &mut |_| Ok(()))
}

/// What to say of a file that somebody else writes to again and again.
#[must_use]
pub fn keeps_changing(target: &Target) -> ReplaceError {
    ReplaceError::KeepsChanging {
        path: target.path.clone(),
    }
}

/// What a file says, and what it would say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// None where a template would make it.
    pub present: Option<Vec<u8>>,
    /// All of it.
    pub future: Vec<u8>,
}

/// Reads, edits and verifies as [`prepare`] does, and leaves it at that.
///
/// # Errors
/// [`ReplaceError`]: as `prepare` would fail.
pub fn preview(target: &Target, publication: &Publication) -> Result<Preview, ReplaceError> {
    let before: Before<'_> = &mut |_| Ok(());
    let location = Location::open(&target.path, before)?;
    let (original, future) = compose(target, publication, &location, before)?;
    let present = original.ok().map(|original| original.content().to_vec());
    Ok(Preview { present, future })
}

/// The file, or the permissions that it is to have where there is none; and what it shall say.
fn compose(
    target: &Target,
    publication: &Publication,
    location: &Location,
    before: Before<'_>,
) -> Result<(Result<Original, u32>, Vec<u8>), ReplaceError> {
    match &target.content {
        Content::Edit {
            format,
            keys,
            lists,
            value,
        } => {
            let original = Original::read(location, before)?;
            let fails = |source| ReplaceError::Edit {
                path: target.path.clone(),
                source: Box::new(source),
            };
            let edit = Edit {
                keys,
                value: *value,
                master: &publication.master,
                readers: &[],
            };
            let content = original.content();
            let edited = match keys.is_empty() {
                true => content.to_vec(),
                false => document::edit(*format, content, edit)
                    .map_err(fails)?
                    .into_bytes(),
            };
            let readers = Replica::readers(&publication.replicas, &publication.master);
            let edit = Edit {
                keys: lists,
                readers: &readers,
                ..edit
            };
            let edited = document::edit_lists(*format, &edited, edit).map_err(fails)?;
            Ok((Ok(original), edited.into_bytes()))
        }
        Content::Template { source } => {
            let fails = |source| ReplaceError::Template {
                path: target.path.clone(),
                source: Box::new(source),
            };
            let source = template::Source::read(source).map_err(fails)?;
            let content = source.render(&target.client, publication).map_err(fails)?;
            let original = Original::read_if_there(location, before)?;
            Ok((original.ok_or(source.mode()), content))
        }
    }
}

fn prepare_watched(
    target: &Target,
    publication: &Publication,
    before: Before<'_>,
) -> Result<Prepared, ReplaceError> {
    let location = Arc::new(Location::open(&target.path, before)?);
    let (original, content) = compose(target, publication, &location, before)?;
    let digest = Digest::of(&content);
    match original {
        Ok(original) if original.content() == content => Ok(Prepared::Right(Replacement {
            changed: false,
            digest,
            identity: original.identity(),
        })),
        original => Ok(Prepared::Staged(Staged {
            stage: Stage::create(
                &location,
                original.as_ref().map_err(|mode| *mode),
                &content,
                before,
            )?,
            original: original.ok(),
            location,
            digest,
        })),
    }
}

impl Staged {
    /// Where the copy is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.stage.path()
    }

    /// Puts the copy in the file's place; none when somebody else changed the file meanwhile, and it
    /// has to be looked at again.
    ///
    /// Blocks for a sync.
    ///
    /// # Errors
    /// [`ReplaceError`]. The file is whole in any case: the old one, or, where only the sync of its
    /// directory or the reading back failed, the new one.
    pub fn commit(self) -> Result<Option<Replacement>, ReplaceError> {
        self.commit_watched(&mut |_| Ok(()))
    }

    fn commit_watched(self, before: Before<'_>) -> Result<Option<Replacement>, ReplaceError> {
        let Self {
            location,
            original,
            stage,
            digest,
        } = self;
        let is_current = match &original {
            Some(original) => original.is_current(&location, before)?,
            None => location.is_vacant(before)?,
        };
        if !is_current {
            return Ok(None);
        }
        stage.take_place(before)?;
        location.sync(before)?;
        let stands = location.read_back(before)?;
        Ok(stands
            .filter(|(read, _)| *read == digest)
            .map(|(digest, identity)| Replacement {
                changed: true,
                digest,
                identity,
            }))
    }
}
