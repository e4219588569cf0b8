//! A simulated disk: the real bytes of log and snapshot, and what a crash leaves of them.

use promoterd::consensus::{Batch, HardState, Identity, Position, RecoverError, Recovered, Seat};
use promoterd::consensus::{begin, encode, encode_snapshot, recover};
use promoterd::model::{Incarnation, SplitMix};

/// The two files of one node.
#[derive(Debug)]
pub struct Disk {
    identity: Identity,
    seat: Seat,
    log: Vec<u8>,
    snapshot: Option<Vec<u8>>,
    /// On its way: whatever of it is there after a crash is chance.
    writing: Option<Batch>,
    pub ailment: Option<Ailment>,
}

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ailment {
    /// Nothing more fits, but so many appends to what the log has written ahead.
    Full { appends_left: usize },
    /// It takes bytes, and fails to sync.
    FailsToSync,
}

/// A write failed, and nobody knows what of it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteFailed;

impl Disk {
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            seat: Seat::new(Incarnation(0)),
            log: Vec::new(),
            snapshot: None,
            writing: None,
            ailment: None,
        }
    }

    /// Starts to write; [`finish`](Self::finish) makes it durable.
    pub fn start(&mut self, batch: Batch) {
        assert!(self.writing.is_none(), "one batch is outstanding at most");
        self.writing = Some(batch);
    }

    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// What was started is durable, or the disk refused it.
    pub fn finish(&mut self, random: &mut SplitMix) -> Result<(), WriteFailed> {
        if self.writing.is_some() && self.is_refusing() {
            self.crash(random);
            return Err(WriteFailed);
        }
        self.complete();
        Ok(())
    }

    fn is_refusing(&mut self) -> bool {
        let is_append = matches!(self.writing, Some(Batch::Append { .. }));
        match &mut self.ailment {
            None => false,
            Some(Ailment::Full { appends_left }) if is_append && *appends_left > 0 => {
                *appends_left -= 1;
                false
            }
            Some(Ailment::Full { .. } | Ailment::FailsToSync) => true,
        }
    }

    fn complete(&mut self) {
        match self.writing.take() {
            Some(Batch::Append {
                hard_state,
                entries,
            }) => encode(&mut self.log, hard_state.as_ref(), &entries),
            Some(replace @ Batch::Replace { .. }) => {
                self.replace_snapshot(&replace);
                self.replace_log(&replace);
            }
            Some(Batch::Begin(seat)) => self.begin(seat),
            None => {}
        }
    }

    fn begin(&mut self, seat: Seat) {
        self.seat = seat;
        self.log = begin(&self.identity, &self.seat, Position::default());
        encode(&mut self.log, Some(&HardState::default()), &[]);
    }

    /// Cuts the power: of what is being written, anything may have reached the disk.
    pub fn crash(&mut self, random: &mut SplitMix) {
        match self.writing.take() {
            Some(Batch::Append {
                hard_state,
                entries,
            }) => {
                let mut bytes = Vec::new();
                encode(&mut bytes, hard_state.as_ref(), &entries);
                self.tear(bytes, random);
            }
            // The files are replaced one after the other, each by a rename.
            Some(replace @ Batch::Replace { .. }) => {
                let steps = random.below(3);
                if steps >= 1 {
                    self.replace_snapshot(&replace);
                }
                if steps >= 2 {
                    self.replace_log(&replace);
                }
            }
            Some(Batch::Begin(seat)) if random.below(2) == 0 => self.begin(seat),
            Some(Batch::Begin(_)) | None => {}
        }
    }

    /// A part of the frame: its beginning, or all but a hole; zeros were written ahead of it.
    fn tear(&mut self, mut bytes: Vec<u8>, random: &mut SplitMix) {
        let place = |random: &mut SplitMix, length: usize| {
            usize::try_from(random.below(length as u64 + 1)).expect("a length")
        };
        if random.below(2) == 0 {
            bytes.truncate(place(random, bytes.len()));
        } else {
            let from = place(random, bytes.len());
            let to = from + place(random, bytes.len() - from);
            bytes[from..to].fill(0);
        }
        self.log.extend(bytes);
        if random.below(2) == 0 {
            self.log.extend([0; 512]);
        }
    }

    /// Reads what is there, as a daemon does when it starts, counts the start, and cuts off what is
    /// torn. A new directory bears `fresh`.
    pub fn recover(&mut self, fresh: Incarnation) -> Result<Recovered, RecoverError> {
        let mut recovered = recover(&self.identity, &self.log, self.snapshot.as_deref())?;
        if recovered.seat.is_none() {
            self.snapshot = None;
        }
        self.seat = recovered.start(fresh);
        let base = recovered
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.position);
        self.log = begin(&self.identity, &self.seat, base.unwrap_or_default());
        encode(
            &mut self.log,
            Some(&recovered.hard_state),
            &recovered.entries,
        );
        Ok(recovered)
    }

    /// Somebody removes all files.
    pub fn wipe(&mut self) {
        self.log.clear();
        self.snapshot = None;
        self.writing = None;
    }

    fn replace_snapshot(&mut self, batch: &Batch) {
        if let Batch::Replace { snapshot, .. } = batch {
            self.snapshot = Some(encode_snapshot(snapshot));
        }
    }

    fn replace_log(&mut self, batch: &Batch) {
        if let Batch::Replace {
            snapshot,
            hard_state,
            entries,
        } = batch
        {
            self.log = begin(&self.identity, &self.seat, snapshot.position);
            encode(&mut self.log, Some(hard_state), entries);
        }
    }
}
