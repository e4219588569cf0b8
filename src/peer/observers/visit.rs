//! One observer at a voter: its handshake, and then all that changes for as long as it listens.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::select;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::guests::{Guest, Seat};
use super::server::Reception;
use super::tunnel::{Tunnel, TunnelEvent};
use super::word::{
    Answer, News, OBSERVERS_VERSION, ObserverRefusal, Opening, Position, PublicState,
    UnreadableOpening,
};
use crate::model::{GroupName, NodeId, with_causes};
use crate::peer::ledger::{DropReason, Dropped};
use crate::peer::session::SessionError;

/// For the handshake and the first position. Hundreds may come at once, and are served one after the other.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(2);
/// Silence of ours after which we show a sign of life.
pub(super) const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(2);
/// Silence of an observer after which it is dropped.
const SILENT_AFTER: Duration = Duration::from_secs(45);
/// For an observer to take what it is told.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// How much is read at once, in bytes: observers say little.
const READ_LENGTH: usize = 1_024;

/// Why an observer is told nothing, or no longer.
#[derive(Debug, Error)]
pub(super) enum VisitError {
    #[error("cannot accept a connection: raise the limit of open files if it is reached")]
    Accept(#[source] io::Error),
    #[error("observers beyond this machine need a cluster key: set PROMOTERD_PEER_KEY_FILE")]
    NotLoopback,
    #[error("the longest waiting of many unfinished handshakes gave way to a newer one")]
    Crowded,
    #[error(
        "it did not complete the handshake within {within:?}: is it promoterd, and not overloaded?"
    )]
    TimedOut { within: Duration },
    #[error("it closed the connection during the handshake: is it promoterd?")]
    Closed,
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error(
        "it does not hold the observers' key: put what `promoterd keygen --observer` prints on a voter into its \
         PROMOTERD_PEER_KEY_FILE"
    )]
    Unauthenticated,
    #[error("what it says is not understood")]
    Session(#[source] SessionError),
    #[error("it is refused")]
    Refused(#[source] ObserverRefusal),
    #[error("it said nothing for {SILENT_AFTER:?}")]
    Silent,
    #[error("it did not take what it was told within {DRAIN_WITHIN:?}")]
    Slow,
    #[error("it closed the connection")]
    Left,
    #[error("the voter stops")]
    Stopped,
}

impl From<SessionError> for VisitError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Unauthenticated => Self::Unauthenticated,
            SessionError::Oversized { .. }
            | SessionError::Forged
            | SessionError::Malformed
            | SessionError::Refused(_)
            | SessionError::RefusedByPeer(_)
            | SessionError::NoRandomness
            | SessionError::Ended => Self::Session(error),
        }
    }
}

impl Dropped for VisitError {
    fn drop_reason(&self) -> DropReason {
        match self {
            Self::Accept(_) => DropReason::AcceptFailed,
            Self::NotLoopback => DropReason::NotLoopback,
            Self::Crowded => DropReason::Crowded,
            Self::TimedOut { .. } => DropReason::HandshakeTimedOut,
            Self::Closed => DropReason::HandshakeBroken,
            Self::Broken(_) => DropReason::Broken,
            Self::Unauthenticated => DropReason::Unauthenticated,
            Self::Session(error) => error.drop_reason(),
            Self::Refused(_) => DropReason::Refused,
            Self::Silent => DropReason::Silent,
            Self::Slow => DropReason::Slow,
            Self::Left | Self::Stopped => DropReason::Closed,
        }
    }
}

/// Completes the handshake; whoever comes through is told all from then on by a task of its own.
pub(super) async fn receive(reception: Arc<Reception>, stream: TcpStream, address: SocketAddr) {
    let within = HANDSHAKE_WITHIN;
    let met = timeout(within, Visit::begin(&reception, stream, address)).await;
    match met.unwrap_or(Err(VisitError::TimedOut { within })) {
        Ok(visit) => drop(tokio::spawn(visit.go_on(reception))),
        Err(error) => reception.note_dropped(Some(address), &error),
    }
}

/// An observer that is let in.
struct Visit {
    stream: TcpStream,
    tunnel: Tunnel,
    node: NodeId,
    seat: Seat,
}

impl Visit {
    async fn begin(
        reception: &Reception,
        mut stream: TcpStream,
        address: SocketAddr,
    ) -> Result<Self, VisitError> {
        stream.set_nodelay(true).map_err(VisitError::Broken)?;
        let mut tunnel = Tunnel::voter(&reception.key)?;
        let mut events = Vec::new();
        while events.is_empty() {
            read(&mut stream, &mut tunnel, &mut events).await?;
        }
        let opening = match events.pop() {
            Some(TunnelEvent::Opening(opening)) => opening,
            Some(_) | None => return Err(SessionError::Malformed.into()),
        };
        let verdict = assess(reception, &opening)?;
        let answer = match &verdict {
            Ok(_) => Answer::Welcome {
                voter: reception.node.clone(),
            },
            Err(refusal) => Answer::Refused(refusal.clone()),
        };
        tunnel.answer(&answer.encode())?;
        flush(&mut stream, &mut tunnel).await?;
        let node = verdict.map_err(VisitError::Refused)?;
        // Who recorded an opening can send it again; only who made it can go on.
        tunnel.receive(&[], &mut events)?;
        while events.is_empty() {
            read(&mut stream, &mut tunnel, &mut events).await?;
        }
        let guest = Guest {
            node: node.clone(),
            address,
            since: std::time::Instant::now(),
            position: Position::default(),
        };
        let seat = reception.guests.seat(guest);
        let max = reception.guests.count_max();
        let seat = seat.ok_or(VisitError::Refused(ObserverRefusal::Full { max }))?;
        let visit = Self {
            stream,
            tunnel,
            node,
            seat,
        };
        // Not while the loop waits to show something new.
        let state = Arc::clone(&reception.views.borrow());
        visit.take_in(events, &state)?;
        Ok(visit)
    }

    async fn go_on(mut self, reception: Arc<Reception>) {
        let node = self.node.clone();
        debug!(observer = %node, "observer connected");
        let ended = self.tell(&reception).await;
        let reason = ended.map_or_else(|error| with_causes(&error), |never| match never {});
        debug!(observer = %node, reason, "observer left");
    }

    async fn tell(
        &mut self,
        reception: &Reception,
    ) -> Result<std::convert::Infallible, VisitError> {
        let mut views = reception.views.clone();
        let mut told: Option<Arc<PublicState>> = None;
        let (mut wrote, mut heard) = (Instant::now(), Instant::now());
        let mut buffer = [0; READ_LENGTH];
        loop {
            let state = Arc::clone(&views.borrow_and_update());
            if let Some(news) = News::between(told.as_deref(), &state) {
                self.tunnel.send(&news.encode())?;
            }
            told = Some(state);
            if flush(&mut self.stream, &mut self.tunnel).await? {
                wrote = Instant::now();
            }
            select! {
                changed = views.changed() => changed.map_err(|_| VisitError::Stopped)?,
                length = self.stream.read(&mut buffer) => {
                    let length = length.map_err(VisitError::Broken)?;
                    if length == 0 {
                        return Err(VisitError::Left);
                    }
                    let mut events = Vec::new();
                    self.tunnel.receive(&buffer[..length], &mut events)?;
                    if !events.is_empty() {
                        heard = Instant::now();
                        let state = Arc::clone(&views.borrow());
                        self.take_in(events, &state)?;
                    }
                }
                () = sleep_until(wrote + KEEP_ALIVE_AFTER) => self.tunnel.keep_alive(),
                () = sleep_until(heard + SILENT_AFTER) => return Err(VisitError::Silent),
            }
        }
    }

    /// Of what is said only that of known groups is kept: so it takes no more room than they do.
    fn take_in(&self, events: Vec<TunnelEvent>, state: &PublicState) -> Result<(), VisitError> {
        for event in events {
            match event {
                TunnelEvent::KeepAlive => {}
                TunnelEvent::Payload(payload) => {
                    let position = Position::decode(&payload);
                    let mut position = position.ok_or(SessionError::Malformed)?;
                    let is_known = |name: &GroupName| state.groups.contains_key(name);
                    position.files.retain(|name, _| is_known(name));
                    self.seat.note(position);
                }
                TunnelEvent::Opening(_) | TunnelEvent::Answer(_) => {
                    return Err(SessionError::Malformed.into());
                }
            }
        }
        Ok(())
    }
}

/// Who it is, if it may be told.
fn assess(
    reception: &Reception,
    opening: &[u8],
) -> Result<Result<NodeId, ObserverRefusal>, SessionError> {
    let opening = match Opening::decode(opening) {
        Ok(opening) => opening,
        Err(UnreadableOpening::Version(refused)) => {
            return Ok(Err(ObserverRefusal::Version {
                refuser: OBSERVERS_VERSION,
                refused,
            }));
        }
        Err(UnreadableOpening::Malformed) => return Err(SessionError::Malformed),
    };
    let node = opening.node;
    if node == reception.node {
        return Ok(Err(ObserverRefusal::OwnName { node }));
    }
    if reception.guests.is_full() {
        let max = reception.guests.count_max();
        return Ok(Err(ObserverRefusal::Full { max }));
    }
    Ok(Ok(node))
}

async fn read(
    stream: &mut TcpStream,
    tunnel: &mut Tunnel,
    events: &mut Vec<TunnelEvent>,
) -> Result<(), VisitError> {
    let mut buffer = [0; READ_LENGTH];
    let length = stream.read(&mut buffer).await.map_err(VisitError::Broken)?;
    if length == 0 {
        return Err(VisitError::Closed);
    }
    Ok(tunnel.receive(&buffer[..length], events)?)
}

/// Writes what there is; whether there was anything. Nothing new is gathered meanwhile, so whoever does
/// not read holds no more than one state.
async fn flush(stream: &mut TcpStream, tunnel: &mut Tunnel) -> Result<bool, VisitError> {
    let outgoing = tunnel.take_outgoing();
    if outgoing.is_empty() {
        return Ok(false);
    }
    match timeout(DRAIN_WITHIN, stream.write_all(&outgoing)).await {
        Ok(written) => written.map(|()| true).map_err(VisitError::Broken),
        Err(_) => Err(VisitError::Slow),
    }
}
