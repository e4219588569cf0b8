//! Rules that tests break on purpose, to see that the simulation notices.
//!
//! Each place that keeps one of these rules asks [`is_broken`]. Without the cargo feature `breaks`, which no
//! shipped program has, that is a constant `false`, so nothing of it is compiled in. With it, a test chooses
//! one rule for its own thread by `with_broken`.

#[cfg(feature = "breaks")]
use std::cell::Cell;

/// A rule, broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// One view fewer than the quorum holds a master objectively down.
    QuorumOneShort,
    /// A view counts however old it is.
    StaleViewCounts,
    /// A view counts that is of another epoch, or of another process.
    ViewOfAnotherEpochCounts,
    /// A node that slept takes what it did not hear for silence.
    OwnSilenceCountsAfterSleep,
    /// The answer to the promotion of an earlier epoch is taken for one of this epoch.
    OldOutcomeActedUpon,
    /// The candidate is promoted without another look at it.
    CandidateNotAskedAgain,
    /// An instance with another history than the group's may be promoted.
    ForeignHistoryEligible,
    /// A master that restarted is taken for what it was, whatever it has.
    EmptiedMasterAccepted,
    /// A master that answers as another process is no reason for a failover.
    RestartNotNoticed,
    /// A leader that was deposed goes on.
    DeposedLeaderActs,
    /// What is proposed is acted upon before it is committed.
    ActsBeforeCommit,
    /// A promotion that was answered is aborted.
    AbortsAfterPromotion,
    /// An aborted epoch's number is used again.
    EpochUsedAgain,
    /// The leader acts in spite of a pause.
    PauseIgnored,
    /// A `Begin` counts although a pause was committed before it.
    PauseOverruled,
    /// A fence stays for good.
    FenceNeverLifted,
    /// Members that the master does not tell of are forgotten.
    MembersForgotten,
    /// A group is registered whatever settings the other voters have.
    RegistersOnUnequalSettings,
    /// Clients' files are rewritten before anybody confirmed what they are to say.
    PublishesUnconfirmed,
    /// What a snapshot says of the master is not told to the clients.
    InstalledStateNotPublished,
    /// A second master is left alone.
    RogueLeftAlone,
    /// A leader whose proposal the engine refused waits for it.
    RefusalIgnored,
    /// A voter votes and acknowledges before that is on its disk.
    AnswersBeforeDisk,
    /// A frame of the log counts that a crash left torn.
    TornFrameTaken,
    /// A voter that lost its state votes and acknowledges before it was let in.
    EmptiedVoterCounts,
    /// A new leader acts on the state that it has, before it knows all that was committed.
    LeaderActsBeforeCaughtUp,
    /// That a client has read its file counts on while the file is replaced.
    ReplacementNotJournalled,
    /// A master is replaced whoever holds a lease for it.
    LeaseNotWaitedFor,
    /// A lease is taken for outlived without regard to what two clocks may differ.
    GrantOutlivedTooSoon,
    /// A lease is counted from the receipt of its grant.
    LeaseCountsFromAnswer,
    /// A voter that restarted takes it that it never granted a lease.
    RestartForgetsGrants,
    /// A voter grants leases of an epoch after another one was begun.
    ReplacedEpochLeased,
    /// A voter that restarted grants leases before a leader confirmed what it knows.
    UnconfirmedVoterGrants,
    /// The fencer is taken to be never late.
    FencerTakenForPunctual,
    /// A master takes writes as soon as the fencer was told of its lease, whether that heeds it or not.
    WritesWithoutFencer,
    /// A master is taken for fenced once that was ordered.
    FenceBelievedUnconfirmed,
    /// A candidate is promoted that takes writes at once.
    CandidateNotFenced,
    /// A lease counts on that was had before the host slept.
    SuspendForgotten,
    /// An observer takes a word about a group for news although it knows a newer one.
    OlderWordTaken,
    /// An observer's files are rewritten once, and not at later news.
    LaterNewsNotWritten,
}

/// Whether this thread's test has broken `rule`.
#[cfg(not(feature = "breaks"))]
#[must_use]
pub const fn is_broken(_rule: Break) -> bool {
    false
}

/// Whether this thread's test has broken `rule`.
#[cfg(feature = "breaks")]
#[must_use]
pub fn is_broken(rule: Break) -> bool {
    BROKEN.get() == Some(rule)
}

#[cfg(feature = "breaks")]
thread_local! {
    static BROKEN: Cell<Option<Break>> = const { Cell::new(None) };
}

/// Does `work` on this thread with `rule` broken.
#[cfg(feature = "breaks")]
pub fn with_broken<Outcome>(rule: Break, work: impl FnOnce() -> Outcome) -> Outcome {
    struct Mended;
    impl Drop for Mended {
        fn drop(&mut self) {
            BROKEN.set(None);
        }
    }
    BROKEN.set(Some(rule));
    let _mended = Mended;
    work()
}
