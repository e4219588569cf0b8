//! Hand-made histories: a good one, and each kind of broken one, which must be found.

use std::collections::BTreeSet;

use promoterd::model::{ReplicationId, RunId};
use promoterd::status::OutcomeName;

use super::*;
use crate::nemesis::history::*;

pub(super) fn at(seconds: f64) -> At {
    At::from_secs_f64(seconds)
}

fn run_id(number: u32) -> RunId {
    format!("{number:040x}").parse().unwrap()
}

fn stream(number: u32) -> ReplicationId {
    format!("{number:040x}").parse().unwrap()
}

fn process(instance: InstanceId, number: u32, first_seen: f64) -> Process {
    Process {
        instance,
        run_id: run_id(number),
        process_id: number,
        first_seen: at(first_seen),
        is_stranger: false,
    }
}

pub(super) fn write(number: u64, process: usize, sent: f64, history: u32, offset: u64) -> Write {
    Write {
        id: WriteId { writer: 0, number },
        process,
        sent: at(sent),
        answered: at(sent + 0.001),
        answer: Answer::Taken {
            history: stream(history),
            offset,
        },
    }
}

pub(super) fn begun(epoch: u64, instance: InstanceId, run: u32, heard: f64) -> Begun {
    Begun {
        heard: at(heard),
        epoch,
        instance,
        run_id: run_id(run),
        reinstates: false,
    }
}

pub(super) fn promotion(instance: InstanceId, number: u32, moment: f64, history: u32) -> Promotion {
    Promotion {
        instance,
        process_id: number,
        at: at(moment),
        history: stream(history),
    }
}

pub(super) fn told(epoch: u64, from: InstanceId, to: InstanceId, heard: f64) -> Told {
    Told {
        node: 0,
        heard: at(heard),
        epoch,
        from,
        to,
        leader: "a".to_owned(),
        cause: serde_json::from_str("\"silent\"").unwrap(),
        outcome: OutcomeName::Done,
        estimate: Some(1000),
        fact: None,
    }
}

pub(super) fn names(host: HostId, seen: f64, instance: InstanceId) -> FileSeen {
    FileSeen {
        host,
        seen: at(seen),
        names: Ok(instance),
    }
}

/// Instance 0 is the master and is cut off with its daemon at 10 s; instance 1 takes its place at 11 s
/// and lacks one write of it. Another one is taken by the old master, which is back at 20 s.
pub(super) fn good() -> History {
    let mut group = GroupHistory {
        hosts: vec![0, 1, 3],
        level: Level::Fast,
        is_guarded: true,
        processes: vec![
            process(0, 100, 0.0),
            process(1, 101, 0.0),
            process(2, 102, 0.0),
        ],
        ..GroupHistory::default()
    };
    group.writes = vec![
        write(0, 0, 1.0, 1, 100),
        write(1, 0, 2.0, 1, 200),
        write(2, 0, 10.5, 1, 300),
        write(3, 0, 11.2, 1, 400),
        write(4, 1, 12.0, 2, 300),
        write(5, 1, 21.0, 2, 400),
    ];
    group.held = [0, 1, 4, 5]
        .map(|number| WriteId { writer: 0, number })
        .into();
    group.promotions = vec![Promotion {
        instance: 1,
        process_id: 101,
        at: at(11.0),
        history: stream(2),
    }];
    group.followers = [101, 102].map(|it| (it, [at(0.0)].into())).into();
    let fork = Fork {
        parent: stream(1),
        shared: 200,
    };
    group.forks.insert(stream(2), fork);
    group.begun = vec![begun(2, 1, 101, 11.0)];
    group.told = vec![told(2, 0, 1, 11.5)];
    let back = Told {
        fact: Some(200),
        ..told(2, 0, 1, 20.5)
    };
    group.told.push(back.clone());
    group.last_told = vec![back];
    for (heard, epoch) in [(1.0, 1), (11.5, 2), (20.0, 2)] {
        let node = 1;
        let (life, heard) = (0, at(heard));
        group.epochs.push(EpochSeen {
            node,
            life,
            heard,
            epoch,
        });
    }
    group.files = vec![
        names(0, 0.0, 0),
        names(1, 0.0, 0),
        names(1, 11.1, 1),
        names(0, 20.1, 1),
    ];
    let cuts = (1..5).flat_map(|other| [(0, other), (other, 0)]).collect();
    History {
        hosts: 5,
        world: vec![
            (at(10.0), Change::Cuts(cuts)),
            (at(20.0), Change::Cuts(BTreeSet::new())),
        ],
        groups: vec![group],
        calms: vec![(at(25.0), Ok(Duration::from_secs(1)))],
        notes: Vec::new(),
    }
}

#[test]
fn a_good_history_breaks_nothing() {
    let verdict = check(&good());
    assert!(verdict.broken.is_empty(), "{:?}", verdict.broken);
    assert_eq!(verdict.tally.failovers_done(), 1);
    assert_eq!(verdict.tally.taken, 6);
    assert_eq!(verdict.tally.lost["not replicated before the failover"], 1);
    assert_eq!(verdict.tally.lost["taken by an old master"], 1);
    assert_eq!(verdict.tally.judged["cut off"].0, 1);
    assert_eq!(verdict.tally.two_masters, at(0.2));
}

/// The rules that are broken once this is done to the good history.
pub(super) fn broken_by(change: impl Fn(&mut History)) -> BTreeSet<Rule> {
    let mut history = good();
    change(&mut history);
    check(&history)
        .broken
        .into_iter()
        .map(|broken| broken.rule)
        .collect()
}

fn only(rule: Rule) -> BTreeSet<Rule> {
    BTreeSet::from([rule])
}

#[test]
fn a_promotion_without_an_epoch_is_found() {
    let found = broken_by(|history| {
        history.groups[0].promotions.push(Promotion {
            instance: 2,
            process_id: 102,
            at: at(11.0),
            history: stream(3),
        });
    });
    assert_eq!(found, only(Rule::OnePromotion));
}

#[test]
fn a_second_promotion_in_one_epoch_is_found() {
    let found = broken_by(|history| {
        history.groups[0].promotions.push(Promotion {
            instance: 1,
            process_id: 101,
            at: at(12.0),
            history: stream(3),
        });
    });
    assert_eq!(found, only(Rule::OnePromotion));
}

#[test]
fn an_epoch_that_begins_with_two_candidates_is_found() {
    let found = broken_by(|history| history.groups[0].begun.push(begun(2, 2, 102, 11.1)));
    assert_eq!(found, only(Rule::OnePromotion));
}

#[test]
fn an_epoch_that_is_done_without_a_promotion_is_found() {
    let found = broken_by(|history| history.groups[0].promotions.clear());
    assert!(found.contains(&Rule::OnePromotion), "{found:?}");
}

#[test]
fn an_epoch_that_goes_back_is_found_but_not_over_a_restart() {
    let back = |life| {
        move |history: &mut History| {
            history.groups[0].epochs.push(EpochSeen {
                node: 1,
                life,
                heard: at(22.0),
                epoch: 1,
            });
        }
    };
    assert_eq!(broken_by(back(0)), only(Rule::EpochsGrow));
    assert_eq!(broken_by(back(1)), BTreeSet::new());
}

#[test]
fn a_decision_that_vanishes_or_changes_is_found() {
    let changes: [fn(&mut GroupHistory); 7] = [
        |group| group.last_told.clear(),
        |group| group.last_told[0].to = 2,
        |group| group.last_told[0].outcome = OutcomeName::Aborted,
        |group| group.told[1].to = 2,
        |group| group.told[1].outcome = OutcomeName::Aborted,
        |group| group.epochs[2].epoch = 3,
        |group| group.begun.push(begun(3, 2, 102, 22.0)),
    ];
    for (number, change) in changes.iter().enumerate() {
        let found = broken_by(|history| change(&mut history.groups[0]));
        assert!(
            found.contains(&Rule::DecisionsStay),
            "change {number}: {found:?}"
        );
    }
}

#[test]
fn an_epoch_that_is_open_first_and_done_later_is_no_breach() {
    let found = broken_by(|history| history.groups[0].told[0].outcome = OutcomeName::Open);
    assert_eq!(found, BTreeSet::new());
}

#[test]
fn files_that_go_back_run_ahead_or_are_half_written_are_found() {
    let changes: [fn(&mut Vec<FileSeen>); 4] = [
        |files| files.push(names(1, 22.0, 0)),
        |files| files.push(names(2, 10.9, 1)),
        |files| files.push(names(2, 22.0, 2)),
        |files| files[2].names = Err("REDIS_URL=".to_owned()),
    ];
    for (number, change) in changes.iter().enumerate() {
        let found = broken_by(|history| change(&mut history.groups[0].files));
        assert_eq!(found, only(Rule::FilesNameMasters), "change {number}");
    }
}

#[test]
fn a_write_that_the_new_master_had_and_lost_is_found() {
    let found = broken_by(|history| {
        let held = &mut history.groups[0].held;
        held.remove(&WriteId {
            writer: 0,
            number: 1,
        });
    });
    assert_eq!(found, only(Rule::LossIsReported));
}

#[test]
fn a_loss_beyond_what_was_estimated_or_told_is_found() {
    let found = broken_by(|history| {
        for told in &mut history.groups[0].told {
            told.estimate = Some(0);
        }
        let beyond = 200 + losses::ESTIMATE_MARGIN + 1;
        history.groups[0].writes[2].answer = Answer::Taken {
            history: stream(1),
            offset: beyond,
        };
        history.groups[0].told[1].fact = Some(beyond);
    });
    assert_eq!(found, only(Rule::LossIsReported));
    // The last write of the old master, at 11.2 s, is in it.
    for (fact, breaks) in [(200, false), (199, true)] {
        let found = broken_by(|history| {
            history.groups[0].told[1].fact = Some(fact);
            history.groups[0].last_told[0].fact = Some(fact);
        });
        assert_eq!(
            found.contains(&Rule::LossIsReported),
            breaks,
            "{fact}: {found:?}"
        );
    }
}

#[test]
fn only_a_leader_that_never_reached_the_lost_master_need_not_estimate_the_loss() {
    // The leader, on host 4, was started during the cut or before it.
    for (started, estimate, breaks) in [
        (10.5, Some(0), false),
        (10.5, None, false),
        (5.0, Some(0), true),
        (5.0, None, true),
    ] {
        let found = broken_by(|history| {
            let group = &mut history.groups[0];
            for told in group.told.iter_mut().chain(&mut group.last_told) {
                told.estimate = estimate;
                told.leader = "e".to_owned();
                told.fact = None;
            }
            group.writes[2].answer = Answer::Taken {
                history: stream(1),
                offset: 200 + losses::ESTIMATE_MARGIN + 1,
            };
            let daemon = |is_well| Change::Daemon { host: 4, is_well };
            history.world.push((at(started - 0.1), daemon(false)));
            history.world.push((at(started), daemon(true)));
            history.world.sort_by_key(|(at, _)| *at);
        });
        assert_eq!(
            found.contains(&Rule::LossIsReported),
            breaks,
            "{started}: {found:?}"
        );
    }
}

#[test]
fn what_a_candidate_took_that_was_given_up_is_no_loss_of_the_group() {
    let mut history = good();
    let group = &mut history.groups[0];
    group.promotions[0].at = at(11.4);
    group.promotions[0].instance = 2;
    group.promotions[0].process_id = 102;
    group.begun = vec![begun(2, 1, 101, 11.0), begun(3, 2, 102, 11.4)];
    group.promotions.push(Promotion {
        instance: 1,
        process_id: 101,
        at: at(11.0),
        history: stream(3),
    });
    let given_up = Told {
        outcome: OutcomeName::Aborted,
        ..told(2, 0, 1, 11.5)
    };
    let done = Told {
        fact: Some(200),
        ..told(3, 0, 2, 20.5)
    };
    group.told = vec![given_up.clone(), done.clone()];
    group.last_told = vec![done, given_up];
    group.writes[4] = write(4, 2, 12.0, 2, 300);
    group.writes[5] = write(5, 2, 21.0, 2, 400);
    group.writes.push(write(6, 1, 11.3, 3, 300));
    group.files = vec![names(0, 0.0, 0), names(1, 11.5, 2)];
    group.epochs[1].epoch = 3;
    group.epochs[2].epoch = 3;
    let verdict = check(&history);
    assert!(verdict.broken.is_empty(), "{:?}", verdict.broken);
    assert_eq!(
        verdict.tally.lost["taken by a candidate that was given up"],
        1
    );
    assert_eq!(
        (verdict.tally.aborted, verdict.tally.failovers_done()),
        (1, 1)
    );
}

#[test]
fn a_refused_write_that_is_there_is_found() {
    let found = broken_by(|history| history.groups[0].writes[4].answer = Answer::Refused);
    assert_eq!(found, only(Rule::LossIsReported));
}

#[test]
fn data_that_are_lost_to_an_emptied_master_are_found_with_the_guard_and_excused_without() {
    let emptied = |is_guarded| {
        broken_by(|history| {
            let group = &mut history.groups[0];
            group.is_guarded = is_guarded;
            // The new master goes on from nothing.
            group.forks.clear();
            for number in [0, 1] {
                group.held.remove(&WriteId { writer: 0, number });
            }
            group.harms.push((at(10.8), Harm::Robbed { instance: 0 }));
        })
    };
    assert_eq!(emptied(true), only(Rule::GuardHolds));
    assert_eq!(emptied(false), BTreeSet::new());
}

#[test]
fn after_a_power_cut_everything_that_was_on_a_disk_has_to_be_there() {
    let cut = |on_disk: u64| {
        broken_by(|history| {
            let group = &mut history.groups[0];
            // The new master has the stream up to 150 only.
            group.forks.get_mut(&stream(2)).unwrap().shared = 150;
            group.held.remove(&WriteId {
                writer: 0,
                number: 1,
            });
            for told in &mut group.told {
                told.estimate = Some(0);
                told.fact = Some(20);
            }
            let on_disk = vec![(stream(1), on_disk)];
            group.harms.push((at(10.8), Harm::Everything { on_disk }));
        })
    };
    assert_eq!(cut(150), BTreeSet::new());
    assert_eq!(cut(250), only(Rule::LossIsReported));
}

#[test]
fn a_stranger_that_was_touched_and_a_site_that_does_not_settle_are_found() {
    let found = broken_by(|history| {
        let touched = (at(5.0), "it was demoted".to_owned());
        history.groups[0].strangers_touched.push(touched);
    });
    assert_eq!(found, only(Rule::StrangersStay));
    let found = broken_by(|history| history.calms[0].1 = Err("it does not".to_owned()));
    assert_eq!(found, only(Rule::Settles));
    let found = broken_by(|history| history.calms[0].1 = Ok(Duration::from_secs(60)));
    assert_eq!(found, only(Rule::Settles));
}
