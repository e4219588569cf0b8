//! One connection between an observer and a voter as a pure machine: bytes in; bytes and payloads out.

use std::fmt;

use snow::HandshakeState;

use super::word::POSITION_LENGTH_MAX;
use crate::peer::frame::{Channel, FRAME_LENGTH_MAX, Frame};
use crate::peer::key::ClusterKey;
use crate::peer::noise::{
    HANDSHAKE_LENGTH_MAX, HANDSHAKE_LENGTH_MIN, builder_for, into_channel, read_handshake,
    write_handshake,
};
use crate::peer::session::SessionError;

/// Names the format of handshake and frames. Another one than the peers': what was said at one port is
/// worth nothing at the other.
const PROLOGUE: &[u8] = b"promoterd observers 1";
/// A kind and a tag, in bytes: what each frame has at least.
const FRAME_MIN: usize = 17;

/// What came through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TunnelEvent {
    /// To a voter: what the observer says first. It holds the key, or this is a replay. Say
    /// [`Tunnel::answer`] before anything else.
    Opening(Vec<u8>),
    /// To an observer: what the voter answers. It holds the key, and is there now.
    Answer(Vec<u8>),
    /// A sign of life.
    KeepAlive,
    /// A whole payload.
    Payload(Vec<u8>),
}

/// ```text
/// observer:  AwaitingAnswer ──answer──────────────────────────────▶ Open
/// voter:     AwaitingOpening ──opening──▶ Answering ──answer()──▶ Open
/// ```
/// Anything else leads to `Ended`.
enum State {
    /// An observer whose opening is on its way.
    AwaitingAnswer { noise: Box<HandshakeState> },
    /// A voter that knows nothing of the caller.
    AwaitingOpening { noise: Box<HandshakeState> },
    /// A voter that has read the opening.
    Answering { noise: Box<HandshakeState> },
    /// Whatever authenticates now was said in this connection.
    Open { channel: Box<Channel> },
    /// Nothing more comes in or goes out.
    Ended,
}

/// A handshake, and then encrypted payloads both ways. Owns no socket and no clock.
pub struct Tunnel {
    state: State,
    /// Longest frame that is taken in.
    frame_max: usize,
    payload_max: usize,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Tunnel {
    /// The observer's side: what it says first is in [`Self::take_outgoing`] at once.
    ///
    /// # Errors
    /// [`SessionError::NoRandomness`].
    pub fn observer(key: &ClusterKey, opening: &[u8]) -> Result<Self, SessionError> {
        let mut noise = builder_for(key, PROLOGUE)
            .build_initiator()
            .map_err(|_| SessionError::NoRandomness)?;
        let mut outgoing = Vec::new();
        write_handshake(&mut noise, opening, &mut outgoing)?;
        let noise = Box::new(noise);
        Ok(Self {
            state: State::AwaitingAnswer { noise },
            frame_max: usize::from(u16::MAX),
            payload_max: FRAME_LENGTH_MAX,
            incoming: Vec::new(),
            outgoing,
        })
    }

    /// The voter's side, which takes in little.
    ///
    /// # Errors
    /// [`SessionError::NoRandomness`].
    pub fn voter(key: &ClusterKey) -> Result<Self, SessionError> {
        let noise = builder_for(key, PROLOGUE)
            .build_responder()
            .map_err(|_| SessionError::NoRandomness)?;
        let noise = Box::new(noise);
        Ok(Self {
            state: State::AwaitingOpening { noise },
            frame_max: POSITION_LENGTH_MAX + FRAME_MIN,
            payload_max: POSITION_LENGTH_MAX,
            incoming: Vec::new(),
            outgoing: Vec::new(),
        })
    }

    /// Takes in bytes, cut anywhere, and appends what they tell to `events`.
    ///
    /// # Errors
    /// Why the connection is over.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        events: &mut Vec<TunnelEvent>,
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
        } else if self.incoming.is_empty() {
            // Most of the time nothing is on its way, and a voter has many of these.
            self.incoming = Vec::new();
        }
        outcome
    }

    fn take_messages(
        &mut self,
        bytes: &[u8],
        taken: &mut usize,
        events: &mut Vec<TunnelEvent>,
    ) -> Result<(), SessionError> {
        while let Some(message) = self.next_message(&bytes[*taken..])? {
            *taken += 2 + message.len();
            events.extend(self.step(message)?);
        }
        Ok(())
    }

    /// The next whole message in `bytes`, if there is one.
    fn next_message<'a>(&self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, SessionError> {
        let (least, limit) = match self.state {
            State::AwaitingAnswer { .. } | State::AwaitingOpening { .. } => {
                (HANDSHAKE_LENGTH_MIN, HANDSHAKE_LENGTH_MAX)
            }
            State::Open { .. } => (FRAME_MIN, self.frame_max),
            // Who goes on talking is heard after the answer, and nothing is read meanwhile.
            State::Answering { .. } => return Ok(None),
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
    fn step(&mut self, message: &[u8]) -> Result<Option<TunnelEvent>, SessionError> {
        let state = std::mem::replace(&mut self.state, State::Ended);
        let (next, event) = match state {
            State::AwaitingOpening { mut noise } => {
                let opening = read_handshake(&mut noise, message)?;
                (
                    State::Answering { noise },
                    Some(TunnelEvent::Opening(opening)),
                )
            }
            State::AwaitingAnswer { mut noise } => {
                let answer = read_handshake(&mut noise, message)?;
                (self.open(*noise)?, Some(TunnelEvent::Answer(answer)))
            }
            State::Open { mut channel } => {
                let event = match channel.open(message)? {
                    Frame::KeepAlive => Some(TunnelEvent::KeepAlive),
                    Frame::Fragment => None,
                    Frame::Payload(payload) => Some(TunnelEvent::Payload(payload)),
                    Frame::Refusal(_) => return Err(SessionError::Malformed),
                };
                (State::Open { channel }, event)
            }
            State::Answering { .. } | State::Ended => return Err(SessionError::Ended),
        };
        self.state = next;
        Ok(event)
    }

    fn open(&self, noise: HandshakeState) -> Result<State, SessionError> {
        let channel = Box::new(into_channel(noise)?.taking(self.payload_max));
        Ok(State::Open { channel })
    }

    /// The voter's word to the opening.
    ///
    /// # Errors
    /// [`SessionError::Ended`] unless an opening was read and not answered.
    pub fn answer(&mut self, answer: &[u8]) -> Result<(), SessionError> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Answering { mut noise } => {
                write_handshake(&mut noise, answer, &mut self.outgoing)?;
                self.state = self.open(*noise)?;
                Ok(())
            }
            State::AwaitingAnswer { .. }
            | State::AwaitingOpening { .. }
            | State::Open { .. }
            | State::Ended => Err(SessionError::Ended),
        }
    }

    /// Appends a payload to what goes out.
    ///
    /// # Errors
    /// [`SessionError::Ended`] unless the tunnel is open, [`SessionError::Oversized`] for more than
    /// [`FRAME_LENGTH_MAX`]; the latter does not end it.
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

    /// Appends a sign of life to what goes out, once the tunnel is open.
    pub fn keep_alive(&mut self) {
        if let State::Open { channel } = &mut self.state {
            channel.seal_keep_alive(&mut self.outgoing);
        }
    }

    /// The bytes to be written next.
    #[must_use]
    pub fn take_outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tunnel").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Session;
    use crate::peer::admission::Admission;
    use crate::peer::admission::tests::calling;

    fn admission_of_a() -> Admission {
        calling("a", "b", &["a", "b"])
    }

    fn key() -> ClusterKey {
        ClusterKey::from([7; 32]).for_observers()
    }

    /// Both sides, open; the opening and the answer were heard.
    fn tunnels() -> (Tunnel, Tunnel) {
        let mut observer = Tunnel::observer(&key(), b"opening").unwrap();
        let mut voter = Tunnel::voter(&key()).unwrap();
        assert_eq!(
            pass(&mut observer, &mut voter),
            Ok(vec![TunnelEvent::Opening(b"opening".to_vec())])
        );
        voter.answer(b"answer").unwrap();
        assert_eq!(
            pass(&mut voter, &mut observer),
            Ok(vec![TunnelEvent::Answer(b"answer".to_vec())])
        );
        (observer, voter)
    }

    fn pass(from: &mut Tunnel, to: &mut Tunnel) -> Result<Vec<TunnelEvent>, SessionError> {
        let mut events = Vec::new();
        to.receive(&from.take_outgoing(), &mut events)?;
        Ok(events)
    }

    #[test]
    fn payloads_and_signs_of_life_pass_both_ways_cut_anywhere() {
        let (mut observer, mut voter) = tunnels();
        let long = vec![3; 200_000];
        voter.send(&long).unwrap();
        voter.keep_alive();
        let bytes = voter.take_outgoing();
        let mut events = Vec::new();
        for piece in bytes.chunks(1_000) {
            observer.receive(piece, &mut events).unwrap();
        }
        assert_eq!(events, [TunnelEvent::Payload(long), TunnelEvent::KeepAlive]);
        observer.send(b"position").unwrap();
        assert_eq!(
            pass(&mut observer, &mut voter),
            Ok(vec![TunnelEvent::Payload(b"position".to_vec())])
        );
    }

    #[test]
    fn a_voter_takes_in_no_more_than_a_position() {
        for length in [POSITION_LENGTH_MAX, POSITION_LENGTH_MAX + 1] {
            let (mut observer, mut voter) = tunnels();
            observer.send(&vec![0; length]).unwrap();
            let is_taken = pass(&mut observer, &mut voter).is_ok();
            assert_eq!(is_taken, length <= POSITION_LENGTH_MAX, "{length}");
        }
        let (mut observer, mut voter) = tunnels();
        observer.send(&vec![0; 10 * POSITION_LENGTH_MAX]).unwrap();
        let outcome = pass(&mut observer, &mut voter);
        assert!(matches!(outcome, Err(SessionError::Oversized { .. })));
    }

    #[test]
    fn neither_the_cluster_key_nor_a_call_of_a_peer_opens_the_observers_port() {
        let cluster_key = ClusterKey::from([7; 32]);
        let mut events = Vec::new();
        let mut with_cluster_key = Tunnel::observer(&cluster_key, b"opening").unwrap();
        let mut voter = Tunnel::voter(&key()).unwrap();
        let outcome = voter.receive(&with_cluster_key.take_outgoing(), &mut events);
        assert_eq!(outcome, Err(SessionError::Unauthenticated));
        // Even with one key for both, a port understands only what is said for it.
        let peer = Session::initiator(&key(), admission_of_a()).unwrap();
        let mut voter = Tunnel::voter(&key()).unwrap();
        let outcome = voter.receive(peer.outgoing(), &mut events);
        assert_eq!(outcome, Err(SessionError::Unauthenticated));
        assert_eq!(events, []);
    }

    #[test]
    fn the_observers_key_opens_no_peer_port() {
        let cluster_key = ClusterKey::from([7; 32]);
        let mut peer = Session::responder(&cluster_key, admission_of_a()).unwrap();
        let mut observer = Tunnel::observer(&key(), b"opening").unwrap();
        let outcome = peer.receive(&observer.take_outgoing(), &mut Vec::new());
        assert_eq!(outcome, Err(SessionError::Unauthenticated));
        let caller = Session::initiator(&key(), admission_of_a()).unwrap();
        let mut peer = Session::responder(&cluster_key, admission_of_a()).unwrap();
        let outcome = peer.receive(caller.outgoing(), &mut Vec::new());
        assert_eq!(outcome, Err(SessionError::Unauthenticated));
    }

    #[test]
    fn what_is_replayed_opens_nothing() {
        let mut observer = Tunnel::observer(&key(), b"opening").unwrap();
        let opening = observer.take_outgoing();
        let mut voter = Tunnel::voter(&key()).unwrap();
        voter.receive(&opening, &mut Vec::new()).unwrap();
        voter.answer(b"answer").unwrap();
        observer
            .receive(&voter.take_outgoing(), &mut Vec::new())
            .unwrap();
        observer.send(b"position").unwrap();
        let said = observer.take_outgoing();
        let mut again = Tunnel::voter(&key()).unwrap();
        again.receive(&opening, &mut Vec::new()).unwrap();
        again.answer(b"answer").unwrap();
        let mut events = Vec::new();
        assert_eq!(again.receive(&said, &mut events), Err(SessionError::Forged));
        assert_eq!(events, []);
    }
}
