//! How a node introduces itself.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{ClusterId, Life, NodeId};

/// Version of what is said inside a link. Nodes that speak different ones refuse each other.
pub const PROTOCOL_VERSION: u16 = 5;

/// What names a set of voters in 32 bytes: the same for the same names, wherever they listen.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VotersDigest([u8; 32]);

impl VotersDigest {
    /// The digest of these names.
    #[must_use]
    pub fn of<'a>(voters: impl IntoIterator<Item = &'a NodeId>) -> Self {
        let sorted: BTreeSet<&NodeId> = voters.into_iter().collect();
        let mut hasher = Sha256::new_with_prefix(b"promoterd voters\n");
        for voter in sorted {
            // No name holds a line feed, so two sets never give the same text.
            hasher.update(voter.as_str());
            hasher.update(b"\n");
        }
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for VotersDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..6]
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for VotersDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Who a node says it is, inside the encrypted handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the release that it runs.
    pub protocol_version: u16,
    /// Its name.
    pub node: NodeId,
    /// Its present life.
    pub life: Life,
    /// The voters that its settings name.
    pub voters: VotersDigest,
    /// The cluster that its state directory belongs to; none before it is born.
    pub cluster: Option<ClusterId>,
}

/// Why bytes are no [`Hello`] that we can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnreadableHello {
    /// It is of another protocol version, so its rest was not looked at.
    Version(u16),
    /// It is of our version and damaged.
    Malformed,
}

impl Hello {
    /// The version comes first and stays first, so that every release can read that much.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.protocol_version.to_be_bytes().to_vec();
        bytes.extend(encode(&(&self.node, self.life, self.voters, self.cluster)));
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, UnreadableHello> {
        let (version, rest) = bytes
            .split_first_chunk::<2>()
            .ok_or(UnreadableHello::Malformed)?;
        let protocol_version = u16::from_be_bytes(*version);
        if protocol_version != PROTOCOL_VERSION {
            return Err(UnreadableHello::Version(protocol_version));
        }
        let (node, life, voters, cluster) = decode(rest).ok_or(UnreadableHello::Malformed)?;
        Ok(Self {
            protocol_version,
            node,
            life,
            voters,
            cluster,
        })
    }
}

pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data with bounded names always encodes")
}

/// Reads a value that takes up all the bytes.
pub(super) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    pub(crate) fn hello(name: &str, voters: &[&str]) -> Hello {
        let voters: Vec<NodeId> = voters.iter().map(|name| node(name)).collect();
        Hello {
            protocol_version: PROTOCOL_VERSION,
            node: node(name),
            life: Life(7),
            voters: VotersDigest::of(&voters),
            cluster: None,
        }
    }

    #[test]
    fn a_hello_reads_back_as_it_was_written() {
        let hello = hello("a", &["a", "b"]);
        assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
    }

    #[test]
    fn a_hello_that_is_cut_or_longer_or_of_another_version_is_not_read() {
        let bytes = hello("a", &["a", "b"]).encode();
        for length in 0..bytes.len() {
            assert_eq!(
                Hello::decode(&bytes[..length]),
                Err(UnreadableHello::Malformed)
            );
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Hello::decode(&longer), Err(UnreadableHello::Malformed));
        assert_eq!(
            Hello::decode(&[0x12, 0x34, 0xff]),
            Err(UnreadableHello::Version(0x1234))
        );
    }

    #[test]
    fn the_digest_depends_on_the_names_and_not_on_their_order() {
        let digest = |names: &[&str]| hello("x", names).voters;
        assert_eq!(digest(&["a", "b"]), digest(&["b", "a"]));
        assert_ne!(digest(&["a", "b"]), digest(&["a", "b", "c"]));
        assert_ne!(digest(&["ab"]), digest(&["a", "b"]));
    }
}
