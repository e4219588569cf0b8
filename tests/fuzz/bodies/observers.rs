//! The observers' port: handshakes and frames from strangers and from holders of the observers' key, and
//! what either side says.

use promoterd::peer::{
    Answer, ClusterKey, Knowledge, News, Opening, POSITION_LENGTH_MAX, Position, Tunnel,
    TunnelEvent,
};

use super::Input;

/// What a stranger can make a voter keep for him, in bytes.
const ANSWER_MAX: usize = 4096;

fn key() -> ClusterKey {
    ClusterKey::from([7; 32]).for_observers()
}

/// First byte: whom it is for, and whether the other side holds the key.
pub fn port(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 4 {
        0 => stranger(Tunnel::voter(&key()).expect("random bytes"), &mut input),
        1 => {
            let called = Tunnel::observer(&key(), b"opening").expect("random bytes");
            stranger(called, &mut input);
        }
        2 => insider(&mut input),
        _ => words(&mut input),
    }
}

/// Any bytes, cut anywhere.
fn stranger(mut tunnel: Tunnel, input: &mut Input<'_>) {
    drop(tunnel.take_outgoing());
    let mut events = Vec::new();
    while !input.is_empty() {
        let length = usize::from(input.byte()) + 1;
        let outcome = tunnel.receive(input.take(length), &mut events);
        assert!(
            tunnel.take_outgoing().len() <= ANSWER_MAX,
            "the answer grows"
        );
        if outcome.is_err() {
            break;
        }
    }
    assert!(events.is_empty(), "a stranger was let in: {events:?}");
}

/// An observer that says anything to a voter.
fn insider(input: &mut Input<'_>) {
    let opening = input.part();
    let opening = &opening[..opening.len().min(400)];
    let mut observer = Tunnel::observer(&key(), opening).expect("random bytes");
    let mut voter = Tunnel::voter(&key()).expect("random bytes");
    let mut events = Vec::new();
    let heard = voter.receive(&observer.take_outgoing(), &mut events);
    assert_eq!(heard, Ok(()));
    assert_eq!(events, [TunnelEvent::Opening(opening.to_vec())]);
    let _ = Opening::decode(opening);
    voter.answer(b"answer").expect("an opening was read");
    let heard = observer.receive(&voter.take_outgoing(), &mut Vec::new());
    assert_eq!(heard, Ok(()));
    events.clear();
    while !input.is_empty() {
        observer.send(input.part()).expect("it is short");
        if voter
            .receive(&observer.take_outgoing(), &mut events)
            .is_err()
        {
            break;
        }
    }
    for event in events {
        if let TunnelEvent::Payload(payload) = event {
            assert!(
                payload.len() <= POSITION_LENGTH_MAX,
                "a position without bounds"
            );
            let _ = Position::decode(&payload);
        }
    }
}

/// What voters tell, one after the other, to somebody who believes them.
fn words(input: &mut Input<'_>) {
    let mut knowledge = Knowledge::default();
    while !input.is_empty() {
        let said = input.part();
        let _ = Answer::decode(said);
        let Some(news) = News::decode(said) else {
            continue;
        };
        assert_eq!(News::decode(&news.encode()).as_ref(), Some(&news));
        let before = knowledge.clone();
        match knowledge.take_in(news) {
            Err(_) => assert_eq!(knowledge, before),
            Ok(_) => {
                for (name, group) in before.groups() {
                    let now = &knowledge.groups()[name];
                    assert!(now.epoch >= group.epoch, "an epoch went back");
                    let is_same = now.epoch != group.epoch || now.master == group.master;
                    assert!(is_same, "two masters of one epoch");
                }
            }
        }
    }
}
