//! Messages that no honest node would send: whatever they say, the engine neither panics nor stops.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::cluster::{Cluster, milliseconds, name};
use super::*;
use crate::model::{LogIndex, Term};

/// Near what the engine holds, where the arithmetic is interesting, and far out.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0..14_u64,
        1 => Just(1 << 48),
        1 => Just(u64::MAX),
        1 => any::<u64>(),
    ]
}

fn index() -> impl Strategy<Value = LogIndex> {
    number().prop_map(LogIndex)
}

fn position() -> impl Strategy<Value = Position> {
    (number(), number()).prop_map(|(index, term)| Position {
        index: LogIndex(index),
        term: Term(term),
    })
}

/// Mostly contiguous and of plausible terms, or they would all be turned away at the first check.
fn entries() -> impl Strategy<Value = (Position, Vec<LogEntry>)> {
    let loose = (position(), vec((number(), number()), 0..4)).prop_map(|(previous, places)| {
        let entries = places.into_iter().map(|(index, term)| entry(index, term));
        (previous, entries.collect())
    });
    let tight = (position(), 0..4_u64, 0..3_u64).prop_map(|(previous, count, later)| {
        let term = previous.term.0.saturating_add(later);
        let entries = (1..=count).map(|step| entry(previous.index.0.saturating_add(step), term));
        (previous, entries.collect())
    });
    prop_oneof![1 => loose, 4 => tight]
}

fn entry(index: u64, term: u64) -> LogEntry {
    LogEntry {
        index: LogIndex(index),
        term: Term(term),
        payload: vec![1, 2, 3].into(),
    }
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        3 => (entries(), index()).prop_map(|((previous, entries), committed)| Body::Append {
            previous,
            entries,
            committed,
        }),
        2 => (index(), index()).prop_map(|(index, committed)| Body::Appended { index, committed }),
        2 => (index(), position(), index()).prop_map(|(previous, hint, committed)| {
            Body::AppendRefused { previous, hint, committed }
        }),
        1 => index().prop_map(|committed| Body::Heartbeat { committed }),
        1 => index().prop_map(|committed| Body::HeartbeatAnswer { committed }),
        1 => (position(), position()).prop_map(|(last, committed)| {
            Body::RequestPreVote { last, committed }
        }),
        1 => (position(), position(), any::<bool>()).prop_map(|(last, committed, handover)| {
            Body::RequestVote { last, committed, handover }
        }),
        1 => (any::<bool>(), position()).prop_map(|(granted, committed)| {
            Body::PreVote { granted, committed }
        }),
        2 => (any::<bool>(), position()).prop_map(|(granted, committed)| {
            Body::Vote { granted, committed }
        }),
        2 => position().prop_map(|position| Body::Snapshot { position, state: vec![0].into() }),
        2 => Just(Body::StandNow),
    ]
}

/// A term beside the engine's own, or any at all.
#[derive(Debug, Clone)]
enum Sent {
    Near(i8, Body),
    Any(u64, Body),
}

#[derive(Debug, Clone)]
enum Step {
    Message { from: u8, sent: Sent },
    Wait(u16),
    Propose,
    Persisted,
    Drain,
    Compact,
    Transfer,
    Unreachable,
}

fn step() -> impl Strategy<Value = Step> {
    let sent = prop_oneof![
        4 => (0..3_i8, body()).prop_map(|(ahead, body)| Sent::Near(ahead - 1, body)),
        1 => (number(), body()).prop_map(|(term, body)| Sent::Any(term, body)),
    ];
    prop_oneof![
        12 => (0..4_u8, sent).prop_map(|(from, sent)| Step::Message { from, sent }),
        2 => (0..400_u16).prop_map(Step::Wait),
        1 => Just(Step::Propose),
        4 => Just(Step::Persisted),
        6 => Just(Step::Drain),
        1 => Just(Step::Compact),
        1 => Just(Step::Transfer),
        1 => Just(Step::Unreachable),
    ]
}

/// The engine of one member, as a cluster left it: a leader's or a follower's.
fn engine(leads: bool, seed: u64) -> Engine {
    let mut cluster = Cluster::new(3, seed);
    assert!(cluster.run_until_within(Duration::from_secs(1), |cluster| cluster.leader().is_some()));
    for payload in ["one", "two", "three"] {
        assert!(cluster.propose(payload));
        cluster.run_for(milliseconds(10));
    }
    let leader = cluster.leader().unwrap();
    let chosen = cluster
        .names()
        .into_iter()
        .find(|node| (*node == leader) == leads);
    let member = cluster.member(&chosen.unwrap());
    member.engine.take().unwrap()
}

fn perform(engine: &mut Engine, step: Step, is_writing: &mut bool, now: &mut Instant) {
    match step {
        Step::Message { from, sent } => {
            let names = ["a", "b", "c", "x"].map(name);
            let (term, body) = match sent {
                Sent::Near(ahead, body) => {
                    let own = engine.status().term.0;
                    (own.saturating_add_signed(ahead.into()), body)
                }
                Sent::Any(term, body) => (term, body),
            };
            let term = Term(term);
            let _ = engine.receive(&names[usize::from(from)], Message { term, body });
        }
        Step::Wait(span) => {
            *now += milliseconds(span.into());
            engine.advance_to(*now);
        }
        Step::Propose => {
            let _ = engine.propose(vec![9; 10]);
        }
        Step::Persisted if *is_writing => {
            let _ = engine.persisted();
            *is_writing = false;
        }
        Step::Persisted => {}
        Step::Drain => {
            while let Some(ready) = engine.take_ready() {
                assert!(!*is_writing);
                *is_writing = ready.persist.is_some();
            }
        }
        Step::Compact => {
            let applied = engine.status().applied;
            let _ = engine.compact(vec![5], applied);
        }
        Step::Transfer => {
            let _ = engine.transfer_leadership(&name("b"));
        }
        Step::Unreachable => engine.peer_unreachable(&name("c")),
    }
    let _ = engine.next_deadline();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_sequence_of_messages_makes_an_engine_panic(
        leads in any::<bool>(),
        seed in 0..4_u64,
        steps in vec(step(), 1..60),
    ) {
        let mut engine = engine(leads, seed);
        let mut now = Instant::now() + milliseconds(2000);
        let mut is_writing = false;
        for step in steps {
            perform(&mut engine, step, &mut is_writing, &mut now);
        }
    }
}

fn admit(engine: &mut Engine, from: &str, term: Term, body: Body) -> Result<(), Refused> {
    engine.receive(&name(from), Message { term, body })
}

#[test]
fn what_contradicts_a_followers_state_is_refused_with_its_reason() {
    let mut engine = engine(false, 1);
    let Status {
        term,
        leader,
        committed,
        ..
    } = engine.status();
    let later = Term(term.0 + 1);
    let beyond = Body::Heartbeat {
        committed: LogIndex(committed.0 + 100),
    };
    let astray = Body::Snapshot {
        position: Position {
            index: committed,
            term: later,
        },
        state: vec![].into(),
    };
    let leader = leader.unwrap();
    let leader = leader.as_str();
    for (from, term, body, expected) in [
        ("x", term, Body::StandNow, "no other voter"),
        (leader, Term(0), Body::StandNow, "makes no sense"),
        (leader, term, beyond, "holds that this node has entry"),
        (leader, later, Body::StandNow, "not its leader"),
        (leader, later, astray, "contradicts committed entry"),
    ] {
        let refused = admit(&mut engine, from, term, body)
            .unwrap_err()
            .to_string();
        assert!(refused.contains(expected), "{refused}");
        assert_eq!(engine.take_ready(), None);
    }
}

#[test]
fn a_vote_does_not_count_before_the_request_for_it_is_durable() {
    let mut engine = engine(false, 1);
    let Status { term, leader, .. } = engine.status();
    let leader = leader.unwrap();
    let granted = Body::Vote {
        granted: true,
        committed: Position::default(),
    };
    admit(&mut engine, leader.as_str(), term, Body::StandNow).unwrap();
    let status = engine.status();
    assert_eq!(
        (status.role, status.term),
        (Role::Candidate, Term(term.0 + 1))
    );
    let refused = admit(&mut engine, leader.as_str(), status.term, granted.clone());
    assert!(
        matches!(refused, Err(Refused::UnaskedVote { .. })),
        "{refused:?}"
    );
    assert!(engine.take_ready().unwrap().persist.is_some());
    assert!(!engine.persisted().send.is_empty());
    admit(&mut engine, leader.as_str(), status.term, granted).unwrap();
    assert_eq!(engine.status().role, Role::Leader);
}

#[test]
fn nothing_is_taken_in_while_a_leaders_snapshot_is_on_its_way_to_the_disk() {
    let mut engine = engine(false, 1);
    let Status {
        term,
        leader,
        committed,
        ..
    } = engine.status();
    let leader = leader.unwrap();
    let position = Position {
        index: LogIndex(committed.0 + 50),
        term,
    };
    let state: Payload = vec![1].into();
    let snapshot = Body::Snapshot {
        position,
        state: state.clone(),
    };
    admit(&mut engine, leader.as_str(), term, snapshot).unwrap();
    let batch = engine.take_ready().unwrap().persist;
    assert!(matches!(batch, Some(Batch::Replace { .. })), "{batch:?}");
    let turned_away = admit(&mut engine, leader.as_str(), term, Body::StandNow);
    assert_eq!(turned_away, Err(Refused::Installing));
    let progress = engine.persisted();
    assert_eq!(progress.install, Some(SnapshotData { position, state }));
    assert_eq!(engine.status().applied, position.index);
    assert_eq!(
        admit(&mut engine, leader.as_str(), term, Body::StandNow),
        Ok(())
    );
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_does_not_count() {
    let mut engine = engine(true, 1);
    let Status {
        term, committed, ..
    } = engine.status();
    let index = LogIndex(committed.0 + 1);
    let us = engine.status().leader.unwrap();
    let from = if us == name("a") { "b" } else { "a" };
    let lie = Body::Appended { index, committed };
    let refused = admit(&mut engine, from, term, lie.clone());
    assert!(
        matches!(refused, Err(Refused::UnsentEntries { .. })),
        "{refused:?}"
    );
    engine.propose(b"now it is there".to_vec()).unwrap();
    assert_eq!(admit(&mut engine, from, term, lie), Ok(()));
}
