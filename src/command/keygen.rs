//! `promoterd keygen`: a new cluster key, or the observers' key that follows from one.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{EXIT_FAILURE, complain, say};
use crate::peer::{ClusterKey, InvalidClusterKey, NoRandomness};

/// Largest key file, in bytes.
const LENGTH_MAX: u64 = 4096;

/// Which key.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print the observers' key that follows from the cluster key in this file.
    ///
    /// It goes to the hosts of role `observer`. The cluster key cannot be told from it, and it lets nobody
    /// vote.
    #[arg(long, value_name = "CLUSTER_KEY_FILE")]
    observer: Option<PathBuf>,
}

/// Why there is no key.
#[derive(Debug, Error)]
enum KeygenError {
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    #[error("cannot read {path}: name the file of the cluster key, as a user who may read it")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} holds no cluster key")]
    Invalid {
        path: PathBuf,
        #[source]
        source: InvalidClusterKey,
    },
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let key = match &arguments.observer {
        Some(path) => read(path).map(|key| key.for_observers()),
        None => ClusterKey::generate().map_err(KeygenError::from),
    };
    match key {
        Ok(key) => {
            say(&format!("{}\n", *key.to_text()));
            0
        }
        Err(error) => {
            complain(&error);
            EXIT_FAILURE
        }
    }
}

fn read(path: &Path) -> Result<ClusterKey, KeygenError> {
    let mut text = Zeroizing::new(String::new());
    let taken = File::open(path).and_then(|file| file.take(LENGTH_MAX).read_to_string(&mut text));
    let path = path.to_owned();
    match taken.map(|_| ClusterKey::parse(&text)) {
        Ok(Ok(key)) => Ok(key),
        Ok(Err(source)) => Err(KeygenError::Invalid { path, source }),
        Err(source) => Err(KeygenError::Unreadable { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_observers_key_follows_from_the_cluster_key_and_is_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("peer.key");
        let text = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        std::fs::write(&path, text).unwrap();
        let keys = [(); 2].map(|()| read(&path).unwrap().for_observers());
        assert_eq!(*keys[0].to_text(), *keys[1].to_text());
        assert_ne!(*keys[0].to_text(), *read(&path).unwrap().to_text());
        std::fs::write(&path, "no key").unwrap();
        assert!(matches!(read(&path), Err(KeygenError::Invalid { .. })));
        let missing = read(&directory.path().join("none"));
        assert!(matches!(missing, Err(KeygenError::Unreadable { .. })));
    }
}
