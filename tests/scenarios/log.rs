//! The replicated log, as far as decisions need one: what the leader proposes is committed, in order,
//! unless the script holds it back.

use std::collections::BTreeMap;

use promoterd::decision::{Candidate, Entry};
use promoterd::model::Epoch;

#[derive(Debug, Default)]
pub struct Log {
    pub leader: Option<usize>,
    pub is_frozen: bool,
    pub held: Vec<Entry>,
    /// The candidates of all epochs that ever began.
    candidates: BTreeMap<Epoch, Candidate>,
}

impl Log {
    /// Notes what a committed entry permits.
    pub fn note(&mut self, entry: &Entry) {
        if let Entry::Begin(begin) = entry {
            self.candidates
                .entry(begin.epoch)
                .or_insert_with(|| begin.candidate.clone());
        }
    }

    /// The candidate of a committed epoch.
    pub fn candidate(&self, epoch: Epoch) -> Option<&Candidate> {
        self.candidates.get(&epoch)
    }
}
