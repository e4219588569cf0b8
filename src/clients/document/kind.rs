//! What a value holds, as the settings may say.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a value holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueKind {
    /// `redis://user:password@host:port/database`: only host and port change.
    Url,
    /// `host:port`.
    Endpoint,
    /// A host name or address.
    Host,
    /// A port.
    Port,
    /// `host:port,ssl=true,password=…,db=0`, as Feast and StackExchange.Redis write it: only the part
    /// without `=` changes.
    Connection,
}

/// A text that names no [`ValueKind`]. It is not repeated: it may be a value, and hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the value is none of url, endpoint, host, port and connection")]
pub struct UnknownValueKind;

impl FromStr for ValueKind {
    type Err = UnknownValueKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "url" => Ok(Self::Url),
            "endpoint" => Ok(Self::Endpoint),
            "host" => Ok(Self::Host),
            "port" => Ok(Self::Port),
            "connection" => Ok(Self::Connection),
            _ => Err(UnknownValueKind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_one_of_five_words() {
        use ValueKind::{Connection, Endpoint, Host, Port, Url};
        for (text, kind) in [
            ("url", Ok(Url)),
            (" endpoint ", Ok(Endpoint)),
            ("host", Ok(Host)),
            ("port", Ok(Port)),
            ("connection", Ok(Connection)),
            ("uri", Err(UnknownValueKind)),
            ("Url", Err(UnknownValueKind)),
            ("host,port", Err(UnknownValueKind)),
            ("", Err(UnknownValueKind)),
        ] {
            assert_eq!(text.parse(), kind, "{text:?}");
        }
    }
}
