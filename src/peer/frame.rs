//! Frames of an encrypted channel: a kind and a body in each Noise message, long payloads in fragments.

use snow::TransportState;

use super::admission::Refusal;
use super::hello::{decode, encode};
use super::session::SessionError;

/// Longest payload, in bytes, however many fragments it takes.
pub const FRAME_LENGTH_MAX: usize = 4 << 20;

/// Longest Noise message, in bytes (Noise Protocol Framework, section 3).
const MESSAGE_LENGTH_MAX: usize = 65_535;
/// The authentication tag behind each message, in bytes.
const TAG_LENGTH: usize = 16;
/// What fits into one message beside its tag and its kind.
pub(super) const FRAGMENT_LENGTH_MAX: usize = MESSAGE_LENGTH_MAX - TAG_LENGTH - 1;

/// What one frame brought, once it is whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A sign of life.
    KeepAlive,
    /// A fragment that others follow: a sign of life as well.
    Fragment,
    /// A whole payload.
    Payload(Vec<u8>),
    /// The peer will not talk to us.
    Refusal(Refusal),
}

/// First byte of each frame.
#[derive(Clone, Copy)]
enum Kind {
    KeepAlive = 0,
    Last = 1,
    More = 2,
    Refusal = 3,
}

/// Both directions of an encrypted connection.
pub(super) struct Channel {
    noise: TransportState,
    /// Longest payload that is taken in, in bytes.
    payload_max: usize,
    /// Fragments of a payload that is not whole yet.
    partial: Vec<u8>,
    /// Plain text on its way in or out; kept so that a frame costs no allocation.
    plain: Vec<u8>,
}

impl Channel {
    pub(super) fn new(noise: TransportState) -> Self {
        Self {
            noise,
            payload_max: FRAME_LENGTH_MAX,
            partial: Vec::new(),
            plain: Vec::new(),
        }
    }

    /// Takes in no payload that is longer than so many bytes.
    pub(super) fn taking(mut self, payload_max: usize) -> Self {
        self.payload_max = payload_max;
        self
    }

    pub(super) fn seal_keep_alive(&mut self, outgoing: &mut Vec<u8>) {
        self.seal(Kind::KeepAlive, &[], outgoing);
    }

    pub(super) fn seal_refusal(&mut self, refusal: &Refusal, outgoing: &mut Vec<u8>) {
        self.seal(Kind::Refusal, &encode(refusal), outgoing);
    }

    /// Appends a payload of at most [`FRAME_LENGTH_MAX`] bytes, in as many frames as it takes.
    pub(super) fn seal_payload(&mut self, payload: &[u8], outgoing: &mut Vec<u8>) {
        let mut rest = payload;
        while let Some((fragment, more)) = rest.split_at_checked(FRAGMENT_LENGTH_MAX)
            && !more.is_empty()
        {
            self.seal(Kind::More, fragment, outgoing);
            rest = more;
        }
        self.seal(Kind::Last, rest, outgoing);
    }

    fn seal(&mut self, kind: Kind, body: &[u8], outgoing: &mut Vec<u8>) {
        self.plain.clear();
        self.plain.push(kind as u8);
        self.plain.extend_from_slice(body);
        let length = self.plain.len() + TAG_LENGTH;
        let prefix = u16::try_from(length).expect("a fragment fits into one message");
        outgoing.extend_from_slice(&prefix.to_be_bytes());
        let start = outgoing.len();
        outgoing.resize(start + length, 0);
        self.noise
            .write_message(&self.plain, &mut outgoing[start..])
            .expect("the buffer fits, and 2^64 messages are never sent");
    }

    /// Takes in one Noise message.
    pub(super) fn open(&mut self, message: &[u8]) -> Result<Frame, SessionError> {
        self.plain.resize(message.len(), 0);
        let length = self
            .noise
            .read_message(message, &mut self.plain)
            .map_err(|_| SessionError::Forged)?;
        self.plain.truncate(length);
        let (&kind, body) = self.plain.split_first().ok_or(SessionError::Malformed)?;
        if kind == Kind::KeepAlive as u8 && body.is_empty() {
            Ok(Frame::KeepAlive)
        } else if kind == Kind::Refusal as u8 {
            decode(body)
                .map(Frame::Refusal)
                .ok_or(SessionError::Malformed)
        } else if kind == Kind::Last as u8 {
            append(&mut self.partial, body, self.payload_max)?;
            Ok(Frame::Payload(std::mem::take(&mut self.partial)))
        } else if kind == Kind::More as u8 && body.len() == FRAGMENT_LENGTH_MAX {
            append(&mut self.partial, body, self.payload_max)?;
            Ok(Frame::Fragment)
        } else {
            Err(SessionError::Malformed)
        }
    }
}

fn append(partial: &mut Vec<u8>, body: &[u8], limit: usize) -> Result<(), SessionError> {
    let length = partial.len() + body.len();
    if length > limit {
        return Err(SessionError::Oversized { length, limit });
    }
    partial.extend_from_slice(body);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels() -> (Channel, Channel) {
        let builder = || snow::Builder::new("Noise_NN_25519_ChaChaPoly_SHA256".parse().unwrap());
        let mut caller = builder().build_initiator().unwrap();
        let mut called = builder().build_responder().unwrap();
        let (mut message, mut payload) = ([0; 100], [0; 100]);
        let length = caller.write_message(&[], &mut message).unwrap();
        called
            .read_message(&message[..length], &mut payload)
            .unwrap();
        let length = called.write_message(&[], &mut message).unwrap();
        caller
            .read_message(&message[..length], &mut payload)
            .unwrap();
        let channel =
            |noise: snow::HandshakeState| Channel::new(noise.into_transport_mode().unwrap());
        (channel(caller), channel(called))
    }

    fn seal_and_open(kind: Kind, body: &[u8], times: usize) -> Result<Frame, SessionError> {
        let (mut from, mut to) = channels();
        let mut last = Ok(Frame::KeepAlive);
        for _ in 0..times {
            let mut message = Vec::new();
            from.seal(kind, body, &mut message);
            last = to.open(&message[2..]);
        }
        last
    }

    #[test]
    fn fragments_without_an_end_are_cut_off_at_the_limit() {
        let fragment = vec![0; FRAGMENT_LENGTH_MAX];
        let fit = FRAME_LENGTH_MAX / FRAGMENT_LENGTH_MAX;
        assert_eq!(
            seal_and_open(Kind::More, &fragment, fit),
            Ok(Frame::Fragment)
        );
        assert_eq!(
            seal_and_open(Kind::More, &fragment, fit + 1),
            Err(SessionError::Oversized {
                length: (fit + 1) * FRAGMENT_LENGTH_MAX,
                limit: FRAME_LENGTH_MAX
            })
        );
    }

    #[test]
    fn an_authentic_frame_that_says_nonsense_is_malformed() {
        for (kind, body) in [
            (Kind::KeepAlive, &[1][..]),
            (Kind::More, &[0; 5]),
            (Kind::More, &[]),
            (Kind::Refusal, &[]),
            (Kind::Refusal, &[0xff; 40]),
        ] {
            assert_eq!(seal_and_open(kind, body, 1), Err(SessionError::Malformed));
        }
    }
}
