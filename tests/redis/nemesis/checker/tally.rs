//! What a run that kept its promises came to, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use promoterd::status::OutcomeName;

use crate::nemesis::history::{Answer, GroupHistory, Told};

/// The sums over all groups.
#[derive(Debug, Default)]
pub struct Tally {
    pub taken: u64,
    pub refused: u64,
    pub unknown: u64,
    /// Failovers that are done, by cause.
    pub failovers: BTreeMap<String, u64>,
    /// Of these, those that kept the master.
    pub reinstated: u64,
    pub aborted: u64,
    /// Acknowledged writes that are gone, by how.
    pub lost: BTreeMap<&'static str, u64>,
    /// Failovers that lost acknowledged writes, with the bytes, what was estimated, and the fact.
    pub losses: Vec<(u64, Option<u64>, Option<u64>)>,
    /// How often an old master took writes and had to stop by a moment that can be told, by why, and how
    /// long it took at most from when that time counts.
    pub judged: BTreeMap<&'static str, (u64, Duration)>,
    /// How long an old master went on taking writes beside the new one, at most, whatever the faults.
    pub two_masters: Duration,
    pub settled: Vec<Duration>,
}

impl Tally {
    pub fn count_epoch(&mut self, told: &Told) {
        match told.outcome {
            OutcomeName::Done => {
                *self.failovers.entry(told.cause.to_string()).or_default() += 1;
                self.reinstated += u64::from(told.from == told.to);
            }
            OutcomeName::Aborted => self.aborted += 1,
            OutcomeName::Open => {}
        }
    }

    pub fn count_answers(&mut self, group: &GroupHistory) {
        for write in &group.writes {
            match write.answer {
                Answer::Taken { .. } => self.taken += 1,
                Answer::Refused => self.refused += 1,
                Answer::Unknown => self.unknown += 1,
            }
        }
    }

    pub fn lose(&mut self, how: &'static str) {
        *self.lost.entry(how).or_default() += 1;
    }

    /// Counts an old master that had to stop, and took so long.
    pub fn judge(&mut self, why: &'static str, took: Duration) {
        let (count, longest) = self.judged.entry(why).or_default();
        *count += 1;
        *longest = took.max(*longest);
    }

    /// All failovers that are done.
    pub fn failovers_done(&self) -> u64 {
        self.failovers.values().sum()
    }
}
