//! What each client's file says, on disk: so that none goes back to an older epoch after a restart.
//!
//! One append-only file. An entry is noted in memory at once and written with one fdatasync behind
//! the replacement that it tells of, so it never delays one. A crash between the two leaves the
//! journal one step behind the file, which does no harm: the committed epoch is published again, and
//! the file is found right. A torn tail is cut off; damage in the middle is refused.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Digest, Publication};
use crate::model::{ClientName, Endpoint, Epoch, GroupName};

mod book;
mod error;
mod record;

#[cfg(test)]
mod tests;

pub use book::{Book, Unreadable, Write};
pub use error::JournalError;
use error::disk_error;

/// The file's name in the state directory.
const NAME: &str = "clients.journal";

/// Its successor's, until that is complete.
const NEW_NAME: &str = "clients.journal.new";

/// Its name once it cannot be understood.
const DAMAGED_NAME: &str = "clients.journal.damaged";

/// Largest journal that is read, in bytes.
const LENGTH_MAX: u64 = 4 * 1024 * 1024;

/// What one client's file says about one group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// Whose file.
    pub client: ClientName,
    /// Which group.
    pub group: GroupName,
    /// The epoch that it has reached.
    pub epoch: Epoch,
    /// The master that it names.
    pub master: Endpoint,
    /// The digest of all of its content.
    pub digest: Digest,
    /// Whether its reader was made to read it since it says so.
    pub reloaded: bool,
}

/// The entries, and the file that keeps them.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    file: File,
    book: Book,
}

impl Journal {
    /// Opens the journal in the state directory, or begins one; one that cannot be understood is set
    /// aside and kept, and the rest is as if nothing were known: no file is touched before a leader
    /// has confirmed the state, and every client is reloaded once more.
    ///
    /// # Errors
    /// [`JournalError::Disk`] when the state directory cannot be read or written.
    pub fn open_or_begin(directory: &Path) -> Result<Self, JournalError> {
        let unusable = match Self::open(directory) {
            Err(
                error @ (JournalError::Foreign { .. }
                | JournalError::TooLarge { .. }
                | JournalError::Damaged { .. }),
            ) => error,
            opened @ (Ok(_)
            | Err(JournalError::Disk { .. } | JournalError::OlderThanFile { .. })) => {
                return opened;
            }
        };
        let (path, kept) = (directory.join(NAME), directory.join(DAMAGED_NAME));
        tracing::error!(kept = %kept.display(), "journal of the clients' files set aside and begun anew, files \
            and reloads are done again once a leader is there: {unusable}");
        std::fs::rename(&path, &kept).map_err(disk_error("set aside", &path))?;
        Self::open(directory)
    }

    /// Opens the journal in the state directory, or begins one.
    ///
    /// # Errors
    /// [`JournalError`] when it cannot be read or written, is no journal, or is damaged.
    pub fn open(directory: &Path) -> Result<Self, JournalError> {
        let path = directory.join(NAME);
        let disk = |step| disk_error(step, &path);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Self::rewrite(directory, Book::begin());
            }
            Err(error) => return Err(disk("open")(error)),
        };
        let mut content = Vec::new();
        (&file)
            .take(LENGTH_MAX + 1)
            .read_to_end(&mut content)
            .map_err(disk("read"))?;
        if content.len() as u64 > LENGTH_MAX {
            return Err(JournalError::TooLarge { path });
        }
        let book = Book::read(&content).map_err(|unreadable| match unreadable {
            Unreadable::Foreign => JournalError::Foreign { path: path.clone() },
            Unreadable::Damaged { offset } => JournalError::Damaged {
                path: path.clone(),
                offset: offset as u64,
            },
        })?;
        if book.length() < content.len() {
            let cut = content.len() - book.length();
            tracing::warn!(path = %path.display(), cut, "torn tail of the journal cut off");
            file.set_len(book.length() as u64).map_err(disk("cut"))?;
            file.sync_all().map_err(disk("sync"))?;
        }
        if book.is_long() {
            return Self::rewrite(directory, book);
        }
        Ok(Self {
            directory: directory.to_owned(),
            file,
            book,
        })
    }

    /// What the client's file says about the group, as far as is known.
    #[must_use]
    pub fn last(&self, client: &ClientName, group: &GroupName) -> Option<&Entry> {
        self.book.last(client, group)
    }

    /// See [`Book::may_publish`].
    ///
    /// # Errors
    /// [`JournalError::OlderThanFile`] when the file has reached a later epoch.
    pub fn may_publish(
        &self,
        client: &ClientName,
        group: &GroupName,
        epoch: Epoch,
    ) -> Result<(), JournalError> {
        self.book.may_publish(client, group, epoch)
    }

    /// See [`Book::note_replacing`].
    pub fn note_replacing(&mut self, client: &ClientName, group: &GroupName, epoch: Epoch) -> bool {
        self.book.note_replacing(client, group, epoch)
    }

    /// See [`Book::note_right`].
    pub fn note_right(
        &mut self,
        client: &ClientName,
        publication: &Publication,
        digest: Digest,
        changed: bool,
    ) -> bool {
        self.book.note_right(client, publication, digest, changed)
    }

    /// See [`Book::note_reloaded`].
    pub fn note_reloaded(&mut self, client: &ClientName, group: &GroupName) {
        self.book.note_reloaded(client, group);
    }

    /// Makes all that was noted durable.
    ///
    /// # Errors
    /// [`JournalError::Disk`]; what was noted is written at the next call.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        let Some(write) = self.book.unwritten() else {
            return Ok(());
        };
        let written = match &write {
            Write::Append(records) => self
                .append(records)
                .map_err(disk_error("append to", &self.directory.join(NAME))),
            Write::Replace(content) => {
                replace(&self.directory, content).map(|file| self.file = file)
            }
        };
        match &written {
            Ok(()) => self.book.written(&write),
            Err(_) => self.book.failed(&write),
        }
        written
    }

    fn append(&self, records: &[Vec<u8>]) -> io::Result<()> {
        let mut position = self.book.length() as u64;
        for record in records {
            self.file.write_all_at(record, position)?;
            self.file.sync_data()?;
            position += record.len() as u64;
        }
        Ok(())
    }

    /// See [`Book::note`].
    ///
    /// # Panics
    /// When the file went back to an older epoch.
    pub fn note(&mut self, entry: Entry) {
        self.book.note(entry);
    }

    /// Has the next append fail, as on a disk that is full.
    #[cfg(test)]
    pub(in crate::clients) fn fail_next_append(&mut self) {
        self.file = File::open(self.directory.join(NAME)).unwrap();
    }

    /// Puts a new file with what `book` knows in place of the journal.
    fn rewrite(directory: &Path, mut book: Book) -> Result<Self, JournalError> {
        let write = book.whole();
        let file = replace(directory, &write)?;
        book.written(&Write::Replace(write));
        Ok(Self {
            directory: directory.to_owned(),
            file,
            book,
        })
    }
}

fn replace(directory: &Path, content: &[u8]) -> Result<File, JournalError> {
    let (path, new_path) = (directory.join(NAME), directory.join(NEW_NAME));
    let file = write_whole(&new_path, content).map_err(disk_error("write", &new_path))?;
    std::fs::rename(&new_path, &path)
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(disk_error("replace", &path))?;
    Ok(file)
}

fn write_whole(path: &Path, content: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(file)
}
