//! The file as it stands: found without following a link, read whole, and recognised again.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Before, LENGTH_MAX, ReplaceError, Step};
use crate::clients::Digest;

/// A directory held open, and the name of the file in it.
pub(super) struct Location {
    path: PathBuf,
    directory: File,
    name: OsString,
}

/// A file's content and what tells whether somebody changed it since.
pub(super) struct Original {
    content: Vec<u8>,
    file: File,
    metadata: Metadata,
}

impl Location {
    pub(super) fn open(path: &Path, before: Before<'_>) -> Result<Self, ReplaceError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(ReplaceError::NoFile {
                path: path.to_owned(),
            });
        };
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = before(Step::Open)
            .and_then(|()| Ok(rustix::fs::open(parent, flags, Mode::empty())?))
            .map_err(|source| ReplaceError::step(Step::Open, path, source))?;
        Ok(Self {
            path: path.to_owned(),
            directory: directory.into(),
            name: name.to_owned(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn directory(&self) -> &File {
        &self.directory
    }

    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    pub(super) fn sync(&self, before: Before<'_>) -> Result<(), ReplaceError> {
        before(Step::SyncDirectory)
            .and_then(|()| self.directory.sync_all())
            .map_err(|source| ReplaceError::step(Step::SyncDirectory, &self.path, source))
    }

    /// Whether nothing stands there still.
    pub(super) fn is_vacant(&self, before: Before<'_>) -> Result<bool, ReplaceError> {
        let opened = before(Step::Compare).map(|()| self.open_file());
        match opened {
            Ok(Err(source)) => Ok(Errno::from_io_error(&source) == Some(Errno::NOENT)),
            Ok(Ok(_)) => Ok(false),
            Err(source) => Err(ReplaceError::step(Step::Compare, &self.path, source)),
        }
    }

    /// What stands there now; none when nothing does.
    pub(super) fn read_back(
        &self,
        before: Before<'_>,
    ) -> Result<Option<(Digest, Identity)>, ReplaceError> {
        let read = before(Step::ReadBack).and_then(|()| match self.open_file() {
            Ok(file) => {
                let identity = Identity::of(&file.metadata()?);
                Ok(Some((Digest::of(&read_limited(&file)?), identity)))
            }
            Err(source) if is_other_file(&source) => Ok(None),
            Err(source) => Err(source),
        });
        read.map_err(|source| ReplaceError::step(Step::ReadBack, &self.path, source))
    }

    fn open_file(&self) -> io::Result<File> {
        // NONBLOCK, for a pipe would have us wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(
            &self.directory,
            &self.name,
            flags | OFlags::NOCTTY,
            Mode::empty(),
        )?;
        Ok(file.into())
    }

    fn explain_open(&self, source: io::Error) -> ReplaceError {
        let path = self.path.clone();
        match Errno::from_io_error(&source) {
            Some(Errno::LOOP) => ReplaceError::Link {
                leads_to: link_end(&path),
                path,
            },
            // A socket cannot be opened.
            Some(Errno::NXIO) => ReplaceError::NotRegular { path },
            Some(_) | None => ReplaceError::step(Step::Open, &path, source),
        }
    }
}

impl Original {
    /// Opens and reads the file; none where nothing has its name.
    pub(super) fn read_if_there(
        location: &Location,
        before: Before<'_>,
    ) -> Result<Option<Self>, ReplaceError> {
        match location.open_file() {
            Err(source) if Errno::from_io_error(&source) == Some(Errno::NOENT) => Ok(None),
            Ok(_) | Err(_) => Self::read(location, before).map(Some),
        }
    }

    /// Opens and reads the file.
    pub(super) fn read(location: &Location, before: Before<'_>) -> Result<Self, ReplaceError> {
        let path = || location.path.clone();
        let fails = |source| ReplaceError::step(Step::Read, location.path(), source);
        let file = location
            .open_file()
            .map_err(|source| location.explain_open(source))?;
        let metadata = file.metadata().map_err(fails)?;
        if !metadata.is_file() {
            return Err(ReplaceError::NotRegular { path: path() });
        }
        let content = before(Step::Read)
            .and_then(|()| read_limited(&file))
            .map_err(fails)?;
        if content.len() as u64 > LENGTH_MAX {
            return Err(ReplaceError::TooLarge { path: path() });
        }
        Ok(Self {
            content,
            file,
            metadata,
        })
    }

    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Whether the name still leads to this file, and nobody wrote to it.
    pub(super) fn is_current(
        &self,
        location: &Location,
        before: Before<'_>,
    ) -> Result<bool, ReplaceError> {
        let compared = before(Step::Compare).and_then(|()| match location.open_file() {
            Ok(file) => {
                let metadata = file.metadata()?;
                Ok(self.is_like(&metadata) && read_limited(&file)? == self.content)
            }
            Err(source) if is_other_file(&source) => Ok(false),
            Err(source) => Err(source),
        });
        compared.map_err(|source| ReplaceError::step(Step::Compare, location.path(), source))
    }

    fn is_like(&self, now: &Metadata) -> bool {
        self.identity() == Identity::of(now)
    }

    pub(super) fn identity(&self) -> Identity {
        Identity::of(&self.metadata)
    }
}

/// What differs once somebody wrote to a file, replaced it, or changed its owner, mode or attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    file: (u64, u64, u64),
    modified: (i64, i64),
    /// Covers owner, mode and attributes too.
    changed: (i64, i64),
}

impl Identity {
    /// Of the file at `path`, if there is one that can be asked. Follows no link.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let metadata = std::fs::symlink_metadata(path).ok()?;
        Some(Self::of(&metadata))
    }

    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino(), metadata.size()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Whether opening failed because something else, or nothing, has the name now.
fn is_other_file(source: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(source),
        Some(Errno::NOENT | Errno::LOOP | Errno::NXIO)
    )
}

/// Reads at most one byte more than allowed, so that the caller can tell.
fn read_limited(file: &File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(LENGTH_MAX + 1).read_to_end(&mut content)?;
    Ok(content)
}

fn link_end(path: &Path) -> PathBuf {
    std::fs::canonicalize(path)
        .or_else(|_| std::fs::read_link(path))
        .unwrap_or_else(|_| PathBuf::from("the file"))
}
