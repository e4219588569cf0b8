//! What will happen, by its moment; of two things at one moment, what was put in first.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

pub struct Queue<Occurrence> {
    heap: BinaryHeap<Reverse<Queued<Occurrence>>>,
    sequence: u64,
}

/// In a box: it is moving them about that costs.
struct Queued<Occurrence> {
    at: u64,
    sequence: u64,
    occurrence: Box<Occurrence>,
}

impl<Occurrence> Queued<Occurrence> {
    fn key(&self) -> (u64, u64) {
        (self.at, self.sequence)
    }
}

impl<Occurrence> PartialEq for Queued<Occurrence> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<Occurrence> Eq for Queued<Occurrence> {}

impl<Occurrence> PartialOrd for Queued<Occurrence> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<Occurrence> Ord for Queued<Occurrence> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl<Occurrence> Queue<Occurrence> {
    pub fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            sequence: 0,
        }
    }

    pub fn push(&mut self, at: u64, occurrence: Occurrence) {
        self.sequence += 1;
        self.heap.push(Reverse(Queued {
            at,
            sequence: self.sequence,
            occurrence: Box::new(occurrence),
        }));
    }

    /// When the first of all happens.
    pub fn first_at(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(queued)| queued.at)
    }

    pub fn pop(&mut self) -> Option<Occurrence> {
        let Reverse(first) = self.heap.pop()?;
        Some(*first.occurrence)
    }
}
