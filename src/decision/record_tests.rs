//! Tables of committed entries, and the state that they lead to.

use proptest::prelude::*;

use super::super::ground_tests::*;
use super::super::{Candidate, CommandFailure, ENTRY_LENGTH_MAX, Ineligible, InvalidEntry};
use super::*;
use crate::model::InstanceInfo;

fn b() -> InstanceInfo {
    replica_info(2, 1, 900, "a")
}

/// `b` as it is once it is promoted.
fn promoted_b() -> Identity {
    Identity::of(endpoint("b"), &continuing(master_info(2, 2, 900), 1, 901))
}

fn begin_b(epoch: u64) -> Entry {
    Entry::Begin(begin(epoch, identity_of_a(), "b", &b()))
}

fn identify(epoch: u64, master: Identity) -> Entry {
    Entry::Identify {
        group: group_name(),
        epoch: Epoch(epoch),
        master,
    }
}

fn members(names: &[&str]) -> Entry {
    Entry::Members {
        group: group_name(),
        members: names.iter().map(|name| endpoint(name)).collect(),
    }
}

fn settled(epoch: u64, after: u64) -> Entry {
    Entry::Settled {
        group: group_name(),
        epoch: Epoch(epoch),
        steps: vec![Step {
            what: super::super::StepName::FilesRewritten,
            after: milliseconds(after),
        }],
    }
}

fn returned(epoch: u64, lost_bytes: u64) -> Entry {
    Entry::Returned {
        group: group_name(),
        epoch: Epoch(epoch),
        lost_bytes,
    }
}

/// `a` after it lost its replication id, with the same process.
fn renamed_a() -> Identity {
    Identity::of(endpoint("a"), &master_info(1, 7, 0))
}

#[test]
fn an_entry_changes_what_it_fits_and_nothing_else() {
    use Change::{Aborted, Begun, Done, History, Master, Members, None};
    let other_process = Identity {
        run_id: run_id(9),
        ..promoted_b()
    };
    let other_place = Identity {
        endpoint: endpoint("c"),
        ..promoted_b()
    };
    let begin_from_b = Entry::Begin(begin(3, promoted_b(), "a", &master_info(1, 1, 0)));
    let begin_from_old = Entry::Begin(begin(3, identity_of_a(), "c", &b()));
    let cases: Vec<(&str, Vec<Entry>, Entry, Change)> = vec![
        ("a first registration", vec![], register(), Master),
        ("a second one", vec![register()], register(), None),
        ("anything of an unknown group", vec![], begin_b(2), None),
        ("a first begin", vec![register()], begin_b(2), Begun),
        ("the epoch that is", vec![register()], begin_b(1), None),
        ("an epoch left out", vec![register()], begin_b(3), None),
        (
            "begin while one is open",
            vec![register(), begin_b(2)],
            begin_b(3),
            None,
        ),
        (
            "the same begin again",
            vec![register(), begin_b(2)],
            begin_b(2),
            None,
        ),
        (
            "begin from a master that is not",
            vec![register(), begin_b(2), done(2, promoted_b())],
            begin_from_old,
            None,
        ),
        (
            "begin from the one that is",
            vec![register(), begin_b(2), done(2, promoted_b())],
            begin_from_b,
            Begun,
        ),
        (
            "begin after an abort",
            vec![register(), begin_b(2), abort(2)],
            begin_b(3),
            Begun,
        ),
        (
            "the aborted epoch again",
            vec![register(), begin_b(2), abort(2)],
            begin_b(2),
            None,
        ),
        (
            "done",
            vec![register(), begin_b(2)],
            done(2, promoted_b()),
            Done,
        ),
        (
            "done of nothing",
            vec![register()],
            done(2, promoted_b()),
            None,
        ),
        (
            "done of another epoch",
            vec![register(), begin_b(2)],
            done(3, promoted_b()),
            None,
        ),
        (
            "done by another process",
            vec![register(), begin_b(2)],
            done(2, other_process),
            None,
        ),
        (
            "done elsewhere",
            vec![register(), begin_b(2)],
            done(2, other_place),
            None,
        ),
        (
            "done twice",
            vec![register(), begin_b(2), done(2, promoted_b())],
            done(2, promoted_b()),
            None,
        ),
        (
            "done after an abort",
            vec![register(), begin_b(2), abort(2)],
            done(2, promoted_b()),
            None,
        ),
        ("abort", vec![register(), begin_b(2)], abort(2), Aborted),
        (
            "abort of another epoch",
            vec![register(), begin_b(2)],
            abort(1),
            None,
        ),
        (
            "abort twice",
            vec![register(), begin_b(2), abort(2)],
            abort(2),
            None,
        ),
        (
            "abort after done",
            vec![register(), begin_b(2), done(2, promoted_b())],
            abort(2),
            None,
        ),
        (
            "a new history",
            vec![register()],
            identify(1, renamed_a()),
            Master,
        ),
        (
            "the same one",
            vec![register()],
            identify(1, identity_of_a()),
            None,
        ),
        (
            "in another epoch",
            vec![register()],
            identify(2, renamed_a()),
            None,
        ),
        (
            "of another instance",
            vec![register()],
            identify(1, promoted_b()),
            None,
        ),
        (
            "while an epoch is open",
            vec![register(), begin_b(2)],
            identify(1, renamed_a()),
            None,
        ),
        (
            "a new instance",
            vec![register()],
            members(&["a", "b", "c", "d"]),
            Members,
        ),
        ("one less", vec![register()], members(&["a", "b"]), Members),
        (
            "the same ones",
            vec![register()],
            members(&["a", "b", "c"]),
            None,
        ),
        (
            "all but the master",
            vec![register()],
            members(&["b", "c"]),
            None,
        ),
        (
            "settled while open",
            vec![register(), begin_b(2)],
            settled(2, 9),
            None,
        ),
        (
            "settled",
            vec![register(), begin_b(2), done(2, promoted_b())],
            settled(2, 9),
            History,
        ),
        (
            "a loss of an aborted epoch",
            vec![register(), begin_b(2), abort(2)],
            returned(2, 9),
            None,
        ),
        (
            "a loss",
            vec![register(), begin_b(2), done(2, promoted_b())],
            returned(2, 9),
            History,
        ),
    ];
    for (name, before, entry, expected) in cases {
        let mut records = records(before);
        let untouched = records.clone();
        assert_eq!(records.apply(entry), expected, "{name}");
        assert_eq!(records == untouched, expected == None, "{name}");
    }
}

#[test]
fn a_mandate_lasts_from_begin_to_its_end() {
    let mut records = records([register()]);
    let mandate = |records: &Records| {
        let record = records.get(&group_name()).unwrap();
        record.mandate().map(|mandate| mandate.epoch())
    };
    assert_eq!(mandate(&records), None);
    records.apply(begin_b(2));
    assert_eq!(mandate(&records), Some(Epoch(2)));
    records.apply(abort(2));
    assert_eq!(mandate(&records), None);
    records.apply(begin_b(3));
    assert_eq!(mandate(&records), Some(Epoch(3)));
    records.apply(done(3, promoted_b()));
    assert_eq!(mandate(&records), None);
    let record = records.get(&group_name()).unwrap();
    assert_eq!((record.epoch(), record.last_begun()), (Epoch(3), Epoch(3)));
    assert_eq!(record.master(), &promoted_b());
}

#[test]
fn an_aborted_epoch_is_used_up_and_changes_no_master() {
    let records = records([register(), begin_b(2), abort(2)]);
    let record = records.get(&group_name()).unwrap();
    assert_eq!((record.epoch(), record.last_begun()), (Epoch(1), Epoch(2)));
    assert_eq!(record.master(), &identity_of_a());
}

#[test]
fn the_past_is_bounded_and_the_newest_of_it_stays() {
    let mut records = records([register()]);
    for epoch in 2..=201 {
        let epoch: u64 = epoch;
        records.apply(begin_b(epoch));
        records.apply(abort(epoch));
    }
    for history in 10..=200 {
        let master = Identity::of(endpoint("a"), &master_info(1, history, 0));
        assert_eq!(records.apply(identify(1, master)), Change::Master);
    }
    let record = records.get(&group_name()).unwrap();
    assert_eq!(record.failovers().len(), HISTORY_MAX);
    assert_eq!(record.failovers().back().unwrap().begin.epoch, Epoch(201));
    assert_eq!(record.histories.len(), HISTORIES_MAX);
    assert!(record.knows_history(&history_id(200)));
    assert!(!record.knows_history(&history_id(10)));
}

#[test]
fn a_group_has_no_more_members_than_can_be_watched() {
    let mut records = records([register()]);
    let names: Vec<String> = (0..GroupPolicy::MEMBERS_MAX)
        .map(|number| format!("r{number}"))
        .collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(records.apply(members(&names)), Change::None);
    names.pop();
    assert_eq!(records.apply(members(&names)), Change::Members);
}

#[test]
fn steps_of_a_settled_epoch_come_once_and_in_order() {
    let mut records = records([register(), begin_b(2), done(2, promoted_b())]);
    records.apply(settled(2, 9));
    records.apply(settled(2, 5));
    let record = records.get(&group_name()).unwrap();
    let steps: Vec<u128> = record.failovers()[0]
        .steps
        .iter()
        .map(|step| step.after.as_millis())
        .collect();
    assert_eq!(steps, [5, 7]);
}

fn any_identity() -> impl Strategy<Value = Identity> {
    (
        0u8..3,
        1u8..5,
        1u8..5,
        proptest::option::of((1u8..5, 0u64..1000)),
    )
        .prop_map(|(place, life, history, continues)| {
            let info = master_info(life, history, 0);
            let info = match continues {
                Some((earlier, parted_at)) => continuing(info, earlier, parted_at),
                None => info,
            };
            Identity::of(endpoint(["a", "b", "c"][usize::from(place)]), &info)
        })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let epoch = 0u64..6;
    prop_oneof![
        Just(register()),
        (epoch.clone(), any_identity(), any_identity()).prop_map(|(epoch, from, to)| {
            Entry::Begin(Begin {
                candidate: Candidate {
                    endpoint: to.endpoint,
                    run_id: to.run_id,
                    replication_id: to.replication_id,
                    offset: crate::model::ReplicationOffset(5),
                },
                ..begin(epoch, from, "b", &b())
            })
        }),
        (epoch.clone(), any_identity()).prop_map(|(epoch, master)| done(epoch, master)),
        epoch.clone().prop_map(abort),
        (epoch.clone(), any_identity()).prop_map(|(epoch, master)| identify(epoch, master)),
        proptest::sample::subsequence(vec!["a", "b", "c", "d"], 0..4)
            .prop_map(|names| members(&names)),
        (epoch.clone(), 0u64..100).prop_map(|(epoch, after)| settled(epoch, after)),
        (epoch, any::<u64>()).prop_map(|(epoch, bytes)| returned(epoch, bytes)),
    ]
}

proptest! {
    /// Whatever deposed leaders proposed, in whatever order it was committed.
    #[test]
    fn epochs_only_grow_and_name_one_candidate_each(
        entries in proptest::collection::vec(any_entry(), 0..60),
    ) {
        let mut records = Records::default();
        let mut candidates = BTreeMap::new();
        let mut last = (Epoch(0), Epoch(0));
        for entry in entries {
            records.apply(entry);
            let Some(record) = records.get(&group_name()) else { continue };
            prop_assert!((record.epoch(), record.last_begun()) >= last);
            prop_assert!(record.epoch() <= record.last_begun());
            last = (record.epoch(), record.last_begun());
            prop_assert!(record.members().contains(&record.master().endpoint));
            if let Some(mandate) = record.mandate() {
                let candidate = &mandate.begin().candidate;
                let named = candidates.entry(mandate.epoch()).or_insert_with(|| candidate.clone());
                prop_assert_eq!(named, candidate);
            }
        }
    }

    /// A node that starts from a snapshot ends where one ends that applied everything.
    #[test]
    fn a_snapshot_is_as_good_as_the_log(
        entries in proptest::collection::vec(any_entry(), 0..40),
        at in any::<prop::sample::Index>(),
    ) {
        let cut = at.index(entries.len() + 1);
        let (before, after) = entries.split_at(cut);
        let whole = records(entries.clone());
        let mut resumed: Records =
            postcard::from_bytes(&postcard::to_stdvec(&records(before.to_vec())).unwrap()).unwrap();
        for entry in after {
            resumed.apply(Entry::decode(&entry.encode()).unwrap());
        }
        prop_assert_eq!(resumed, whole);
    }

    #[test]
    fn an_entry_survives_the_log(entry in any_entry()) {
        prop_assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry);
    }

    #[test]
    fn bytes_that_are_no_entry_are_refused_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        if let Ok(entry) = Entry::decode(&bytes) {
            // What can be read can be applied.
            records([register(), entry]);
        }
    }

    #[test]
    fn a_damaged_entry_never_panics(
        entry in any_entry(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = entry.encode();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        if let Ok(entry) = Entry::decode(&bytes) {
            records([register(), entry]);
        }
    }
}

#[test]
fn an_entry_that_is_too_long_is_refused_before_it_is_read() {
    let bytes = vec![0; ENTRY_LENGTH_MAX + 1];
    let refused = Entry::decode(&bytes);
    assert_eq!(refused, Err(InvalidEntry::TooLong(ENTRY_LENGTH_MAX + 1)));
}

#[test]
fn every_reason_survives_the_log() {
    let text = || "reason".to_owned();
    let reasons = [
        Ineligible::Unreachable { why: text() },
        Ineligible::NoAnswer { waited_ms: 50 },
        Ineligible::PriorityZero,
        Ineligible::Loading,
        Ineligible::NeverSynced,
        Ineligible::OtherHistory { id: history_id(9) },
        Ineligible::LagTooLarge {
            lag_bytes: 2,
            allowed_bytes: 1,
        },
        Ineligible::Excluded,
        Ineligible::NotFed,
    ];
    let passed_over = reasons.map(|reason| (endpoint("c"), reason)).into();
    let begin = Entry::Begin(Begin {
        passed_over,
        ..begin(2, identity_of_a(), "b", &b())
    });
    assert_eq!(Entry::decode(&begin.encode()), Ok(begin));
    for why in [
        AbortReason::CandidateChanged(text()),
        AbortReason::TimedOut(milliseconds(2000)),
        AbortReason::Refused(CommandFailure::Loading),
        AbortReason::Refused(CommandFailure::Busy),
        AbortReason::Refused(CommandFailure::Denied(text())),
        AbortReason::Refused(CommandFailure::Refused(text())),
        AbortReason::Refused(CommandFailure::Malformed(text())),
        AbortReason::Refused(CommandFailure::TimedOut),
        AbortReason::Refused(CommandFailure::Lost(text())),
        AbortReason::Refused(CommandFailure::OtherProcess(run_id(9))),
        AbortReason::Refused(CommandFailure::WrongRole(text())),
    ] {
        let entry = Entry::Abort {
            group: group_name(),
            epoch: Epoch(2),
            why,
        };
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }
}
