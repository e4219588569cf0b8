//! Sees a process of this host exit, by a file descriptor of the kernel's and not by its number.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A hold on one process, which stays on that process even when its number is used again.
#[derive(Debug)]
pub(super) struct ProcessWatch {
    descriptor: AsyncFd<OwnedFd>,
}

impl ProcessWatch {
    /// Takes hold of the process that has this number now.
    ///
    /// # Errors
    /// When there is no such process here, or the kernel does not let us.
    #[allow(
        deprecated,
        reason = "the successor is unsafe, for descriptors that close too soon; this one is owned"
    )]
    pub(super) fn open(process_id: u32) -> io::Result<Self> {
        let process_id = i32::try_from(process_id)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let descriptor = pidfd_open(process_id, PidfdFlags::empty())?;
        Ok(Self {
            descriptor: AsyncFd::with_interest(descriptor, Interest::READABLE)?,
        })
    }

    /// Completes when the process has exited; cheap to ask again and again.
    pub(super) async fn exited(&self) -> io::Result<()> {
        poll_fn(|context| self.descriptor.poll_read_ready(context))
            .await
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_process_is_seen_to_exit_and_not_before() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let watch = ProcessWatch::open(child.id()).unwrap();
        let early = timeout(Duration::from_millis(50), watch.exited()).await;
        assert!(early.is_err());
        drop(child.stdin.take());
        let exited = timeout(Duration::from_secs(5), watch.exited()).await;
        assert!(matches!(exited, Ok(Ok(()))));
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn what_is_no_process_cannot_be_watched() {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        for process_id in [0, child.id(), u32::MAX] {
            assert!(ProcessWatch::open(process_id).is_err(), "{process_id}");
        }
    }
}
