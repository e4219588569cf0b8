//! Places: paths, addresses, voters.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use super::{InvalidValue, quote};
use crate::model::{Endpoint, NodeId};

/// A path from the root on, without `..`, in the one form that compares equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct AbsolutePath(pub(in crate::settings) PathBuf);

impl FromStr for AbsolutePath {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LENGTH_MAX: usize = 4095;
        let path = Path::new(text);
        let leaves = path.components().any(|part| part == Component::ParentDir);
        if !path.is_absolute()
            || leaves
            || text != text.trim()
            || text.chars().any(char::is_control)
        {
            return Err(InvalidValue::Path);
        }
        if text.len() > LENGTH_MAX {
            return Err(InvalidValue::LongPath(LENGTH_MAX));
        }
        Ok(Self(path.components().collect()))
    }
}

/// A path that a Unix socket can be bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct SocketPath(pub(in crate::settings) PathBuf);

impl FromStr for SocketPath {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        /// `sun_path` in unix(7) has 108 bytes, one of them for the end.
        const LENGTH_MAX: usize = 107;
        let AbsolutePath(path) = text.parse()?;
        if path.as_os_str().len() > LENGTH_MAX {
            return Err(InvalidValue::LongPath(LENGTH_MAX));
        }
        Ok(Self(path))
    }
}

/// An endpoint, read so that no part of a URL with a password is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct Address(pub(in crate::settings) Endpoint);

impl FromStr for Address {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('@') || text.contains("//") {
            return Err(InvalidValue::Url);
        }
        Ok(Self(text.trim().parse()?))
    }
}

/// `NAME=HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct Peer(
    pub(in crate::settings) NodeId,
    pub(in crate::settings) Endpoint,
);

impl FromStr for Peer {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, address) = text
            .split_once('=')
            .ok_or_else(|| InvalidValue::Peer(quote(text)))?;
        let Address(endpoint) = address.parse()?;
        Ok(Self(name.trim().parse()?, endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_and_has_one_form() {
        for (text, path) in [
            ("/etc/api/redis.env", Some("/etc/api/redis.env")),
            ("//etc/./api//redis.env/", Some("/etc/api/redis.env")),
            ("/etc/a b", Some("/etc/a b")),
            ("etc", None),
            ("", None),
            ("/etc/../x", None),
            ("/etc/x ", None),
            ("/etc/\u{7}", None),
        ] {
            let parsed = text.parse().ok().map(|AbsolutePath(path)| path);
            assert_eq!(parsed.as_deref(), path.map(Path::new), "{text}");
        }
        let long = format!("/{}", "x".repeat(4095));
        assert!(long.parse::<AbsolutePath>().is_err());
        assert!(long[..4095].parse::<AbsolutePath>().is_ok());
    }

    #[test]
    fn a_socket_path_fits_the_address_of_a_socket() {
        let path = format!("/{}", "s".repeat(107));
        assert!(path.parse::<SocketPath>().is_err());
        assert!(path[..107].parse::<SocketPath>().is_ok());
    }

    #[test]
    fn a_peer_is_a_name_and_an_endpoint() {
        let Peer(name, endpoint) = "a = [fd77::1]:7400".parse().unwrap();
        assert_eq!(
            (name.as_str(), endpoint.to_string()),
            ("a", "[fd77::1]:7400".to_owned())
        );
        for text in [
            "a",
            "a=",
            "=h:1",
            "a=h",
            "a=b=h:1",
            "a=u@h:1",
            "a=redis://h:1",
        ] {
            assert!(text.parse::<Peer>().is_err(), "{text}");
        }
    }
}
