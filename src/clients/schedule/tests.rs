//! The order and the pauses of attempts.

use super::*;
use crate::clients::command::Command;
use crate::clients::{Content, Format};
use crate::model::{Replica, ReplicaHealth};

fn target(client: &str, group: &str) -> Target {
    Target {
        client: client.parse().unwrap(),
        group: group.parse().unwrap(),
        path: "/missing".into(),
        content: Content::Edit {
            format: Format::Env,
            keys: vec!["K".parse().unwrap()],
            lists: Vec::new(),
            value: None,
        },
        check: None,
        reload: None,
    }
}

fn publication(group: &str, epoch: u64) -> Publication {
    Publication {
        group: group.parse().unwrap(),
        epoch: Epoch(epoch),
        master: format!("a:{epoch}").parse().unwrap(),
        replicas: Vec::new(),
    }
}

fn due(index: usize, publication: Publication) -> Due {
    Due {
        index,
        publication,
        is_revisit: false,
    }
}

fn schedule() -> Schedule {
    Schedule::new(&[target("a", "x"), target("b", "y"), target("c", "x")])
}

#[test]
fn a_publication_makes_the_targets_of_its_group_due() {
    let (mut schedule, now) = (schedule(), Instant::now());
    assert_eq!((schedule.due(true, now), schedule.next(true)), (None, None));
    schedule.accept(&publication("x", 1), now);
    for index in [0, 2] {
        assert_eq!(
            schedule.due(true, now),
            Some(due(index, publication("x", 1)))
        );
        schedule.settle(index);
    }
    assert_eq!((schedule.due(true, now), schedule.next(true)), (None, None));
}

#[test]
fn how_replicas_are_is_nothing_to_a_file_that_names_the_master_alone() {
    let by_template = Target {
        content: Content::Template {
            source: "/t.j2".into(),
        },
        ..target("b", "x")
    };
    let (mut schedule, now) = (
        Schedule::new(&[target("a", "x"), by_template]),
        Instant::now(),
    );
    let told = |health| Publication {
        replicas: vec![Replica {
            health,
            ..Replica::unknown("r:1".parse().unwrap())
        }],
        ..publication("x", 1)
    };
    let first = told(ReplicaHealth::Healthy);
    schedule.accept(&first, now);
    for index in [0, 1] {
        assert_eq!(schedule.due(true, now), Some(due(index, first.clone())));
        schedule.settle(index);
    }
    let second = told(ReplicaHealth::Down);
    schedule.accept(&second, now);
    assert_eq!(schedule.due(true, now), Some(due(1, second.clone())));
    schedule.settle(1);
    assert_eq!(schedule.due(true, now), None);
    // Somebody else changes it: it says what is known by now. And the same told once more is looked at.
    schedule.revisit(0, Duration::ZERO, now);
    assert_eq!(
        schedule.due(true, now).map(|due| due.publication),
        Some(second.clone())
    );
    schedule.settle(0);
    schedule.accept(&second, now);
    assert_eq!(schedule.due(true, now), Some(due(0, second)));
}

#[test]
fn pauses_double_up_to_their_limit() {
    for (failures, milliseconds) in [
        (1, 100),
        (2, 200),
        (3, 400),
        (9, 25_600),
        (10, 30_000),
        (u32::MAX, 30_000),
    ] {
        assert_eq!(pause(failures), Duration::from_millis(milliseconds));
    }
}

#[test]
fn a_failure_is_tried_again_after_its_pause_and_not_before() {
    let (mut schedule, mut now) = (schedule(), Instant::now());
    schedule.accept(&publication("y", 1), now);
    for milliseconds in [100, 200, 400] {
        schedule.fail(1, Epoch(1), now);
        schedule.accept(&publication("y", 1), now);
        let pause = Duration::from_millis(milliseconds);
        assert_eq!(schedule.next(true), Some(now + pause));
        assert_eq!(
            schedule.due(true, now + pause - Duration::from_nanos(1)),
            None
        );
        now += pause;
        assert_eq!(schedule.due(true, now), Some(due(1, publication("y", 1))));
    }
}

#[test]
fn a_newer_epoch_takes_the_place_of_an_older_one_at_once() {
    let (mut schedule, now) = (schedule(), Instant::now());
    schedule.accept(&publication("y", 1), now);
    schedule.fail(1, Epoch(1), now);
    schedule.accept(&publication("y", 2), now);
    assert_eq!(schedule.due(true, now), Some(due(1, publication("y", 2))));
    // The outcome of the older one, when it comes late, changes nothing.
    schedule.fail(1, Epoch(1), now);
    assert_eq!(schedule.due(true, now), Some(due(1, publication("y", 2))));
}

#[test]
fn an_older_epoch_is_dropped_while_pending_and_after() {
    let (mut schedule, now) = (schedule(), Instant::now());
    schedule.accept(&publication("y", 2), now);
    schedule.accept(&publication("y", 1), now);
    assert_eq!(schedule.due(true, now), Some(due(1, publication("y", 2))));
    schedule.settle(1);
    schedule.accept(&publication("y", 1), now);
    assert_eq!(schedule.due(true, now), None);
    schedule.accept(&publication("y", 2), now);
    assert_eq!(
        schedule.due(true, now),
        Some(due(1, publication("y", 2))),
        "to be looked at again"
    );
}

#[test]
fn what_could_not_be_journalled_is_tried_again_with_growing_pauses() {
    let (mut schedule, now) = (schedule(), Instant::now());
    schedule.accept(&publication("y", 1), now);
    for milliseconds in [100, 200] {
        schedule.settle(1);
        schedule.fail(1, Epoch(1), now);
        assert_eq!(
            schedule.next(true),
            Some(now + Duration::from_millis(milliseconds))
        );
    }
}

#[test]
fn dropping_retries_keeps_what_was_never_tried() {
    let (mut schedule, now) = (schedule(), Instant::now());
    schedule.accept(&publication("x", 1), now);
    schedule.fail(0, Epoch(1), now);
    schedule.drop_retries();
    let later = now + RETRY_DELAY_MAX;
    assert_eq!(schedule.due(true, later), Some(due(2, publication("x", 1))));
    schedule.settle(2);
    assert_eq!(schedule.due(true, later), None);
}

#[test]
fn a_changed_file_is_looked_at_at_once_and_then_less_and_less_often_until_there_is_peace() {
    let (mut schedule, mut now) = (schedule(), Instant::now());
    let revisit = Due {
        is_revisit: true,
        ..due(1, publication("y", 1))
    };
    schedule.revisit(1, Duration::ZERO, now);
    assert_eq!(schedule.next(true), None, "nothing was published yet");
    schedule.accept(&publication("y", 1), now);
    schedule.settle(1);
    for milliseconds in [0, 100, 200, 400] {
        schedule.revisit(1, Duration::ZERO, now);
        schedule.revisit(1, Duration::from_secs(1), now);
        now += Duration::from_millis(milliseconds);
        assert_eq!(schedule.next(true), Some(now));
        assert_eq!(schedule.due(true, now), Some(revisit.clone()));
        schedule.settle(1);
        schedule.note_correction(1, now);
    }
    now += PEACE_MIN + Duration::from_millis(1);
    schedule.revisit(1, Duration::from_secs(1), now);
    assert_eq!(schedule.next(true), Some(now + Duration::from_secs(1)));
    schedule.revisit(1, Duration::ZERO, now);
    assert_eq!(schedule.due(true, now), Some(revisit));
}

#[test]
fn a_file_that_appears_is_tried_again_without_its_long_pause_and_not_without_any() {
    let (mut schedule, mut now) = (schedule(), Instant::now());
    schedule.accept(&publication("y", 1), now);
    for _ in 0..9 {
        schedule.fail(1, Epoch(1), now);
    }
    now += Duration::from_secs(1);
    schedule.revisit(1, Duration::ZERO, now);
    assert_eq!(schedule.next(true), Some(now + RETRY_DELAY_MIN));
}

#[test]
fn while_a_command_tries_the_copy_only_news_makes_the_target_due() {
    let (mut schedule, now) = (schedule(), Instant::now());
    schedule.accept(&publication("y", 1), now);
    schedule.check(1);
    assert!(schedule.is_checking(1) && schedule.due(true, now).is_none());
    schedule.accept(&publication("y", 1), now);
    schedule.revisit(1, Duration::ZERO, now);
    assert!(schedule.is_checking(1));
    schedule.restart(1, now);
    assert_eq!(schedule.due(true, now), Some(due(1, publication("y", 1))));
    schedule.check(1);
    schedule.fail(1, Epoch(1), now);
    assert_eq!(schedule.next(true), Some(now + RETRY_DELAY_MIN));
    schedule.check(1);
    schedule.accept(&publication("y", 2), now);
    assert!(!schedule.is_checking(1));
    assert_eq!(schedule.due(true, now), Some(due(1, publication("y", 2))));
    schedule.check(1);
    schedule.settle(1);
    assert_eq!((schedule.due(true, now), schedule.next(true)), (None, None));
}

#[test]
fn a_target_that_a_command_tries_lets_others_go_first_and_waits_for_room() {
    let with_check = Target {
        check: Some(Command {
            line: "check".parse().unwrap(),
            limit: Duration::from_secs(1),
        }),
        ..target("a", "x")
    };
    let (mut schedule, now) = (
        Schedule::new(&[with_check, target("c", "x")]),
        Instant::now(),
    );
    schedule.accept(&publication("x", 1), now);
    assert_eq!(schedule.due(true, now), Some(due(1, publication("x", 1))));
    schedule.settle(1);
    assert_eq!(
        (schedule.due(false, now), schedule.next(false)),
        (None, None)
    );
    assert_eq!(schedule.due(true, now), Some(due(0, publication("x", 1))));
}
