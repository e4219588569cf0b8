//! The state directory: a lock, the log and the snapshot, changed so that every crash is survivable.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use thiserror::Error;

use super::entry::{Batch, HardState, LogEntry, Position, SnapshotData};
use super::log::{self, Identity, RecoverError, Recovered};
use super::seat::Seat;
use crate::model::Incarnation;

/// Zeros are written ahead in pieces of this length, in bytes. An fdatasync that need not record a new
/// file size or new blocks is about a third cheaper (median of 300 writes on ext4: 82 µs, not 120 µs).
const AHEAD: u64 = 1024 * 1024;

/// When less than this is left of them, the next piece is due.
const AHEAD_MIN: u64 = 256 * 1024;

/// Longest file that is read into memory at start, in bytes. Compaction keeps logs far below.
const FILE_LENGTH_MAX: u64 = 1024 * 1024 * 1024;

/// The log of one node, open for writing and locked.
///
/// Every error is final. After a failed fdatasync nobody knows what of the page cache reached the disk,
/// and a second one may succeed without having written it; so the daemon has to stop, and what
/// is on the disk speaks for itself at the next start.
#[derive(Debug)]
pub struct LogFile {
    directory: PathBuf,
    identity: Identity,
    seat: Seat,
    file: File,
    /// Where the next frame goes.
    position: u64,
    /// Up to where blocks are there.
    allocated: u64,
    buffer: Vec<u8>,
    has_failed: bool,
    /// Held as long as this lives.
    _lock: File,
}

/// What went wrong with the state directory.
#[derive(Debug, Error)]
pub enum LogError {
    /// The system refused.
    #[error(
        "cannot {action} {path}: check that the disk is sound and not full, and that the service user owns it"
    )]
    Io {
        /// What was to be done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process uses it.
    #[error(
        "another promoterd holds {path}, pid {holder}: stop it, or give each its own PROMOTERD_STATE_DIR"
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process, as it says itself.
        holder: String,
    },
    /// What is there cannot be used.
    #[error("log {path} cannot be used")]
    Unusable {
        /// The log.
        path: PathBuf,
        /// Why not, and what to do.
        #[source]
        source: RecoverError,
    },
    /// Nobody compacted it.
    #[error(
        "{path} is longer than {FILE_LENGTH_MAX} bytes: it is no file of promoterd's; remove it"
    )]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// An earlier write failed.
    #[error("an earlier write to {path} failed: restart this daemon")]
    Failed {
        /// The log.
        path: PathBuf,
    },
}

impl LogFile {
    /// Locks `directory` (made if it is missing, mode 0700) and reads what it holds. Remains of an
    /// interrupted write are cut off. It counts the start; a new directory bears `fresh`.
    ///
    /// # Errors
    /// [`LogError`] when another process holds it, or its content is damaged or somebody else's.
    pub fn open(
        directory: &Path,
        identity: &Identity,
        fresh: Incarnation,
    ) -> Result<(Self, Recovered), LogError> {
        create_directory(directory)?;
        let lock = take_lock(&directory.join("lock"))?;
        let path = directory.join("log");
        let log_bytes = read(&path)?.unwrap_or_default();
        let snapshot_bytes = read(&directory.join("snapshot"))?;
        let mut recovered =
            log::recover(identity, &log_bytes, snapshot_bytes.as_deref()).map_err(|source| {
                LogError::Unusable {
                    path: path.clone(),
                    source,
                }
            })?;
        if recovered.seat.is_none() {
            remove_file(&directory.join("snapshot"))?;
        }
        let seat = recovered.start(fresh);
        // Written anew as a whole, so that the start is counted. After a crash between the two files of
        // a replacement the log is older than its snapshot, and nothing may be written behind it either.
        let base = recovered
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.position);
        let bytes = whole_log(
            identity,
            &seat,
            base.unwrap_or_default(),
            &recovered.hard_state,
            &recovered.entries,
        );
        replace_file(directory, "log", &bytes)?;
        let mut log_file = Self {
            directory: directory.to_owned(),
            identity: identity.clone(),
            seat,
            file: open_log(&path)?,
            position: 0,
            allocated: 0,
            buffer: Vec::new(),
            has_failed: false,
            _lock: lock,
        };
        log_file.start_at(bytes.len() as u64)?;
        log_file.prepare()?;
        if recovered.torn_length > 0 {
            let torn_length = recovered.torn_length;
            tracing::warn!(path = %path.display(), torn_length, "cut off an interrupted write");
        }
        Ok((log_file, recovered))
    }

    /// Makes a batch durable.
    ///
    /// # Errors
    /// [`LogError`], which is final: all later calls fail too.
    pub fn write(&mut self, batch: &Batch) -> Result<(), LogError> {
        if self.has_failed {
            return Err(LogError::Failed { path: self.path() });
        }
        // Stands until this write is done, and for good when it is not.
        self.has_failed = true;
        match batch {
            Batch::Append {
                hard_state,
                entries,
            } => self.append(hard_state.as_ref(), entries)?,
            Batch::Replace {
                snapshot,
                hard_state,
                entries,
            } => {
                self.replace_snapshot(snapshot)?;
                self.replace_log(snapshot.position, hard_state, entries)?;
            }
            Batch::Begin(seat) => {
                self.seat = seat.clone();
                self.replace_log(Position::default(), &HardState::default(), &[])?;
            }
        }
        self.has_failed = false;
        Ok(())
    }

    /// Writes zeros ahead when they run short. Call it when nobody waits.
    ///
    /// # Errors
    /// [`LogError`], final too. A full disk is none: the next write will tell.
    pub fn prepare(&mut self) -> Result<(), LogError> {
        if self.has_failed || self.allocated >= self.position + AHEAD_MIN {
            return Ok(());
        }
        let zeros = vec![0; AHEAD as usize];
        let from = self.allocated.max(self.position);
        if self.file.write_all_at(&zeros, from).is_err() {
            return Ok(());
        }
        let synced = self.file.sync_all().map_err(failed("sync", &self.path()));
        self.has_failed = synced.is_err();
        self.allocated = from + AHEAD;
        synced
    }

    fn append(
        &mut self,
        hard_state: Option<&HardState>,
        entries: &[LogEntry],
    ) -> Result<(), LogError> {
        self.buffer.clear();
        log::encode(&mut self.buffer, hard_state, entries);
        self.file
            .write_all_at(&self.buffer, self.position)
            .map_err(failed("write", &self.path()))?;
        self.file
            .sync_data()
            .map_err(failed("sync", &self.path()))?;
        self.position += self.buffer.len() as u64;
        Ok(())
    }

    /// First the snapshot: until the log is replaced too, recovery skips what of it the snapshot contains.
    fn replace_snapshot(&self, snapshot: &SnapshotData) -> Result<(), LogError> {
        replace_file(&self.directory, "snapshot", &log::encode_snapshot(snapshot))
    }

    fn replace_log(
        &mut self,
        base: Position,
        hard_state: &HardState,
        entries: &[LogEntry],
    ) -> Result<(), LogError> {
        let bytes = whole_log(&self.identity, &self.seat, base, hard_state, entries);
        replace_file(&self.directory, "log", &bytes)?;
        self.file = open_log(&self.path())?;
        self.start_at(bytes.len() as u64)
    }

    /// Forgets all behind `length`, so that nothing there is ever taken for a frame.
    fn start_at(&mut self, length: u64) -> Result<(), LogError> {
        let path = self.path();
        self.file.set_len(length).map_err(failed("cut", &path))?;
        self.file.sync_all().map_err(failed("sync", &path))?;
        self.position = length;
        self.allocated = length;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.directory.join("log")
    }
}

/// Moves log and snapshot of a directory that nobody holds out of the way, and returns where to.
///
/// # Errors
/// [`LogError`] when the directory is held, or the system refuses.
pub fn set_aside(directory: &Path) -> Result<PathBuf, LogError> {
    let _lock = take_lock(&directory.join("lock"))?;
    let kept = directory.join("set-aside");
    create_directory(&kept)?;
    // The log says whose directory it is: without it, what is left counts for nothing.
    for name in ["log", "snapshot"] {
        let (from, to) = (directory.join(name), kept.join(name));
        match fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("set aside", &from)(error)),
        }
    }
    sync_directory(&kept)?;
    sync_directory(directory)?;
    Ok(kept)
}

fn remove_file(path: &Path) -> Result<(), LogError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn whole_log(
    identity: &Identity,
    seat: &Seat,
    base: Position,
    hard_state: &HardState,
    entries: &[LogEntry],
) -> Vec<u8> {
    let mut bytes = log::begin(identity, seat, base);
    log::encode(&mut bytes, Some(hard_state), entries);
    bytes
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> LogError + 'a {
    move |source| LogError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// A new directory must survive a power cut too, or what was acknowledged in it is gone.
fn create_directory(directory: &Path) -> Result<(), LogError> {
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed("create", directory))?;
    match directory.parent() {
        Some(parent) if parent != Path::new("") => sync_directory(parent),
        Some(_) | None => Ok(()),
    }
}

fn sync_directory(directory: &Path) -> Result<(), LogError> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(failed("sync", directory))
}

fn take_lock(path: &Path) -> Result<File, LogError> {
    let mut lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("open", path))?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let holder = fs::read_to_string(path).unwrap_or_default();
            return Err(LogError::Locked {
                path: path.to_owned(),
                holder: holder.trim().chars().take(20).collect(),
            });
        }
        Err(error) => return Err(failed("lock", path)(error.into())),
    }
    lock.set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()))
        .map_err(failed("write", path))?;
    Ok(lock)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, LogError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > FILE_LENGTH_MAX => Err(LogError::TooLong {
            path: path.to_owned(),
        }),
        Ok(_) => fs::read(path).map(Some).map_err(failed("read", path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

fn open_log(path: &Path) -> Result<File, LogError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(failed("open", path))
}

/// Puts `bytes` in the place of a file: there is the old one or the new one, never a part.
fn replace_file(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), LogError> {
    let path = directory.join(name);
    let temporary = directory.join(format!("{name}.new"));
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed("create", &temporary))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(failed("write", &temporary))?;
    fs::rename(&temporary, &path).map_err(failed("replace", &path))?;
    sync_directory(directory)
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
