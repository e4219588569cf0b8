//! The journal after crashes, damage and failing disks.

use std::fs;

use tempfile::TempDir;

use super::book::COMPACT_ABOVE;
use super::record::{ENTRIES_MAX, MAGIC};
use super::*;

fn entry(client: &str, epoch: u64) -> Entry {
    Entry {
        client: client.parse().unwrap(),
        group: "features".parse().unwrap(),
        epoch: Epoch(epoch),
        master: format!("10.0.0.{}:6379", epoch % 250 + 1).parse().unwrap(),
        digest: Digest::of(&epoch.to_le_bytes()),
        reloaded: epoch.is_multiple_of(2),
    }
}

fn refuses(journal: &Journal, client: &str, epoch: u64) -> bool {
    let group = "features".parse().unwrap();
    journal
        .may_publish(&client.parse().unwrap(), &group, Epoch(epoch))
        .is_err()
}

fn reached(journal: &Journal) -> Vec<(String, u64)> {
    let entries = journal.book.entries.values();
    entries
        .map(|entry| (entry.client.to_string(), entry.epoch.0))
        .collect()
}

/// A journal with one record for each of the epochs 1 to `epochs`, and the ends of its records.
fn written(epochs: u64) -> (TempDir, Vec<u64>) {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path()).unwrap();
    let mut ends = vec![journal.book.length() as u64];
    for epoch in 1..=epochs {
        journal.note(entry("api", epoch));
        journal.flush().unwrap();
        ends.push(journal.book.length() as u64);
    }
    (directory, ends)
}

#[test]
fn what_was_flushed_is_known_after_reopening_and_nothing_goes_back() {
    let (directory, _) = written(3);
    let journal = Journal::open(directory.path()).unwrap();
    assert_eq!(reached(&journal), [("api".to_owned(), 3)]);
    let last = journal.last(&"api".parse().unwrap(), &"features".parse().unwrap());
    assert_eq!(last, Some(&entry("api", 3)));
    assert!(refuses(&journal, "api", 2));
    assert!(!refuses(&journal, "api", 3));
    assert!(!refuses(&journal, "api", 4));
    assert!(!refuses(&journal, "worker", 1));
}

#[test]
fn what_was_noted_holds_before_it_is_flushed() {
    let (directory, _) = written(0);
    let mut journal = Journal::open(directory.path()).unwrap();
    journal.note(entry("api", 5));
    assert!(refuses(&journal, "api", 4));
    let error = journal
        .may_publish(
            &"api".parse().unwrap(),
            &"features".parse().unwrap(),
            Epoch(4),
        )
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "publication older than the file's: the file of api has reached epoch 5 of features, and \
         epoch 4 was to be written"
    );
}

#[test]
#[should_panic(expected = "the epochs of a file only grow")]
fn noting_an_older_epoch_is_a_broken_promise() {
    let (directory, _) = written(2);
    let mut journal = Journal::open(directory.path()).unwrap();
    journal.note(entry("api", 1));
}

#[test]
fn a_torn_tail_is_cut_off_at_every_byte() {
    let (directory, ends) = written(3);
    let path = directory.path().join(NAME);
    let whole = fs::read(&path).unwrap();
    for length in ends[0]..=ends[3] {
        fs::write(&path, &whole[..length as usize]).unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        let complete = ends.iter().filter(|end| **end <= length).count() as u64 - 1;
        assert_eq!(
            journal
                .book
                .entries
                .values()
                .map(|entry| entry.epoch.0)
                .max()
                .unwrap_or(0),
            complete
        );
        assert_eq!(fs::metadata(&path).unwrap().len(), ends[complete as usize]);
        // What is appended behind the cut can be read.
        journal.note(entry("api", 9));
        journal.flush().unwrap();
        let journal = Journal::open(directory.path()).unwrap();
        assert_eq!(reached(&journal), [("api".to_owned(), 9)]);
    }
}

#[test]
fn a_tail_of_zeros_is_torn_too() {
    let (directory, ends) = written(2);
    let path = directory.path().join(NAME);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(ends[2] + 300).unwrap();
    assert_eq!(
        reached(&Journal::open(directory.path()).unwrap()),
        [("api".to_owned(), 2)]
    );
    assert_eq!(fs::metadata(&path).unwrap().len(), ends[2]);
}

#[test]
fn damage_to_any_byte_before_the_last_record_is_refused() {
    let (directory, ends) = written(3);
    let path = directory.path().join(NAME);
    let whole = fs::read(&path).unwrap();
    for position in 0..ends[2] as usize {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[position] ^= flip;
            fs::write(&path, &damaged).unwrap();
            let error = Journal::open(directory.path()).unwrap_err();
            let record = ends[..2].iter().rfind(|end| **end as usize <= position);
            match (error, record) {
                (JournalError::Damaged { offset, .. }, Some(start)) => assert_eq!(offset, *start),
                (JournalError::Foreign { .. }, None) => {}
                (error, _) => panic!("{position}: {error}"),
            }
            assert_eq!(fs::read(&path).unwrap(), damaged, "it is kept as found");
        }
    }
}

#[test]
fn a_file_that_is_no_journal_or_far_too_large_is_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    let large = [MAGIC, &vec![0; LENGTH_MAX as usize]].concat();
    for (content, message) in [
        (b"".as_slice(), "is no journal"),
        (b"promoterd clients journal 1\n", "is no journal"),
        (&large, "is larger than 4194304 bytes"),
        (&large[..100_000], "is damaged at byte 28"),
    ] {
        fs::write(&path, content).unwrap();
        let error = Journal::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_journal_that_cannot_be_understood_is_set_aside_and_begun_anew() {
    let (directory, ends) = written(3);
    let path = directory.path().join(NAME);
    let mut damaged = fs::read(&path).unwrap();
    damaged[ends[0] as usize + 9] ^= 1;
    for content in [
        &damaged[..],
        b"promoterd clients journal 1\n",
        &[0; 5_000_000],
    ] {
        fs::write(&path, content).unwrap();
        let mut journal = Journal::open_or_begin(directory.path()).unwrap();
        assert_eq!(reached(&journal), []);
        let kept = directory.path().join(DAMAGED_NAME);
        assert!(fs::read(kept).unwrap() == content);
        journal.note(entry("api", 9));
        journal.flush().unwrap();
        let journal = Journal::open_or_begin(directory.path()).unwrap();
        assert_eq!(reached(&journal), [("api".to_owned(), 9)]);
    }
}

#[test]
fn superseded_entries_are_dropped_when_the_journal_grows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    let mut journal = Journal::open(directory.path()).unwrap();
    // As long as a life of a thousand failovers, but for the syncs.
    let mut content = MAGIC.to_vec();
    for epoch in 1..=1000 {
        content.extend(record::encode(&[&entry("api", epoch)]));
    }
    assert!(content.len() > COMPACT_ABOVE);
    fs::write(&path, &content).unwrap();
    journal.file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    journal.book.length = content.len();
    journal.note(entry("api", 1001));
    journal.flush().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 200);
    assert_eq!(
        reached(&Journal::open(directory.path()).unwrap()),
        [("api".to_owned(), 1001)]
    );

    fs::write(&path, &content).unwrap();
    assert_eq!(
        reached(&Journal::open(directory.path()).unwrap()),
        [("api".to_owned(), 1000)]
    );
    assert!(fs::metadata(&path).unwrap().len() < 200);
}

#[test]
fn more_entries_than_fit_in_a_record_take_several() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path()).unwrap();
    let clients = ENTRIES_MAX as u64 * 2 + 1;
    for client in 0..clients {
        journal.note(entry(&format!("{client:064}"), client));
    }
    journal.flush().unwrap();
    let journal = Journal::open(directory.path()).unwrap();
    assert_eq!(journal.book.entries.len() as u64, clients);
}

#[test]
fn what_could_not_be_written_is_written_whole_at_the_next_flush() {
    let (directory, _) = written(1);
    let path = directory.path().join(NAME);
    let mut journal = Journal::open(directory.path()).unwrap();
    journal.fail_next_append();
    journal.note(entry("api", 2));
    journal.note(entry("worker", 2));
    let error = journal.flush().unwrap_err().to_string();
    assert!(error.contains("state directory"), "{error}");
    // Whatever the failed append may have left behind:
    let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
    torn.write_all(b"torn").unwrap();
    journal.flush().unwrap();
    let expected = [("api".to_owned(), 2), ("worker".to_owned(), 2)];
    assert_eq!(reached(&Journal::open(directory.path()).unwrap()), expected);
    journal.note(entry("api", 3));
    journal.flush().unwrap();
    let expected = [("api".to_owned(), 3), ("worker".to_owned(), 2)];
    assert_eq!(reached(&Journal::open(directory.path()).unwrap()), expected);
}

#[test]
fn a_missing_state_directory_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let error = Journal::open(&missing).unwrap_err().to_string();
    assert!(error.contains("missing/clients.journal"), "{error}");
}
