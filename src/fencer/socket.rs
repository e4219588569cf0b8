//! The fencer's socket: for the daemon and root alone.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener as BlockingListener, UnixStream as BlockingStream};
use std::path::{Path, PathBuf};

use nix::unistd::User;
use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use thiserror::Error;
use tokio::net::UnixListener;
use tracing::warn;

/// Read and write for owner and group.
const MODE: u32 = 0o660;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;

/// Why there is no socket.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Somebody listens there.
    #[error("another fencer already answers at {path}: stop it, or give this one another --socket")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that no fencer made.
    #[error("{path} exists and is no socket: remove it, or give the fencer another --socket")]
    InTheWay {
        /// What is there.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error(
        "cannot listen at {path}: make its directory (RuntimeDirectory=promoterd-fencer in the unit does), and run \
         as root"
    )]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Who may give orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gate {
    user: Option<u32>,
}

impl Gate {
    #[cfg(test)]
    pub(super) fn of(uid: u32) -> Self {
        Self { user: Some(uid) }
    }

    pub(super) fn admits(self, uid: u32) -> bool {
        uid == 0 || self.user == Some(uid)
    }
}

/// Listens at `path` for root and the user of this name, in the place of a fencer that is gone.
pub(super) fn listen(path: &Path, user: &str) -> Result<(UnixListener, Gate), SocketError> {
    let failed = |source| SocketError::Listen {
        path: path.to_owned(),
        source,
    };
    let daemon = User::from_name(user).map_err(|error| failed(error.into()))?;
    match &daemon {
        Some(_) => {}
        None => warn!(
            user,
            "there is no such user: the fencer takes orders from root only"
        ),
    }
    remove_stale(path)?;
    let group = daemon.as_ref().map(|user| user.gid.as_raw());
    let gate = Gate {
        user: daemon.map(|user| user.uid.as_raw()),
    };
    let listener = create(path, group).map_err(failed)?;
    Ok((listener, gate))
}

fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let path_of = || path.to_owned();
    match fs::symlink_metadata(path) {
        // Whatever else is wrong with the place shows when the socket is made.
        Err(_) => return Ok(()),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::InTheWay { path: path_of() });
        }
        Ok(_) => {}
    }
    if BlockingStream::connect(path).is_ok() {
        return Err(SocketError::InUse { path: path_of() });
    }
    fs::remove_file(path).map_err(|source| SocketError::Listen {
        path: path_of(),
        source,
    })
}

fn create(path: &Path, group: Option<u32>) -> io::Result<UnixListener> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    // The file gets the mode of the unbound socket, less the umask: it is never open to more than MODE.
    fchmod(&socket, Mode::from_raw_mode(MODE))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    if group.is_some() {
        chown(path, None, group)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    rustix::net::listen(&socket, BACKLOG)?;
    UnixListener::from_std(BlockingListener::from(socket))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[tokio::test]
    async fn it_is_open_to_the_daemons_group_and_to_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fencer.sock");
        let daemon = User::from_name("daemon").unwrap().unwrap();
        let (_listener, gate) = listen(&path, "daemon").unwrap();
        let file = fs::metadata(&path).unwrap();
        assert_eq!(
            (file.mode() & 0o7777, file.gid()),
            (0o660, daemon.gid.as_raw())
        );
        for (uid, admitted) in [
            (0, true),
            (daemon.uid.as_raw(), true),
            (3_999_999_999, false),
        ] {
            assert_eq!(gate.admits(uid), admitted, "{uid}");
        }
    }

    #[tokio::test]
    async fn without_a_user_of_that_name_only_root_gives_orders() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fencer.sock");
        let (_listener, gate) = listen(&path, "no-such-user-here").unwrap();
        assert!(gate.admits(0) && !gate.admits(1));
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_fencer_is_replaced_and_that_of_a_living_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fencer.sock");
        drop(BlockingListener::bind(&path).unwrap());
        let _living = listen(&path, "daemon").unwrap();
        let error = listen(&path, "daemon").unwrap_err();
        assert!(matches!(error, SocketError::InUse { .. }), "{error}");
        let file = directory.path().join("file");
        fs::write(&file, "precious").unwrap();
        let error = listen(&file, "daemon").unwrap_err();
        assert!(matches!(error, SocketError::InTheWay { .. }), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }
}
