//! Which process is to end when: the fencer's memory, without a clock and without processes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::clock::BootMoment;
use super::protocol::Life;
use crate::model::{Endpoint, GroupName};

/// Most processes that are held at once.
pub(super) const HOLDS_MAX: usize = 64;
/// Most lives of daemons of which the last order is remembered.
const LIVES_MAX: usize = 64;
/// The first byte of what is kept.
const VERSION: u8 = 1;

/// One process for as long as the host is up: its number is used again, its start is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct ProcessKey {
    pub(super) process_id: u32,
    /// In clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub(super) started: u64,
}

/// A process that is to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hold {
    pub(super) group: GroupName,
    pub(super) instance: Endpoint,
    /// When.
    pub(super) until: BootMoment,
    /// Who said so.
    pub(super) life: Life,
}

/// An order that changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Unheld {
    /// One that was given after it was heard before it.
    #[error("a newer order was heard before this one")]
    Stale,
    /// It is held for a daemon that started later.
    #[error("a daemon that started later holds this process")]
    Deposed,
    /// There are too many.
    #[error("{HOLDS_MAX} processes are held already")]
    Full,
}

/// All processes that are to end, and the order in which orders were given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Holds {
    holds: BTreeMap<ProcessKey, Hold>,
    /// The last order of each life that was heard.
    heard: BTreeMap<Life, u64>,
}

/// What is kept for the next fencer.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// Moments and processes mean nothing after another boot.
    boot: String,
    holds: Vec<(ProcessKey, Hold)>,
}

impl Holds {
    /// Hears an order, whatever it is about.
    ///
    /// A connection that was given up may still deliver what was sent on it, behind what came on the
    /// next one.
    pub(super) fn hear(&mut self, life: Life, number: u64) -> Result<(), Unheld> {
        match self.heard.get_mut(&life) {
            Some(last) if number <= *last => return Err(Unheld::Stale),
            Some(last) => *last = number,
            None => {
                self.heard.insert(life, number);
                if self.heard.len() > LIVES_MAX {
                    self.heard.pop_first();
                }
            }
        }
        Ok(())
    }

    /// From now on this process is to end as `hold` says.
    pub(super) fn place(&mut self, key: ProcessKey, hold: Hold) -> Result<(), Unheld> {
        match self.holds.get(&key) {
            Some(held) if held.life > hold.life => return Err(Unheld::Deposed),
            None if self.holds.len() >= HOLDS_MAX => return Err(Unheld::Full),
            Some(_) | None => {}
        }
        self.holds.insert(key, hold);
        Ok(())
    }

    /// Whatever process has or had this number may live.
    pub(super) fn release(&mut self, process_id: u32, life: Life) -> Result<(), Unheld> {
        let of_it = |key: &ProcessKey| key.process_id == process_id;
        let newer = |(key, held): (&ProcessKey, &Hold)| of_it(key) && held.life > life;
        if self.holds.iter().any(newer) {
            return Err(Unheld::Deposed);
        }
        self.holds.retain(|key, _| !of_it(key));
        Ok(())
    }

    pub(super) fn is_held(&self, key: &ProcessKey) -> bool {
        self.holds.contains_key(key)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &ProcessKey> {
        self.holds.keys()
    }

    /// When the next process is to end.
    pub(super) fn next(&self) -> Option<BootMoment> {
        self.holds.values().map(|hold| hold.until).min()
    }

    /// Takes out all that are to end by `now`.
    pub(super) fn take_due(&mut self, now: BootMoment) -> Vec<(ProcessKey, Hold)> {
        let is_due = |hold: &Hold| hold.until <= now;
        let (due, rest) = std::mem::take(&mut self.holds)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, hold)| is_due(hold));
        self.holds = rest.into_iter().collect();
        due
    }

    /// Forgets a process that is not there any more.
    pub(super) fn forget(&mut self, key: &ProcessKey) {
        self.holds.remove(key);
    }

    /// What the next fencer of this boot needs.
    pub(super) fn to_keep(&self, boot: &str) -> Vec<u8> {
        let holds = self.holds.iter();
        let kept = Kept {
            boot: boot.to_owned(),
            holds: holds.map(|(key, hold)| (*key, hold.clone())).collect(),
        };
        postcard::to_extend(&kept, vec![VERSION]).expect("holds can always be encoded")
    }

    /// What the last fencer kept: nothing when it was kept before this boot, or nothing can be read.
    pub(super) fn from_kept(bytes: &[u8], boot: &str) -> Option<Self> {
        let (_, body) = bytes
            .split_first()
            .filter(|(first, _)| **first == VERSION)?;
        let kept = match postcard::take_from_bytes::<Kept>(body) {
            Ok((kept, [])) if kept.holds.len() <= HOLDS_MAX => kept,
            Ok(_) | Err(_) => return None,
        };
        let is_of_this_boot = kept.boot == boot;
        let holds = kept.holds.into_iter().filter(|_| is_of_this_boot);
        Some(Self {
            holds: holds.collect(),
            heard: BTreeMap::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOOT: &str = "this boot";

    fn life(number: u64) -> Life {
        Life(BootMoment(number))
    }

    fn key(process_id: u32) -> ProcessKey {
        let started = 7;
        ProcessKey {
            process_id,
            started,
        }
    }

    fn hold(until: u64, by: u64) -> Hold {
        Hold {
            group: "features".parse().unwrap(),
            instance: "10.0.0.1:6379".parse().unwrap(),
            until: BootMoment(until),
            life: life(by),
        }
    }

    fn due(holds: &mut Holds, now: u64) -> Vec<u32> {
        let due = holds.take_due(BootMoment(now)).into_iter();
        due.map(|(key, _)| key.process_id).collect()
    }

    #[test]
    fn a_process_ends_at_the_moment_that_was_named_last_and_once() {
        let mut holds = Holds::default();
        for (now, until, ends) in [(0, 10, false), (9, 19, false), (18, 17, true)] {
            assert_eq!(due(&mut holds, now), [0; 0], "{now}");
            holds.place(key(1), hold(until, 1)).unwrap();
            assert_eq!(holds.next(), Some(BootMoment(until)));
            assert_eq!(!due(&mut holds, now).is_empty(), ends, "{now}");
        }
        assert_eq!(holds.next(), None);
        assert_eq!(due(&mut holds, u64::MAX), [0; 0]);
    }

    #[test]
    fn each_process_has_its_own_moment_and_a_number_used_again_is_another_process() {
        let mut holds = Holds::default();
        let again = ProcessKey {
            started: 8,
            ..key(1)
        };
        holds.place(key(1), hold(10, 1)).unwrap();
        holds.place(key(2), hold(5, 1)).unwrap();
        holds.place(again, hold(20, 1)).unwrap();
        assert_eq!(holds.next(), Some(BootMoment(5)));
        assert_eq!(due(&mut holds, 10), [1, 2]);
        assert!(holds.is_held(&again) && !holds.is_held(&key(1)));
    }

    #[test]
    fn what_is_released_lives() {
        let mut holds = Holds::default();
        holds.place(key(1), hold(10, 1)).unwrap();
        holds.place(key(2), hold(10, 1)).unwrap();
        holds.release(1, life(1)).unwrap();
        assert_eq!(due(&mut holds, 10), [2]);
        // One that is not held is as it should be.
        holds.release(1, life(1)).unwrap();
    }

    #[test]
    fn an_order_that_arrives_behind_a_newer_one_counts_for_nothing() {
        let mut holds = Holds::default();
        for (by, number, result) in [
            (1, 1, Ok(())),
            (1, 5, Ok(())),
            (1, 5, Err(Unheld::Stale)),
            (1, 4, Err(Unheld::Stale)),
            (2, 1, Ok(())),
            (1, 6, Ok(())),
        ] {
            assert_eq!(holds.hear(life(by), number), result, "{by} {number}");
        }
        for by in 0..10_000 {
            holds.hear(life(by), 9).unwrap();
        }
        assert!(holds.heard.len() <= LIVES_MAX);
    }

    #[test]
    fn a_daemon_that_is_gone_changes_nothing_about_what_its_successor_holds() {
        let mut holds = Holds::default();
        holds.place(key(1), hold(10, 2)).unwrap();
        assert_eq!(holds.place(key(1), hold(99, 1)), Err(Unheld::Deposed));
        assert_eq!(holds.release(1, life(1)), Err(Unheld::Deposed));
        assert_eq!(holds.next(), Some(BootMoment(10)));
        holds.place(key(1), hold(8, 3)).unwrap();
        assert_eq!(holds.next(), Some(BootMoment(8)));
        holds.release(1, life(3)).unwrap();
        assert_eq!(holds.next(), None);
    }

    #[test]
    fn there_is_an_end_to_what_is_held_and_what_is_held_is_renewed_all_the_same() {
        let mut holds = Holds::default();
        let many = u32::try_from(HOLDS_MAX).unwrap();
        for process_id in 0..many {
            holds.place(key(process_id), hold(10, 1)).unwrap();
        }
        assert_eq!(holds.place(key(many), hold(10, 1)), Err(Unheld::Full));
        holds.place(key(0), hold(20, 1)).unwrap();
    }

    #[test]
    fn what_is_kept_is_gone_on_with_in_the_same_boot_only() {
        let mut holds = Holds::default();
        holds.place(key(1), hold(10, 1)).unwrap();
        holds.place(key(2), hold(20, 1)).unwrap();
        let kept = holds.to_keep(BOOT);
        let again = Holds::from_kept(&kept, BOOT).unwrap();
        assert_eq!(again.holds, holds.holds);
        let other = Holds::from_kept(&kept, "another").unwrap();
        assert_eq!(other, Holds::default());
        for length in 0..kept.len() {
            assert_eq!(Holds::from_kept(&kept[..length], BOOT), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn whatever_lies_there_is_read_or_is_not(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(Holds::from_kept(&bytes, BOOT));
        }
    }
}
