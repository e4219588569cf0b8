//! What the journal knows, and in which bytes it keeps that: the rules by which no file goes back and
//! no reload is left out. Nothing here touches a disk.

use std::collections::{BTreeMap, BTreeSet};

use super::error::JournalError;
use super::record::{self, ENTRIES_MAX, MAGIC};
use super::{Digest, Entry};
use crate::breaks::{Break, is_broken};
use crate::clients::Publication;
use crate::model::{ClientName, Epoch, GroupName};

/// Least length at which superseded entries are dropped, in bytes.
pub(super) const COMPACT_ABOVE: usize = 64 * 1024;

/// The entries of a journal, and how much of them its file holds.
#[derive(Debug, Clone)]
pub struct Book {
    pub(super) entries: BTreeMap<(ClientName, GroupName), Entry>,
    unwritten: BTreeSet<(ClientName, GroupName)>,
    /// Bytes of the file that are good.
    pub(super) length: usize,
    compact_above: usize,
    /// Whether an append failed, so that nobody knows what the end of the file holds.
    is_suspect: bool,
}

/// What is to be made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// These records, at the end of the file. Each is synced before the next one is written, so that
    /// only the last one can be torn.
    Append(Vec<Vec<u8>>),
    /// A new file in the place of the old one.
    Replace(Vec<u8>),
}

/// Bytes that are no journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// Somebody else's, or of another version.
    Foreign,
    /// Bytes that were once durable have changed.
    Damaged {
        /// Where the first unreadable record begins.
        offset: usize,
    },
}

impl Book {
    /// One that knows nothing. Its file is yet to be written: see [`Book::whole`].
    #[must_use]
    pub fn begin() -> Self {
        Self::of(BTreeMap::new(), MAGIC.len())
    }

    fn of(entries: BTreeMap<(ClientName, GroupName), Entry>, length: usize) -> Self {
        Self {
            entries,
            unwritten: BTreeSet::new(),
            length,
            compact_above: COMPACT_ABOVE,
            is_suspect: false,
        }
    }

    /// Reads the bytes of a journal. What is behind [`Book::length`] is torn, and to be cut off.
    ///
    /// # Errors
    /// [`Unreadable`] when they are no journal, or damaged before their end.
    pub fn read(content: &[u8]) -> Result<Self, Unreadable> {
        let records = content.strip_prefix(MAGIC).ok_or(Unreadable::Foreign)?;
        let read = record::read_all(records).map_err(|offset| Unreadable::Damaged {
            offset: MAGIC.len() + offset,
        })?;
        let entries = read.entries.into_iter();
        let keyed = entries.map(|entry| ((entry.client.clone(), entry.group.clone()), entry));
        Ok(Self::of(keyed.collect(), MAGIC.len() + read.length))
    }

    /// Bytes of the file that are good.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Whether the file is worth to be written anew before anything is added to it.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.length > self.compact_above
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

    /// Takes in what a file says now. Holds at once; durable once [`Book::unwritten`] is.
    ///
    /// # Panics
    /// When the file went back to an older epoch, which [`Book::may_publish`] forbids.
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

    /// The client's file is about to be replaced in `epoch`: forgets that the client has read this
    /// epoch's file, so that a crash behind that leaves a reload too many and never one too few. True
    /// when that is worth to be made durable first.
    pub fn note_replacing(&mut self, client: &ClientName, group: &GroupName, epoch: Epoch) -> bool {
        let known = self.last(client, group);
        let is_reloaded = |entry: &&Entry| {
            entry.epoch == epoch && entry.reloaded && !is_broken(Break::ReplacementNotJournalled)
        };
        let Some(known) = known.filter(is_reloaded).cloned() else {
            return false;
        };
        let reloaded = false;
        self.note(Entry { reloaded, ..known });
        true
    }

    /// The client's file says what it shall, and was `changed` for that or not. True when the client
    /// has read it so already.
    pub fn note_right(
        &mut self,
        client: &ClientName,
        publication: &Publication,
        digest: Digest,
        changed: bool,
    ) -> bool {
        let known = self.last(client, &publication.group);
        let is_reloaded = |entry: &Entry| entry.epoch == publication.epoch && entry.reloaded;
        let reloaded = known.is_some_and(is_reloaded) && !changed;
        self.note(Entry {
            client: client.clone(),
            group: publication.group.clone(),
            epoch: publication.epoch,
            master: publication.master.clone(),
            digest,
            reloaded,
        });
        reloaded
    }

    /// The client has read what its file says.
    pub fn note_reloaded(&mut self, client: &ClientName, group: &GroupName) {
        if let Some(known) = self.last(client, group).cloned() {
            let reloaded = true;
            self.note(Entry { reloaded, ..known });
        }
    }

    /// What was noted and is not durable; say afterwards whether it is now.
    #[must_use]
    pub fn unwritten(&self) -> Option<Write> {
        if self.unwritten.is_empty() {
            return None;
        }
        if self.is_suspect || self.is_long() {
            return Some(Write::Replace(self.whole()));
        }
        let entries = self.unwritten.iter();
        let entries: Vec<&Entry> = entries.filter_map(|key| self.entries.get(key)).collect();
        let records = entries.chunks(ENTRIES_MAX).map(record::encode);
        Some(Write::Append(records.collect()))
    }

    /// The bytes of a file with these entries and nothing else.
    #[must_use]
    pub fn whole(&self) -> Vec<u8> {
        let mut content = MAGIC.to_vec();
        let all: Vec<&Entry> = self.entries.values().collect();
        for batch in all.chunks(ENTRIES_MAX) {
            content.extend(record::encode(batch));
        }
        content
    }

    /// It is durable: nothing was noted since.
    pub fn written(&mut self, write: &Write) {
        match write {
            Write::Append(records) => self.length += records.iter().map(Vec::len).sum::<usize>(),
            Write::Replace(content) => {
                self.length = content.len();
                self.compact_above = COMPACT_ABOVE.max(content.len() * 2);
                self.is_suspect = false;
            }
        }
        self.unwritten.clear();
    }

    /// It failed: after a failed sync a second one may claim success for pages that were dropped, so
    /// the file is replaced next time.
    pub fn failed(&mut self, write: &Write) {
        self.is_suspect |= matches!(write, Write::Append(_));
    }
}
