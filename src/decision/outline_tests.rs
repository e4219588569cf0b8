//! What the outline of a group says, as entries are committed.

use super::super::ground_tests::*;
use super::*;
use crate::decision::entry::Entry;

fn outline(entries: Vec<Entry>, watched: Vec<Watch>) -> GroupOutline {
    let now = Instant::now();
    let mut group = Group::new(group_name(), node("n1"), policy(), now);
    group.watches = watches(watched);
    let records = records(entries);
    group.outline(records.get(&group_name()).unwrap(), now)
}

#[test]
fn the_master_stands_first_and_all_members_are_there_whether_they_answer_or_not() {
    let now = Instant::now();
    let read = watch_reading("b", replica_info(2, 1, 7, "a"), now);
    let outline = outline(vec![register()], vec![read]);
    let named: Vec<_> = outline.instances.iter().map(|it| &it.endpoint).collect();
    assert_eq!(
        named,
        ["a", "b", "c"].map(endpoint).iter().collect::<Vec<_>>()
    );
    let is_read: Vec<bool> = outline
        .instances
        .iter()
        .map(|it| it.read.is_some())
        .collect();
    assert_eq!(is_read, [false, true, false]);
    assert_eq!(
        (outline.replaced, outline.open, outline.is_down),
        (None, None, false)
    );
}

#[test]
fn the_old_master_is_told_until_done_is_committed() {
    let candidate = replica_info(2, 1, 7, "a");
    let begin = begin(2, identity_of_a(), "b", &candidate);
    let open = outline(vec![register(), Entry::Begin(begin.clone())], Vec::new());
    assert_eq!((&open.master, open.epoch), (&endpoint("a"), Epoch(1)));
    let is_open = OpenEpoch {
        epoch: Epoch(2),
        candidate: endpoint("b"),
        is_planned: false,
        leader: node("n1"),
        views: Some((2, 2)),
    };
    assert_eq!((open.open, open.is_down), (Some(is_open), true));

    let identity = crate::decision::Identity::of(endpoint("b"), &master_info(2, 2, 7));
    let done = outline(
        vec![register(), Entry::Begin(begin), done(2, identity)],
        Vec::new(),
    );
    assert_eq!((&done.master, done.epoch), (&endpoint("b"), Epoch(2)));
    assert_eq!(done.replaced, Some(endpoint("a")));
    assert_eq!((done.open, done.is_down), (None, false));
}
