//! The log in memory, in the form in which raft-rs reads it.
//!
//! raft-rs brings a `MemStorage`, which does not fit: its snapshots are empty and bear the commit index
//! instead of the applied one, and after a compaction it forgets the term before its first entry.

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, StorageError};

/// All entries behind one snapshot, and the hard state last handed out to be written.
#[derive(Debug)]
pub(super) struct Storage {
    hard_state: HardState,
    /// Index 0 where there is none.
    snapshot: Snapshot,
    entries: Vec<Entry>,
}

impl Storage {
    /// Holds what was recovered; `snapshot` names the voters even where it holds no state.
    pub(super) fn new(hard_state: HardState, snapshot: Snapshot, entries: Vec<Entry>) -> Self {
        Self {
            hard_state,
            snapshot,
            entries,
        }
    }

    pub(super) fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    pub(super) fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    pub(super) fn latest_snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(super) fn all_entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds `entries`, and drops what stood at the first one's index and behind it.
    pub(super) fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first() else { return };
        let place = self.place(first.index);
        assert!(
            place.is_some_and(|place| place <= self.entries.len()),
            "entries follow the log without a gap"
        );
        self.entries.truncate(place.unwrap_or_default());
        self.entries.extend(entries);
    }

    /// Lets a leader's snapshot stand for everything that is here.
    pub(super) fn install(&mut self, snapshot: Snapshot) {
        self.snapshot = snapshot;
        self.entries.clear();
    }

    /// Lets `state` stand for all entries up to `index`, which must be one of them.
    pub(super) fn compact(&mut self, index: u64, state: bytes::Bytes) {
        let count = self.place(index + 1).unwrap_or_default();
        let removed = self.entries.drain(..count).next_back();
        let term = removed.map_or(self.snapshot.get_metadata().term, |entry| entry.term);
        let metadata = self.snapshot.mut_metadata();
        metadata.index = index;
        metadata.term = term;
        self.snapshot.data = state;
    }

    /// Where in `entries` the one at `index` stands or would stand; none before the first.
    fn place(&self, index: u64) -> Option<usize> {
        let place = index.checked_sub(self.base() + 1)?;
        usize::try_from(place).ok()
    }

    fn base(&self) -> u64 {
        self.snapshot.get_metadata().index
    }
}

impl raft::Storage for Storage {
    fn initial_state(&self) -> Result<RaftState> {
        let voters: ConfState = self.snapshot.get_metadata().get_conf_state().clone();
        Ok(RaftState::new(self.hard_state.clone(), voters))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        let Some(first) = self.place(low) else {
            return Err(Error::Store(StorageError::Compacted));
        };
        let range = self
            .place(high)
            .and_then(|end| self.entries.get(first..end));
        let Some(range) = range else {
            return Err(Error::Store(StorageError::Unavailable));
        };
        let mut entries = range.to_vec();
        raft::util::limit_size(&mut entries, max_size.into());
        Ok(entries)
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == self.base() {
            return Ok(self.snapshot.get_metadata().term);
        }
        let Some(place) = self.place(index) else {
            return Err(Error::Store(StorageError::Compacted));
        };
        let entry = self.entries.get(place);
        entry.map_or(Err(Error::Store(StorageError::Unavailable)), |entry| {
            Ok(entry.term)
        })
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.base() + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.base() + self.entries.len() as u64)
    }

    fn snapshot(&self, _request_index: u64, _to: u64) -> Result<Snapshot> {
        Ok(self.snapshot.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::Storage as _;

    fn entry(index: u64, term: u64) -> Entry {
        Entry {
            index,
            term,
            ..Entry::default()
        }
    }

    fn storage() -> Storage {
        let mut storage = Storage::new(HardState::default(), Snapshot::default(), Vec::new());
        storage.append(vec![entry(1, 1), entry(2, 1), entry(3, 2), entry(4, 2)]);
        storage
    }

    #[test]
    fn a_compacted_log_still_knows_the_term_before_its_first_entry() {
        for (index, term) in [(1, 1), (3, 2), (4, 2)] {
            let mut storage = storage();
            storage.compact(index, vec![9].into());
            assert_eq!(storage.first_index(), Ok(index + 1));
            assert_eq!(storage.last_index(), Ok(4));
            assert_eq!(storage.term(index), Ok(term));
            assert_eq!(
                storage.term(index - 1),
                Err(Error::Store(StorageError::Compacted))
            );
            assert_eq!(storage.latest_snapshot().get_metadata().index, index);
        }
    }

    #[test]
    fn an_entry_at_an_earlier_index_voids_all_behind_it() {
        let mut storage = storage();
        storage.append(vec![entry(2, 3)]);
        assert_eq!(storage.all_entries(), [entry(1, 1), entry(2, 3)]);
    }

    #[test]
    fn entries_outside_the_log_are_refused_and_do_not_panic() {
        let mut storage = storage();
        storage.compact(2, vec![9].into());
        let read = |low, high| storage.entries(low, high, None, GetEntriesContext::empty(false));
        assert_eq!(read(3, 5), Ok(vec![entry(3, 2), entry(4, 2)]));
        assert_eq!(read(2, 5), Err(Error::Store(StorageError::Compacted)));
        assert_eq!(read(3, 6), Err(Error::Store(StorageError::Unavailable)));
        assert_eq!(
            read(u64::MAX, 6),
            Err(Error::Store(StorageError::Unavailable))
        );
    }
}
