//! Names that operators give: to nodes, groups and clients.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use super::shared_text::SharedText;

/// Longest name in bytes.
const LENGTH_MAX: usize = 64;

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is no name: use 1 to 64 letters, digits, '.', '-' or '_'")]
pub struct InvalidName(String);

fn check(text: &str) -> Result<SharedText, InvalidName> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if text.is_empty() || text.len() > LENGTH_MAX || !text.bytes().all(allowed) {
        return Err(InvalidName(text.chars().take(LENGTH_MAX).collect()));
    }
    Ok(text.into())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $type(SharedText);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                check(text).map(Self)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// One of our daemons, by the name that `PROMOTERD_NODE` and `PROMOTERD_PEERS` give it.
    NodeId
}
name! {
    /// A replication group; what Sentinel calls the master name.
    GroupName
}
name! {
    /// A client of a group on this host, whose file we keep right.
    ClientName
}
