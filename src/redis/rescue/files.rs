//! The files of rescued data sets: written under another name, synced, renamed; a few are kept.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::RescueError;
use crate::decision::RescueOrder;
use crate::model::{Endpoint, Epoch, GroupName, RunId, UnixTime};

/// The directory's name in the state directory.
const DIRECTORY: &str = "rescue";
/// Files that are kept of one group; the oldest go first.
pub const KEPT_MAX: usize = 5;
/// So much of the disk is left to others: the state directory is on it, and without room for the log the
/// daemon ends.
const DISK_LEFT_MIN: u64 = 256 << 20;
/// Bytes between two looks at how much of the disk is left.
const LOOK_INTERVAL: u64 = 16 << 20;
/// Longest description that is read.
const DESCRIPTION_MAX: u64 = 16 << 10;
const DATA: &str = "rdb";
const DESCRIPTION: &str = "json";
const UNFINISHED: &str = "part";

/// What is known of a data set that was saved, beside it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The group.
    pub group: GroupName,
    /// Where it came from.
    pub instance: Endpoint,
    /// The process.
    pub run_id: RunId,
    /// The epoch in which it was found.
    pub epoch: Epoch,
    /// When it was saved, by this host's clock.
    pub at: UnixTime,
    /// Its length.
    pub bytes: u64,
    /// Bytes of its stream that the group never got, where that could be told.
    pub diverged_bytes: Option<u64>,
}

/// The place of all of them: it may not be there yet.
#[must_use]
pub fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join(DIRECTORY)
}

/// All that are there, the newest first. What cannot be read is passed over.
#[must_use]
pub fn list(state_dir: &Path) -> Vec<(PathBuf, Description)> {
    let Ok(entries) = fs::read_dir(directory(state_dir)) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<(PathBuf, Description)> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == DATA))
        .filter_map(|path| {
            let described = path.with_extension(DESCRIPTION);
            let length = fs::metadata(&described).ok()?.len();
            let text = (length <= DESCRIPTION_MAX).then(|| fs::read(&described).ok())??;
            Some((path, serde_json::from_slice(&text).ok()?))
        })
        .collect();
    found.sort_by_key(|(path, description)| (std::cmp::Reverse(description.at.0), path.clone()));
    found
}

/// Removes what a daemon that ended in the middle left behind.
pub(in crate::redis) fn remove_unfinished(state_dir: &Path) {
    let Ok(entries) = fs::read_dir(directory(state_dir)) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_part = path
            .extension()
            .is_some_and(|extension| extension == UNFINISHED);
        if is_part && let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "an unfinished rescue cannot be removed");
        }
    }
}

/// A data set that is being written; removed when dropped before it is [kept](Self::keep).
pub(super) struct Unfinished {
    directory: PathBuf,
    name: String,
    at: UnixTime,
    file: File,
    written: u64,
    looked_at: u64,
    is_kept: bool,
}

impl Unfinished {
    /// A new file, for nobody else to read.
    pub(super) async fn create(state_dir: &Path, order: &RescueOrder) -> Result<Self, RescueError> {
        let directory = directory(state_dir);
        if !directory.is_dir() {
            let made = DirBuilder::new().mode(0o700).create(&directory);
            made.map_err(disk("create", &directory))?;
        }
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let at = UnixTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let name = format!("{}-{}-{}", order.group, order.epoch, at.0);
        let path = directory.join(format!("{name}.{UNFINISHED}"));
        let mut options = OpenOptions::new();
        let opened = options
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .await;
        let unfinished = Self {
            file: opened.map_err(disk("create", &path))?,
            directory,
            name,
            at,
            written: 0,
            looked_at: 0,
            is_kept: false,
        };
        unfinished.check_room()?;
        Ok(unfinished)
    }

    pub(super) async fn write(&mut self, data: &[u8]) -> Result<(), RescueError> {
        let path = self.path(UNFINISHED);
        self.file
            .write_all(data)
            .await
            .map_err(disk("write", &path))?;
        self.written += data.len() as u64;
        if self.written - self.looked_at >= LOOK_INTERVAL {
            self.looked_at = self.written;
            self.check_room()?;
        }
        Ok(())
    }

    /// Makes it durable, with what is known of it; returns where it is.
    pub(super) async fn keep(mut self, order: &RescueOrder) -> Result<PathBuf, RescueError> {
        let part = self.path(UNFINISHED);
        let synced = async {
            self.file.flush().await?;
            self.file.sync_all().await
        };
        synced.await.map_err(disk("sync", &part))?;
        let description = Description {
            group: order.group.clone(),
            instance: order.endpoint.clone(),
            run_id: order.run_id,
            epoch: order.epoch,
            at: self.at,
            bytes: self.written,
            diverged_bytes: order.diverged_bytes,
        };
        let kept = self.path(DATA);
        let described = self.path(DESCRIPTION);
        let text =
            serde_json::to_vec_pretty(&description).expect("plain values can be written as JSON");
        let directory = self.directory.clone();
        let renamed = kept.clone();
        let name = async move {
            // A description without its data is passed over, the other way round it would be lost.
            let mut file = OpenOptions::new();
            let mut file = file
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(described)
                .await?;
            file.write_all(&text).await?;
            file.sync_all().await?;
            tokio::fs::rename(&part, &renamed).await?;
            File::open(directory).await?.sync_all().await
        };
        name.await.map_err(disk("keep", &kept))?;
        self.is_kept = true;
        remove_oldest(&self.directory, &order.group);
        Ok(kept)
    }

    fn check_room(&self) -> Result<(), RescueError> {
        let status = rustix::fs::statvfs(&self.directory)
            .map_err(|error| disk("look at", &self.directory)(error.into()))?;
        if status.f_bavail.saturating_mul(status.f_frsize) < DISK_LEFT_MIN {
            return Err(RescueError::DiskFull {
                path: self.directory.clone(),
                left_min: DISK_LEFT_MIN,
            });
        }
        Ok(())
    }

    fn path(&self, extension: &str) -> PathBuf {
        // Names of groups may hold dots.
        self.directory.join(format!("{}.{extension}", self.name))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_kept {
            // It may never have come to the second one.
            let _ = fs::remove_file(self.path(UNFINISHED));
            let _ = fs::remove_file(self.path(DESCRIPTION));
        }
    }
}

fn remove_oldest(directory: &Path, group: &GroupName) {
    let Some(state_dir) = directory.parent() else {
        return;
    };
    let of_group = list(state_dir)
        .into_iter()
        .filter(|(_, it)| it.group == *group);
    for (path, _) in of_group.skip(KEPT_MAX) {
        let removed =
            fs::remove_file(&path).and_then(|()| fs::remove_file(path.with_extension(DESCRIPTION)));
        match removed {
            Ok(()) => {
                tracing::info!(path = %path.display(), "an old rescue made room for a new one")
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "an old rescue cannot be removed")
            }
        }
    }
}

fn disk<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> RescueError + 'a {
    move |source| RescueError::Disk {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::order;
    use super::*;

    async fn save(state_dir: &Path, group: &str, data: &[u8]) -> PathBuf {
        let order = RescueOrder {
            group: group.parse().unwrap(),
            ..order()
        };
        let mut unfinished = Unfinished::create(state_dir, &order).await.unwrap();
        unfinished.write(data).await.unwrap();
        let path = unfinished.keep(&order).await.unwrap();
        // The names of two are told apart by the millisecond.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        path
    }

    fn names(state_dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory(state_dir)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_data_set_is_there_whole_or_not_at_all() {
        let state = tempfile::tempdir().unwrap();
        let order = order();
        let mut unfinished = Unfinished::create(state.path(), &order).await.unwrap();
        unfinished.write(b"REDIS").await.unwrap();
        assert_eq!(list(state.path()), []);
        drop(unfinished);
        assert_eq!(names(state.path()), [""; 0]);
        let path = save(state.path(), "features", b"REDIS0011").await;
        assert_eq!(fs::read(&path).unwrap(), b"REDIS0011");
        let [(listed, description)] = &list(state.path())[..] else {
            panic!("{:?}", list(state.path()));
        };
        assert_eq!((listed, description.bytes), (&path, 9));
        assert_eq!(description.diverged_bytes, Some(7));
        for path in [&path, &path.with_extension(DESCRIPTION)] {
            let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).unwrap());
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[tokio::test]
    async fn the_oldest_of_a_group_make_room_and_those_of_others_stay() {
        let state = tempfile::tempdir().unwrap();
        let other = save(state.path(), "other.group", b"REDIS").await;
        let first = save(state.path(), "features", b"REDIS").await;
        let second = save(state.path(), "features", b"REDIS").await;
        for _ in 1..KEPT_MAX {
            save(state.path(), "features", b"REDIS").await;
        }
        assert!(!first.exists() && second.exists() && other.exists());
        assert_eq!(list(state.path()).len(), KEPT_MAX + 1);
        assert_eq!(names(state.path()).len(), 2 * (KEPT_MAX + 1));
        assert_eq!(list(state.path()).last().unwrap().0, other);
    }

    #[tokio::test]
    async fn what_a_crash_left_is_removed_at_the_next_start() {
        let state = tempfile::tempdir().unwrap();
        let kept = save(state.path(), "features", b"REDIS").await;
        fs::write(kept.with_extension(UNFINISHED), "x").unwrap();
        remove_unfinished(state.path());
        assert_eq!(names(state.path()).len(), 2);
        assert!(kept.exists());
    }
}
