//! The cluster key: whoever holds it may speak to a daemon as a peer.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The 32 bytes that all nodes of a cluster share. Wiped from memory when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ClusterKey([u8; 32]);

impl ClusterKey {
    /// What takes the key's place where there is none.
    ///
    /// Everybody can compute it, so it protects nothing: the links use it on loopback addresses only.
    #[must_use]
    pub fn well_known() -> Self {
        Self(Sha256::digest(b"promoterd peer link without a key, loopback only").into())
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for ClusterKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClusterKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_show_itself_in_debug_output() {
        assert_eq!(
            format!("{:?}", ClusterKey::from([7; 32])),
            "ClusterKey(secret)"
        );
    }
}
