//! The rules outside of the core that are broken on purpose, and how soon that is noticed.

#[path = "../model/notice.rs"]
mod notice;

use promoterd::breaks::Break;

use crate::run::run;
use crate::transcript::Wanted;
use notice::assert_each_is_noticed;

/// Each broken rule, and within how many schedules it is noticed.
const NOTICED_WITHIN: &[(Break, u64)] = &[
    (Break::TornFrameTaken, 1_500),
    (Break::EmptiedVoterCounts, 50),
    (Break::LeaderActsBeforeCaughtUp, 150),
];

#[test]
fn each_broken_rule_outside_of_the_core_is_noticed() {
    assert_each_is_noticed(NOTICED_WITHIN, broken);
}

fn broken(seed: u64) -> Option<String> {
    let broken = run(seed, Wanted::Nothing).broken;
    broken.map(|violation| violation.to_string())
}
