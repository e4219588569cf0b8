//! Which nodes that hold the key are let in, and for what the others are refused.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::hello::{Hello, VotersDigest};
use super::roll::Roll;
use crate::model::{ClusterId, NodeId};

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
    /// Their state directories belong to different clusters.
    #[error(
        "the state directories belong to different clusters ({refuser} and {refused}): put back the right one, or \
         correct PROMOTERD_PEERS; to let {node} join the other's cluster, stop it and empty its state directory"
    )]
    Cluster {
        /// The node that is refused.
        node: NodeId,
        /// Cluster of the node that refuses.
        refuser: ClusterId,
        /// Cluster of the node that is refused.
        refused: ClusterId,
    },
    /// A process of that name is connected and alive.
    #[error(
        "another promoterd named {node} is connected and alive: stop one of the two, and give each host its own \
         PROMOTERD_NODE and state directory"
    )]
    Twin {
        /// Their name.
        node: NodeId,
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
    /// Our cluster, and who is alive.
    pub roll: Arc<Roll>,
}

impl Admission {
    /// What we say of ourselves now.
    #[must_use]
    pub fn hello(&self) -> Hello {
        Hello {
            cluster: self.roll.cluster(),
            ..self.hello.clone()
        }
    }

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
        // Who belongs to none yet may be born with us, or rejoin.
        if let (Some(refuser), Some(refused)) = (self.roll.cluster(), theirs.cluster)
            && refuser != refused
        {
            let node = theirs.node.clone();
            return Err(Refusal::Cluster {
                node,
                refuser,
                refused,
            });
        }
        // One that takes the place of a process that died finds its link gone, or will in a moment.
        let now = Instant::now();
        if self.roll.has_twin(&theirs.node, theirs.life, now) {
            return Err(Refusal::Twin {
                node: theirs.node.clone(),
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::peer::hello::tests::{hello, node};

    pub(crate) fn called_by(name: &str, voters: &[&str]) -> Admission {
        Admission {
            hello: hello(name, voters),
            expected: Expected::Caller(Arc::new(voters.iter().map(|name| node(name)).collect())),
            roll: Arc::default(),
        }
    }

    pub(crate) fn calling(name: &str, expected: &str, voters: &[&str]) -> Admission {
        Admission {
            hello: hello(name, voters),
            expected: Expected::Node(node(expected)),
            roll: Arc::default(),
        }
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

    #[test]
    fn voters_of_different_clusters_refuse_each_other_and_an_unborn_one_is_let_in() {
        let abc = &["a", "b", "c"];
        let cluster = ClusterId;
        for (ours, theirs, is_let_in) in [
            (None, None, true),
            (None, Some(1), true),
            (Some(1), None, true),
            (Some(1), Some(1), true),
            (Some(1), Some(2), false),
        ] {
            let as_b = called_by("b", abc);
            if let Some(ours) = ours.map(cluster) {
                as_b.roll.belong(ours);
            }
            assert_eq!(as_b.hello().cluster, ours.map(cluster));
            let caller = Hello {
                cluster: theirs.map(cluster),
                ..hello("a", abc)
            };
            let verdict = as_b.assess(&caller);
            assert_eq!(verdict.is_ok(), is_let_in, "{ours:?} {theirs:?}");
            if let Err(refusal) = verdict {
                let said = refusal.to_string();
                assert!(
                    said.contains("0000000000000001 and 0000000000000002"),
                    "{said}"
                );
            }
        }
    }
}
