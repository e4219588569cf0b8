//! The rules that are broken on purpose and that whole clusters notice, and how soon.

#[path = "../model/notice.rs"]
mod notice;

use promoterd::breaks::Break;

use crate::invariants::one_writer_under_strict_fencing;
use crate::run::run_about;
use crate::theme::Theme;
use crate::transcript::Wanted;
use notice::assert_each_is_noticed;

/// Each broken rule, and within how many schedules it is noticed.
const NOTICED_WITHIN: &[(Break, u64)] = &[
    (Break::TornFrameTaken, 1_500),
    (Break::EmptiedVoterCounts, 50),
    (Break::LeaderActsBeforeCaughtUp, 150),
];

/// The same in schedules about leases.
const NOTICED_ABOUT_LEASES_WITHIN: &[(Break, u64)] = &[
    (Break::LeaseNotWaitedFor, 3_000),
    (Break::GrantOutlivedTooSoon, 3_000),
    (Break::LeaseCountsFromAnswer, 3_000),
    (Break::RestartForgetsGrants, 3_000),
    (Break::ReplacedEpochLeased, 3_000),
    (Break::UnconfirmedVoterGrants, 3_000),
    (Break::FencerTakenForPunctual, 3_000),
    (Break::WritesWithoutFencer, 3_000),
    (Break::FenceBelievedUnconfirmed, 3_000),
    (Break::CandidateNotFenced, 3_000),
    (Break::SuspendForgotten, 3_000),
];

/// The same in schedules about disks.
const NOTICED_ABOUT_DISKS_WITHIN: &[(Break, u64)] = &[
    (Break::AnswersBeforeDisk, 3_000),
    (Break::ReplacementNotJournalled, 3_000),
];

#[test]
fn each_broken_rule_outside_of_the_core_is_noticed() {
    assert_each_is_noticed(NOTICED_WITHIN, |seed| broken(Theme::Everything, seed));
}

#[test]
fn each_broken_rule_of_leases_is_noticed() {
    assert_each_is_noticed(NOTICED_ABOUT_LEASES_WITHIN, |seed| {
        broken(Theme::Leases, seed)
            .filter(|how| how.starts_with(one_writer_under_strict_fencing::PROMISE))
    });
}

#[test]
fn each_broken_rule_of_disks_is_noticed() {
    assert_each_is_noticed(NOTICED_ABOUT_DISKS_WITHIN, |seed| {
        broken(Theme::Disks, seed)
    });
}

fn broken(theme: Theme, seed: u64) -> Option<String> {
    let broken = run_about(theme, seed, Wanted::Nothing).broken;
    broken.map(|violation| violation.to_string())
}
