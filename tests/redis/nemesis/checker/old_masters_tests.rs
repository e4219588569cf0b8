//! Old masters in hand-made histories: by when they have to stop, and where nothing bounds them.

use std::collections::BTreeSet;

use super::tests::{at, begun, broken_by, good, names, promotion, told, write};
use super::*;
use crate::nemesis::history::*;

#[test]
fn an_old_master_that_takes_writes_too_long_is_found() {
    // Cut off at 10 s: it had to stop at 12 s.
    for (sent, breaks) in [(11.9, false), (12.1, true), (19.0, true)] {
        let found = broken_by(|history| history.groups[0].writes[3].sent = at(sent));
        assert_eq!(
            found.contains(&Rule::OldMasterStops),
            breaks,
            "{sent}: {found:?}"
        );
    }
}

#[test]
fn an_old_master_beside_a_daemon_that_hears_the_majority_has_less_time() {
    for (sent, breaks) in [(12.4, false), (12.6, true)] {
        let found = broken_by(|history| {
            history.world.clear();
            history.groups[0].writes[3].sent = at(sent);
        });
        assert_eq!(
            found.contains(&Rule::OldMasterStops),
            breaks,
            "{sent}: {found:?}"
        );
    }
}

#[test]
fn where_faults_leave_no_bound_an_old_master_breaks_none_until_they_end() {
    let daemon = |is_well| Change::Daemon { host: 0, is_well };
    // The daemon beside it is stopped until 18 s, and the cut lasts: there is none.
    for (started, healed, sent, breaks) in [
        (18.0, 30.0, 19.0, false),
        (18.0, 30.0, 29.0, false),
        (18.0, 20.0, 21.4, false),
        (18.0, 20.0, 21.6, true),
    ] {
        let found = broken_by(|history| {
            history.world = vec![
                (at(9.9), daemon(false)),
                history.world[0].clone(),
                (at(started), daemon(true)),
                (at(healed), Change::Cuts(BTreeSet::new())),
            ];
            history.groups[0].writes[3].sent = at(sent);
        });
        assert_eq!(
            found.contains(&Rule::OldMasterStops),
            breaks,
            "{sent}: {found:?}"
        );
    }
}

#[test]
fn nothing_bounds_an_old_master_that_kept_half_of_its_replicas_or_is_not_fenced() {
    let found = broken_by(|history| {
        history.groups[0].hosts = vec![0, 0, 3];
        history.groups[0].writes[3].sent = at(19.0);
    });
    assert!(!found.contains(&Rule::OldMasterStops), "{found:?}");
    let found = broken_by(|history| {
        history.groups[0].level = Level::Off;
        history.groups[0].writes[3].sent = at(19.0);
    });
    assert!(!found.contains(&Rule::OldMasterStops), "{found:?}");
}

#[test]
fn with_strict_fencing_no_fault_excuses_a_second_master() {
    // The new one was promoted at 11 s.
    for (sent, breaks) in [(10.9, false), (11.2, true)] {
        let found = broken_by(|history| {
            history.groups[0].level = Level::Strict;
            history.groups[0].writes[3].sent = at(sent);
        });
        assert_eq!(
            found.contains(&Rule::OldMasterStops),
            breaks,
            "{sent}: {found:?}"
        );
    }
}

#[test]
fn a_daemon_without_its_state_makes_no_majority_before_it_was_let_in() {
    // Two hosts are cut off; of the three others one daemon has lost its state, and nobody can let it in
    // before the cut ends. The old master restarts among these three, and is told at 20 s.
    let apart = [0, 1]
        .into_iter()
        .flat_map(|one| (2..5).flat_map(move |other| [(one, other), (other, one)]));
    let apart: BTreeSet<(HostId, HostId)> = apart.collect();
    let voter = |is_one| Change::Voter { host: 4, is_one };
    for (lost, sent, breaks) in [
        (false, 12.4, false),
        (false, 12.6, true),
        (true, 19.9, false),
        (true, 21.4, false),
        (true, 21.8, true),
    ] {
        let found = broken_by(|history| {
            history.groups[0].hosts = vec![2, 3, 0];
            history.world = vec![
                (at(10.0), Change::Cuts(apart.clone())),
                (at(20.0), Change::Cuts(BTreeSet::new())),
            ];
            if lost {
                history.world.insert(0, (at(9.0), voter(false)));
                history.world.push((at(20.2), voter(true)));
            }
            history.groups[0].writes[3].sent = at(sent);
        });
        assert_eq!(
            found.contains(&Rule::OldMasterStops),
            breaks,
            "{lost}, {sent}: {found:?}"
        );
    }
}

#[test]
fn a_write_that_waited_for_the_promotion_of_its_server_was_taken_by_a_master() {
    for (answered, breaks) in [(30.001, false), (29.9, true)] {
        let found = broken_by(|history| {
            let group = &mut history.groups[0];
            group.begun.push(begun(3, 0, 100, 29.999));
            group.promotions.push(promotion(0, 100, 30.0, 3));
            group.told.push(told(3, 1, 0, 30.5));
            group.last_told.push(told(3, 1, 0, 30.5));
            group.writes.push(Write {
                answered: at(answered),
                ..write(6, 0, 29.8, 3, 500)
            });
        });
        assert_eq!(
            found.contains(&Rule::OldMasterStops),
            breaks,
            "{answered}: {found:?}"
        );
    }
}

#[test]
fn a_promotion_belongs_to_the_epoch_that_began_with_it() {
    let mut history = good();
    let group = &mut history.groups[0];
    // Found as a master after a restart in epoch 2, replaced in 3, promoted in 4.
    group.promotions = vec![promotion(2, 102, 15.0, 4), promotion(1, 101, 18.0, 5)];
    group.followers.remove(&101);
    group.begun = vec![
        begun(2, 1, 101, 11.0),
        begun(3, 2, 102, 15.0),
        begun(4, 1, 101, 18.0),
    ];
    group.told = vec![
        told(2, 0, 1, 11.5),
        told(3, 1, 2, 15.5),
        told(4, 2, 1, 18.5),
    ];
    group.last_told = group.told.clone();
    group.followers.insert(101, [at(17.0)].into());
    group.files.push(names(1, 15.1, 2));
    group.files.push(names(1, 18.1, 1));
    let found: Vec<Rule> = check(&history).broken.iter().map(|it| it.rule).collect();
    let promotions = |rule: &&Rule| matches!(rule, Rule::OnePromotion | Rule::FilesNameMasters);
    assert_eq!(found.iter().find(promotions), None, "{found:?}");
}

#[test]
fn a_master_that_was_replaced_and_never_followed_needs_no_second_promotion() {
    // Epoch 3 went to instance 2, whose data were lost; nobody had reached instance 1 meanwhile.
    for (followed, breaks) in [(None, false), (Some(14.0), true)] {
        let found = broken_by(|history| {
            let group = &mut history.groups[0];
            group.promotions.push(promotion(2, 102, 13.0, 4));
            group.begun.push(begun(3, 2, 102, 13.0));
            group.begun.push(begun(4, 1, 101, 30.0));
            let last = [told(3, 1, 2, 13.5), told(4, 2, 1, 30.5)];
            group.told.extend(last.clone());
            group.last_told.extend(last);
            let began_to = group.followers.get_mut(&101).unwrap();
            began_to.extend(followed.map(at));
        });
        assert_eq!(
            found.contains(&Rule::OnePromotion),
            breaks,
            "{followed:?}: {found:?}"
        );
    }
}
