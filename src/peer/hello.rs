//! How two nodes introduce themselves, and for what one refuses the other.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::model::{Incarnation, NodeId};

/// Version of what is said inside a link. Nodes that speak different ones refuse each other.
pub const PROTOCOL_VERSION: u16 = 1;

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
    pub incarnation: Incarnation,
    /// The voters that its settings name.
    pub voters: VotersDigest,
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
        bytes.extend(encode(&(&self.node, self.incarnation, self.voters)));
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
        let (node, incarnation, voters) = decode(rest).ok_or(UnreadableHello::Malformed)?;
        Ok(Self {
            protocol_version,
            node,
            incarnation,
            voters,
        })
    }
}

/// Why a node that holds the key is refused all the same. Sent to it, so that both logs say why.
///
/// The order of the variants is part of the wire format, whatever the version: add at the end.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The two run different protocols.
    #[error(
        "peer protocol {refused} does not fit {refuser}: run the same release of promoterd on all nodes"
    )]
    Version {
        /// Version of the node that refuses.
        refuser: u16,
        /// Version of the node that is refused.
        refused: u16,
    },
    /// Both bear one name.
    #[error("both nodes are named {node}: give each its own PROMOTERD_NODE")]
    OwnName {
        /// The name.
        node: NodeId,
    },
    /// The node that called is not among the voters.
    #[error("{node} is not among the voters: use the same PROMOTERD_PEERS on all nodes")]
    UnknownNode {
        /// Its name.
        node: NodeId,
    },
    /// Somebody else answered at the address of a voter.
    #[error("{found} answers at the address of {expected}: correct PROMOTERD_PEERS")]
    WrongNode {
        /// Who should have answered.
        expected: NodeId,
        /// Who did.
        found: NodeId,
    },
    /// Of two nodes the one whose name sorts first calls the other.
    #[error("{refused} must not call {refuser} but be called by it: this is a defect of promoterd")]
    WrongDirection {
        /// The node that was called.
        refuser: NodeId,
        /// The node that called.
        refused: NodeId,
    },
    /// Their settings name different voters.
    #[error(
        "the voter sets differ ({refuser} and {refused}): name the same voters in PROMOTERD_PEERS on all nodes"
    )]
    Voters {
        /// Digest of the node that refuses.
        refuser: VotersDigest,
        /// Digest of the node that is refused.
        refused: VotersDigest,
    },
}

/// Whom a session may turn out to be with.
#[derive(Debug, Clone)]
pub enum Expected {
    /// We called this node.
    Node(NodeId),
    /// Somebody called us, who must be one of these voters and sort before us.
    Caller(Arc<BTreeSet<NodeId>>),
}

/// Who we are and whom we let in.
#[derive(Debug, Clone)]
pub struct Admission {
    /// What we say of ourselves.
    pub hello: Hello,
    /// Whom we will talk to.
    pub expected: Expected,
}

impl Admission {
    /// Whether the node that introduced itself so may talk to us.
    ///
    /// # Errors
    /// The [`Refusal`] that it is told.
    pub fn assess(&self, theirs: &Hello) -> Result<(), Refusal> {
        let ours = &self.hello;
        if theirs.node == ours.node {
            return Err(Refusal::OwnName {
                node: theirs.node.clone(),
            });
        }
        self.assess_name(&theirs.node)?;
        if theirs.voters != ours.voters {
            return Err(Refusal::Voters {
                refuser: ours.voters,
                refused: theirs.voters,
            });
        }
        Ok(())
    }

    fn assess_name(&self, node: &NodeId) -> Result<(), Refusal> {
        match &self.expected {
            Expected::Node(expected) if expected == node => Ok(()),
            Expected::Node(expected) => Err(Refusal::WrongNode {
                expected: expected.clone(),
                found: node.clone(),
            }),
            Expected::Caller(voters) if !voters.contains(node) => {
                Err(Refusal::UnknownNode { node: node.clone() })
            }
            Expected::Caller(_) if *node < self.hello.node => Ok(()),
            Expected::Caller(_) => Err(Refusal::WrongDirection {
                refuser: self.hello.node.clone(),
                refused: node.clone(),
            }),
        }
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
            incarnation: Incarnation(7),
            voters: VotersDigest::of(&voters),
        }
    }

    pub(crate) fn called_by(name: &str, voters: &[&str]) -> Admission {
        Admission {
            hello: hello(name, voters),
            expected: Expected::Caller(Arc::new(voters.iter().map(|name| node(name)).collect())),
        }
    }

    pub(crate) fn calling(name: &str, expected: &str, voters: &[&str]) -> Admission {
        Admission {
            hello: hello(name, voters),
            expected: Expected::Node(node(expected)),
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

    #[test]
    fn only_the_expected_voter_of_the_same_set_is_let_in() {
        let abc = &["a", "b", "c"];
        let other = &["a", "b"];
        let as_b = called_by("b", abc);
        let to_b = calling("a", "b", abc);
        let digests = (hello("b", abc).voters, hello("a", other).voters);
        for (admission, theirs, verdict) in [
            (&as_b, hello("a", abc), Ok(())),
            (&to_b, hello("b", abc), Ok(())),
            (
                &as_b,
                hello("b", abc),
                Err(Refusal::OwnName { node: node("b") }),
            ),
            (
                &as_b,
                hello("x", abc),
                Err(Refusal::UnknownNode { node: node("x") }),
            ),
            (
                &as_b,
                hello("c", abc),
                Err(Refusal::WrongDirection {
                    refuser: node("b"),
                    refused: node("c"),
                }),
            ),
            (
                &as_b,
                hello("a", other),
                Err(Refusal::Voters {
                    refuser: digests.0,
                    refused: digests.1,
                }),
            ),
            (
                &to_b,
                hello("c", abc),
                Err(Refusal::WrongNode {
                    expected: node("b"),
                    found: node("c"),
                }),
            ),
        ] {
            assert_eq!(admission.assess(&theirs), verdict, "{theirs:?}");
        }
    }
}
