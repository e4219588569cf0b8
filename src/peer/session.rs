//! One connection between two nodes as a pure machine: bytes in; bytes, payloads or a refusal out.

use std::fmt;

use snow::HandshakeState;
use thiserror::Error;

use super::admission::{Admission, Refusal};
use super::frame::{Channel, FRAME_LENGTH_MAX, Frame};
use super::hello::{Hello, PROTOCOL_VERSION, UnreadableHello, decode, encode};
use super::key::ClusterKey;
use super::noise::{
    HANDSHAKE_LENGTH_MAX, HANDSHAKE_LENGTH_MIN, builder, into_channel, read_handshake,
    write_handshake,
};

/// A kind and a tag, in bytes: what each frame has at least.
const MESSAGE_LENGTH_MIN: usize = 17;
/// How much room for outgoing bytes a session keeps when it has nothing to write.
const OUTGOING_CAPACITY_KEPT: usize = 64 << 10;

/// First byte of the responder's answer: its hello follows.
const ANSWER_HELLO: u8 = 0;
/// First byte of the responder's answer: a refusal follows.
const ANSWER_REFUSAL: u8 = 1;

/// The state that follows, and what there is to tell.
type Step = (State, Option<SessionEvent>);

/// Why a session ended. It takes in and gives out nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The other side wants to send more than it may.
    #[error("a message of {length} bytes is too long (at most {limit})")]
    Oversized {
        /// What it announced or sent, in bytes.
        length: usize,
        /// What it may send, in bytes.
        limit: usize,
    },
    /// A message of the handshake was not made with our key.
    #[error("the other side does not hold our cluster key: use the same peer key on all nodes")]
    Unauthenticated,
    /// A frame is damaged, replayed, out of order, or by somebody without the key of this session.
    #[error("a frame does not authenticate: it is damaged or replayed")]
    Forged,
    /// What was said cannot be understood.
    #[error("a message cannot be read: the other side is no promoterd, or another release")]
    Malformed,
    /// We will not talk to this node.
    #[error("we refuse the peer")]
    Refused(#[source] Refusal),
    /// This node will not talk to us.
    #[error("the peer refuses us")]
    RefusedByPeer(#[source] Refusal),
    /// The system gave no randomness.
    #[error("the system has no random bytes for a key: check getrandom(2)")]
    NoRandomness,
    /// It was over before.
    #[error("the session has ended")]
    Ended,
}

/// What a session has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// The peer is there now, holds the key, and may talk to us.
    Established(Hello),
    /// A whole payload.
    Received(Vec<u8>),
}

impl SessionEvent {
    /// The payload, if this is one.
    #[must_use]
    pub fn into_payload(self) -> Option<Vec<u8>> {
        match self {
            Self::Received(payload) => Some(payload),
            Self::Established(_) => None,
        }
    }
}

/// ```text
/// initiator:  AwaitingAnswer ──answer, fit──────────────────────────────▶ Open
/// responder:  AwaitingOpening ──opening, fit──▶ AwaitingProof ──frame──▶ Open
/// ```
/// Anything else leads to `Ended`.
enum State {
    /// Responder; nothing is known of the caller.
    AwaitingOpening { noise: Box<HandshakeState> },
    /// Initiator; our hello is on its way.
    AwaitingAnswer { noise: Box<HandshakeState> },
    /// Responder; the opening was made with the key but may be a replay: only who made it can
    /// encrypt a frame for our fresh ephemeral key.
    AwaitingProof { channel: Channel, peer: Hello },
    /// Both know that the other is there.
    Open { channel: Channel },
    /// Nothing more comes in or goes out.
    Ended,
}

/// A handshake, and then encrypted payloads both ways. Owns no socket and no clock.
pub struct Session {
    admission: Admission,
    state: State,
    claimed: Option<Hello>,
    frames: u64,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    written: usize,
}

impl Session {
    /// The side that called: its first message is in [`Self::outgoing`] at once.
    ///
    /// # Errors
    /// [`SessionError::NoRandomness`].
    pub fn initiator(key: &ClusterKey, admission: Admission) -> Result<Self, SessionError> {
        let mut noise = builder(key)
            .build_initiator()
            .map_err(|_| SessionError::NoRandomness)?;
        let mut outgoing = Vec::new();
        write_handshake(&mut noise, &admission.hello().encode(), &mut outgoing)?;
        let state = State::AwaitingAnswer {
            noise: Box::new(noise),
        };
        Ok(Self::new(admission, state, outgoing))
    }

    /// The side that was called.
    ///
    /// # Errors
    /// [`SessionError::NoRandomness`].
    pub fn responder(key: &ClusterKey, admission: Admission) -> Result<Self, SessionError> {
        let noise = builder(key)
            .build_responder()
            .map_err(|_| SessionError::NoRandomness)?;
        let state = State::AwaitingOpening {
            noise: Box::new(noise),
        };
        Ok(Self::new(admission, state, Vec::new()))
    }

    fn new(admission: Admission, state: State, outgoing: Vec<u8>) -> Self {
        Self {
            admission,
            state,
            claimed: None,
            frames: 0,
            incoming: Vec::new(),
            outgoing,
            written: 0,
        }
    }

    /// Takes in bytes, cut anywhere, and appends what they tell to `events`.
    ///
    /// # Errors
    /// Why the session is over. [`Self::outgoing`] may then hold a refusal to be sent before closing.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        events: &mut Vec<SessionEvent>,
    ) -> Result<(), SessionError> {
        self.incoming.extend_from_slice(bytes);
        let mut incoming = std::mem::take(&mut self.incoming);
        let mut taken = 0;
        let outcome = self.take_messages(&incoming, &mut taken, events);
        incoming.drain(..taken);
        self.incoming = incoming;
        if outcome.is_err() {
            self.state = State::Ended;
            self.incoming = Vec::new();
        }
        outcome
    }

    fn take_messages(
        &mut self,
        bytes: &[u8],
        taken: &mut usize,
        events: &mut Vec<SessionEvent>,
    ) -> Result<(), SessionError> {
        while let Some(message) = self.next_message(&bytes[*taken..])? {
            *taken += 2 + message.len();
            events.extend(self.step(message)?);
        }
        Ok(())
    }

    /// Appends a payload to what goes out.
    ///
    /// # Errors
    /// [`SessionError::Ended`] unless the session is established, [`SessionError::Oversized`] for
    /// more than [`FRAME_LENGTH_MAX`]; the latter does not end it.
    pub fn send(&mut self, payload: &[u8]) -> Result<(), SessionError> {
        if payload.len() > FRAME_LENGTH_MAX {
            return Err(SessionError::Oversized {
                length: payload.len(),
                limit: FRAME_LENGTH_MAX,
            });
        }
        let State::Open { channel } = &mut self.state else {
            return Err(SessionError::Ended);
        };
        channel.seal_payload(payload, &mut self.outgoing);
        Ok(())
    }

    /// Appends a sign of life to what goes out, once the session is established.
    pub fn keep_alive(&mut self) {
        if let State::Open { channel } = &mut self.state {
            channel.seal_keep_alive(&mut self.outgoing);
        }
    }

    /// The bytes to be written next.
    #[must_use]
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing[self.written..]
    }

    /// Takes note that the first `count` bytes of [`Self::outgoing`] are written.
    pub fn wrote(&mut self, count: usize) {
        self.written += count;
        assert!(
            self.written <= self.outgoing.len(),
            "only what there is can be written"
        );
        if self.written == self.outgoing.len() {
            self.written = 0;
            self.outgoing.clear();
            self.outgoing.shrink_to(OUTGOING_CAPACITY_KEPT);
        }
    }

    /// Who the other side said it is, as soon as it said so, whether or not it is let in.
    #[must_use]
    pub fn claimed(&self) -> Option<&Hello> {
        self.claimed.as_ref()
    }

    /// How many frames came in that were authentic, whatever they carried.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The next whole message in `bytes`, if there is one.
    fn next_message<'a>(&self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, SessionError> {
        let (least, limit) = match self.state {
            State::AwaitingOpening { .. } | State::AwaitingAnswer { .. } => {
                (HANDSHAKE_LENGTH_MIN, HANDSHAKE_LENGTH_MAX)
            }
            State::AwaitingProof { .. } | State::Open { .. } => {
                (MESSAGE_LENGTH_MIN, usize::from(u16::MAX))
            }
            State::Ended => return Err(SessionError::Ended),
        };
        let Some((prefix, rest)) = bytes.split_first_chunk::<2>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes(*prefix));
        if length > limit {
            return Err(SessionError::Oversized { length, limit });
        }
        if length < least {
            return Err(SessionError::Malformed);
        }
        Ok(rest.get(..length))
    }

    /// Takes in one message. On an error the state stays at `Ended`.
    fn step(&mut self, message: &[u8]) -> Result<Option<SessionEvent>, SessionError> {
        let state = std::mem::replace(&mut self.state, State::Ended);
        let (next, event) = match state {
            State::AwaitingOpening { noise } => (self.answer(*noise, message)?, None),
            State::AwaitingAnswer { noise } => self.conclude(*noise, message)?,
            State::AwaitingProof { channel, peer } => self.prove(channel, peer, message)?,
            State::Open { channel } => self.deliver(channel, message)?,
            State::Ended => return Err(SessionError::Ended),
        };
        self.state = next;
        Ok(event)
    }

    fn answer(&mut self, mut noise: HandshakeState, message: &[u8]) -> Result<State, SessionError> {
        let opening = read_handshake(&mut noise, message)?;
        match self.assess(&opening) {
            Ok(peer) => {
                let answer = [&[ANSWER_HELLO][..], &self.admission.hello().encode()].concat();
                write_handshake(&mut noise, &answer, &mut self.outgoing)?;
                let channel = into_channel(noise)?;
                Ok(State::AwaitingProof { channel, peer })
            }
            Err(SessionError::Refused(refusal)) => {
                let answer = [&[ANSWER_REFUSAL][..], &encode(&refusal)].concat();
                write_handshake(&mut noise, &answer, &mut self.outgoing)?;
                Err(SessionError::Refused(refusal))
            }
            Err(error) => Err(error),
        }
    }

    fn conclude(
        &mut self,
        mut noise: HandshakeState,
        message: &[u8],
    ) -> Result<Step, SessionError> {
        let answer = read_handshake(&mut noise, message)?;
        let (&kind, body) = answer.split_first().ok_or(SessionError::Malformed)?;
        if kind == ANSWER_REFUSAL {
            let refusal = decode(body).ok_or(SessionError::Malformed)?;
            return Err(SessionError::RefusedByPeer(refusal));
        }
        if kind != ANSWER_HELLO {
            return Err(SessionError::Malformed);
        }
        let verdict = self.assess(body);
        let mut channel = into_channel(noise)?;
        if let Err(SessionError::Refused(refusal)) = &verdict {
            channel.seal_refusal(refusal, &mut self.outgoing);
        }
        let peer = verdict?;
        channel.seal_keep_alive(&mut self.outgoing);
        let established = SessionEvent::Established(peer);
        Ok((State::Open { channel }, Some(established)))
    }

    fn prove(
        &mut self,
        mut channel: Channel,
        peer: Hello,
        message: &[u8],
    ) -> Result<Step, SessionError> {
        match channel.open(message)? {
            Frame::KeepAlive => {
                self.frames += 1;
                let established = SessionEvent::Established(peer);
                Ok((State::Open { channel }, Some(established)))
            }
            Frame::Refusal(refusal) => Err(SessionError::RefusedByPeer(refusal)),
            Frame::Fragment | Frame::Payload(_) => Err(SessionError::Malformed),
        }
    }

    fn deliver(&mut self, mut channel: Channel, message: &[u8]) -> Result<Step, SessionError> {
        let event = match channel.open(message)? {
            Frame::KeepAlive | Frame::Fragment => None,
            Frame::Payload(payload) => Some(SessionEvent::Received(payload)),
            Frame::Refusal(refusal) => return Err(SessionError::RefusedByPeer(refusal)),
        };
        self.frames += 1;
        Ok((State::Open { channel }, event))
    }

    fn assess(&mut self, hello: &[u8]) -> Result<Hello, SessionError> {
        let hello = Hello::decode(hello).map_err(|unreadable| match unreadable {
            UnreadableHello::Version(refused) => SessionError::Refused(Refusal::Version {
                refuser: PROTOCOL_VERSION,
                refused,
            }),
            UnreadableHello::Malformed => SessionError::Malformed,
        })?;
        self.claimed = Some(hello.clone());
        self.admission
            .assess(&hello)
            .map_err(SessionError::Refused)?;
        Ok(hello)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("claimed", &self.claimed)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}
