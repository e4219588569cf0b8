//! The state directory on a real disk.

use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;

use super::super::writer::{LogWriter, WriterStopped};
use super::*;
use crate::model::{LogIndex, Term};

fn identity() -> Identity {
    Identity {
        node: "a".parse().unwrap(),
        voters: ["a", "b", "c"]
            .iter()
            .map(|name| name.parse().unwrap())
            .collect(),
    }
}

fn entry(index: u64) -> LogEntry {
    LogEntry {
        index: LogIndex(index),
        term: Term(1),
        payload: vec![u8::try_from(index).unwrap(); 200].into(),
    }
}

fn hard_state() -> HardState {
    HardState {
        term: Term(1),
        vote: None,
        committed: LogIndex(0),
    }
}

fn append(index: u64) -> Batch {
    Batch::Append {
        hard_state: (index == 1).then(hard_state),
        entries: vec![entry(index)],
    }
}

fn snapshot(index: u64) -> SnapshotData {
    SnapshotData {
        position: Position {
            index: LogIndex(index),
            term: Term(1),
        },
        state: vec![9; 1000].into(),
    }
}

fn replace(index: u64, last: u64) -> Batch {
    Batch::Replace {
        snapshot: snapshot(index),
        hard_state: hard_state(),
        entries: (index + 1..=last).map(entry).collect(),
    }
}

fn reopen(directory: &Path) -> Recovered {
    LogFile::open(directory, &identity(), Incarnation(7))
        .unwrap()
        .1
}

fn indexes(recovered: &Recovered) -> Vec<u64> {
    recovered
        .entries
        .iter()
        .map(|entry| entry.index.0)
        .collect()
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("state");
    let (mut log, recovered) = LogFile::open(&directory, &identity(), Incarnation(7)).unwrap();
    assert_eq!(recovered.seat.unwrap().starts, 1);
    assert!(recovered.entries.is_empty());
    let mode = fs::metadata(&directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for index in 1..=3 {
        log.write(&append(index)).unwrap();
    }
    drop(log);
    let recovered = reopen(&directory);
    assert_eq!(recovered.entries, [entry(1), entry(2), entry(3)]);
    assert_eq!(recovered.hard_state, hard_state());
    assert_eq!(recovered.torn_length, 0);
}

#[test]
fn a_torn_batch_is_cut_off_and_the_next_one_takes_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = LogFile::open(directory.path(), &identity(), Incarnation(7)).unwrap();
    log.write(&append(1)).unwrap();
    let end = log.position;
    log.write(&append(2)).unwrap();
    log.file.write_all_at(&[0; 50], end + 60).unwrap();
    drop(log);
    let (mut log, recovered) =
        LogFile::open(directory.path(), &identity(), Incarnation(7)).unwrap();
    assert_eq!(indexes(&recovered), [1]);
    assert!(recovered.torn_length > 0);
    log.write(&append(2)).unwrap();
    drop(log);
    assert_eq!(indexes(&reopen(directory.path())), [1, 2]);
}

#[test]
fn a_second_process_is_told_who_holds_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let held = LogFile::open(directory.path(), &identity(), Incarnation(7)).unwrap();
    let refused = LogFile::open(directory.path(), &identity(), Incarnation(7)).unwrap_err();
    let pid = std::process::id().to_string();
    assert!(matches!(&refused, LogError::Locked { holder, .. } if *holder == pid));
    drop(held);
    assert!(LogFile::open(directory.path(), &identity(), Incarnation(7)).is_ok());
}

#[test]
fn a_compaction_interrupted_after_any_step_loses_nothing() {
    for step in 0..=4 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let (mut log, _) = LogFile::open(path, &identity(), Incarnation(7)).unwrap();
        for index in 1..=5 {
            log.write(&append(index)).unwrap();
        }
        match step {
            0 => fs::write(path.join("snapshot.new"), [1, 2, 3]).unwrap(),
            1 => log.replace_snapshot(&snapshot(3)).unwrap(),
            2 => {
                log.replace_snapshot(&snapshot(3)).unwrap();
                fs::write(path.join("log.new"), [1, 2, 3]).unwrap();
            }
            3 => log.write(&replace(3, 5)).unwrap(),
            _ => {
                log.write(&replace(3, 5)).unwrap();
                log.write(&replace(4, 5)).unwrap();
            }
        }
        drop(log);
        let (mut log, recovered) = LogFile::open(path, &identity(), Incarnation(7)).unwrap();
        let (base, left) = match step {
            0 => (None, vec![1, 2, 3, 4, 5]),
            1..=3 => (Some(snapshot(3)), vec![4, 5]),
            _ => (Some(snapshot(4)), vec![5]),
        };
        assert_eq!(recovered.snapshot, base, "step {step}");
        assert_eq!(indexes(&recovered), left, "step {step}");
        log.write(&append(6)).unwrap();
        log.write(&replace(5, 6)).unwrap();
        log.write(&append(7)).unwrap();
        drop(log);
        assert_eq!(indexes(&reopen(path)), [6, 7], "step {step}");
    }
}

#[test]
fn what_is_written_after_an_interrupted_install_is_there_after_the_next_restart() {
    for snapshot_index in [3, 5, 8] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let (mut log, _) = LogFile::open(path, &identity(), Incarnation(7)).unwrap();
        for index in 1..=5 {
            log.write(&append(index)).unwrap();
        }
        // The power goes between the two files.
        log.replace_snapshot(&snapshot(snapshot_index)).unwrap();
        drop(log);
        let (mut log, recovered) = LogFile::open(path, &identity(), Incarnation(7)).unwrap();
        let next = indexes(&recovered)
            .last()
            .copied()
            .unwrap_or(snapshot_index)
            + 1;
        log.write(&append(next)).unwrap();
        drop(log);
        let recovered = reopen(path);
        assert_eq!(recovered.snapshot, Some(snapshot(snapshot_index)));
        let expected: Vec<u64> = (snapshot_index + 1..=next).collect();
        assert_eq!(
            indexes(&recovered),
            expected,
            "snapshot at {snapshot_index}"
        );
    }
}

#[test]
fn writing_goes_on_when_the_zeros_ahead_run_out() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = LogFile::open(directory.path(), &identity(), Incarnation(7)).unwrap();
    let large = |index| Batch::Append {
        hard_state: None,
        entries: vec![LogEntry {
            payload: vec![3; 200 * 1024].into(),
            ..entry(index)
        }],
    };
    for index in 1..=12 {
        log.write(&large(index)).unwrap();
        if index > 8 {
            log.prepare().unwrap();
        }
    }
    assert!(log.allocated > log.position);
    drop(log);
    assert_eq!(reopen(directory.path()).entries.len(), 12);
}

#[test]
fn a_failed_write_is_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = LogFile::open(directory.path(), &identity(), Incarnation(7)).unwrap();
    let unwritable = File::open(log.path()).unwrap();
    let writable = std::mem::replace(&mut log.file, unwritable);
    assert!(matches!(log.write(&append(1)), Err(LogError::Io { .. })));
    log.file = writable;
    assert!(matches!(
        log.write(&append(1)),
        Err(LogError::Failed { .. })
    ));
}

#[test]
fn the_writer_reports_each_batch_and_finishes_before_it_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (log, _) = LogFile::open(directory.path(), &identity(), Incarnation(7)).unwrap();
    let (done, outcomes) = mpsc::channel();
    let writer = LogWriter::start(log, move |outcome| done.send(outcome.is_ok()).unwrap()).unwrap();
    for index in 1..=3 {
        writer.write(append(index)).unwrap();
    }
    drop(writer);
    assert_eq!(outcomes.iter().collect::<Vec<_>>(), [true, true, true]);
    assert_eq!(indexes(&reopen(directory.path())), [1, 2, 3]);
}

#[test]
fn the_writer_stops_at_its_first_error() {
    let directory = tempfile::tempdir().unwrap();
    let (mut log, _) = LogFile::open(directory.path(), &identity(), Incarnation(7)).unwrap();
    log.file = File::open(log.path()).unwrap();
    let (done, outcomes) = mpsc::channel();
    let writer = LogWriter::start(log, move |outcome| done.send(outcome.is_ok()).unwrap()).unwrap();
    writer.write(append(1)).unwrap();
    assert_eq!(outcomes.iter().collect::<Vec<_>>(), [false]);
    assert_eq!(writer.write(append(2)), Err(WriterStopped));
}
