//! Tables of what replicas say, and who is chosen.

use std::time::Instant;

use super::super::ground_tests::*;
use super::super::{Entry, Records};
use super::*;
use crate::model::RunId;

fn lost(identity: &Identity, offset: u64) -> LostMaster<'_> {
    LostMaster {
        feeds: false,
        identity,
        offset: Some(ReplicationOffset(offset)),
    }
}

fn assess_b(info: &InstanceInfo, lost: &LostMaster<'_>, policy: &GroupPolicy) -> String {
    match assess(&endpoint("b"), info, lost, policy) {
        Ok(candidate) => format!("eligible at {}", candidate.offset),
        Err(reason) => reason.to_string(),
    }
}

fn with_link(info: InstanceInfo, link: MasterLink) -> InstanceInfo {
    let master = endpoint("a");
    InstanceInfo {
        role: Role::Replica { master, link },
        ..info
    }
}

#[test]
fn only_a_replica_that_the_living_master_feeds_may_take_its_place() {
    let a = identity_of_a();
    let lives = LostMaster {
        feeds: true,
        ..lost(&a, 900)
    };
    let well = || replica_info(2, 1, 900, "a");
    let not_fed = "the master's stream does not reach it";
    for (info, expected) in [
        (well(), "eligible at 900"),
        (
            with_link(well(), MasterLink::Down { seconds: Some(5) }),
            not_fed,
        ),
        (with_link(well(), MasterLink::Syncing), not_fed),
        (continuing(master_info(2, 2, 900), 1, 901), not_fed),
    ] {
        assert_eq!(assess_b(&info, &lives, &policy()), expected, "{info:?}");
    }
}

#[test]
fn each_reason_against_a_replica_is_told() {
    let a = identity_of_a();
    let well = || replica_info(2, 1, 900, "a");
    let other = format!(
        "its replication history {} is not the group's",
        history_id(9)
    );
    let down = |seconds| MasterLink::Down { seconds };
    let cases: Vec<(InstanceInfo, &str)> = vec![
        (well(), "eligible at 900"),
        (with_link(well(), down(Some(5))), "eligible at 900"),
        (with_link(well(), down(None)), "eligible at 900"),
        (
            InstanceInfo {
                priority: 0,
                ..well()
            },
            "its priority is 0",
        ),
        (
            InstanceInfo {
                loading: Loading::Blocking,
                ..well()
            },
            "it is loading a data set",
        ),
        (
            InstanceInfo {
                loading: Loading::InBackground,
                ..well()
            },
            "it is loading a data set",
        ),
        (replica_info(2, 9, 900, "a"), &other),
        (
            with_link(replica_info(2, 9, 0, "a"), down(None)),
            "it never completed a synchronisation",
        ),
        (
            with_link(replica_info(2, 9, 0, "a"), MasterLink::Syncing),
            "it never completed a synchronisation",
        ),
        (
            with_link(replica_info(2, 9, 900, "a"), down(Some(5))),
            &other,
        ),
        (master_info(2, 9, 900), &other),
    ];
    for (info, expected) in cases {
        assert_eq!(
            assess_b(&info, &lost(&a, 1000), &policy()),
            expected,
            "{info:?}"
        );
    }
    let excluding = GroupPolicy {
        excluded: [endpoint("b")].into(),
        ..policy()
    };
    let verdict = assess_b(&well(), &lost(&a, 1000), &excluding);
    assert_eq!(verdict, "excluded by the settings");
}

#[test]
fn a_replica_further_behind_than_lag_max_is_passed_over() {
    let a = identity_of_a();
    let policy = GroupPolicy {
        lag_max: Some(100),
        ..policy()
    };
    for (offset, expected) in [
        (1000, "eligible at 1000"),
        (1001, "eligible at 1001"),
        (900, "eligible at 900"),
        (899, "101 bytes behind, 100 allowed"),
    ] {
        let info = replica_info(2, 1, offset, "a");
        assert_eq!(assess_b(&info, &lost(&a, 1000), &policy), expected);
    }
    let unknown = LostMaster {
        feeds: false,
        identity: &a,
        offset: None,
    };
    let info = replica_info(2, 1, 0, "a");
    assert_eq!(assess_b(&info, &unknown, &policy), "eligible at 0");
}

#[test]
fn histories_count_as_far_as_they_are_the_masters() {
    // The master was promoted at offset 100: the first offset of its own history is 101.
    let master = Identity::of(endpoint("a"), &continuing(master_info(1, 2, 500), 1, 101));
    let other = |history| {
        format!(
            "its replication history {} is not the group's",
            history_id(history)
        )
    };
    for (name, info, expected) in [
        (
            "not yet repointed after the last failover",
            replica_info(3, 1, 100, "z"),
            "eligible at 100".to_owned(),
        ),
        (
            "the master before, one byte beyond the point of parting",
            master_info(3, 1, 101),
            other(1),
        ),
        (
            "the master's own",
            replica_info(3, 2, 101, "a"),
            "eligible at 101".to_owned(),
        ),
        (
            "one that goes on from the master's",
            continuing(master_info(3, 3, 600), 2, 501),
            "eligible at 600".to_owned(),
        ),
        (
            "one that goes on from the master's earlier one only",
            continuing(master_info(3, 3, 600), 1, 90),
            other(3),
        ),
    ] {
        let verdict = assess_b(&info, &lost(&master, 500), &policy());
        assert_eq!(verdict, expected, "{name}");
    }
}

/// Who is chosen among instances that answer with `infos`.
fn chosen(infos: &[(&str, InstanceInfo)], records: &Records) -> Option<String> {
    let now = Instant::now();
    let all = infos
        .iter()
        .map(|(name, info)| watch_reading(name, info.clone(), now));
    let record = records.get(&group_name()).unwrap();
    let choice = choose(
        &watches(all.collect()),
        &lost(record.master(), 1000),
        &policy(),
        now,
        record,
        now,
    );
    choice
        .chosen
        .map(|candidate| candidate.endpoint.host().to_owned())
}

#[test]
fn the_order_is_priority_then_data_then_run_id() {
    let registered = records([register()]);
    let replica = |life: u8, offset| replica_info(life, 1, offset, "a");
    let first = |info| InstanceInfo {
        priority: 1,
        ..info
    };
    for (name, b, c, expected) in [
        ("more data", replica(2, 900), replica(3, 901), "c"),
        ("smaller run id", replica(2, 900), replica(3, 900), "b"),
        ("smaller run id", replica(3, 900), replica(2, 900), "c"),
        ("lower number", replica(2, 900), first(replica(3, 1)), "c"),
        (
            "what one wrote after it parted is none of the master's data",
            continuing(master_info(2, 2, 5000), 1, 801),
            replica(3, 900),
            "c",
        ),
        (
            "what it had before does count",
            continuing(master_info(2, 2, 5000), 1, 902),
            replica(3, 900),
            "b",
        ),
    ] {
        let infos = [("a", master_info(1, 1, 9000)), ("b", b), ("c", c)];
        assert_eq!(
            chosen(&infos, &registered).as_deref(),
            Some(expected),
            "{name}"
        );
    }
}

#[test]
fn one_that_could_not_be_promoted_comes_last_until_an_epoch_succeeds() {
    let b = replica_info(2, 1, 950, "a");
    let c = replica_info(3, 1, 900, "a");
    let infos = [("b", b.clone()), ("c", c.clone())];
    let mut records = records([register()]);
    assert_eq!(chosen(&infos, &records).as_deref(), Some("b"));
    records.apply(Entry::Begin(begin(2, identity_of_a(), "b", &b)));
    records.apply(abort(2));
    assert_eq!(chosen(&infos, &records).as_deref(), Some("c"));
    assert_eq!(chosen(&infos[..1], &records).as_deref(), Some("b"));
    let restarted = [("b", replica_info(4, 1, 950, "a")), ("c", c.clone())];
    assert_eq!(chosen(&restarted, &records).as_deref(), Some("b"));
    records.apply(Entry::Begin(begin(3, identity_of_a(), "c", &c)));
    records.apply(done(3, identity_of_a_at("c", &c)));
    let failed: Vec<RunId> = failover::aborted(records.get(&group_name()).unwrap()).collect();
    assert_eq!(failed, Vec::new());
}

fn identity_of_a_at(name: &str, info: &InstanceInfo) -> Identity {
    Identity::of(endpoint(name), info)
}

#[test]
fn the_lost_master_is_not_chosen_under_another_name() {
    let registered = records([register()]);
    let itself = [("a-alias", master_info(1, 1, 1000))];
    assert_eq!(chosen(&itself, &registered), None);
}

#[test]
fn only_answers_to_this_question_count() {
    let asked_at = Instant::now();
    let before = asked_at - milliseconds(1);
    let (silent, _) = watch_connected("d", asked_at);
    let all = watches(vec![
        watch_reading("a", master_info(1, 1, 1000), asked_at),
        watch_reading("b", replica_info(2, 1, 900, "a"), before),
        watch_refused("c", asked_at),
        silent,
    ]);
    let records = records([register()]);
    let record = records.get(&group_name()).unwrap();
    let choice = choose(
        &all,
        &lost(record.master(), 1000),
        &policy(),
        asked_at,
        record,
        asked_at + milliseconds(50),
    );
    assert_eq!(choice.chosen, None);
    let reasons: Vec<String> = choice
        .passed_over
        .iter()
        .map(|(endpoint, reason)| format!("{endpoint} {reason}"))
        .collect();
    let expected = [
        "b:6379 no answer within 50 ms",
        "c:6379 unreachable: connection refused",
        "d:6379 no answer within 50 ms",
    ];
    assert_eq!(reasons, expected);
    assert!(!is_complete(&all, &endpoint("a"), asked_at));
    let answered = watches(vec![
        watch_reading("b", replica_info(2, 1, 900, "a"), asked_at),
        watch_refused("c", asked_at),
    ]);
    assert!(is_complete(&answered, &endpoint("a"), asked_at));
}

#[test]
fn a_history_reaches_as_far_as_it_is_the_masters() {
    let master = Identity::of(endpoint("a"), &continuing(master_info(1, 2, 500), 1, 101));
    for (name, info, reach) in [
        ("its own", replica_info(3, 2, 450, "a"), Some(450)),
        (
            "parted behind",
            continuing(master_info(3, 3, 600), 2, 401),
            Some(400),
        ),
        (
            "parted, and not there yet",
            continuing(master_info(3, 3, 300), 2, 401),
            Some(300),
        ),
        (
            "before the last failover",
            replica_info(3, 1, 100, "z"),
            Some(100),
        ),
        (
            "beyond the last failover",
            replica_info(3, 1, 101, "z"),
            None,
        ),
        ("a stranger", master_info(3, 9, 600), None),
        (
            "parted at the very start",
            continuing(master_info(3, 3, 600), 2, 0),
            Some(0),
        ),
    ] {
        let expected = reach.map(ReplicationOffset);
        assert_eq!(master.reach(&info.history), expected, "{name}");
        assert_eq!(master.shares(&info.history), expected.is_some(), "{name}");
    }
}
