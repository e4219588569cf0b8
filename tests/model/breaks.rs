//! The rules of the core that are broken on purpose, and how soon that is noticed.

use promoterd::breaks::Break;

use crate::notice::assert_each_is_noticed;
use crate::run::play;
use crate::schedule;

/// Each broken rule, and within how many schedules it is noticed.
const NOTICED_WITHIN: &[(Break, u64)] = &[
    (Break::QuorumOneShort, 50),
    (Break::StaleViewCounts, 600),
    (Break::ViewOfAnotherEpochCounts, 20),
    (Break::OwnSilenceCountsAfterSleep, 300),
    (Break::OldOutcomeActedUpon, 2_000),
    (Break::CandidateNotAskedAgain, 2_000),
    (Break::ForeignHistoryEligible, 100),
    (Break::EmptiedMasterAccepted, 50),
    (Break::RestartNotNoticed, 200),
    (Break::DeposedLeaderActs, 30),
    (Break::ActsBeforeCommit, 20),
    (Break::AbortsAfterPromotion, 20),
    (Break::EpochUsedAgain, 200),
    (Break::PauseIgnored, 150),
    (Break::PauseOverruled, 3000),
    (Break::FenceNeverLifted, 300),
    (Break::MembersForgotten, 80),
    (Break::RegistersOnUnequalSettings, 100),
    (Break::PublishesUnconfirmed, 30),
    (Break::InstalledStateNotPublished, 800),
    (Break::RogueLeftAlone, 20),
    (Break::RefusalIgnored, 1000),
];

#[test]
fn each_broken_rule_of_the_core_is_noticed() {
    assert_each_is_noticed(NOTICED_WITHIN, |seed| {
        play(&schedule::draw(seed), false).broken
    });
}
