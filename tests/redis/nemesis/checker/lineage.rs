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

/// The last offset that both hold: one may come from the other, or both from a third.
pub fn parting(
    forks: &BTreeMap<ReplicationId, Fork>,
    one: ReplicationId,
    other: ReplicationId,
) -> Option<u64> {
    let mut forebear = other;
    let mut held = u64::MAX;
    for _ in 0..GENERATIONS_MAX {
        if let Some(shared) = shared(forks, one, forebear) {
            return Some(held.min(shared));
        }
        let fork = forks.get(&forebear)?;
        held = held.min(fork.shared);
        forebear = fork.parent;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ReplicationId {
        ReplicationId::from_bytes([number; 20])
    }

    #[test]
    fn histories_part_where_one_left_the_other_or_both_left_a_third() {
        let fork = |parent, shared| Fork {
            parent: id(parent),
            shared,
        };
        // 2 and 3 come from 1, and 4 comes from 3.
        let forks = [
            (id(2), fork(1, 300)),
            (id(3), fork(1, 200)),
            (id(4), fork(3, 250)),
        ];
        let forks = BTreeMap::from(forks);
        for (one, other, expected) in [
            (2, 2, Some(u64::MAX)),
            (2, 1, Some(300)),
            (1, 2, Some(300)),
            (3, 2, Some(200)),
            (4, 2, Some(200)),
            (4, 3, Some(250)),
            (4, 9, None),
        ] {
            assert_eq!(
                parting(&forks, id(one), id(other)),
                expected,
                "{one} {other}"
            );
        }
    }
}
