//! Who changes the files and templates beside us: their directories are watched by the kernel (inotify),
//! so that it is told at once and costs nothing while nobody does.
//!
//! A directory that cannot be watched (it is not there, or on a file system that tells nothing) is none
//! the worse for it: its files are looked at when the daemon starts and at each publication.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::{Content, Target};

/// Whoever wrote has closed the file, put another one in its place, or taken it away.
const EVENTS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Room for many events at a time, in bytes.
const BUFFER_LENGTH: usize = 16 * 1024;

/// Which targets may have been changed, by their place in the settings.
type Changed = Box<dyn Fn(BTreeSet<usize>) + Send>;

/// The watches, until it is dropped.
pub(super) struct Watch {
    shared: Arc<Shared>,
    /// The directories of each target.
    directories: Vec<Vec<PathBuf>>,
    task: AbortHandle,
}

struct Shared {
    inotify: OwnedFd,
    /// Which targets a name in a directory concerns.
    names: BTreeMap<(PathBuf, OsString), BTreeSet<usize>>,
    /// The directories that are watched; one may have several names.
    watched: Mutex<BTreeMap<i32, BTreeSet<PathBuf>>>,
}

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// What the system says when it has no watches left.
    pub(super) fn start(
        targets: &[Target],
        runtime: &Handle,
        changed: Changed,
    ) -> io::Result<Self> {
        let mut names: BTreeMap<_, BTreeSet<usize>> = BTreeMap::new();
        let mut directories = Vec::new();
        for (index, target) in targets.iter().enumerate() {
            let places = places(target);
            directories.push(
                places
                    .iter()
                    .map(|(directory, _)| directory.clone())
                    .collect(),
            );
            for place in places {
                names.entry(place).or_default().insert(index);
            }
        }
        let shared = Arc::new(Shared {
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
            names,
            watched: Mutex::default(),
        });
        let _inside = runtime.enter();
        let descriptor = shared.inotify.try_clone()?;
        #[allow(
            deprecated,
            reason = "its successor is unsafe, and the descriptor is the task's alone"
        )]
        let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
        let task = runtime.spawn(listen(Arc::clone(&shared), descriptor, changed));
        Ok(Self {
            shared,
            directories,
            task: task.abort_handle(),
        })
    }

    /// From now on changes of the target are told, if its directories are there.
    pub(super) fn add(&self, index: usize) {
        for directory in &self.directories[index] {
            match inotify::add_watch(&self.shared.inotify, directory, EVENTS) {
                Ok(watch) => {
                    let mut watched = self.shared.watched();
                    watched.entry(watch).or_default().insert(directory.clone());
                }
                Err(error) => {
                    let directory = directory.display();
                    tracing::debug!(%directory, %error, "changes of its files by others are not told");
                }
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn places(target: &Target) -> Vec<(PathBuf, OsString)> {
    let paths = match &target.content {
        Content::Edit { .. } => vec![&target.path],
        Content::Template { source } => vec![&target.path, source],
    };
    let place = |path: &&PathBuf| Some((path.parent()?.to_owned(), path.file_name()?.to_owned()));
    paths.iter().filter_map(place).collect()
}

async fn listen(shared: Arc<Shared>, descriptor: AsyncFd<OwnedFd>, changed: Changed) {
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER_LENGTH];
    loop {
        let Ok(mut guard) = descriptor.readable().await else {
            return;
        };
        let mut indexes = BTreeSet::new();
        let mut reader = Reader::new(descriptor.get_ref(), &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => shared.note(&event, &mut indexes),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => {
                    tracing::warn!(%error, "changes of client files by others are not told any more");
                    return;
                }
            }
        }
        guard.clear_ready();
        if !indexes.is_empty() {
            changed(indexes);
        }
    }
}

impl Shared {
    fn note(&self, event: &inotify::Event<'_>, indexes: &mut BTreeSet<usize>) {
        let happened = event.events();
        if happened.contains(ReadFlags::QUEUE_OVERFLOW) {
            indexes.extend(self.names.values().flatten());
            return;
        }
        let mut watched = self.watched();
        let Some(directories) = watched.get(&event.wd()).cloned() else {
            return;
        };
        if happened.contains(ReadFlags::MOVE_SELF) {
            // The watch has gone with it; that it is removed is told as IGNORED.
            let _ = inotify::remove_watch(&self.inotify, event.wd());
        }
        if happened.contains(ReadFlags::IGNORED) {
            watched.remove(&event.wd());
            let is_there = |directory: &Path| directories.contains(directory);
            let concerned = self
                .names
                .iter()
                .filter(|((directory, _), _)| is_there(directory));
            indexes.extend(concerned.flat_map(|(_, concerned)| concerned));
        }
        if let Some(name) = event.file_name() {
            let name = OsStr::from_bytes(name.to_bytes());
            for directory in directories {
                let concerned = self.names.get(&(directory, name.to_owned()));
                indexes.extend(concerned.into_iter().flatten());
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<i32, BTreeSet<PathBuf>>> {
        // Each change of it is one insertion or removal: whoever panicked left it whole.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
