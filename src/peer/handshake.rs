//! Carries a [`Session`] over a stream until both sides know each other, or one has refused.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::hello::Hello;
use super::ledger::{DropReason, Dropped};
use super::session::{Session, SessionError, SessionEvent};
use crate::model::NodeId;

/// How much is read at once from somebody who is not authenticated yet, in bytes.
const READ_LENGTH: usize = 1_024;

/// Why no link came of a connection.
#[derive(Debug, Error)]
pub(super) enum HandshakeError {
    #[error(
        "the other side did not complete the handshake within {within:?}: is it promoterd, and not overloaded?"
    )]
    TimedOut { within: Duration },
    #[error(
        "the other side closed the connection during the handshake: is its key ours, and is it promoterd?"
    )]
    Closed,
    #[error("the connection broke during the handshake")]
    Broken(#[source] io::Error),
    #[error("the handshake failed")]
    Session(#[source] SessionError),
}

impl Dropped for HandshakeError {
    fn drop_reason(&self) -> DropReason {
        match self {
            Self::TimedOut { .. } => DropReason::HandshakeTimedOut,
            Self::Closed | Self::Broken(_) => DropReason::HandshakeBroken,
            Self::Session(error) => error.drop_reason(),
        }
    }
}

impl Dropped for SessionError {
    fn drop_reason(&self) -> DropReason {
        match self {
            Self::Oversized { .. } => DropReason::Oversized,
            Self::Unauthenticated => DropReason::Unauthenticated,
            Self::Forged => DropReason::Forged,
            Self::Malformed => DropReason::Malformed,
            Self::Refused(_) => DropReason::Refused,
            Self::RefusedByPeer(_) => DropReason::RefusedByPeer,
            Self::NoRandomness => DropReason::NoRandomness,
            Self::Ended => DropReason::Broken,
        }
    }
}

/// A connection whose other end is known.
#[derive(Debug)]
pub(super) struct Established<S> {
    pub(super) stream: S,
    pub(super) address: SocketAddr,
    pub(super) session: Session,
    pub(super) peer: Hello,
    /// Payloads that came right behind the handshake.
    pub(super) payloads: Vec<Vec<u8>>,
}

/// Why no link came of a connection, and who the other side said it is, if it got so far.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: HandshakeError,
    pub(super) claimed: Option<NodeId>,
}

/// Completes the handshake, or sends the refusal that ends it.
pub(super) async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    address: SocketAddr,
    mut session: Session,
    within: Duration,
) -> Result<Box<Established<S>>, Failed> {
    let outcome = timeout(within, exchange(&mut stream, &mut session))
        .await
        .unwrap_or(Err(HandshakeError::TimedOut { within }));
    match outcome {
        Ok((peer, payloads)) => Ok(Box::new(Established {
            stream,
            address,
            session,
            peer,
            payloads,
        })),
        Err(error) => Err(Failed {
            error,
            claimed: session.claimed().map(|hello| hello.node.clone()),
        }),
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    session: &mut Session,
) -> Result<(Hello, Vec<Vec<u8>>), HandshakeError> {
    let mut events = Vec::new();
    let mut buffer = [0; READ_LENGTH];
    loop {
        flush(stream, session).await?;
        if let Some(established) = into_established(&mut events) {
            return Ok(established);
        }
        let length = stream
            .read(&mut buffer)
            .await
            .map_err(HandshakeError::Broken)?;
        if length == 0 {
            return Err(HandshakeError::Closed);
        }
        if let Err(error) = session.receive(&buffer[..length], &mut events) {
            // What is left to be written is the refusal. That it could not be sent matters less
            // than why we wanted to.
            let _ = flush(stream, session).await;
            let _ = stream.shutdown().await;
            return Err(HandshakeError::Session(error));
        }
    }
}

async fn flush<S: AsyncWrite + Unpin>(
    stream: &mut S,
    session: &mut Session,
) -> Result<(), HandshakeError> {
    let length = session.outgoing().len();
    stream
        .write_all(session.outgoing())
        .await
        .map_err(HandshakeError::Broken)?;
    session.wrote(length);
    Ok(())
}

fn into_established(events: &mut Vec<SessionEvent>) -> Option<(Hello, Vec<Vec<u8>>)> {
    let mut events = std::mem::take(events).into_iter();
    let Some(SessionEvent::Established(hello)) = events.next() else {
        return None;
    };
    Some((
        hello,
        events.filter_map(SessionEvent::into_payload).collect(),
    ))
}
