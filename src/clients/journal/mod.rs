//! What each client's file says, on disk: so that none goes back to an older epoch after a restart.
//!
//! One append-only file. An entry is noted in memory at once and written with one fdatasync behind
//! the replacement that it tells of, so it never delays one. A crash between the two leaves the
//! journal one step behind the file, which does no harm: the committed epoch is published again, and
//! the file is found right. A torn tail is cut off; damage in the middle is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Digest;
use crate::model::{ClientName, Endpoint, Epoch, GroupName};

mod error;
mod record;

#[cfg(test)]
mod tests;

pub use error::JournalError;
use error::disk_error;
use record::{ENTRIES_MAX, MAGIC};

/// The file's name in the state directory.
const NAME: &str = "clients.journal";

/// Its successor's, until that is complete.
const NEW_NAME: &str = "clients.journal.new";

/// Its name once it cannot be understood.
const DAMAGED_NAME: &str = "clients.journal.damaged";

/// Largest journal that is read, in bytes.
const LENGTH_MAX: u64 = 4 * 1024 * 1024;

/// Least length at which superseded entries are dropped, in bytes.
const COMPACT_ABOVE: u64 = 64 * 1024;

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
    length: u64,
    compact_above: u64,
    /// Whether an append failed, so that nobody knows what the end of the file holds.
    is_suspect: bool,
    entries: BTreeMap<(ClientName, GroupName), Entry>,
    unwritten: BTreeSet<(ClientName, GroupName)>,
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
                return Self::rewrite(directory, BTreeMap::new());
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
        let records = content
            .strip_prefix(MAGIC)
            .ok_or_else(|| JournalError::Foreign { path: path.clone() })?;
        let read = record::read_all(records).map_err(|offset| JournalError::Damaged {
            path: path.clone(),
            offset: (MAGIC.len() + offset) as u64,
        })?;
        let length = (MAGIC.len() + read.length) as u64;
        if length < content.len() as u64 {
            let cut = content.len() as u64 - length;
            tracing::warn!(path = %path.display(), cut, "torn tail of the journal cut off");
            file.set_len(length).map_err(disk("cut"))?;
            file.sync_all().map_err(disk("sync"))?;
        }
        let entries = latest(read.entries);
        if length > COMPACT_ABOVE {
            return Self::rewrite(directory, entries);
        }
        Ok(Self {
            directory: directory.to_owned(),
            file,
            length,
            compact_above: COMPACT_ABOVE,
            is_suspect: false,
            entries,
            unwritten: BTreeSet::new(),
        })
    }

    /// What the client's file says about the group, as far as is known.
    #[must_use]
    pub fn last(&self, client: &ClientName, group: &GroupName) -> Option<&Entry> {
        self.entries.get(&(client.clone(), group.clone()))
    }

    /// Whether the client's file may be made to name the master of `epoch`.
    ///
    /// The epoch that it has reached already may be published again: the file may have been changed.
    ///
    /// # Errors
    /// [`JournalError::OlderThanFile`] when the file has reached a later epoch.
    pub fn may_publish(
        &self,
        client: &ClientName,
        group: &GroupName,
        epoch: Epoch,
    ) -> Result<(), JournalError> {
        match self.last(client, group) {
            Some(entry) if entry.epoch > epoch => Err(JournalError::OlderThanFile {
                client: client.clone(),
                group: group.clone(),
                reached: entry.epoch,
                epoch,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Takes in what a file says now. Holds at once; durable after the next [`Journal::flush`].
    ///
    /// # Panics
    /// When the file went back to an older epoch, which [`Journal::may_publish`] forbids.
    pub fn note(&mut self, entry: Entry) {
        let key = (entry.client.clone(), entry.group.clone());
        let known = self.entries.get(&key);
        if known == Some(&entry) {
            return;
        }
        assert!(
            known.is_none_or(|known| known.epoch <= entry.epoch),
            "the epochs of a file only grow"
        );
        self.entries.insert(key.clone(), entry);
        self.unwritten.insert(key);
    }

    /// Makes all that was noted durable.
    ///
    /// # Errors
    /// [`JournalError::Disk`]; what was noted is written at the next call.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        if self.is_suspect || self.length > self.compact_above {
            let entries = self.entries.clone();
            *self = Self::rewrite(&self.directory, entries)?;
            return Ok(());
        }
        let appended = self.append();
        // After a failed sync a second one may claim success for pages that were dropped.
        self.is_suspect = appended.is_err();
        appended.map_err(disk_error("append to", &self.directory.join(NAME)))?;
        self.unwritten.clear();
        Ok(())
    }

    fn append(&mut self) -> io::Result<()> {
        let entries: Vec<&Entry> = self
            .unwritten
            .iter()
            .filter_map(|key| self.entries.get(key))
            .collect();
        // Synced one by one, so that only the last record of a journal can be torn.
        for batch in entries.chunks(ENTRIES_MAX) {
            let record = record::encode(batch);
            self.file.write_all_at(&record, self.length)?;
            self.file.sync_data()?;
            self.length += record.len() as u64;
        }
        Ok(())
    }

    /// Has the next append fail, as on a disk that is full.
    #[cfg(test)]
    pub(in crate::clients) fn fail_next_append(&mut self) {
        self.file = File::open(self.directory.join(NAME)).unwrap();
    }

    /// Puts a new file with just `entries` in place of the journal.
    fn rewrite(
        directory: &Path,
        entries: BTreeMap<(ClientName, GroupName), Entry>,
    ) -> Result<Self, JournalError> {
        let (path, new_path) = (directory.join(NAME), directory.join(NEW_NAME));
        let mut content = MAGIC.to_vec();
        let all: Vec<&Entry> = entries.values().collect();
        for batch in all.chunks(ENTRIES_MAX) {
            content.extend(record::encode(batch));
        }
        let file = write_whole(&new_path, &content).map_err(disk_error("write", &new_path))?;
        std::fs::rename(&new_path, &path)
            .and_then(|()| File::open(directory)?.sync_all())
            .map_err(disk_error("replace", &path))?;
        let length = content.len() as u64;
        Ok(Self {
            directory: directory.to_owned(),
            file,
            length,
            compact_above: COMPACT_ABOVE.max(length * 2),
            is_suspect: false,
            entries,
            unwritten: BTreeSet::new(),
        })
    }
}

fn latest(entries: Vec<Entry>) -> BTreeMap<(ClientName, GroupName), Entry> {
    let keyed = entries
        .into_iter()
        .map(|entry| ((entry.client.clone(), entry.group.clone()), entry));
    keyed.collect()
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
