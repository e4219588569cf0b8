//! Identities and units that all floors share. Each is parsed once, at the edge, and valid ever after.

mod causes;
mod endpoint;
mod instance;
mod membership;
mod name;
mod number;
mod random;
mod replica;
mod shared_text;

pub use causes::with_causes;
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use instance::{
    AnnouncedReplica, InstanceInfo, Loading, MasterLink, PingReply, ReplicaAck, ReplicationHistory,
    Role, WriteLimits,
};
pub use membership::{ClusterId, Incarnation, NodeRole};
pub use name::{ClientName, GroupName, InvalidName, NodeId};
pub use number::{
    Epoch, InvalidIdentity, Life, LogIndex, ReplicationId, ReplicationOffset, RunId, Term, UnixTime,
};
pub use random::SplitMix;
pub use replica::{Replica, ReplicaHealth};
