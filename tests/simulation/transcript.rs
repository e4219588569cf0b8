//! What a run leaves behind: a hash of everything that happened, and lines for people.

use std::collections::VecDeque;

/// Lines that a failure prints.
const LINES_KEPT: usize = 80;

/// The trace of one run. Lines are only made when somebody will read them: a run that fails is
/// run again with them.
#[derive(Debug)]
pub struct Transcript {
    hash: u64,
    wanted: Wanted,
    lines: VecDeque<String>,
}

/// Who reads the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nobody: only the hash counts.
    Nothing,
    /// The last ones are kept.
    Last,
    /// Each is printed as it happens.
    Everything,
}

impl Transcript {
    pub fn new(wanted: Wanted) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            wanted,
            lines: VecDeque::new(),
        }
    }

    /// Takes a number into the hash.
    pub fn mix(&mut self, number: u64) {
        self.hash = (self.hash ^ number)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(7);
    }

    /// Takes bytes into the hash.
    pub fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(u64::from(crc32fast::hash(bytes)));
    }

    /// Adds a line, if anybody will read it. `now` is in microseconds.
    pub fn note(&mut self, now: u64, line: impl FnOnce() -> String) {
        if self.wanted == Wanted::Nothing {
            return;
        }
        let seconds = now / 1_000_000;
        let line = format!("{seconds:>3}.{:06} {}", now % 1_000_000, line());
        if self.wanted == Wanted::Everything {
            println!("{line}");
        }
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
