//! The desk by itself: what it sends where, how often, and when it answers.

use super::super::Wish;
use super::super::ground_tests::*;
use super::super::{Requester, Resume, ResumedBy};
use super::*;
use crate::decision::Entry;

const WALL: UnixTime = UnixTime(1_700_000_000_000);

fn request_of(operation: u64, group: &str) -> Request {
    Request {
        groups: [group.parse().unwrap()].into(),
        ..request(operation)
    }
}

fn request(operation: u64) -> Request {
    Request {
        operation: OperationId(operation),
        by: Requester::new(0, None, node("n1")),
        groups: [group_name()].into(),
        wish: Wish::Resume,
    }
}

fn resume(operation: u64) -> Entry {
    Entry::Resume(Resume {
        group: group_name(),
        at: WALL,
        by: ResumedBy::Admin {
            by: Requester::new(0, None, node("n1")),
            operation: OperationId(operation),
        },
    })
}

fn poll(desk: &mut Desk, records: &Records, leading: bool, now: Instant) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut groups = BTreeMap::new();
    desk.poll(records, &mut groups, leading, WALL, now, &mut actions);
    actions
}

#[test]
fn a_request_is_sent_at_once_and_again_until_it_is_committed() {
    let now = Instant::now();
    let mut desk = Desk::default();
    let mut before = records([register()]);
    desk.take_in(request(7), now, &mut Vec::new());
    let forward = || vec![Action::Forward(request(7))];
    assert_eq!(poll(&mut desk, &before, false, now), forward());
    assert_eq!(poll(&mut desk, &before, false, now), []);
    assert_eq!(desk.next_deadline(), Some(now + RETRY_AFTER));
    let later = now + RETRY_AFTER;
    assert_eq!(poll(&mut desk, &before, false, later), forward());
    desk.try_again(later);
    let propose = vec![Action::Propose(resume(7))];
    assert_eq!(poll(&mut desk, &before, true, later), propose);
    assert!(desk.is_open(OperationId(7)));
    before.apply(resume(7));
    let answer = vec![Action::Answer(OperationId(7))];
    assert_eq!(poll(&mut desk, &before, true, later), answer);
    assert_eq!(desk.next_deadline(), None);
}

#[test]
fn a_request_that_is_committed_already_is_answered_and_not_done_again() {
    let now = Instant::now();
    let mut desk = Desk::default();
    let after = records([register(), resume(7)]);
    desk.take_in(request(7), now, &mut Vec::new());
    let answer = vec![Action::Answer(OperationId(7))];
    assert_eq!(poll(&mut desk, &after, true, now), answer);
    let mut actions = Vec::new();
    propose(
        &request(7),
        &after,
        &mut BTreeMap::new(),
        WALL,
        now,
        &mut actions,
    );
    assert_eq!(actions, []);
}

#[test]
fn what_cannot_be_committed_is_given_up_and_answered() {
    let now = Instant::now();
    let mut desk = Desk::default();
    desk.take_in(request(7), now, &mut Vec::new());
    let late = now + GIVES_UP_AFTER;
    let answer = vec![Action::Answer(OperationId(7))];
    assert_eq!(poll(&mut desk, &Records::default(), true, late), answer);
    assert!(!desk.is_open(OperationId(7)));
}

#[test]
fn a_crowded_desk_takes_no_more_and_says_so() {
    let now = Instant::now();
    let mut desk = Desk::default();
    let mut actions = Vec::new();
    for number in 0..OPEN_MAX as u64 {
        desk.take_in(request_of(number, &number.to_string()), now, &mut actions);
    }
    desk.take_in(request_of(0, "0"), now, &mut actions);
    assert_eq!(actions, []);
    desk.take_in(request(OPEN_MAX as u64), now, &mut actions);
    assert_eq!(actions, [Action::Answer(OperationId(OPEN_MAX as u64))]);
}

#[test]
fn what_is_asked_for_last_withdraws_what_was_not_committed_of_the_same_groups() {
    let now = Instant::now();
    let mut desk = Desk::default();
    let mut actions = Vec::new();
    desk.take_in(request(7), now, &mut actions);
    desk.take_in(request_of(8, "other"), now, &mut actions);
    assert_eq!(actions, []);
    desk.take_in(request(9), now, &mut actions);
    assert_eq!(actions, [Action::Answer(OperationId(7))]);
    actions.clear();
    // Whoever wanted the older one asks again.
    desk.take_in(request(7), now, &mut actions);
    assert_eq!(actions, [Action::Answer(OperationId(7))]);
    let open = [7, 8, 9].map(|number| desk.is_open(OperationId(number)));
    assert_eq!(open, [false, true, true]);
}

#[test]
fn a_switchover_is_passed_on_with_the_time_that_it_has_left_and_never_tried_again_behind_it() {
    let now = Instant::now();
    let within = |span| Request {
        wish: Wish::Switchover {
            to: None,
            within: span,
            reason: None,
        },
        ..request(7)
    };
    let mut desk = Desk::default();
    let known = records([register()]);
    desk.take_in(within(milliseconds(600)), now, &mut Vec::new());
    for (after, left) in [
        (0, Some(600)),
        (250, Some(350)),
        (500, Some(100)),
        (750, None),
    ] {
        let forwarded = left.map(|left| Action::Forward(within(milliseconds(left))));
        let actions = poll(&mut desk, &known, false, now + milliseconds(after));
        assert_eq!(actions, Vec::from_iter(forwarded), "{after}");
    }
    let end = now + milliseconds(600) + SWITCHOVER_ENDS_WITHIN;
    let answer = || vec![Action::Answer(OperationId(7))];
    assert_eq!(poll(&mut desk, &known, false, end), answer());
    let mut actions = Vec::new();
    desk.take_in(within(milliseconds(600)), end, &mut actions);
    assert_eq!(actions, answer());
    assert!(!desk.is_open(OperationId(7)));
}
