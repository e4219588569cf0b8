//! One connection as the hub and its own task share it: a socket, and what it did not take yet.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use tokio::net::TcpStream;

use super::session::Session;

/// Most bytes of events that wait for a client which takes nothing.
pub const OUTBOX_MAX: usize = 256 * 1024;
/// No more commands are read of a client that has left so many bytes of answers.
pub const ANSWERS_MAX: usize = 64 * 1024;

/// One client. Idle, it holds no buffer.
#[derive(Debug)]
pub struct Client {
    pub(super) stream: TcpStream,
    pub(super) session: RefCell<Session>,
    /// Since when it owes something: the rest of a command, or room for what is for it.
    pub(super) owes_since: Cell<Option<Instant>>,
    outbox: RefCell<Vec<u8>>,
    /// Bytes that wait for all clients together.
    backlog_of_all: Rc<Cell<usize>>,
    is_closed: Cell<bool>,
    /// The task that waits for it.
    task: RefCell<Option<Waker>>,
}

/// The connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl Client {
    /// A client that has just come.
    #[must_use]
    pub fn new(stream: TcpStream, session: Session, backlog_of_all: Rc<Cell<usize>>) -> Self {
        Self {
            stream,
            session: RefCell::new(session),
            owes_since: Cell::new(None),
            outbox: RefCell::default(),
            backlog_of_all,
            is_closed: Cell::new(false),
            task: RefCell::default(),
        }
    }

    /// Where it called from.
    #[must_use]
    pub fn address(&self) -> String {
        let address = self.stream.peer_addr();
        address.map_or_else(|_| "an unknown address".to_owned(), |it| it.to_string())
    }

    /// Ends it: its task sees that.
    pub fn close(&self) {
        self.is_closed.set(true);
        self.wake();
    }

    /// Whether it has to end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Bytes that it did not take yet.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.outbox.borrow().len()
    }

    /// Sends whole replies; what the socket does not take waits.
    pub fn send(&self, bytes: &[u8]) {
        let mut outbox = self.outbox.borrow_mut();
        let taken = if outbox.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return self.close(),
            }
        } else {
            0
        };
        if taken < bytes.len() {
            outbox.extend_from_slice(&bytes[taken..]);
            let all = self.backlog_of_all.get();
            self.backlog_of_all.set(all + bytes.len() - taken);
            self.wake();
        }
    }

    pub(super) fn flush(&self) -> Result<(), Gone> {
        let mut outbox = self.outbox.borrow_mut();
        let taken = match self.stream.try_write(&outbox) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return Err(Gone),
        };
        if taken == outbox.len() {
            *outbox = Vec::new();
        } else {
            outbox.drain(..taken);
        }
        self.backlog_of_all.set(self.backlog_of_all.get() - taken);
        // It took something, so it has its time again.
        self.owes_since.set(None);
        Ok(())
    }

    /// Waits until something can be read, and writes what waits meanwhile. Nothing more is read of a
    /// client that does not take its answers.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn readable(&self) -> Result<(), Gone> {
        poll_fn(|context| {
            if let Poll::Ready(Err(gone)) = self.poll_taken(context) {
                return Poll::Ready(Err(gone));
            }
            if self.backlog() >= ANSWERS_MAX {
                return Poll::Pending;
            }
            self.stream.poll_read_ready(context).map_err(|_| Gone)
        })
        .await
    }

    /// Waits until it took all that is for it.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn taken(&self) -> Result<(), Gone> {
        poll_fn(|context| self.poll_taken(context)).await
    }

    /// Both waits keep nothing but the task: thousands of clients are idle.
    fn poll_taken(&self, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        *self.task.borrow_mut() = Some(context.waker().clone());
        loop {
            if self.is_closed() {
                return Poll::Ready(Err(Gone));
            }
            if self.backlog() == 0 {
                return Poll::Ready(Ok(()));
            }
            let ready = self.stream.poll_write_ready(context);
            ready!(ready.map_err(|_| Gone))?;
            self.flush()?;
        }
    }

    fn wake(&self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let all = self.backlog_of_all.get();
        self.backlog_of_all.set(all - self.backlog());
    }
}
