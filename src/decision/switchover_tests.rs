//! What the log keeps of switchovers, and what it makes of those that come twice.

use super::super::ground_tests::*;
use super::super::{
    AbortReason, Begin, Change, Entry, Grounds, Identity, Outcome, Records, SentinelWatch,
};
use super::*;
use crate::model::{Epoch, InstanceInfo, UnixTime};

const AT: UnixTime = UnixTime(1_700_000_000_000);

fn asked(operation: u64) -> Asked {
    Asked {
        by: Requester::new(0, Some("root".to_owned()), node("n1")),
        operation: OperationId(operation),
        reason: Some("new disks".parse().unwrap()),
    }
}

fn b() -> InstanceInfo {
    replica_info(2, 1, 900, "a")
}

fn begin_asked(epoch: u64, operation: u64) -> Entry {
    Entry::Begin(Begin {
        grounds: Grounds::Asked(asked(operation)),
        at: AT,
        ..begin(epoch, identity_of_a(), "b", &b())
    })
}

fn given_up(operation: u64, why: NotSwitched) -> Entry {
    Entry::GiveUp(GivenUp {
        group: group_name(),
        asked: asked(operation),
        at: AT,
        why,
    })
}

fn stage(records: &Records, operation: u64) -> Option<Stage> {
    let record = records.get(&group_name()).unwrap();
    record.switchover(OperationId(operation))
}

fn promoted_b() -> Identity {
    Identity::of(endpoint("b"), &continuing(master_info(2, 2, 900), 1, 901))
}

#[test]
fn a_switchover_is_open_from_begin_to_its_end_and_begun_once() {
    for end in [done(2, promoted_b()), abort(2)] {
        let mut records = records([register()]);
        assert_eq!(stage(&records, 7), None);
        assert_eq!(records.apply(begin_asked(2, 7)), Change::Begun);
        assert_eq!(stage(&records, 7), Some(Stage::Open));
        assert_ne!(records.apply(end), Change::None);
        assert_eq!(stage(&records, 7), Some(Stage::Over));
        let from = records.get(&group_name()).unwrap().master().clone();
        let again = Entry::Begin(Begin {
            grounds: Grounds::Asked(asked(7)),
            ..begin(3, from, "c", &replica_info(3, 1, 900, "a"))
        });
        assert_eq!(records.apply(again), Change::None);
        assert_eq!(
            records.apply(given_up(7, NotSwitched::TimedOut)),
            Change::None
        );
    }
}

#[test]
fn what_was_given_up_is_remembered_and_does_not_begin_any_more() {
    let mut records = records([register()]);
    assert_eq!(
        records.apply(given_up(7, NotSwitched::UnderWay)),
        Change::GivenUp
    );
    assert_eq!(
        records.apply(given_up(7, NotSwitched::TimedOut)),
        Change::None
    );
    assert_eq!(stage(&records, 7), Some(Stage::Over));
    assert_eq!(records.apply(begin_asked(2, 7)), Change::None);
    for operation in 100..130 {
        records.apply(given_up(operation, NotSwitched::TimedOut));
    }
    let kept = records.get(&group_name()).unwrap().given_up();
    let first = kept.front().unwrap().asked.operation;
    assert_eq!((kept.len(), first), (16, OperationId(114)));
}

#[test]
fn switchovers_are_no_sign_of_flapping_and_the_epoch_that_keeps_the_master_is_none() {
    let mut records = records([register(), begin_asked(2, 7), abort(2)]);
    let kept = Begin {
        grounds: Grounds::Asked(asked(7)),
        ..begin(3, identity_of_a(), "a", &master_info(1, 1, 900))
    };
    assert_eq!(kept.asked(), None);
    assert_eq!(records.apply(Entry::Begin(kept)), Change::Begun);
    assert_eq!(stage(&records, 7), Some(Stage::Over));
    records.apply(done(3, identity_of_a()));
    records.apply(begin_asked(4, 8));
    records.apply(done(4, promoted_b()));
    let record = records.get(&group_name()).unwrap();
    assert_eq!(record.failovers().back().unwrap().outcome, Outcome::Done);
    assert_eq!(record.failovers_lately(AT), 0);
}

#[test]
fn every_reason_survives_the_log_and_only_the_candidates_own_tell_against_it() {
    let instance = || endpoint("b");
    let reasons = [
        NotSwitched::HeldBack(HeldBack::Paused {
            by: "root".to_owned(),
        }),
        NotSwitched::HeldBack(HeldBack::Sentinels(SentinelWatch {
            instance: instance(),
            sentinels: 3,
        })),
        NotSwitched::UnderWay,
        NotSwitched::NoMajority(milliseconds(2000)),
        NotSwitched::MasterNotWell {
            master: instance(),
            why: "gone".to_owned(),
        },
        NotSwitched::IsMaster(instance()),
        NotSwitched::Unknown {
            instance: instance(),
            known: vec![endpoint("c")],
        },
        NotSwitched::NotEligible {
            instance: instance(),
            why: Ineligible::NotFed,
        },
        NotSwitched::NobodyEligible(vec![(instance(), Ineligible::PriorityZero)]),
        NotSwitched::TooFarBehind {
            instance: instance(),
            lag_bytes: 2 << 20,
        },
        NotSwitched::NotCaughtUp {
            instance: instance(),
            lag_bytes: 7,
            waited: CATCH_UP,
        },
        NotSwitched::NotHeld(CommandFailure::Refused("ERR syntax error".to_owned())),
        NotSwitched::MasterChanged("another process".to_owned()),
        NotSwitched::TimedOut,
    ];
    for why in reasons {
        let entry = given_up(7, why.clone());
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        let why = AbortReason::NotSwitched(why);
        assert!(!why.is_of_candidate());
        let entry = Entry::Abort {
            group: group_name(),
            epoch: Epoch(2),
            why,
        };
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }
    assert!(AbortReason::TimedOut(CATCH_UP).is_of_candidate());
}

#[test]
fn a_server_that_cannot_hold_writes_is_told_what_it_takes() {
    for (failure, advice) in [
        (
            CommandFailure::Refused("ERR syntax error".to_owned()),
            "needs Redis 6.2",
        ),
        (
            CommandFailure::Denied("NOPERM no".to_owned()),
            "allow +client|pause",
        ),
        (
            CommandFailure::Refused("ERR unknown command 'CLIENT'".to_owned()),
            "say so in COMMANDS",
        ),
    ] {
        let text = NotSwitched::NotHeld(failure).to_string();
        assert!(text.contains(advice), "{text}");
    }
}
