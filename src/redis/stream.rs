//! A TCP stream that bounds what a server may send before it completes a reply, and that knows why
//! it ended.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::reply::clean;

/// The most bytes between two replies: twice the longest `INFO` that is parsed. What is sent to no purpose
/// is parsed all the same, and takes time from all else.
pub(super) const UNREPLIED_MAX: usize = 512 << 10;

/// As much of what was heard last as is kept to quote it.
const QUOTE_MAX: usize = 160;

/// What is known about the receiving side of one stream.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<Received>);

#[derive(Debug, Default)]
struct Received {
    since_reply: usize,
    last_words: Vec<u8>,
    end: Option<String>,
}

impl Meter {
    /// A reply is complete: what comes now counts anew.
    pub(super) fn reply_completed(&self) {
        let mut received = self.received();
        received.since_reply = 0;
        received.last_words.clear();
    }

    /// The error line that the server sent and that nobody has asked for or taken yet, such as
    /// `DENIED Redis is running in protected mode`.
    pub(super) fn unclaimed_error(&self) -> Option<String> {
        let received = self.received();
        let line = received.last_words.strip_prefix(b"-")?;
        let line = line.split(|byte| *byte == b'\r').next().unwrap_or(line);
        Some(clean(&String::from_utf8_lossy(line)))
    }

    /// Why the stream ended, when it did by itself: by the peer, by an error, by the bound.
    pub(super) fn end(&self) -> Option<String> {
        let end = self.received().end.clone()?;
        Some(match self.unclaimed_error() {
            Some(error) => format!("{end}, having said: {error}"),
            None => end,
        })
    }

    /// Whether it did not end as connections do: what came was no reply, or came without end.
    pub(super) fn is_mad(&self) -> bool {
        let received = self.received();
        received.end.is_none() || received.since_reply > UNREPLIED_MAX
    }

    /// What was heard last, for the case that it was no reply of Redis.
    pub(super) fn quote(&self) -> String {
        clean(&String::from_utf8_lossy(&self.received().last_words))
    }

    fn take(&self, bytes: &[u8]) -> io::Result<()> {
        let mut received = self.received();
        if bytes.is_empty() {
            received.end_with("closed by the server");
            return Ok(());
        }
        let quoted = &bytes[..bytes.len().min(QUOTE_MAX)];
        received.last_words.clear();
        received.last_words.extend_from_slice(quoted);
        received.since_reply += bytes.len();
        if received.since_reply > UNREPLIED_MAX {
            received.end_with("it sends without end");
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }

    fn fail(&self, error: &io::Error) {
        self.received().end_with(&error.to_string());
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Received {
    /// The first reason is the one that counts.
    fn end_with(&mut self, reason: &str) {
        self.end.get_or_insert_with(|| reason.to_owned());
    }
}

/// A TCP stream under a [`Meter`].
#[derive(Debug)]
pub(super) struct BoundedStream {
    stream: TcpStream,
    meter: Arc<Meter>,
}

impl BoundedStream {
    pub(super) fn new(stream: TcpStream, meter: Arc<Meter>) -> Self {
        Self { stream, meter }
    }

    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| self.meter.fail(error))
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        self.note(result)?;
        Poll::Ready(self.meter.take(&buffer.filled()[before..]))
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        Poll::Ready(self.note(result))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_counts_from_one_reply_to_the_next() {
        let meter = Meter::default();
        let half = vec![b'x'; UNREPLIED_MAX / 2];
        for _ in 0..5 {
            assert!(meter.take(&half).is_ok());
            meter.reply_completed();
        }
        assert!(meter.take(&half).is_ok());
        assert!(meter.take(&half).is_ok());
        assert_eq!(meter.end(), None);
        assert!(meter.take(b"x").is_err());
        assert_eq!(meter.end().as_deref(), Some("it sends without end"));
        assert!(meter.is_mad());
    }

    #[test]
    fn a_server_that_closes_is_not_mad() {
        let meter = Meter::default();
        meter.take(b"+PON").unwrap();
        assert!(
            meter.is_mad(),
            "it ended, and nothing but its words ended it"
        );
        meter.take(b"").unwrap();
        assert!(!meter.is_mad());
    }

    #[test]
    fn an_error_line_before_the_end_is_part_of_the_reason() {
        let meter = Meter::default();
        meter.take(b"+PONG\r\n").unwrap();
        meter.reply_completed();
        meter
            .take(b"-ERR max number of clients reached\r\n")
            .unwrap();
        meter.take(b"").unwrap();
        assert_eq!(
            meter.end().as_deref(),
            Some("closed by the server, having said: ERR max number of clients reached")
        );
    }
}
