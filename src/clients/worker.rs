//! The thread that keeps clients' files right: it alone writes to them and to their journal.
//!
//! News arrives in a mailbox that cannot grow. All files that are due are replaced first, then the
//! journal is synced once for all of them, and only then are they reported and their readers made to
//! read them again: what is reported is durable, and no file waits for another's journal or reload.
//! Commands run on the daemon's runtime, each in a process group of its own; the thread waits for none.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Handle;

use super::command::CommandError;
use super::{Journal, Publication, Target};
use crate::model::{ClientName, Epoch, GroupName};

mod commands;
mod mailbox;
mod shift;
mod side_by_side;

#[cfg(test)]
mod command_tests;
#[cfg(test)]
mod commit_tests;
#[cfg(test)]
mod tests;

use mailbox::{Mailbox, StopOnDrop};
use shift::Shift;

/// What happened to a client of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// To its file.
    File(FileOutcome),
    /// To the command that makes it read the file again.
    Reload(ReloadOutcome),
}

/// What came of publishing an epoch in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOutcome {
    /// Whose file.
    pub client: ClientName,
    /// The group.
    pub group: GroupName,
    /// The epoch that was to be published.
    pub epoch: Epoch,
    /// How it went, or why the file is not right. It is then tried again.
    pub result: Result<Replaced, Trouble>,
}

/// A file that says what it shall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// Whether it had to be replaced.
    pub changed: bool,
    /// Whether it was right before, so that somebody else must have changed it.
    pub is_correction: bool,
    /// How long that took, without the journal and without a command that tried the copy.
    pub took: Duration,
}

/// Why something did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// With all causes.
    pub error: String,
    /// The end of what a command printed; empty where none ran.
    pub output: String,
}

/// How the reload of one client stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadOutcome {
    /// Whose.
    pub client: ClientName,
    /// The group.
    pub group: GroupName,
    /// The epoch that its file names.
    pub epoch: Epoch,
    /// How it stands.
    pub state: ReloadState,
}

/// How a reload stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReloadState {
    /// Its command runs.
    Running,
    /// Its command succeeded.
    Done {
        /// How long it took.
        took: Duration,
        /// The end of what it printed.
        output: String,
    },
    /// It failed, and is tried again.
    Failed(Trouble),
}

/// A client that may not have read its file again.
#[derive(Debug, Error)]
#[error(
    "RELOAD failed, so the client may go on with the old master although its file names the new one: it \
     is tried again; see why it fails, or reload the client by hand"
)]
struct ReloadError(#[source] CommandError);

/// Where outcomes go. Called on the worker's thread.
pub type Outcomes = Box<dyn Fn(Outcome) + Send>;

/// The handle of the thread. Dropped without [`Worker::stop`], the thread ends on its own.
#[derive(Debug)]
pub struct Worker {
    mailbox: StopOnDrop,
    ended: Receiver<Infallible>,
    thread: JoinHandle<()>,
}

/// The thread still writes, or waits for a disk or a command, after the limit. It ends on its own when
/// it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "clients' files were still being written or reloaded after {0:?}: check the disks that they lie on, \
     and how long RELOAD takes; what is left is done at the next start"
)]
pub struct StillWriting(pub Duration);

impl Worker {
    /// Starts the thread. Copies that a crash left beside the targets are removed first, then what is
    /// `unfinished` is done, by the place of the target in `targets`. Commands run on `runtime`.
    ///
    /// # Errors
    /// What the system says when it has no room for a thread.
    pub fn start(
        targets: Vec<Target>,
        journal: Journal,
        unfinished: Vec<(usize, Publication)>,
        runtime: Handle,
        outcomes: Outcomes,
    ) -> io::Result<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let (alive, ended) = mpsc::channel();
        let mut shift = Shift::new(
            targets,
            journal,
            runtime,
            outcomes,
            Arc::clone(&mailbox),
            alive,
        );
        shift.resume(&unfinished);
        let thread = thread::Builder::new()
            .name("clients".to_owned())
            .spawn(|| shift.run())?;
        Ok(Self {
            mailbox: StopOnDrop(mailbox),
            ended,
            thread,
        })
    }

    /// Has all targets of the group name its master. Never blocks; each outcome is reported.
    pub fn publish(&self, publication: Publication) {
        self.mailbox.0.put(publication);
    }

    /// Tells whether there is a leader. While there is none, what was published last may be out of date,
    /// and what others write into the files is left alone. Never blocks.
    pub fn lead(&self, led: bool) {
        self.mailbox.0.lead(led);
    }

    /// Ends the thread when it has tried once all that was published, and waits for that.
    ///
    /// # Errors
    /// [`StillWriting`] when that takes longer than `limit`.
    ///
    /// # Panics
    /// When the thread did: with the same message.
    pub fn stop(self, limit: Duration) -> Result<(), StillWriting> {
        self.mailbox.0.stop();
        match self.ended.recv_timeout(limit) {
            Err(RecvTimeoutError::Timeout) => return Err(StillWriting(limit)),
            Err(RecvTimeoutError::Disconnected) => {}
            Ok(never) => match never {},
        }
        match self.thread.join() {
            Ok(()) => Ok(()),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
