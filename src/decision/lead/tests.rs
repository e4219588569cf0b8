//! What the leader makes of committed entries that changed nothing.

use super::super::ground_tests::*;
use super::*;
use crate::decision::entry::Identity;
use crate::decision::failover::Timeline;
use crate::model::Epoch;

fn group(failover: Failover) -> Group {
    let mut group = Group::new(group_name(), node("n1"), policy(), Instant::now());
    group.failover = failover;
    group
}

fn members() -> Entry {
    Entry::Members {
        group: group_name(),
        members: policy().instances,
    }
}

fn begin_b(epoch: u64) -> Entry {
    let info = replica_info(2, 1, 900, "a");
    Entry::Begin(begin(epoch, identity_of_a(), "b", &info))
}

#[test]
fn only_the_entry_that_is_waited_for_ends_the_wait() {
    let now = Instant::now();
    let timeline = || Timeline::new(now);
    let beginning = || Failover::Beginning {
        epoch: Epoch(3),
        timeline: timeline(),
    };
    let ending = || Failover::Ending {
        epoch: Epoch(2),
        timeline: timeline(),
    };
    let master = || {
        Identity::of(
            crate::model::Endpoint::new("b", 6379).unwrap(),
            &master_info(2, 2, 900),
        )
    };
    let idle = records([register(), begin_b(2), abort(2)]);
    let open = records([register(), begin_b(2)]);
    for (name, failover, entry, records, expected) in [
        ("our begin", beginning(), begin_b(3), &idle, "watching"),
        (
            "an older begin",
            beginning(),
            begin_b(2),
            &idle,
            "beginning",
        ),
        (
            "other instances",
            beginning(),
            members(),
            &idle,
            "beginning",
        ),
        ("an older abort", beginning(), abort(2), &idle, "beginning"),
        ("our abort", ending(), abort(2), &open, "checking"),
        ("our done", ending(), done(2, master()), &open, "checking"),
        (
            "an abort that came second",
            ending(),
            abort(2),
            &idle,
            "watching",
        ),
        ("our begin, again", ending(), begin_b(2), &open, "ending"),
        ("other instances", ending(), members(), &open, "ending"),
    ] {
        let mut group = group(failover);
        let record = records.get(&group_name()).unwrap();
        group.lead_change(Change::None, &entry, record, now);
        assert_eq!(group.failover.phase(), expected, "{name}");
    }
}

#[test]
fn a_proposal_that_changed_nothing_may_be_made_again() {
    let records = records([register()]);
    let record = records.get(&group_name()).unwrap();
    let mut group = group(Failover::watching());
    group.bookkeeping.members = true;
    group.bookkeeping.identity = true;
    group.bookkeeping.returned = true;
    let identify = Entry::Identify {
        group: group_name(),
        epoch: Epoch(1),
        master: identity_of_a(),
    };
    let returned = Entry::Returned {
        group: group_name(),
        epoch: Epoch(1),
        lost_bytes: 0,
    };
    let left = |group: &Group| {
        let left = &group.bookkeeping;
        (left.members, left.identity, left.returned)
    };
    for (entry, expected) in [
        (members(), (false, true, true)),
        (identify, (false, false, true)),
        (returned, (false, false, false)),
    ] {
        group.lead_change(Change::None, &entry, record, Instant::now());
        assert_eq!(left(&group), expected);
    }
}
