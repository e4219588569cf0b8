//! A thread that waits for the disk, so that the daemon's loop never does.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use thiserror::Error;

use super::disk::{LogError, LogFile};
use super::entry::Batch;

/// Writes batches in the order in which they come. When dropped it finishes those that it has.
#[derive(Debug)]
pub struct LogWriter {
    batches: Option<Sender<Batch>>,
    thread: Option<JoinHandle<()>>,
}

/// The writer ended after an error, which it reported when it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the log's writer has stopped after an error: restart this daemon")]
pub struct WriterStopped;

impl LogWriter {
    /// Starts the thread. It calls `done` once for each batch; the first error is the last call.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        file: LogFile,
        done: impl Fn(Result<(), LogError>) + Send + 'static,
    ) -> io::Result<Self> {
        let (batches, received) = channel();
        let thread = Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || write_all(file, &received, &done))?;
        Ok(Self {
            batches: Some(batches),
            thread: Some(thread),
        })
    }

    /// Has a batch written.
    ///
    /// # Errors
    /// [`WriterStopped`] when an earlier one failed.
    pub fn write(&self, batch: Batch) -> Result<(), WriterStopped> {
        let batches = self.batches.as_ref().ok_or(WriterStopped)?;
        batches.send(batch).map_err(|_| WriterStopped)
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        drop(self.batches.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log's writer panicked");
        }
    }
}

fn write_all(mut file: LogFile, batches: &Receiver<Batch>, done: &impl Fn(Result<(), LogError>)) {
    for batch in batches {
        let written = file.write(&batch);
        let has_failed = written.is_err();
        done(written);
        if has_failed {
            return;
        }
        if let Err(error) = file.prepare() {
            done(Err(error));
            return;
        }
    }
}
