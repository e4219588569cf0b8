//! The thread that keeps clients' files right: it alone writes to them and to their journal.
//!
//! Publications arrive in a mailbox that keeps the newest of each group, so it cannot grow. All
//! files that are due are replaced first, then the journal is synced once for all of them, and only
//! then are they reported: what is reported is durable, and no file waits for another's journal.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::journal::Entry;
use super::schedule::Schedule;
use super::{Journal, Publication, Target, transaction};
use crate::model::{ClientName, Epoch, GroupName, with_causes};

mod mailbox;

#[cfg(test)]
mod tests;

use mailbox::{Mailbox, Patience, StopOnDrop};

/// What came of publishing an epoch in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOutcome {
    /// Whose file.
    pub client: ClientName,
    /// The group.
    pub group: GroupName,
    /// The epoch that was to be published.
    pub epoch: Epoch,
    /// How it went, or why the file is not right, with all causes. It is then tried again.
    pub result: Result<Replaced, String>,
}

/// A file that says what it shall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// Whether it had to be replaced.
    pub changed: bool,
    /// How long that took, without the journal.
    pub took: Duration,
}

/// Where outcomes go. Called on the worker's thread.
pub type Outcomes = Box<dyn Fn(FileOutcome) + Send>;

/// The handle of the thread. Dropped without [`Worker::stop`], the thread ends on its own.
#[derive(Debug)]
pub struct Worker {
    mailbox: StopOnDrop,
    ended: Receiver<Infallible>,
    thread: JoinHandle<()>,
}

/// The thread still writes, or waits for a disk, after the limit. It ends on its own when it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("clients' files were still being written after {0:?}: check the disks that they lie on")]
pub struct StillWriting(pub Duration);

impl Worker {
    /// Starts the thread. Copies that a crash left beside the targets are removed first.
    ///
    /// # Errors
    /// What the system says when it has no room for a thread.
    pub fn start(targets: Vec<Target>, journal: Journal, outcomes: Outcomes) -> io::Result<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let (alive, ended) = mpsc::channel();
        let shift = Shift {
            mailbox: Arc::clone(&mailbox),
            schedule: Schedule::new(&targets),
            written: Vec::new(),
            targets,
            journal,
            outcomes,
            _alive: alive,
        };
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

/// What the thread owns.
struct Shift {
    mailbox: Arc<Mailbox>,
    targets: Vec<Target>,
    schedule: Schedule,
    journal: Journal,
    outcomes: Outcomes,
    /// Files that say what they shall and of which the journal does not know durably.
    written: Vec<(usize, Epoch, Replaced)>,
    /// Dropped with the rest, which tells the handle that the thread is done.
    _alive: Sender<Infallible>,
}

impl Shift {
    fn run(mut self) {
        for target in &self.targets {
            remove_stale_stages(target);
        }
        loop {
            let mail = self.mailbox.take(&self.patience());
            let now = Instant::now();
            for publication in mail.publications.values() {
                self.schedule.accept(publication, now);
            }
            if mail.stopping {
                self.schedule.drop_retries();
            }
            if let Some((index, publication)) = self.schedule.due(now) {
                self.replace(index, &publication);
            } else if !self.written.is_empty() {
                self.settle();
            } else if mail.stopping {
                return;
            }
        }
    }

    fn patience(&self) -> Patience {
        match self.schedule.next() {
            _ if !self.written.is_empty() => Patience::None,
            Some(moment) => Patience::Until(moment),
            None => Patience::Endless,
        }
    }

    fn replace(&mut self, index: usize, publication: &Publication) {
        let target = &self.targets[index];
        let epoch = publication.epoch;
        if let Err(refusal) = self
            .journal
            .may_publish(&target.client, &target.group, epoch)
        {
            self.schedule.settle(index);
            self.report_error(index, epoch, &refusal);
            return;
        }
        let started = Instant::now();
        match transaction::replace(target, publication) {
            Ok(replacement) => {
                let replaced = Replaced {
                    changed: replacement.changed,
                    took: started.elapsed(),
                };
                self.journal.note(Entry {
                    client: target.client.clone(),
                    group: target.group.clone(),
                    epoch,
                    master: publication.master.clone(),
                    digest: replacement.digest,
                });
                self.schedule.settle(index);
                self.written.push((index, epoch, replaced));
            }
            Err(error) => {
                self.schedule.fail(index, epoch, Instant::now());
                self.report_error(index, epoch, &error);
            }
        }
    }

    /// Makes durable what was written, and reports it.
    fn settle(&mut self) {
        let written = std::mem::take(&mut self.written);
        match self.journal.flush() {
            Ok(()) => {
                for (index, epoch, replaced) in written {
                    self.report(index, epoch, Ok(replaced));
                }
            }
            Err(error) => {
                for (index, epoch, _) in written {
                    self.schedule.fail(index, epoch, Instant::now());
                    self.report_error(index, epoch, &error);
                }
            }
        }
    }

    fn report_error(&mut self, index: usize, epoch: Epoch, error: &dyn Error) {
        let text = with_causes(error);
        self.report(index, epoch, Err(text));
    }

    fn report(&self, index: usize, epoch: Epoch, result: Result<Replaced, String>) {
        let target = &self.targets[index];
        (self.outcomes)(FileOutcome {
            client: target.client.clone(),
            group: target.group.clone(),
            epoch,
            result,
        });
    }
}

fn remove_stale_stages(target: &Target) {
    let path = target.path.display();
    match transaction::remove_stale_stages(&target.path) {
        Ok(0) => {}
        Ok(removed) => tracing::info!(%path, removed, "copies left by a crash removed"),
        Err(error) => tracing::warn!(%path, %error, "cannot look for copies left by a crash"),
    }
}
