//! An observer's state on disk: what it knows and when that was last confirmed, in one small file.
//!
//! It is replaced as a whole: written beside, synced, renamed. What cannot be read is as good as nothing, for
//! voters tell all of it anew.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::warn;

use crate::model::UnixTime;
use crate::peer::Knowledge;

/// The first bytes of the file. A new layout gets a new number.
const MAGIC: &[u8] = b"promoterd observer 2\n";
const NAME: &str = "observer";
/// Its successor's, until that is complete.
const NEW_NAME: &str = "observer.new";
/// The same as of a voter: one process for a state directory, whatever it is.
const LOCK_NAME: &str = "lock";
/// Largest file that is read, in bytes.
const LENGTH_MAX: u64 = 8 << 20;

/// What an observer remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// What voters told.
    pub(super) knowledge: Knowledge,
    /// When a voter with a leader last confirmed it, by this host's clock; none before that.
    pub(super) confirmed_at: Option<UnixTime>,
}

/// The state directory cannot be used by an observer.
#[derive(Debug, Error)]
pub enum SavedError {
    /// A step failed on the disk.
    #[error(
        "cannot {step} {path}: let the service user write to the state directory, and see that its disk has space"
    )]
    Disk {
        /// What was tried.
        step: &'static str,
        /// What with.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: io::Error,
    },
    /// Another process uses it.
    #[error("another promoterd holds {path}: stop it, or give each its own PROMOTERD_STATE_DIR")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
}

fn disk(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SavedError {
    let path = path.to_owned();
    move |source| SavedError::Disk { step, path, source }
}

/// The state directory, held by this process.
#[derive(Debug)]
pub(super) struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Locks `path`, made if it is missing, and reads what was saved there.
    ///
    /// # Errors
    /// [`SavedError`] when it cannot be used, or another process uses it.
    pub(super) fn open(path: &Path) -> Result<(Self, Saved), SavedError> {
        if !path.is_dir() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(path).map_err(disk("make", path))?;
        }
        let lock_path = path.join(LOCK_NAME);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(disk("open", &lock_path))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(SavedError::Locked { path: lock_path });
            }
            Err(error) => return Err(disk("lock", &lock_path)(error.into())),
        }
        let saved = read(&path.join(NAME))?;
        let path = path.to_owned();
        Ok((Self { path, _lock: lock }, saved))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn read(path: &Path) -> Result<Saved, SavedError> {
    let mut content = Vec::new();
    match File::open(path) {
        Ok(file) => {
            let taken = file.take(LENGTH_MAX + 1).read_to_end(&mut content);
            taken.map_err(disk("read", path))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Saved::default()),
        Err(error) => return Err(disk("open", path)(error)),
    }
    Ok(decode(&content).unwrap_or_else(|| {
        warn!(path = %path.display(), "the state of this observer is damaged, nothing is known before a voter tells");
        Saved::default()
    }))
}

fn encode(saved: &Saved) -> Vec<u8> {
    let body = postcard::to_allocvec(saved).expect("plain values can be encoded");
    let checksum = crc32fast::hash(&body).to_le_bytes();
    [MAGIC, &checksum, &body].concat()
}

fn decode(content: &[u8]) -> Option<Saved> {
    let rest = content.strip_prefix(MAGIC)?;
    let (checksum, body) = rest.split_first_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    match postcard::take_from_bytes(body) {
        Ok((saved, [])) => Some(saved),
        Ok(_) | Err(_) => None,
    }
}

/// Puts it in the place of what was saved before. Waits for the disk.
///
/// # Errors
/// [`SavedError::Disk`]; what was there before is there still.
pub(super) fn save(directory: &Path, saved: &Saved) -> Result<(), SavedError> {
    let (path, new_path) = (directory.join(NAME), directory.join(NEW_NAME));
    let content = encode(saved);
    write_whole(&new_path, &content).map_err(disk("write", &new_path))?;
    fs::rename(&new_path, &path)
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(disk("replace", &path))
}

fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ClusterId, Epoch, LogIndex, Replica};
    use crate::peer::{News, PublicGroup};

    fn saved() -> Saved {
        let group = PublicGroup {
            epoch: Epoch(3),
            master: "m:1".parse().unwrap(),
            replicas: vec![Replica::unknown("r:1".parse().unwrap())],
            is_paused: false,
            index: LogIndex(9),
        };
        let mut knowledge = Knowledge::default();
        let news = News {
            cluster: Some(ClusterId(7)),
            is_confirmed: true,
            groups: [("f".parse().unwrap(), group.into())].into(),
        };
        knowledge.take_in(news).unwrap();
        Saved {
            knowledge,
            confirmed_at: Some(UnixTime(5)),
        }
    }

    #[test]
    fn what_is_saved_is_there_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let (held, before) = StateDirectory::open(&path).unwrap();
        assert_eq!(before, Saved::default());
        for _ in 0..2 {
            save(held.path(), &saved()).unwrap();
        }
        let refused = StateDirectory::open(&path).unwrap_err();
        assert!(matches!(refused, SavedError::Locked { .. }), "{refused}");
        drop(held);
        assert_eq!(StateDirectory::open(&path).unwrap().1, saved());
        assert!(!path.join(NEW_NAME).exists());
    }

    #[test]
    fn every_damage_is_noticed() {
        let content = encode(&saved());
        assert_eq!(decode(&content), Some(saved()));
        for at in 0..content.len() {
            let mut damaged = content.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&damaged), None, "byte {at}");
            assert_eq!(decode(&content[..at]), None, "cut at {at}");
        }
        assert_eq!(decode(&[&content[..], &[0]].concat()), None);
    }

    #[test]
    fn a_damaged_state_is_none_and_can_be_replaced() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(
            directory.path().join(NAME),
            b"promoterd observer 2\nxxxxgarbage",
        )
        .unwrap();
        let (held, before) = StateDirectory::open(directory.path()).unwrap();
        assert_eq!(before, Saved::default());
        save(held.path(), &saved()).unwrap();
        drop(held);
        assert_eq!(StateDirectory::open(directory.path()).unwrap().1, saved());
    }
}
