//! Who is waited for when everything has restarted, and nobody has received anything since.

use super::super::super::ground_tests::*;
use super::*;
use crate::decision::lease::LeaseClaim;
use crate::decision::policy::{Fencing, GroupPolicy};
use crate::decision::view::{HeldView, Opinion, View};
use crate::model::{Epoch, Life};

/// What a restarted instance says whose file has so much of the group's history.
fn restarted(life: u8, offset: u64) -> InstanceInfo {
    continuing(master_info(life, life, offset), 1, offset + 1)
}

/// The word of `n3` that the fencer beside `instance` could end it, and that it starts fenced.
fn ready(instance: &str, now: Instant) -> HeldView {
    let view = View {
        group: group_name(),
        epoch: Epoch(1),
        run_id: run_id(1),
        opinion: Opinion::Unknown,
        answered_age: None,
        moving_age: None,
        files_epoch: None,
        fences: Vec::new(),
        lease: Some(LeaseClaim {
            ready: vec![endpoint(instance)],
            ..LeaseClaim::default()
        }),
        rescues: Vec::new(),
    };
    HeldView::receive(&view, Life(1), now)
}

#[test]
fn under_strict_fencing_who_has_more_is_waited_for_while_no_fencer_is_known_beside_it() {
    let start = Instant::now();
    let records = records([register()]);
    let record = records.get(&group_name()).unwrap();
    for (name, fencing, candidate, fencer, after, expected) in [
        ("no fencer yet", Fencing::Strict, "b", None, 29_999, "c"),
        ("a fencer", Fencing::Strict, "b", Some("c"), 0, ""),
        ("another's", Fencing::Strict, "b", Some("b"), 0, "c"),
        ("too late", Fencing::Strict, "b", None, 30_000, ""),
        ("the most", Fencing::Strict, "c", None, 0, ""),
        ("no leases", Fencing::Fast, "b", None, 0, ""),
    ] {
        let strict = GroupPolicy {
            fencing,
            ..policy()
        };
        let mut group = Group::new(group_name(), node("n1"), strict, start);
        let now = start + milliseconds(after);
        // The old master lost everything: what the others have is all that is left.
        let all = [master_info(7, 7, 0), restarted(8, 900), restarted(9, 1000)];
        for (instance, info) in ["a", "b", "c"].into_iter().zip(all) {
            let watch = watch_reading(instance, info, start);
            group.watches.insert(endpoint(instance), watch);
        }
        if let Some(instance) = fencer {
            group.views.insert(node("n3"), ready(instance, now));
        }
        let info = group.info_of(&endpoint(candidate)).unwrap();
        let candidate = Candidate::of(&endpoint(candidate), info);
        let awaited = group.await_members(record, &candidate, now);
        let expected = match expected {
            "" => None,
            other => Some(Awaited::Members(vec![endpoint(other)])),
        };
        assert_eq!(awaited.map(|(awaited, _)| awaited), expected, "{name}");
    }
}
