//! Tables of pauses: how they begin, end and count, by committed entries alone.

use std::time::{Duration, Instant};

use super::super::ground_tests::*;
use super::super::{Change, Entry, Identity, Records};
use super::*;

const AT: UnixTime = UnixTime(1_700_000_000_000);

fn admin() -> Requester {
    Requester::new(0, Some("root".to_owned()), node("n1"))
}

fn pause(operation: u64, lasts: Option<u64>) -> Entry {
    let operation = OperationId(operation);
    Entry::Pause(Pause {
        group: group_name(),
        at: AT,
        lasts: lasts.map(milliseconds),
        reason: None,
        by: PausedBy::Admin {
            by: admin(),
            operation,
        },
        lifts_lease: false,
    })
}

fn flapping() -> Entry {
    Entry::Pause(Pause {
        group: group_name(),
        at: AT,
        lasts: None,
        reason: None,
        by: PausedBy::Flapping { failovers: 3 },
        lifts_lease: false,
    })
}

fn resume(operation: u64) -> Entry {
    let operation = OperationId(operation);
    let by = ResumedBy::Admin {
        by: admin(),
        operation,
    };
    Entry::Resume(Resume {
        group: group_name(),
        at: AT,
        by,
    })
}

fn expire(of: u64) -> Entry {
    Entry::Resume(Resume {
        group: group_name(),
        at: AT,
        by: ResumedBy::Expiry {
            of: OperationId(of),
        },
    })
}

fn begin_b(epoch: u64) -> Entry {
    let info = replica_info(2, 1, 900, "a");
    Entry::Begin(begin(epoch, identity_of_a(), "b", &info))
}

fn promoted_b() -> Identity {
    Identity::of(endpoint("b"), &continuing(master_info(2, 2, 900), 1, 901))
}

#[test]
fn a_pause_begins_and_ends_by_entries_that_fit_and_by_no_others() {
    use Change::{Aborted, Begun, Done, None, Paused, Resumed};
    let first = |more: Vec<Entry>| [vec![register()], more].concat();
    for (name, before, entry, change, is_paused) in [
        (
            "an unknown group",
            vec![],
            pause(1, Option::None),
            None,
            false,
        ),
        (
            "a pause",
            first(vec![]),
            pause(1, Option::None),
            Paused,
            true,
        ),
        (
            "the same again",
            first(vec![pause(1, Option::None)]),
            pause(1, Option::None),
            None,
            true,
        ),
        (
            "another",
            first(vec![pause(1, Option::None)]),
            pause(2, Some(5)),
            Paused,
            true,
        ),
        (
            "one that was ended",
            first(vec![pause(1, Option::None), resume(2)]),
            pause(1, Option::None),
            None,
            false,
        ),
        (
            "resume",
            first(vec![pause(1, Option::None)]),
            resume(2),
            Resumed,
            false,
        ),
        ("resume of nothing", first(vec![]), resume(2), None, false),
        (
            "the same resume of a later pause",
            first(vec![
                pause(1, Option::None),
                resume(2),
                pause(3, Option::None),
            ]),
            resume(2),
            None,
            true,
        ),
        (
            "its time is over",
            first(vec![pause(1, Some(5))]),
            expire(1),
            Resumed,
            false,
        ),
        (
            "the time of an earlier one",
            first(vec![pause(1, Some(5)), pause(2, Some(5))]),
            expire(1),
            None,
            true,
        ),
        ("flapping", first(vec![]), flapping(), Paused, true),
        (
            "flapping under a pause",
            first(vec![pause(1, Some(5))]),
            flapping(),
            None,
            true,
        ),
        (
            "a pause over flapping",
            first(vec![flapping()]),
            pause(1, Some(5)),
            Paused,
            true,
        ),
        (
            "begin under a pause",
            first(vec![pause(1, Option::None)]),
            begin_b(2),
            None,
            true,
        ),
        (
            "begin under flapping",
            first(vec![flapping()]),
            begin_b(2),
            None,
            true,
        ),
        (
            "begin after it",
            first(vec![pause(1, Option::None), resume(2)]),
            begin_b(2),
            Begun,
            false,
        ),
        (
            "done of an epoch that was open",
            first(vec![begin_b(2), pause(1, Option::None)]),
            done(2, promoted_b()),
            Done,
            true,
        ),
        (
            "its abort",
            first(vec![begin_b(2), pause(1, Option::None)]),
            abort(2),
            Aborted,
            true,
        ),
    ] {
        let mut records = records(before);
        assert_eq!(records.apply(entry), change, "{name}");
        let record = records.get(&group_name());
        let paused = record.is_some_and(|record| record.pause().is_some());
        assert_eq!(paused, is_paused, "{name}");
    }
}

#[test]
fn past_pauses_are_remembered_with_their_end_and_only_the_last_ones() {
    let mut records = records([
        register(),
        pause(1, Option::None),
        pause(2, Some(5)),
        expire(2),
    ]);
    let record = records.get(&group_name()).unwrap();
    let ends: Vec<_> = record
        .pauses()
        .map(|past| past.ended.as_ref().unwrap().1.to_string())
        .collect();
    assert_eq!(ends, ["another pause", "its time being over"]);
    for operation in 10..40 {
        records.apply(pause(operation, Option::None));
    }
    let record = records.get(&group_name()).unwrap();
    assert_eq!(record.pauses().count(), PAUSES_MAX);
    assert_eq!(record.pause().unwrap().operation(), Some(OperationId(39)));
}

#[test]
fn clocks_can_never_make_a_pause_longer_and_news_of_it_are_timed_by_no_wall_clock() {
    let now = Instant::now();
    let Entry::Pause(pause) = pause(1, Some(60_000)) else {
        unreachable!();
    };
    for (is_news, wall, left) in [
        (true, 0, 60_000),
        (true, AT.0 + 1_000_000_000, 60_000),
        (false, AT.0, 60_000),
        (false, AT.0 + 20_000, 40_000),
        (false, AT.0 + 60_000, 0),
        (false, u64::MAX, 0),
        // A clock that was not set yet.
        (false, 0, 60_000),
    ] {
        let over_at = pause.over_at(is_news, UnixTime(wall), now).unwrap();
        assert_eq!(over_at - now, milliseconds(left), "{is_news} {wall}");
    }
    let endless = Pause {
        lasts: None,
        ..pause
    };
    assert_eq!(endless.over_at(true, AT, now), None);
    let huge = Pause {
        lasts: Some(Duration::MAX),
        ..endless
    };
    assert_eq!(huge.over_at(true, AT, now), None);
    assert_eq!(huge.until(), Some(UnixTime(u64::MAX)));
}

/// A group that failed over in each of these minutes, back and forth.
fn failed_over(minutes: &[u64]) -> Records {
    let mut all = records([register()]);
    let mut from = identity_of_a();
    for (number, minute) in minutes.iter().enumerate() {
        let epoch = number as u64 + 2;
        let (name, life) = if epoch.is_multiple_of(2) {
            ("b", 2)
        } else {
            ("a", 1)
        };
        let history = u8::try_from(epoch).unwrap();
        let info = replica_info(life, history - 1, 900, "a");
        let mut began = begin(epoch, from.clone(), name, &info);
        began.at = AT.after(Duration::from_secs(minute * 60));
        assert_eq!(all.apply(Entry::Begin(began)), Change::Begun);
        from = Identity::of(endpoint(name), &master_info(life, history, 900));
        assert_eq!(all.apply(done(epoch, from.clone())), Change::Done);
    }
    all
}

#[test]
fn failovers_count_for_an_hour_and_until_an_administrator_has_seen_them() {
    let mut records = failed_over(&[0, 10, 50, 55]);
    let late = |records: &Records, minute: u64| {
        let wall = AT.after(Duration::from_secs(minute * 60));
        records.get(&group_name()).unwrap().failovers_lately(wall)
    };
    for (minute, expected) in [(55, 4), (59, 4), (60, 3), (70, 2), (115, 0), (0, 4)] {
        assert_eq!(late(&records, minute), expected, "{minute}");
    }
    records.apply(flapping());
    assert_eq!(late(&records, 56), 4);
    records.apply(resume(9));
    assert_eq!(late(&records, 56), 0);
}

#[test]
fn the_end_of_a_pauses_time_forgives_nothing() {
    let mut records = failed_over(&[0, 1, 2]);
    records.apply(pause(1, Some(5)));
    records.apply(expire(1));
    let record = records.get(&group_name()).unwrap();
    assert_eq!(record.failovers_lately(AT), 3);
}
