//! The rules that are broken on purpose and that whole clusters notice, and how soon.

#[path = "../model/notice.rs"]
mod notice;

use promoterd::breaks::Break;

use crate::invariants::one_writer_under_strict_fencing;
use crate::narrowing::Narrowing;
use crate::run::run_part;
use crate::theme::Theme;
use crate::transcript::Wanted;
use notice::assert_each_is_noticed;

/// Each broken rule, and within how many schedules it is noticed.
const NOTICED_WITHIN: &[(Break, u64)] = &[
    (Break::TornFrameTaken, 300),
    (Break::EmptiedVoterCounts, 50),
    (Break::LeaderActsBeforeCaughtUp, 150),
    (Break::LaterNewsNotWritten, 10),
];

/// The same in schedules about leases.
const NOTICED_ABOUT_LEASES_WITHIN: &[(Break, u64)] = &[
    (Break::LeaseNotWaitedFor, 20),
    (Break::GrantOutlivedTooSoon, 600),
    (Break::LeaseCountsFromAnswer, 850),
    (Break::RestartForgetsGrants, 150),
    (Break::ReplacedEpochLeased, 100),
    (Break::UnconfirmedVoterGrants, 50),
    (Break::FencerTakenForPunctual, 100),
    (Break::WritesWithoutFencer, 100),
    (Break::FenceBelievedUnconfirmed, 200),
    (Break::CandidateNotFenced, 80),
    (Break::SuspendForgotten, 350),
];

/// The same in schedules about disks.
const NOTICED_ABOUT_DISKS_WITHIN: &[(Break, u64)] = &[
    (Break::AnswersBeforeDisk, 50),
    (Break::ReplacementNotJournalled, 100),
];

/// Rules of observers that schedules about leases put to the test: in these, voters are left behind.
const NOTICED_BY_OBSERVERS_WITHIN: &[(Break, u64)] = &[(Break::OlderWordTaken, 180)];

#[test]
fn each_broken_rule_outside_of_the_core_is_noticed() {
    assert_each_is_noticed(NOTICED_WITHIN, |seed| broken(Theme::Everything, seed));
}

#[test]
fn each_broken_rule_of_leases_is_noticed() {
    assert_each_is_noticed(NOTICED_ABOUT_LEASES_WITHIN, breaks_strict_fencing);
}

#[test]
fn each_broken_rule_of_observers_is_noticed() {
    assert_each_is_noticed(NOTICED_BY_OBSERVERS_WITHIN, |seed| {
        broken(Theme::Leases, seed)
    });
}

#[test]
fn each_broken_rule_of_disks_is_noticed() {
    assert_each_is_noticed(NOTICED_ABOUT_DISKS_WITHIN, |seed| {
        broken(Theme::Disks, seed)
    });
}

fn broken(theme: Theme, seed: u64) -> Option<String> {
    let part = Narrowing {
        is_brief: theme == Theme::Leases,
        ..Narrowing::whole(theme)
    };
    let broken = run_part(seed, Wanted::Nothing, part).broken;
    broken.map(|violation| violation.to_string())
}

/// Nothing but two writers counts: that nothing settles any more would say less.
fn breaks_strict_fencing(seed: u64) -> Option<String> {
    let how = broken(Theme::Leases, seed);
    how.filter(|how| how.starts_with(one_writer_under_strict_fencing::PROMISE))
}
