//! What the journal on the disk says between two steps, where a crash may come.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc;

use super::mailbox::Mailbox;
use super::shift::Shift;
use super::tests::{TestRuntime, target};
use crate::clients::journal::Entry;
use crate::clients::transaction::{self, Prepared};
use crate::clients::{Digest, Journal, Publication};
use crate::model::Epoch;

#[test]
fn before_a_file_changes_again_in_its_epoch_the_journal_forgets_that_it_was_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.env");
    fs::write(&path, "K=old:1\n").unwrap();
    let target = target(&path, "api", "x");
    let entry = Entry {
        client: target.client.clone(),
        group: target.group.clone(),
        epoch: Epoch(3),
        master: "m:3".parse().unwrap(),
        digest: Digest::of(b"K=m:3\n"),
        reloaded: true,
    };
    let mut journal = Journal::open(directory.path()).unwrap();
    journal.note(entry);
    journal.flush().unwrap();
    let runtime = TestRuntime::start();
    let (alive, _ended) = mpsc::channel();
    let mut shift = Shift::new(
        vec![target.clone()],
        journal,
        runtime.handle(),
        Box::new(|_| {}),
        Arc::new(Mailbox::default()),
        alive,
    );
    let publication = Publication {
        group: target.group.clone(),
        epoch: Epoch(3),
        master: "m:3".parse().unwrap(),
        replicas: Vec::new(),
    };
    let Ok(Prepared::Staged(staged)) = transaction::prepare(&target, &publication) else {
        panic!("the file is not right");
    };
    let replaced = shift.commit(vec![(0, Epoch(3), staged)]).remove(0).unwrap();
    assert!(replaced.is_some_and(|replaced| replaced.changed));
    // As after a crash at this moment:
    let journal = Journal::open(directory.path()).unwrap();
    let known = journal.last(&target.client, &target.group).unwrap();
    assert_eq!((known.epoch, known.reloaded), (Epoch(3), false));
}
