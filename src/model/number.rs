//! Numbers with a meaning: epochs, offsets, and the identities that Redis draws at random.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

macro_rules! number {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $type(pub u64);

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

number! {
    /// The number of a group's mandate. Only grows; at most one instance is promoted in each.
    Epoch
}
number! {
    /// Position in a replication stream, in bytes: `master_repl_offset` in `INFO replication`.
    ReplicationOffset
}
number! {
    /// The consensus engine's term: the number of an election.
    Term
}
number! {
    /// Position in the replicated log, from 1.
    LogIndex
}
number! {
    /// One process of a daemon, drawn at its start: what an earlier life said is not taken for news.
    Life
}

impl Epoch {
    /// The epoch behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl ReplicationOffset {
    /// How many bytes this is ahead of `other`; 0 when it is behind.
    #[must_use]
    pub fn ahead_of(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

/// A moment of the wall clock in milliseconds since 1970: for people to read, never to decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// The moment `span` later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

/// A text that is not 40 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("\"{0}\" is no identity: 40 hexadecimal digits are expected")]
pub struct InvalidIdentity(String);

macro_rules! identity {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type([u8; 20]);

        impl $type {
            /// Takes the 20 bytes that 40 hexadecimal digits stand for.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 20]) -> Self {
                Self(bytes)
            }

            /// Whether all digits are 0, as Redis writes where there is none.
            #[must_use]
            pub fn is_zero(&self) -> bool {
                self.0 == [0; 20]
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                for byte in self.0 {
                    write!(formatter, "{byte:02x}")?;
                }
                Ok(())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $type {
            type Err = InvalidIdentity;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hexadecimal(text)
                    .map(Self)
                    .ok_or_else(|| InvalidIdentity(text.chars().take(80).collect()))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; 20]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

fn parse_hexadecimal(text: &str) -> Option<[u8; 20]> {
    let digits = text.as_bytes();
    if digits.len() != 40 {
        return None;
    }
    let mut bytes = [0; 20];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

identity! {
    /// One life of a Redis process: `run_id` in `INFO server`, drawn anew at each start.
    RunId
}
identity! {
    /// One replication history: `master_replid` in `INFO replication`.
    ReplicationId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_exactly_forty_hexadecimal_digits() {
        let text = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(text.parse::<RunId>().unwrap().to_string(), text);
        for wrong in [
            "",
            "0123",
            &text[1..],
            "0123456789abcdef0123456789abcdef0123456g",
            "é",
        ] {
            assert!(wrong.parse::<RunId>().is_err(), "{wrong}");
        }
    }
}
