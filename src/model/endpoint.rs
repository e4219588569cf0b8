//! Where an instance or a node listens.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::shared_text::SharedText;

/// A host name or address and a TCP port: `10.0.0.1:6379`, `redis-a:6379`, `[fd77::1]:6379`.
///
/// The host is kept as written; names are resolved at each connect, never here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    host: SharedText,
    port: u16,
}

/// Why a text is no [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidEndpoint {
    /// There is no port behind the last colon.
    #[error("\"{0}\" has no port")]
    NoPort(String),
    /// The port is 0, too large, or no number.
    #[error("\"{0}\" has no valid port (1 to 65535)")]
    BadPort(String),
    /// The host is empty, too long, or holds a character that no host name holds.
    #[error("\"{0}\" is no host name or address")]
    BadHost(String),
}

impl Endpoint {
    /// Longest host name that DNS allows, in bytes.
    const HOST_LENGTH_MAX: usize = 253;

    /// Joins a host (IPv6 without brackets) and a port.
    ///
    /// # Errors
    /// [`InvalidEndpoint`] when the host cannot be one, or the port is 0.
    pub fn new(host: &str, port: u16) -> Result<Self, InvalidEndpoint> {
        let is_name = host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        let is_address = host.parse::<IpAddr>().is_ok();
        if host.is_empty() || host.len() > Self::HOST_LENGTH_MAX || !(is_name || is_address) {
            return Err(InvalidEndpoint::BadHost(shorten(host)));
        }
        if port == 0 {
            return Err(InvalidEndpoint::BadPort(port.to_string()));
        }
        Ok(Self {
            host: host.into(),
            port,
        })
    }

    /// The host as written, IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port, never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, when the host is one and not a name.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether this can only be reached on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.address()
            .map_or(&*self.host == "localhost", |address| address.is_loopback())
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host(), self.port)
        } else {
            write!(formatter, "{}:{}", self.host(), self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| InvalidEndpoint::NoPort(shorten(text)))?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner
                .strip_suffix(']')
                .ok_or_else(|| InvalidEndpoint::BadHost(shorten(host)))?,
            None if host.contains(':') => return Err(InvalidEndpoint::NoPort(shorten(text))),
            None => host,
        };
        let digits_only = port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse::<u16>() {
            Ok(port) if digits_only => Self::new(host, port),
            _ => Err(InvalidEndpoint::BadPort(shorten(port))),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_reads_back_as_it_was_written() {
        for text in [
            "10.0.0.1:6379",
            "redis-a.internal:1",
            "[fd77::1]:65535",
            "localhost:7400",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_names_no_endpoint_is_refused_with_its_reason() {
        for (text, reason) in [
            ("10.0.0.1", "\"10.0.0.1\" has no port"),
            ("fd77::1", "\"fd77::1\" has no port"),
            ("a:0", "\"0\" has no valid port (1 to 65535)"),
            ("a:+1", "\"+1\" has no valid port (1 to 65535)"),
            ("a:65536", "\"65536\" has no valid port (1 to 65535)"),
            (":6379", "\"\" is no host name or address"),
            ("a b:6379", "\"a b\" is no host name or address"),
            ("[fd77::1:6379", "\"[fd77::1\" is no host name or address"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap_err().to_string(), reason);
        }
    }
}
