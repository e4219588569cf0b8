//! What each fuzz target does with its bytes: a panic is a finding. Used by the fuzz targets beside this
//! directory, and by `tests/hostile`, which runs the seeds and mutations of them without a fuzzer.

pub mod disk;
pub mod documents;
pub mod node;
pub mod observers;
pub mod peers;
pub mod redis;
pub mod seeds;
pub mod sentinel;
pub mod settings;
pub mod status;

/// What a target does with its bytes.
pub type Body = fn(&[u8]);

/// Every target, by the name of its file in `fuzz_targets`.
pub const TARGETS: [(&str, Body); 13] = [
    ("peer_session", peers::session),
    ("peer_message", node::messages),
    ("observers_port", observers::port),
    ("log", disk::log),
    ("journal", disk::journal),
    ("redis_reply", redis::reply),
    ("redis_connection", redis::connection),
    ("settings", settings::settings),
    ("document", documents::document),
    ("template", documents::template),
    ("status_request", status::request),
    ("status_answer", status::answer),
    ("sentinel_command", sentinel::command),
];

/// Takes bytes from the front of an input; zeros once it has run out.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// At most `length` bytes.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A part of the input that says itself how long it is, in two bytes.
    pub fn part(&mut self) -> &'a [u8] {
        let length = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        self.take(length)
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// The parts of an input as [`Input::part`] takes them apart.
pub fn join(parts: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::new();
    for part in parts {
        let length = u16::try_from(part.len()).expect("a seed is short");
        joined.extend(length.to_be_bytes());
        joined.extend_from_slice(part);
    }
    joined
}
