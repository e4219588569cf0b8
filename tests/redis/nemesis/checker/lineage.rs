//! Which writes a replication history holds: its own, and those of its forebears up to where it parted.

use std::collections::BTreeMap;

use promoterd::model::ReplicationId;

use crate::nemesis::history::Fork;

/// More generations than any run has.
const GENERATIONS_MAX: usize = 10_000;

/// The last offset of `forebear` that `history` holds too; nothing when it does not come from it.
pub fn shared(
    forks: &BTreeMap<ReplicationId, Fork>,
    history: ReplicationId,
    forebear: ReplicationId,
) -> Option<u64> {
    let mut shared = u64::MAX;
    let mut at = history;
    for _ in 0..GENERATIONS_MAX {
        if at == forebear {
            return Some(shared);
        }
        let fork = forks.get(&at)?;
        shared = shared.min(fork.shared);
        at = fork.parent;
    }
    None
}
