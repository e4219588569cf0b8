//! The peer port: handshakes and frames, from strangers and from somebody who holds the key.

use std::collections::BTreeSet;
use std::sync::Arc;

use promoterd::model::{Life, NodeId};
use promoterd::peer::{
    Admission, ClusterKey, Expected, FRAME_LENGTH_MAX, Hello, PROTOCOL_VERSION, Roll, Session,
    SessionEvent, VotersDigest,
};
use snow::{Builder, HandshakeState, TransportState};

use super::Input;

const KEY: [u8; 32] = [7; 32];
/// As in `src/peer/noise.rs`: what somebody with the key speaks.
const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";
const PROLOGUE: &[u8] = b"promoterd peer link 1";
/// What a stranger can make a session keep for him, in bytes.
const ANSWER_MAX: usize = 4096;

pub fn name(text: &str) -> NodeId {
    text.parse().expect("a name")
}

pub fn voters() -> BTreeSet<NodeId> {
    ["a", "b", "c"].map(name).into()
}

/// Of `b`, which is called by `a` and calls `c`.
fn admission(calls: bool) -> Admission {
    let expected = match calls {
        true => Expected::Node(name("c")),
        false => Expected::Caller(Arc::new(voters())),
    };
    Admission {
        hello: hello("b"),
        expected,
        roll: Arc::new(Roll::new(None)),
    }
}

fn hello(node: &str) -> Hello {
    Hello {
        protocol_version: PROTOCOL_VERSION,
        node: name(node),
        life: Life(1),
        voters: VotersDigest::of(&voters()),
        cluster: None,
    }
}

fn session_of(calls: bool) -> Session {
    let key = ClusterKey::from(KEY);
    let made = match calls {
        true => Session::initiator(&key, admission(true)),
        false => Session::responder(&key, admission(false)),
    };
    made.expect("the system has random bytes")
}

/// First byte: who is who, and whether the other side holds the key.
pub fn session(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mode = input.byte();
    let calls = mode & 1 == 1;
    if mode & 2 == 0 {
        stranger(session_of(calls), &mut input);
    } else {
        insider(session_of(calls), calls, &mut input);
    }
}

/// Any bytes, cut anywhere.
fn stranger(mut session: Session, input: &mut Input<'_>) {
    let mut events = Vec::new();
    while !input.is_empty() {
        let length = usize::from(input.byte()) + 1;
        let outcome = session.receive(input.take(length), &mut events);
        assert!(session.outgoing().len() <= ANSWER_MAX, "the answer grows");
        if outcome.is_err() {
            break;
        }
    }
    assert!(events.is_empty(), "a stranger was let in: {events:?}");
}

/// Somebody with the key, who says anything within it.
fn insider(mut session: Session, calls: bool, input: &mut Input<'_>) {
    let pattern = PATTERN.parse().expect("a pattern");
    let builder = Builder::new(pattern)
        .psk(0, &KEY)
        .and_then(|builder| builder.prologue(PROLOGUE))
        .expect("set once");
    let Some(mut noise) = shake_hands(builder, calls, &mut session, input.part()) else {
        return;
    };
    let mut events = Vec::new();
    let mut sealed = vec![0; usize::from(u16::MAX)];
    let mut sent = 0;
    while !input.is_empty() {
        let plain = input.part();
        let length = noise.write_message(plain, &mut sealed).expect("it fits");
        let prefix = u16::try_from(length).expect("it fits").to_be_bytes();
        let message = [&prefix, &sealed[..length]].concat();
        sent += plain.len();
        if session.receive(&message, &mut events).is_err() {
            break;
        }
    }
    check(&events, sent);
}

/// With a hello that says anything. None when the session ended.
fn shake_hands(
    builder: Builder<'_>,
    calls: bool,
    session: &mut Session,
    hello: &[u8],
) -> Option<TransportState> {
    let mut noise = if calls {
        builder.build_responder()
    } else {
        builder.build_initiator()
    }
    .expect("a handshake");
    if calls {
        read_one(&mut noise, session)?;
    }
    let mut message = vec![0; 65_535];
    let hello = &hello[..hello.len().min(2048)];
    let length = noise.write_message(hello, &mut message).ok()?;
    let prefix = u16::try_from(length).ok()?.to_be_bytes();
    let message = [&prefix, &message[..length]].concat();
    let mut events = Vec::new();
    session.receive(&message, &mut events).ok()?;
    assert!(session.outgoing().len() <= ANSWER_MAX, "the answer grows");
    if !calls {
        assert!(events.is_empty(), "established without a proof");
        read_one(&mut noise, session)?;
    }
    noise.into_transport_mode().ok()
}

/// What the session says next, as the other side reads it.
fn read_one(noise: &mut HandshakeState, session: &mut Session) -> Option<()> {
    let (prefix, rest) = session.outgoing().split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*prefix));
    let mut plain = vec![0; 65_535];
    noise.read_message(&rest[..length], &mut plain).ok()?;
    session.wrote(2 + length);
    Some(())
}

fn check(events: &[SessionEvent], sent: usize) {
    let mut delivered = 0;
    for (position, event) in events.iter().enumerate() {
        match event {
            SessionEvent::Established(_) => assert_eq!(position, 0, "established twice"),
            SessionEvent::Received(payload) => {
                assert!(
                    payload.len() <= FRAME_LENGTH_MAX,
                    "a payload without bounds"
                );
                delivered += payload.len();
            }
        }
    }
    assert!(delivered <= sent, "more came out than went in");
}
