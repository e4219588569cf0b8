//! What the leader makes of committed entries that changed nothing.

use super::super::ground_tests::*;
use super::*;
use crate::decision::entry::Identity;
use crate::decision::failover::Timeline;
use crate::decision::instance_event::{CommandFailure, LinkId, ProbeReport};
use crate::decision::watch::Watch;
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

/// What becomes of epoch 2 `after` its order was sent to `b`, which is `watch` by then.
fn awaiting(promoted: bool, watch: (Watch, LinkId), after: u64, sent_at: Instant) -> String {
    let mut group = group(Failover::watching());
    let link = watch.1;
    group.watches.insert(endpoint("b"), watch.0);
    let records = records([register(), begin_b(2)]);
    let record = records.get(&group_name()).unwrap();
    let run = Run {
        epoch: Epoch(2),
        timeline: Timeline::new(sent_at),
        gives_up_at: sent_at + milliseconds(500),
        promoted,
        hold: None,
    };
    let mut actions = Vec::new();
    let now = sent_at + milliseconds(after);
    let next = group.await_promotion(record, run, link, sent_at, now, &mut actions);
    match actions.pop() {
        None => next.phase().to_owned(),
        Some(Action::Propose(Entry::Done { master, .. })) => {
            assert_eq!(master.run_id, run_id(2));
            format!("done, history {}", &master.replication_id.to_string()[..2])
        }
        Some(Action::Propose(Entry::Abort { why, .. })) => why.to_string(),
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_promotion_that_happened_ends_as_one_and_a_lost_one_says_so() {
    let sent_at = Instant::now();
    let answered = |result| {
        let (mut watch, link) = watch_connected("b", sent_at);
        let report = ProbeReport::InfoReplied { sent_at, result };
        watch.observe(link, report, &policy(), sent_at, &mut Vec::new());
        (watch, link)
    };
    let denied = || answered(Err(CommandFailure::Denied("NOPERM".to_owned())));
    let master = || answered(Ok(continuing(master_info(2, 2, 900), 1, 901)));
    let replica = || answered(Ok(replica_info(2, 1, 900, "a")));
    let nothing = || watch_connected("b", sent_at);
    let timed_out = "the candidate was not promoted within 2000 ms";
    let lost = "the candidate was promoted and lost at once: silent";
    for (name, promoted, watch, after, expected) in [
        ("no answer yet", false, nothing(), 1, "promoting"),
        ("only INFO refused", false, denied(), 1, "promoting"),
        ("only INFO answered", false, master(), 1, "promoting"),
        ("no answer in time", false, nothing(), 500, timed_out),
        ("INFO on its way", true, nothing(), 1, "promoting"),
        ("INFO refused", true, denied(), 1, "done, history 01"),
        (
            "INFO refused for good",
            true,
            denied(),
            500,
            "done, history 01",
        ),
        (
            "INFO never answered",
            true,
            nothing(),
            500,
            "done, history 01",
        ),
        ("a master", true, master(), 1, "done, history 02"),
        ("turned back since", true, replica(), 1, "checking"),
        ("hung since", true, nothing(), 1000, lost),
    ] {
        assert_eq!(
            awaiting(promoted, watch, after, sent_at),
            expected,
            "{name}"
        );
    }
    let other = (watch_connected("b", sent_at).0, LinkId(99));
    assert_eq!(awaiting(true, other, 1, sent_at), "checking");
}

/// The master `a`, of which `info` is the latest word, when epoch 2 has ended as `entries` say.
fn kept(info: Option<crate::model::InstanceInfo>, entries: Vec<Entry>) -> Option<(Epoch, String)> {
    let now = Instant::now();
    let mut group = group(Failover::watching());
    let watch = match info {
        Some(info) => watch_reading("a", info, now),
        None => watch_refused("a", now),
    };
    group.watches.insert(endpoint("a"), watch);
    for (name, life) in [("b", 2), ("c", 3)] {
        let watch = watch_reading(name, replica_info(life, 1, 900, "a"), now);
        group.watches.insert(endpoint(name), watch);
    }
    let records = records(entries);
    let record = records.get(&group_name()).unwrap();
    let mut actions = Vec::new();
    group.identity_since = now;
    let wall = crate::model::UnixTime(0);
    let next = group.watch_master(record, None, Vec::new(), wall, now, &mut actions);
    let Some(Action::Propose(Entry::Begin(begin))) = actions.pop() else {
        assert_eq!(next.phase(), "watching");
        return None;
    };
    assert!(begin.reinstates() && next.phase() == "beginning");
    Some((begin.epoch, begin.candidate.endpoint.to_string()))
}

#[test]
fn the_old_master_is_kept_only_when_it_was_given_up_for_nothing_and_is_what_it_was() {
    let aborted = || vec![register(), begin_b(2), abort(2)];
    let well = || master_info(1, 1, 1000);
    let begun = vec![register(), begin_b(2)];
    let promoted = || Identity::of(endpoint("b"), &master_info(2, 2, 900));
    let done = vec![register(), begin_b(2), done(2, promoted())];
    let loading = crate::model::InstanceInfo {
        loading: crate::model::Loading::Blocking,
        ..well()
    };
    for (name, info, entries, expected) in [
        ("well again", Some(well()), aborted(), Some(3)),
        ("never given up", Some(well()), vec![register()], None),
        ("still to be replaced", Some(well()), begun, None),
        ("replaced", Some(well()), done, None),
        (
            "another process",
            Some(master_info(9, 1, 1000)),
            aborted(),
            None,
        ),
        (
            "another history",
            Some(master_info(1, 9, 1000)),
            aborted(),
            None,
        ),
        (
            "a replica",
            Some(replica_info(1, 1, 1000, "b")),
            aborted(),
            None,
        ),
        ("loading", Some(loading), aborted(), None),
        ("not there", None, aborted(), None),
    ] {
        let expected = expected.map(|epoch| (Epoch(epoch), "a:6379".to_owned()));
        assert_eq!(kept(info, entries), expected, "{name}");
    }
}

#[test]
fn a_reason_that_differs_only_in_words_is_not_told_again_at_once() {
    use crate::decision::discovery::WaitingFor;
    let answers = |words: &str| WaitingFor::Answers {
        instances: vec![(endpoint("a"), words.to_owned())],
    };
    let mut group = group(Failover::watching());
    let start = group.identity_since + milliseconds(1000);
    for (name, reason, after, is_told) in [
        ("the first", answers("x"), 0, true),
        ("the same", answers("x"), 1, false),
        ("other words", answers("y"), 2, false),
        ("another kind", WaitingFor::Leader, 3, true),
        ("the first kind again", answers("y"), 4, true),
        ("other words, later", answers("z"), 5003, false),
        ("other words, in time", answers("z"), 5004, true),
    ] {
        let mut actions = Vec::new();
        group.wait_for(reason, start + milliseconds(after), &mut actions);
        assert_eq!(actions.len(), usize::from(is_told), "{name}");
    }
}
