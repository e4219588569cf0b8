//! One established link: reads, writes, shows signs of life, until it ends for a stated reason.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::select;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::handshake::Established;
use super::hello::Hello;
use super::ledger::{Connected, DropReason, Dropped, Ledger};
use super::outbox::Outbox;
use super::pace::{Due, Liveness, Pace};
use super::session::{Session, SessionError, SessionEvent};
use crate::model::{Life, NodeId};

/// How much is read at once, in bytes.
const READ_LENGTH: usize = 64 << 10;
/// How much is gathered for one write, in bytes; one payload may go beyond.
const BATCH_LENGTH: usize = 256 << 10;

/// What the links tell the daemon. Of one peer: `Up`, any number of `Received`, `Down`, and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// The peer is connected, authenticated and admitted.
    Up {
        /// Its name.
        peer: NodeId,
        /// Its present life.
        life: Life,
    },
    /// It is no longer.
    Down {
        /// Its name.
        peer: NodeId,
        /// Why.
        reason: DownReason,
    },
    /// It sent a payload.
    Received {
        /// Its name.
        peer: NodeId,
        /// The life in which it sent this.
        life: Life,
        /// What it sent.
        payload: Vec<u8>,
    },
}

/// Why a link ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DownReason {
    /// The peer closed it: it stopped, crashed, or dropped us.
    #[error("the peer closed the link")]
    Closed,
    /// The system reports an error.
    #[error("the link broke: {0}")]
    Broken(io::ErrorKind),
    /// No valid frame came for too long.
    #[error("the peer was silent for too long")]
    Silent,
    /// The peer did not take what was written, or too much waited for it.
    #[error("the peer reads too slowly")]
    Slow,
    /// What came was no valid frame.
    #[error("the peer sent an invalid frame")]
    Invalid(#[source] SessionError),
    /// The peer has connected anew, most likely after a restart.
    #[error("the peer connected anew")]
    Replaced,
}

impl DownReason {
    /// Whether this is how a link ends when the peer's process does: by the peer's system.
    #[must_use]
    pub fn is_end_of_process(&self) -> bool {
        match self {
            Self::Closed | Self::Broken(_) | Self::Replaced => true,
            Self::Silent | Self::Slow | Self::Invalid(_) => false,
        }
    }
}

impl Dropped for DownReason {
    fn drop_reason(&self) -> DropReason {
        match self {
            Self::Closed => DropReason::Closed,
            Self::Broken(_) => DropReason::Broken,
            Self::Silent => DropReason::Silent,
            Self::Slow => DropReason::Slow,
            Self::Invalid(error) => error.drop_reason(),
            Self::Replaced => DropReason::Replaced,
        }
    }
}

/// What every task about one peer needs.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) peer: NodeId,
    pub(super) outbox: Arc<Outbox>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) inbox: mpsc::Sender<LinkEvent>,
    pub(super) stop: CancellationToken,
    pub(super) pace: Arc<Pace>,
}

/// How a connection ended.
pub(super) enum Ended<S> {
    /// The link is down; the peer may be called again.
    Down,
    /// The link is down, and this is the one that takes its place.
    Replaced(Box<Established<S>>),
    /// The links stop, or nobody listens to them.
    Stopped,
}

/// Why a conversation is over.
enum Over<S> {
    Down(DownReason),
    Replaced(Box<Established<S>>),
    Stopped,
}

/// Runs one connection from `Up` to `Down`.
///
/// One task per peer calls this, for one connection after the other, so nothing of an older one can
/// come behind the `Up` of a newer one. `newer` resolves when the peer has connected anew.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    link: &Link,
    established: Box<Established<S>>,
    newer: impl Future<Output = Box<Established<S>>>,
) -> Ended<S> {
    link.outbox.open();
    link.ledger.connected(
        &link.peer,
        Connected {
            since: now(),
            address: established.address,
            life: established.peer.life,
        },
    );
    let mut talk = Conversation::new(link, established.session, &established.peer);
    talk.deliver(established.payloads);
    let over = talk.run(established.stream, newer).await;
    link.outbox.close();
    link.ledger.roll.left(&link.peer);
    let (reason, ended) = match over {
        Over::Replaced(newer) => (DownReason::Replaced, Ended::Replaced(newer)),
        Over::Down(reason) => (reason, Ended::Down),
        Over::Stopped => return Ended::Stopped,
    };
    link.ledger.disconnected(&link.peer, &reason, now());
    talk.pending.push_back(LinkEvent::Down {
        peer: link.peer.clone(),
        reason,
    });
    for event in talk.pending {
        select! {
            sent = link.inbox.send(event) => if sent.is_err() { return Ended::Stopped },
            () = link.stop.cancelled() => return Ended::Stopped,
        }
    }
    ended
}

/// All of a connection but its stream.
struct Conversation<'a> {
    link: &'a Link,
    session: Session,
    life: Life,
    liveness: Liveness,
    /// What the daemon has not taken yet. Nothing more is read until it has.
    pending: VecDeque<LinkEvent>,
}

impl<'a> Conversation<'a> {
    fn new(link: &'a Link, session: Session, peer: &Hello) -> Self {
        let up = LinkEvent::Up {
            peer: link.peer.clone(),
            life: peer.life,
        };
        Self {
            link,
            session,
            life: peer.life,
            liveness: Liveness::new(now()),
            pending: VecDeque::from([up]),
        }
    }

    async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: S,
        newer: impl Future<Output = Box<Established<S>>>,
    ) -> Over<S> {
        let link = self.link;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut buffer = vec![0; READ_LENGTH];
        let mut newer = pin!(newer);
        let mut timer = pin!(sleep_until(Instant::now()));
        loop {
            if let Err(reason) = self.gather() {
                return Over::Down(reason);
            }
            let idle = self.session.outgoing().is_empty();
            if idle && link.stop.is_cancelled() {
                say_goodbye(&mut reader, &mut writer, &mut buffer).await;
                return Over::Stopped;
            }
            let delivered = self.pending.is_empty();
            let (at, due) = self.liveness.next(&link.pace);
            timer.as_mut().reset(at.into());
            let outcome = select! {
                newer = &mut newer => return Over::Replaced(newer),
                permit = link.inbox.reserve(), if !delivered => match permit {
                    Ok(permit) => self.hand_over(permit),
                    Err(_) => return Over::Stopped,
                },
                read = reader.read(&mut buffer), if delivered => self.take_in(read, &buffer),
                written = writer.write(self.session.outgoing()), if !idle => self.wrote(written),
                () = link.outbox.changed() => Ok(()),
                () = link.stop.cancelled(), if idle => Ok(()),
                () = &mut timer => match due {
                    Due::KeepAlive => self.keep_alive(),
                    Due::Slow => Err(DownReason::Slow),
                    Due::Silent if !delivered => self.was_not_listening(),
                    // We may have been paused ourselves while frames arrived: look once more.
                    Due::Silent => match reader.read(&mut buffer).now_or_never() {
                        Some(read) => self.take_in(read, &buffer),
                        None => Err(DownReason::Silent),
                    },
                },
            };
            if let Err(reason) = outcome {
                return Over::Down(reason);
            }
        }
    }

    /// Seals what waits, all of it for one write.
    fn gather(&mut self) -> Result<(), DownReason> {
        if self.link.outbox.has_overflowed() {
            return Err(DownReason::Slow);
        }
        if self.session.outgoing().is_empty() {
            while self.session.outgoing().len() < BATCH_LENGTH
                && let Some(payload) = self.link.outbox.take()
            {
                self.session.send(&payload).map_err(DownReason::Invalid)?;
            }
        }
        if !self.session.outgoing().is_empty() {
            self.liveness.writing(now());
        }
        Ok(())
    }

    fn take_in(&mut self, read: io::Result<usize>, buffer: &[u8]) -> Result<(), DownReason> {
        let length = read.map_err(|error| DownReason::Broken(error.kind()))?;
        if length == 0 {
            return Err(DownReason::Closed);
        }
        let frames = self.session.frames();
        let mut events = Vec::new();
        let outcome = self.session.receive(&buffer[..length], &mut events);
        self.deliver(events.into_iter().filter_map(SessionEvent::into_payload));
        if self.session.frames() > frames {
            let now = now();
            self.liveness.heard(now);
            self.link.ledger.roll.heard(&self.link.peer, self.life, now);
        }
        outcome.map_err(DownReason::Invalid)
    }

    fn deliver(&mut self, payloads: impl IntoIterator<Item = Vec<u8>>) {
        let received = |payload| LinkEvent::Received {
            peer: self.link.peer.clone(),
            life: self.life,
            payload,
        };
        self.pending.extend(payloads.into_iter().map(received));
    }

    /// Gives the daemon one event, and counts silence from when it has them all.
    fn hand_over(&mut self, permit: mpsc::Permit<'_, LinkEvent>) -> Result<(), DownReason> {
        if let Some(event) = self.pending.pop_front() {
            permit.send(event);
        }
        self.was_not_listening()
    }

    fn was_not_listening(&mut self) -> Result<(), DownReason> {
        self.liveness.heard(now());
        Ok(())
    }

    fn wrote(&mut self, written: io::Result<usize>) -> Result<(), DownReason> {
        match written {
            Ok(0) => return Err(DownReason::Broken(io::ErrorKind::WriteZero)),
            Ok(length) => self.session.wrote(length),
            Err(error) => return Err(DownReason::Broken(error.kind())),
        }
        if self.session.outgoing().is_empty() {
            self.liveness.wrote(now());
        }
        Ok(())
    }

    fn keep_alive(&mut self) -> Result<(), DownReason> {
        self.session.keep_alive();
        Ok(())
    }
}

/// Ends our side and waits for the peer to end its own: closing with unread bytes would reset the
/// connection, and the peer would lose what we wrote last. Whoever stops the links bounds the wait.
async fn say_goodbye(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    buffer: &mut [u8],
) {
    if writer.shutdown().await.is_ok() {
        while let Ok(1..) = reader.read(buffer).await {}
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
