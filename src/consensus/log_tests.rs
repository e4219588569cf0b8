//! What recovery makes of each way in which a file can be cut, flipped or mixed up.

use super::super::frame::FRAME_HEAD;
use super::*;
use crate::model::{ClusterId, Term};

fn identity() -> Identity {
    Identity {
        node: "a".parse().unwrap(),
        voters: ["a", "b", "c"]
            .iter()
            .map(|name| name.parse().unwrap())
            .collect(),
    }
}

fn seat(stage: Stage) -> Seat {
    Seat {
        stage,
        ..Seat::new(Incarnation(7))
    }
}

fn member() -> Seat {
    seat(Stage::Member {
        cluster: ClusterId(9),
        founders: [("a".parse().unwrap(), Incarnation(7))].into(),
    })
}

fn at(index: u64, term: u64) -> Position {
    Position {
        index: LogIndex(index),
        term: Term(term),
    }
}

fn entry(index: u64, term: u64) -> LogEntry {
    LogEntry {
        index: LogIndex(index),
        term: Term(term),
        payload: format!("entry {index} of {term}").into_bytes().into(),
    }
}

fn hard_state(term: u64, vote: &str, committed: u64) -> HardState {
    HardState {
        term: Term(term),
        vote: Some(vote.parse().unwrap()),
        committed: LogIndex(committed),
    }
}

fn snapshot(index: u64, term: u64) -> SnapshotData {
    SnapshotData {
        position: at(index, term),
        state: vec![1, 2, 3].into(),
    }
}

/// A log of four batches, and where each ends.
fn log() -> (Vec<u8>, Vec<usize>) {
    let mut bytes = begin(&identity(), &member(), Position::default());
    let mut ends = vec![bytes.len()];
    encode(&mut bytes, Some(&hard_state(1, "b", 0)), &[]);
    ends.push(bytes.len());
    encode(&mut bytes, None, &[entry(1, 1), entry(2, 1)]);
    ends.push(bytes.len());
    encode(
        &mut bytes,
        Some(&hard_state(2, "c", 1)),
        &[entry(2, 2), entry(3, 2)],
    );
    ends.push(bytes.len());
    encode(&mut bytes, None, &[entry(4, 2)]);
    ends.push(bytes.len());
    (bytes, ends)
}

fn recover_log(bytes: &[u8]) -> Result<Recovered, RecoverError> {
    recover(&identity(), bytes, None)
}

#[test]
fn a_whole_log_comes_back_with_the_overwritten_entry_gone() {
    let (bytes, _) = log();
    let recovered = recover_log(&bytes).unwrap();
    assert_eq!(recovered.hard_state, hard_state(2, "c", 1));
    assert_eq!(
        recovered.entries,
        [entry(1, 1), entry(2, 2), entry(3, 2), entry(4, 2)]
    );
    assert_eq!(
        (recovered.valid_length, recovered.torn_length),
        (bytes.len(), 0)
    );
}

#[test]
fn a_log_cut_anywhere_loses_the_cut_batch_and_nothing_else() {
    let (bytes, ends) = log();
    for length in 0..=bytes.len() {
        for zeros in [0, 1, 7, 4096] {
            let mut cut = bytes[..length].to_vec();
            cut.extend(vec![0; zeros]);
            let recovered = recover_log(&cut).unwrap();
            // Zeros that follow may complete a batch that ends in zeros.
            let is_there = |end: &&usize| cut.starts_with(&bytes[..**end]);
            let whole = ends.iter().rfind(is_there).copied().unwrap_or_default();
            assert!(zeros > 0 || whole <= length);
            assert_eq!(recovered.valid_length, whole, "cut at {length}");
            let expected = recover_log(&bytes[..whole]).unwrap();
            assert_eq!(recovered.entries, expected.entries, "cut at {length}");
            assert_eq!(recovered.hard_state, expected.hard_state);
        }
    }
}

#[test]
fn a_last_batch_of_which_any_part_was_not_written_is_cut_off() {
    let (bytes, ends) = log();
    let start = ends[3];
    for hole in start..bytes.len() {
        if bytes[hole] == 0 {
            continue;
        }
        let mut torn = bytes.clone();
        torn[hole] = 0;
        let recovered = recover_log(&torn).unwrap();
        assert_eq!(recovered.valid_length, start, "hole at {hole}");
        assert!(recovered.torn_length > 0);
    }
}

#[test]
fn a_flipped_bit_before_the_last_batch_is_refused() {
    let (bytes, ends) = log();
    for place in 0..ends[3] {
        for bit in [0, 7] {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            let refused = recover_log(&flipped);
            assert!(refused.is_err(), "byte {place} bit {bit}: {refused:?}");
        }
    }
    let mut flipped = bytes;
    flipped[ends[1] + FRAME_HEAD] ^= 1;
    let (offset, next) = (ends[1], ends[2]);
    assert_eq!(
        recover_log(&flipped),
        Err(RecoverError::Damaged { offset, next })
    );
}

#[test]
fn nothing_and_zeros_are_a_log_that_has_not_begun() {
    for bytes in [vec![], vec![0; 5], vec![0; 8192]] {
        assert_eq!(recover_log(&bytes), Ok(Recovered::default()));
    }
}

#[test]
fn a_log_of_somebody_else_is_refused_with_both_names() {
    let (bytes, _) = log();
    let renamed = Identity {
        node: "b".parse().unwrap(),
        ..identity()
    };
    let refused = recover(&renamed, &bytes, None).unwrap_err().to_string();
    assert!(
        refused.starts_with("belongs to node a, this is b:"),
        "{refused}"
    );
    let mut grown = identity();
    grown.voters.insert("d".parse().unwrap());
    let refused = recover(&grown, &bytes, None).unwrap_err().to_string();
    assert!(
        refused.starts_with(
            "belongs to a living cluster of the voters a,b,c, PROMOTERD_PEERS says a,b,c,d (d "
        ),
        "{refused}"
    );
    let mut later = bytes;
    later[7] = 3;
    assert_eq!(recover_log(&later), Err(RecoverError::UnknownFormat));
    assert_eq!(
        recover_log(b"not a log at all"),
        Err(RecoverError::UnknownFormat)
    );
}

#[test]
fn whole_frames_that_contradict_each_other_are_refused() {
    let stranger = HardState {
        vote: Some("x".parse().unwrap()),
        ..HardState::default()
    };
    let older = hard_state(1, "a", 0);
    for (state, entries) in [
        (None, vec![entry(6, 2)]),
        (None, vec![entry(5, 1)]),
        (None, vec![entry(5, 2), entry(7, 2)]),
        (None, vec![entry(0, 2)]),
        (Some(stranger), vec![]),
        (Some(older), vec![]),
    ] {
        let (mut bytes, _) = log();
        encode(&mut bytes, state.as_ref(), &entries);
        let refused = recover_log(&bytes);
        assert!(
            matches!(refused, Err(RecoverError::Inconsistent { .. })),
            "{entries:?}: {refused:?}"
        );
    }
}

#[test]
fn a_snapshot_newer_than_the_log_takes_the_place_of_what_it_contains() {
    let (bytes, _) = log();
    for (position, entries, term) in [
        (at(1, 1), vec![entry(2, 2), entry(3, 2), entry(4, 2)], 2),
        (at(4, 2), vec![], 2),
        // A leader's snapshot: ours was behind, or had gone astray.
        (at(9, 5), vec![], 5),
        (at(3, 5), vec![], 5),
    ] {
        let file = encode_snapshot(&SnapshotData {
            position,
            ..snapshot(0, 0)
        });
        let recovered = recover(&identity(), &bytes, Some(&file)).unwrap();
        assert_eq!(recovered.entries, entries, "{position:?}");
        assert_eq!(recovered.hard_state.term, Term(term));
        assert_eq!(recovered.hard_state.vote.is_none(), term > 2);
        assert_eq!(recovered.hard_state.committed, position.index);
    }
}

#[test]
fn a_log_without_the_snapshot_that_it_continues_is_refused_and_so_is_the_reverse() {
    let mut bytes = begin(&identity(), &member(), at(10, 3));
    encode(&mut bytes, Some(&hard_state(3, "a", 10)), &[entry(11, 3)]);
    let base = LogIndex(10);
    let missing = Err(RecoverError::SnapshotMissing { base });
    let file = |index, term| encode_snapshot(&snapshot(index, term));
    assert_eq!(recover_log(&bytes), missing);
    assert_eq!(recover(&identity(), &bytes, Some(&file(9, 3))), missing);
    assert!(recover(&identity(), &bytes, Some(&file(10, 2))).is_err());
    assert!(recover(&identity(), &bytes, Some(&file(10, 3))).is_ok());
    assert_eq!(
        recover(&identity(), &[], Some(&file(10, 3))),
        Ok(Recovered::default())
    );
}

#[test]
fn a_damaged_snapshot_is_refused_whatever_byte_it_is() {
    let file = encode_snapshot(&snapshot(10, 3));
    assert_eq!(decode_snapshot(&file), Ok(snapshot(10, 3)));
    for place in 0..file.len() {
        let mut flipped = file.clone();
        flipped[place] ^= 16;
        assert!(decode_snapshot(&flipped).is_err(), "byte {place}");
        assert!(decode_snapshot(&file[..place]).is_err(), "cut at {place}");
    }
}

#[test]
fn a_commit_index_beyond_what_is_left_is_taken_back_to_it() {
    let mut bytes = begin(&identity(), &member(), Position::default());
    encode(&mut bytes, Some(&hard_state(4, "a", 9)), &[entry(1, 4)]);
    let recovered = recover_log(&bytes).unwrap();
    assert_eq!(recovered.hard_state, hard_state(4, "a", 1));
}

proptest::proptest! {
    #[test]
    fn recovery_of_any_bytes_ends_without_a_panic(
        tail in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        keep in 0..400_usize,
    ) {
        let (mut bytes, _) = log();
        bytes.truncate(keep);
        bytes.extend(&tail);
        let _ = recover_log(&bytes);
        let _ = decode_snapshot(&tail);
    }
}

#[test]
fn before_its_cluster_is_born_a_directory_may_have_other_voters() {
    let mut grown = identity();
    grown.voters.insert("d".parse().unwrap());
    for (stage, may) in [
        (Stage::Empty, true),
        (
            Stage::Forming {
                cluster: ClusterId(9),
            },
            true,
        ),
        (member().stage, false),
    ] {
        let bytes = begin(&identity(), &seat(stage), Position::default());
        let recovered = recover(&grown, &bytes, None);
        assert_eq!(recovered.is_ok(), may);
        assert!(recovered.is_err() || recovered == Ok(Recovered::default()));
    }
}

#[test]
fn each_start_is_counted_and_only_a_new_directory_gets_a_new_incarnation() {
    let mut recovered = recover_log(&[]).unwrap();
    let fresh = recovered.start(Incarnation(1));
    assert_eq!((fresh.incarnation, fresh.starts), (Incarnation(1), 1));
    let bytes = begin(&identity(), &fresh, Position::default());
    let again = recover_log(&bytes).unwrap().start(Incarnation(2));
    assert_eq!((again.incarnation, again.starts), (Incarnation(1), 2));
}
