//! The socket file: taken over from a dead daemon, never from a living one, closed to strangers.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as BlockingListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// Read and write for owner and group: who may connect.
const MODE: u32 = 0o660;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;
/// A living daemon accepts at once; one that does not is alive too.
const CONNECT_WAIT_MAX: Duration = Duration::from_millis(500);
/// The name of a directory that is ours to create.
const RUNTIME_DIRECTORY: &str = "promoterd";

/// Why there is no status socket.
#[derive(Debug, Error)]
pub enum StatusError {
    /// Another daemon answers there.
    #[error(
        "another promoterd already answers at {path}: stop it, or give this one another \
         PROMOTERD_STATUS_SOCKET"
    )]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that we did not make.
    #[error(
        "{path} exists and is no socket: remove it, or set PROMOTERD_STATUS_SOCKET to another path"
    )]
    InTheWay {
        /// What is there.
        path: PathBuf,
    },
    /// The directory is missing, or may not be created.
    #[error(
        "no directory for the status socket {path}: create it (RuntimeDirectory=promoterd in the \
         unit does), or set PROMOTERD_STATUS_SOCKET"
    )]
    NoDirectory {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is there cannot be looked at or removed.
    #[error(
        "cannot tell whether {path} is in use: let this user read and write it and its directory"
    )]
    Inspect {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be made.
    #[error(
        "cannot listen at {path}: let this user write to its directory, and keep the path below \
         108 bytes"
    )]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A socket file that goes away with its owner, unless another daemon's has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if is_ours {
            // Nobody is left to tell, and the next start replaces a stale socket.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path` with mode 0660, in the place of a socket that nobody answers on.
///
/// Two daemons that start in the same moment are kept apart by the lock on their state directory.
///
/// # Errors
/// [`StatusError`], when somebody answers, or the file cannot be made.
pub async fn listen(path: &Path) -> Result<(UnixListener, SocketFile), StatusError> {
    prepare_directory(path)?;
    remove_stale(path).await?;
    create(path).map_err(|source| StatusError::Listen {
        path: path.to_owned(),
        source,
    })
}

fn prepare_directory(path: &Path) -> Result<(), StatusError> {
    let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let no_directory = |source| StatusError::NoDirectory {
        path: path.to_owned(),
        source,
    };
    let is_ours = parent
        .file_name()
        .is_some_and(|name| name == RUNTIME_DIRECTORY);
    match fs::metadata(parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_ours => fs::DirBuilder::new()
            .mode(0o755)
            .create(parent)
            .map_err(no_directory),
        Err(error) => Err(no_directory(error)),
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(no_directory(io::ErrorKind::NotADirectory.into())),
    }
}

async fn remove_stale(path: &Path) -> Result<(), StatusError> {
    let inspect = |source| StatusError::Inspect {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(inspect(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(StatusError::InTheWay {
                path: path.to_owned(),
            });
        }
        Ok(_) => {}
    }
    let in_use = || StatusError::InUse {
        path: path.to_owned(),
    };
    match timeout(CONNECT_WAIT_MAX, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(inspect)
        }
        // A full backlog: somebody listens.
        Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => Err(in_use()),
        Ok(Err(error)) => Err(inspect(error)),
        Ok(Ok(_)) | Err(_) => Err(in_use()),
    }
}

fn create(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    // Linux makes the file with the mode of the unbound socket, less the umask: so it is never open
    // to more than MODE, and the second step only gives back what the umask took.
    fchmod(&socket, Mode::from_raw_mode(MODE))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    let found = fs::symlink_metadata(path)?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: (found.dev(), found.ino()),
    };
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    rustix::net::listen(&socket, BACKLOG)?;
    let listener = UnixListener::from_std(BlockingListener::from(socket))?;
    Ok((listener, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_of_a_dead_daemon_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.sock");
        drop(BlockingListener::bind(&path).unwrap());
        assert!(path.exists());
        let (_listener, _file) = listen(&path).await.unwrap();
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn the_socket_of_a_living_daemon_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.sock");
        let _first = listen(&path).await.unwrap();
        let error = listen(&path).await.unwrap_err();
        assert!(matches!(error, StatusError::InUse { .. }), "{error}");
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_daemon_that_accepts_nobody_is_alive_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.sock");
        let _first = listen(&path).await.unwrap();
        let mut waiting = Vec::new();
        let full = loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let error = listen(&path).await.unwrap_err();
        assert!(matches!(error, StatusError::InUse { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_socket_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.sock");
        fs::write(&path, "precious").unwrap();
        let error = listen(&path).await.unwrap_err();
        assert!(matches!(error, StatusError::InTheWay { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn only_owner_and_group_may_connect() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.sock");
        let _socket = listen(&path).await.unwrap();
        let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o660, "{mode:o}");
    }

    #[tokio::test]
    async fn only_a_directory_of_our_own_name_is_created() {
        let directory = tempfile::tempdir().unwrap();
        let ours = directory.path().join("promoterd/status.sock");
        let _socket = listen(&ours).await.unwrap();
        let other = directory.path().join("other/status.sock");
        let error = listen(&other).await.unwrap_err();
        assert!(matches!(error, StatusError::NoDirectory { .. }), "{error}");
        assert!(!directory.path().join("other").exists());
    }

    #[tokio::test]
    async fn a_path_too_long_for_a_socket_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x".repeat(120));
        let error = listen(&path).await.unwrap_err();
        assert!(matches!(error, StatusError::Listen { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_socket_file_goes_with_its_owner_and_never_takes_that_of_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.sock");
        let first = listen(&path).await.unwrap();
        fs::remove_file(&path).unwrap();
        let second = listen(&path).await.unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }
}
