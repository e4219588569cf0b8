//! The Noise handshake beneath a session: its pattern, its prologue and its bounds.

use snow::{Builder, HandshakeState};

use super::frame::Channel;
use super::key::ClusterKey;
use super::session::SessionError;

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";
/// Names the format of handshake and frames. The version of what they carry is in
/// [`Hello`](super::hello::Hello), where two nodes that differ can still tell each other so.
const PROLOGUE: &[u8] = b"promoterd peer link 1";
/// Longest message of a handshake, in bytes: what a stranger can make us hold and decrypt.
pub(super) const HANDSHAKE_LENGTH_MAX: usize = 512;
/// An ephemeral key and a tag, in bytes: what each message of a handshake has at least.
pub(super) const HANDSHAKE_LENGTH_MIN: usize = 48;

pub(super) fn builder(key: &ClusterKey) -> Builder<'_> {
    builder_for(key, PROLOGUE)
}

/// For another port: its own prologue, so that what was said at one is worth nothing at the other.
pub(super) fn builder_for<'a>(key: &'a ClusterKey, prologue: &'a [u8]) -> Builder<'a> {
    let pattern = PATTERN.parse().expect("the pattern is a known one");
    Builder::new(pattern)
        .psk(0, key.bytes())
        .and_then(|builder| builder.prologue(prologue))
        .expect("key and prologue are set once")
}

pub(super) fn write_handshake(
    noise: &mut HandshakeState,
    payload: &[u8],
    outgoing: &mut Vec<u8>,
) -> Result<(), SessionError> {
    let mut message = [0; HANDSHAKE_LENGTH_MAX];
    let length = noise
        .write_message(payload, &mut message)
        .map_err(|_| SessionError::NoRandomness)?;
    let prefix = u16::try_from(length).expect("the buffer is shorter than 64 KiB");
    outgoing.extend_from_slice(&prefix.to_be_bytes());
    outgoing.extend_from_slice(&message[..length]);
    Ok(())
}

pub(super) fn read_handshake(
    noise: &mut HandshakeState,
    message: &[u8],
) -> Result<Vec<u8>, SessionError> {
    let mut payload = vec![0; HANDSHAKE_LENGTH_MAX];
    let length = noise
        .read_message(message, &mut payload)
        .map_err(|_| SessionError::Unauthenticated)?;
    payload.truncate(length);
    Ok(payload)
}

pub(super) fn into_channel(noise: HandshakeState) -> Result<Channel, SessionError> {
    let noise = noise
        .into_transport_mode()
        .map_err(|_| SessionError::Malformed)?;
    Ok(Channel::new(noise))
}
