//! The observers that follow this voter now: for the status, and so that there are never too many.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::word::Position;
use crate::model::NodeId;

/// One observer that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// As it calls itself.
    pub node: NodeId,
    /// Where it calls from.
    pub address: SocketAddr,
    /// Since when.
    pub since: Instant,
    /// What its files name, as it said last.
    pub position: Position,
}

#[derive(Debug)]
pub(super) struct Guests {
    count_max: usize,
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    guests: BTreeMap<u64, Guest>,
    last: u64,
}

/// A guest's place, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    guests: Arc<Guests>,
    number: u64,
}

impl Guests {
    pub(super) fn new(count_max: usize) -> Arc<Self> {
        Arc::new(Self {
            count_max,
            present: Mutex::default(),
        })
    }

    pub(super) fn count_max(&self) -> usize {
        self.count_max
    }

    pub(super) fn is_full(&self) -> bool {
        self.lock().guests.len() >= self.count_max
    }

    /// None when it is one too many.
    pub(super) fn seat(self: &Arc<Self>, guest: Guest) -> Option<Seat> {
        let mut present = self.lock();
        if present.guests.len() >= self.count_max {
            return None;
        }
        present.last += 1;
        let number = present.last;
        present.guests.insert(number, guest);
        drop(present);
        let guests = Arc::clone(self);
        Some(Seat { guests, number })
    }

    pub(super) fn all(&self) -> Vec<Guest> {
        self.lock().guests.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        // Each change is one insertion or removal: whoever panicked left it whole.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// It said what its files name.
    pub(super) fn note(&self, position: Position) {
        if let Some(guest) = self.guests.lock().guests.get_mut(&self.number) {
            guest.position = position;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.guests.lock().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_guest_leaves_and_there_is_no_other() {
        let guests = Guests::new(2);
        let guest = || Guest {
            node: "x".parse().unwrap(),
            address: "127.0.0.1:1".parse().unwrap(),
            since: Instant::now(),
            position: Position::default(),
        };
        let one = guests.seat(guest());
        let two = guests.seat(guest());
        assert!(guests.is_full() && guests.seat(guest()).is_none());
        drop(one);
        assert_eq!(guests.all().len(), 1);
        assert!(guests.seat(guest()).is_some());
        drop(two);
        assert_eq!(guests.all(), []);
    }
}
