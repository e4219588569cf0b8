//! The files of the state directory: the replicated log with its snapshot, the journal of clients' files.

use promoterd::clients::{Digest, Journal, journal};
use promoterd::consensus::{Identity, recover};
use promoterd::model::Epoch;
use tempfile::TempDir;

use super::node::{self, instance};
use super::peers::{name, voters};
use super::{Input, join};

const LOG_MAGIC: &[u8] = b"promlog\x02";
const SNAPSHOT_MAGIC: &[u8] = b"promsnp\x01";
pub const JOURNAL_MAGIC: &[u8] = b"promoterd clients journal 2\n";

/// First byte: whether parts of the input get the frames that make them look whole.
pub fn log(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mode = input.byte();
    let snapshot = input.part();
    let rest = input.rest();
    let (log, snapshot) = match mode & 3 {
        0 => (rest.to_vec(), snapshot.to_vec()),
        _ => (
            framed(LOG_MAGIC, rest),
            framed(SNAPSHOT_MAGIC, &join(&[snapshot])),
        ),
    };
    let snapshot = (mode & 4 == 0).then_some(snapshot);
    let identity = Identity {
        node: name("a"),
        voters: voters(),
    };
    let Ok(recovered) = recover(&identity, &log, snapshot.as_deref()) else {
        return;
    };
    assert!(recovered.valid_length + recovered.torn_length <= log.len());
    // What is cut off by then is never missed: the same is read once more.
    let again = recover(
        &identity,
        &log[..recovered.valid_length],
        snapshot.as_deref(),
    );
    let again = again.expect("what was good stays good");
    assert_eq!(
        (&again.entries, &again.hard_state),
        (&recovered.entries, &recovered.hard_state)
    );
    if let Some(mut node) = node::start(&name("a"), recovered) {
        let event = promoterd::decision::Event::DeadlineReached;
        let _ = node.handle(promoterd::daemon::NodeEvent::Core(event), node::wall().at);
    }
}

/// The magic, and each part of the input with its length and its CRC-32.
fn framed(magic: &[u8], parts: &[u8]) -> Vec<u8> {
    let mut file = magic.to_vec();
    let mut input = Input::new(parts);
    while !input.is_empty() {
        push_frame(&mut file, input.part());
    }
    file
}

fn push_frame(file: &mut Vec<u8>, body: &[u8]) {
    let length = u32::try_from(body.len()).expect("short").to_le_bytes();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(body);
    file.extend(length);
    file.extend(hasher.finalize().to_le_bytes());
    file.extend_from_slice(body);
}

thread_local! {
    static DIRECTORY: TempDir = tempfile::tempdir().expect("a directory");
}

/// First byte: as for [`log`].
pub fn journal(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let content = match input.byte() & 1 {
        0 => input.rest().to_vec(),
        _ => framed(JOURNAL_MAGIC, input.rest()),
    };
    DIRECTORY.with(|directory| {
        let path = directory.path().join("clients.journal");
        std::fs::write(&path, &content).expect("a file");
        let opened = Journal::open_or_begin(directory.path()).expect("the disk is sound");
        let known = opened.last(&client(), &node::group()).cloned();
        drop(opened);
        let mut again = Journal::open(directory.path()).expect("what was opened can be opened");
        assert_eq!(again.last(&client(), &node::group()), known.as_ref());
        let epoch = known.as_ref().map_or(Epoch(1), |entry| entry.epoch);
        if epoch > Epoch(0) && known.is_some() {
            let older = again.may_publish(&client(), &node::group(), Epoch(epoch.0 - 1));
            assert!(older.is_err(), "a file may go back");
        }
        let next = entry(epoch);
        again
            .may_publish(&client(), &node::group(), epoch)
            .expect("the same epoch may be written again");
        again.note(next.clone());
        again.flush().expect("the disk is sound");
        let last = Journal::open(directory.path()).expect("what was written can be read");
        assert_eq!(last.last(&client(), &node::group()), Some(&next));
    });
}

pub fn client() -> promoterd::model::ClientName {
    "api".parse().expect("a name")
}

pub fn entry(epoch: Epoch) -> journal::Entry {
    journal::Entry {
        client: client(),
        group: node::group(),
        epoch,
        master: instance(1),
        digest: Digest::of(b"content"),
        reloaded: true,
    }
}
