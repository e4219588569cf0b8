//! The settings of the Sentinel endpoint: where it listens, and what clients have to show.

use super::keys;
use super::mistakes::Problem;
use super::node::read_secret;
use super::parse::{Address, Username};
use super::reader::{Reader, Reading};
use crate::model::Endpoint;
use crate::sentinel::Access;

/// Longest password in bytes: a command of a client that has to show it is bounded.
const PASSWORD_LENGTH_MAX: usize = 1024;

/// The Sentinel endpoint of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentinelSettings {
    /// Where it listens.
    pub listen: Endpoint,
    /// Where clients are told that it is.
    pub announce: Endpoint,
    /// What clients have to show.
    pub access: Access,
}

/// Reads the section: none where there is to be no endpoint. `own` is the address of this node's peer
/// port.
pub(super) fn read(
    reader: &mut Reader,
    own: Option<&Endpoint>,
) -> Option<Option<SentinelSettings>> {
    let listen: Option<Option<Address>> = reader.read_or_told(&keys::SENTINEL_LISTEN, "");
    let announce = reader.read(&keys::SENTINEL_ANNOUNCE, "");
    let username = reader.read_or_told(&keys::SENTINEL_USERNAME, "");
    let password = read_password(reader);
    let listen = match listen? {
        Some(Address(listen)) => listen,
        None => {
            if let Reading::Absent = announce {
                reader.settle(&keys::SENTINEL_ANNOUNCE, "", "none");
            }
            return Some(None);
        }
    };
    let announce = match announce {
        Reading::Given(Address(announce)) => announce,
        Reading::Mistaken => return None,
        Reading::Absent => {
            let is_any = listen
                .address()
                .is_some_and(|address| address.is_unspecified());
            let announce = match own {
                Some(own) if is_any => Endpoint::new(own.host(), listen.port()).ok()?,
                Some(_) | None => listen.clone(),
            };
            reader.settle(&keys::SENTINEL_ANNOUNCE, "", &announce);
            announce
        }
    };
    let username = username?.map(|Username(username)| username);
    Some(Some(SentinelSettings {
        listen,
        announce,
        access: Access::new(username, password?.as_ref()),
    }))
}

fn read_password(reader: &mut Reader) -> Option<Option<zeroize::Zeroizing<String>>> {
    let key = &keys::SENTINEL_PASSWORD_FILE;
    let path = match reader.read_secret_path(key, "", "sentinel-password") {
        Reading::Given(path) => path,
        Reading::Mistaken => return None,
        Reading::Absent => return Some(None),
    };
    let password = read_secret(reader, key, "", &path)?;
    if password.len() > PASSWORD_LENGTH_MAX {
        let reason = format!("a password has at most {PASSWORD_LENGTH_MAX} bytes");
        reader.refuse(key, "", Problem::BadSecret { path, reason });
        return None;
    }
    Some(Some(password))
}
