//! What a [`Session`](super::session::Session) promises, whatever bytes it is fed.

use std::ops::Range;

use proptest::prelude::*;

use super::admission::Refusal;
use super::admission::tests::{called_by, calling};
use super::frame::{FRAGMENT_LENGTH_MAX, FRAME_LENGTH_MAX};
use super::hello::PROTOCOL_VERSION;
use super::hello::tests::{hello, node};
use super::key::ClusterKey;
use super::session::{Session, SessionError, SessionEvent};

const VOTERS: &[&str] = &["a", "b", "c"];

fn key() -> ClusterKey {
    ClusterKey::from([1; 32])
}

fn a_calls_b() -> (Session, Session) {
    let initiator = Session::initiator(&key(), calling("a", "b", VOTERS)).unwrap();
    let responder = Session::responder(&key(), called_by("b", VOTERS)).unwrap();
    (initiator, responder)
}

/// Takes all that `from` has to write.
fn take(from: &mut Session) -> Vec<u8> {
    let bytes = from.outgoing().to_vec();
    from.wrote(bytes.len());
    bytes
}

fn feed(to: &mut Session, bytes: &[u8]) -> Result<Vec<SessionEvent>, SessionError> {
    let mut events = Vec::new();
    to.receive(bytes, &mut events).map(|()| events)
}

fn open_pair() -> (Session, Session) {
    let (mut a, mut b) = a_calls_b();
    feed(&mut b, &take(&mut a)).unwrap();
    feed(&mut a, &take(&mut b)).unwrap();
    feed(&mut b, &take(&mut a)).unwrap();
    (a, b)
}

#[test]
fn the_caller_is_established_by_the_answer_and_the_called_by_the_first_frame_only() {
    let (mut a, mut b) = a_calls_b();
    assert_eq!(feed(&mut b, &take(&mut a)), Ok(vec![]));
    let established = |name| SessionEvent::Established(hello(name, VOTERS));
    assert_eq!(feed(&mut a, &take(&mut b)), Ok(vec![established("b")]));
    assert_eq!(feed(&mut b, &take(&mut a)), Ok(vec![established("a")]));
    assert_eq!(take(&mut b), b"");
}

#[test]
fn payloads_of_any_length_arrive_whole_and_in_order() {
    let (mut a, mut b) = open_pair();
    for length in [
        0,
        1,
        FRAGMENT_LENGTH_MAX - 1,
        FRAGMENT_LENGTH_MAX,
        FRAGMENT_LENGTH_MAX + 1,
        2 * FRAGMENT_LENGTH_MAX,
        FRAME_LENGTH_MAX,
    ] {
        let payload: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        a.send(&payload).unwrap();
        a.send(b"next").unwrap();
        let received = |payload: &[u8]| SessionEvent::Received(payload.to_vec());
        assert!(
            feed(&mut b, &take(&mut a)) == Ok(vec![received(&payload), received(b"next")]),
            "{length}"
        );
    }
}

#[test]
fn payloads_go_both_ways() {
    let (mut a, mut b) = open_pair();
    b.send(b"to a").unwrap();
    a.send(b"to b").unwrap();
    let received = |payload: &[u8]| Ok(vec![SessionEvent::Received(payload.to_vec())]);
    assert_eq!(feed(&mut a, &take(&mut b)), received(b"to a"));
    assert_eq!(feed(&mut b, &take(&mut a)), received(b"to b"));
}

#[test]
fn a_payload_over_the_limit_is_refused_before_it_is_sent_and_ends_nothing() {
    let (mut a, mut b) = open_pair();
    let oversized = SessionError::Oversized {
        length: FRAME_LENGTH_MAX + 1,
        limit: FRAME_LENGTH_MAX,
    };
    assert_eq!(a.send(&vec![0; FRAME_LENGTH_MAX + 1]), Err(oversized));
    a.send(b"x").unwrap();
    assert_eq!(
        feed(&mut b, &take(&mut a)),
        Ok(vec![SessionEvent::Received(b"x".to_vec())])
    );
}

#[test]
fn a_different_key_is_noticed_by_the_one_who_is_called() {
    let mut a = Session::initiator(&ClusterKey::from([2; 32]), calling("a", "b", VOTERS)).unwrap();
    let (_, mut b) = a_calls_b();
    assert_eq!(
        feed(&mut b, &take(&mut a)),
        Err(SessionError::Unauthenticated)
    );
    assert_eq!(take(&mut b), b"", "a stranger gets no answer");
    assert_eq!(feed(&mut b, b""), Err(SessionError::Ended));
}

#[test]
fn whom_the_called_refuses_learns_why() {
    let mut a = Session::initiator(&key(), calling("a", "b", &["a", "b"])).unwrap();
    let (_, mut b) = a_calls_b();
    let refusal = Refusal::Voters {
        refuser: hello("b", VOTERS).voters,
        refused: hello("a", &["a", "b"]).voters,
    };
    assert_eq!(
        feed(&mut b, &take(&mut a)),
        Err(SessionError::Refused(refusal.clone()))
    );
    assert_eq!(b.claimed().map(|hello| &hello.node), Some(&node("a")));
    assert_eq!(
        feed(&mut a, &take(&mut b)),
        Err(SessionError::RefusedByPeer(refusal))
    );
}

#[test]
fn whom_the_caller_refuses_learns_why() {
    let mut a = Session::initiator(&key(), calling("a", "c", VOTERS)).unwrap();
    let (_, mut b) = a_calls_b();
    feed(&mut b, &take(&mut a)).unwrap();
    let refusal = Refusal::WrongNode {
        expected: node("c"),
        found: node("b"),
    };
    assert_eq!(
        feed(&mut a, &take(&mut b)),
        Err(SessionError::Refused(refusal.clone()))
    );
    assert_eq!(
        feed(&mut b, &take(&mut a)),
        Err(SessionError::RefusedByPeer(refusal))
    );
}

#[test]
fn a_node_of_another_protocol_version_is_refused_and_both_say_so() {
    let mut admission = calling("a", "b", VOTERS);
    admission.hello.protocol_version = 9;
    let mut a = Session::initiator(&key(), admission).unwrap();
    let (_, mut b) = a_calls_b();
    let refusal = Refusal::Version {
        refuser: PROTOCOL_VERSION,
        refused: 9,
    };
    assert_eq!(
        feed(&mut b, &take(&mut a)),
        Err(SessionError::Refused(refusal.clone()))
    );
    assert_eq!(
        feed(&mut a, &take(&mut b)),
        Err(SessionError::RefusedByPeer(refusal))
    );
}

#[test]
fn a_replay_of_all_that_a_caller_said_establishes_nothing() {
    let (mut a, mut b) = a_calls_b();
    let mut recorded = take(&mut a);
    feed(&mut b, &recorded).unwrap();
    feed(&mut a, &take(&mut b)).unwrap();
    a.send(b"promote").unwrap();
    recorded.extend(take(&mut a));

    let (_, mut again) = a_calls_b();
    let mut events = Vec::new();
    assert_eq!(
        again.receive(&recorded, &mut events),
        Err(SessionError::Forged)
    );
    assert_eq!(events, []);
}

#[test]
fn a_frame_that_comes_twice_ends_the_session() {
    let (mut a, mut b) = open_pair();
    a.send(b"once").unwrap();
    let bytes = take(&mut a);
    assert_eq!(feed(&mut b, &bytes).unwrap().len(), 1);
    assert_eq!(feed(&mut b, &bytes), Err(SessionError::Forged));
    assert_eq!(b.send(b"late"), Err(SessionError::Ended));
}

#[test]
fn an_announced_length_is_judged_before_the_bytes_come() {
    for (prefix, error) in [
        (
            [0xff, 0xff],
            SessionError::Oversized {
                length: 65_535,
                limit: 512,
            },
        ),
        ([0, 47], SessionError::Malformed),
        ([0, 0], SessionError::Malformed),
    ] {
        let (mut a, mut b) = a_calls_b();
        assert_eq!(feed(&mut a, &prefix), Err(error.clone()));
        assert_eq!(feed(&mut b, &prefix), Err(error));
    }
    let (mut a, _) = open_pair();
    assert_eq!(feed(&mut a, &[0, 16]), Err(SessionError::Malformed));
}

/// Feeds `bytes` in pieces of the given lengths, again and again.
fn feed_in_pieces(
    to: &mut Session,
    mut bytes: &[u8],
    pieces: &[usize],
) -> (Vec<SessionEvent>, Result<(), SessionError>) {
    let mut events = Vec::new();
    for piece in pieces.iter().cycle() {
        let (head, tail) = bytes.split_at((*piece).min(bytes.len()));
        if let Err(error) = to.receive(head, &mut events) {
            return (events, Err(error));
        }
        bytes = tail;
        if bytes.is_empty() {
            break;
        }
    }
    (events, Ok(()))
}

const PIECES: Range<usize> = 1..300;

proptest! {
    // Each case costs a handshake, which takes a while without optimisation.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn arbitrary_bytes_never_yield_anything(
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
        pieces in prop::collection::vec(PIECES, 1..8),
    ) {
        let (a, b) = a_calls_b();
        for mut session in [a, b] {
            let (events, _) = feed_in_pieces(&mut session, &bytes, &pieces);
            prop_assert_eq!(events, vec![]);
        }
    }

    #[test]
    fn arbitrary_frames_within_an_open_session_never_yield_anything(
        body in prop::collection::vec(any::<u8>(), 17..2_000),
        pieces in prop::collection::vec(PIECES, 1..8),
    ) {
        let (_, mut b) = open_pair();
        let prefix = u16::try_from(body.len()).unwrap().to_be_bytes();
        let bytes = [&prefix[..], &body].concat();
        let (events, outcome) = feed_in_pieces(&mut b, &bytes, &pieces);
        prop_assert_eq!(events, vec![]);
        prop_assert_eq!(outcome, Err(SessionError::Forged));
    }

    #[test]
    fn payloads_arrive_whole_however_the_stream_is_cut(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..6),
        pieces in prop::collection::vec(PIECES, 1..8),
    ) {
        let (mut a, mut b) = open_pair();
        for payload in &payloads {
            a.send(payload).unwrap();
            a.keep_alive();
        }
        let (events, outcome) = feed_in_pieces(&mut b, &take(&mut a), &pieces);
        prop_assert_eq!(outcome, Ok(()));
        let expected: Vec<_> = payloads.into_iter().map(SessionEvent::Received).collect();
        prop_assert_eq!(events, expected);
    }

    #[test]
    fn one_flipped_bit_ends_the_session_or_starves_it_and_alters_no_payload(
        payload in prop::collection::vec(any::<u8>(), 0..400),
        position in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let (mut a, mut b) = open_pair();
        a.send(&payload).unwrap();
        let mut bytes = take(&mut a);
        let position = position.index(bytes.len());
        bytes[position] ^= 1_u8 << bit;
        let (events, _) = feed_in_pieces(&mut b, &bytes, &[64]);
        prop_assert_eq!(events, vec![]);
    }
}
