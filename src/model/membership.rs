//! Who belongs to a cluster: random names of the cluster itself, and of each state directory in it; and
//! what its nodes are.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

macro_rules! random_name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
        #[serde(transparent)]
        pub struct $type(pub u64);

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u64(self.0)
            }
        }
    };
}

random_name! {
    /// Drawn when a cluster is born, and the same ever after on all its voters.
    ClusterId
}
random_name! {
    /// Drawn for each new state directory: what an emptied voter once promised, its next one does
    /// not know of.
    Incarnation
}

/// What a node is to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// It is counted.
    #[default]
    Voter,
    /// It is counted too, and has neither Redis nor clients beside it.
    Witness,
    /// It is not counted, and only follows: a host of clients.
    Observer,
}

impl fmt::Display for NodeRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Voter => "voter",
            Self::Witness => "witness",
            Self::Observer => "observer",
        })
    }
}
