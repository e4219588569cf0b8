//! One connection as the hub and its own task share it: a socket, and what it did not take yet.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::Notify;

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
    /// Where it called from.
    pub(super) address: SocketAddr,
    /// Since when it owes something: the rest of a command, or room for what is for it.
    pub(super) owes_since: Cell<Option<Instant>>,
    outbox: RefCell<Vec<u8>>,
    /// Bytes that wait for all clients together.
    backlog_of_all: Rc<Cell<usize>>,
    is_closed: Cell<bool>,
    woken: Notify,
}

/// The connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl Client {
    /// A client that has just come.
    #[must_use]
    pub fn new(
        stream: TcpStream,
        session: Session,
        address: SocketAddr,
        backlog_of_all: Rc<Cell<usize>>,
    ) -> Self {
        Self {
            stream,
            session: RefCell::new(session),
            address,
            owes_since: Cell::new(None),
            outbox: RefCell::default(),
            backlog_of_all,
            is_closed: Cell::new(false),
            woken: Notify::new(),
        }
    }

    /// Ends it: its task sees that.
    pub fn close(&self) {
        self.is_closed.set(true);
        self.woken.notify_one();
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
            self.woken.notify_one();
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
        loop {
            let interest = match self.backlog() {
                0 => Interest::READABLE,
                1..ANSWERS_MAX => Interest::READABLE | Interest::WRITABLE,
                ANSWERS_MAX.. => Interest::WRITABLE,
            };
            let Some(ready) = self.ready(interest).await? else {
                continue;
            };
            if self.backlog() > 0 && ready.is_writable() {
                self.flush()?;
            }
            if ready.is_readable() || ready.is_read_closed() || ready.is_error() {
                return Ok(());
            }
        }
    }

    /// Waits until it took all that is for it.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn taken(&self) -> Result<(), Gone> {
        while self.backlog() > 0 {
            if self.ready(Interest::WRITABLE).await?.is_some() {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Nothing when it was woken for something else.
    async fn ready(&self, interest: Interest) -> Result<Option<tokio::io::Ready>, Gone> {
        if self.is_closed() {
            return Err(Gone);
        }
        select! {
            ready = self.stream.ready(interest) => ready.map(Some).map_err(|_| Gone),
            () = self.woken.notified() => Ok(None),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let all = self.backlog_of_all.get();
        self.backlog_of_all.set(all - self.backlog());
    }
}
