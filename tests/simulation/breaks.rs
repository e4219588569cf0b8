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
    (Break::TornFrameTaken, 1_500),
    (Break::EmptiedVoterCounts, 50),
    (Break::LeaderActsBeforeCaughtUp, 150),
];

/// The same in schedules about leases.
const NOTICED_ABOUT_LEASES_WITHIN: &[(Break, u64)] = &[
    (Break::LeaseNotWaitedFor, 600),
    (Break::GrantOutlivedTooSoon, 600),
    (Break::LeaseCountsFromAnswer, 600),
    (Break::RestartForgetsGrants, 600),
    (Break::ReplacedEpochLeased, 600),
    (Break::UnconfirmedVoterGrants, 600),
    (Break::FencerTakenForPunctual, 600),
    (Break::WritesWithoutFencer, 600),
    (Break::FenceBelievedUnconfirmed, 600),
    (Break::CandidateNotFenced, 600),
    (Break::SuspendForgotten, 600),
];

/// The same in schedules about disks.
const NOTICED_ABOUT_DISKS_WITHIN: &[(Break, u64)] = &[
    (Break::AnswersBeforeDisk, 600),
    (Break::ReplacementNotJournalled, 600),
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
    let part = Narrowing {
        is_brief: theme == Theme::Leases,
        ..Narrowing::whole(theme)
    };
    let broken = run_part(seed, Wanted::Nothing, part).broken;
    broken.map(|violation| violation.to_string())
}
