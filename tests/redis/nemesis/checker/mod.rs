//! Whether a recorded run kept every promise: a pure function from what was recorded to what is broken.

mod epochs;
mod files;
mod ground;
mod lineage;
mod losses;
mod old_masters;
#[cfg(test)]
mod old_masters_tests;
mod reigns;
mod tally;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub use old_masters::{ISOLATED_WITHIN, REPLACED_WITHIN};
pub use tally::Tally;

use super::history::{At, GroupHistory, History};

/// With all faults taken back, everything has settled within this. A group whose data may be on an
/// instance that is not back yet waits for it for 30 s.
pub const SETTLES_WITHIN: Duration = Duration::from_secs(40);

/// What may not be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// S1 and S2: one promotion an epoch, and none without one.
    OnePromotion,
    /// S1: the epochs of a group only grow.
    EpochsGrow,
    /// S3: what a daemon told of an epoch stays, and all tell the same.
    DecisionsStay,
    /// S4: an old master takes no write for longer than the fencing level allows.
    OldMasterStops,
    /// S5: files name masters of committed epochs, never go back, and are never half-written.
    FilesNameMasters,
    /// What is lost lies within what the history of failovers reports.
    LossIsReported,
    /// S6: with the guard nothing is lost to a master that lost its data.
    GuardHolds,
    /// What belongs to somebody else is left alone.
    StrangersStay,
    /// L1 to L4: once all faults are taken back everything settles.
    Settles,
}

/// One breach.
#[derive(Debug, Clone)]
pub struct Broken {
    pub rule: Rule,
    pub at: At,
    /// The group, by its place; nothing where all are meant.
    pub group: Option<usize>,
    pub what: String,
}

impl Broken {
    pub fn new(rule: Rule, at: At, what: impl Into<String>) -> Self {
        Self {
            rule,
            at,
            group: None,
            what: what.into(),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            at,
            group,
            what,
        } = self;
        let group = group.map_or_else(String::new, |group| format!(", group g{}", group + 1));
        write!(
            formatter,
            "{rule:?} at {:.3} s{group}: {what}",
            at.as_secs_f64()
        )
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Verdict {
    pub broken: Vec<Broken>,
    pub tally: Tally,
}

/// Judges a run.
pub fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let ground = ground::Ground::new(history);
    for (number, group) in history.groups.iter().enumerate() {
        let mut found = check_group(number, group, &ground, &mut verdict.tally);
        for broken in &mut found {
            broken.group = Some(number);
        }
        verdict.broken.extend(found);
    }
    for (at, settled) in &history.calms {
        match settled {
            Ok(took) if *took <= SETTLES_WITHIN => verdict.tally.settled.push(*took),
            Ok(took) => verdict.broken.push(Broken::new(
                Rule::Settles,
                *at,
                format!("it took {took:?}, more than {SETTLES_WITHIN:?}"),
            )),
            Err(why) => verdict.broken.push(Broken::new(Rule::Settles, *at, why)),
        }
    }
    verdict.broken.sort_by_key(|broken| broken.at);
    verdict
}

fn check_group(
    number: usize,
    group: &GroupHistory,
    ground: &ground::Ground<'_>,
    tally: &mut Tally,
) -> Vec<Broken> {
    let (reigns, mut broken) = reigns::reigns(group);
    broken.extend(epochs::check(group, tally));
    broken.extend(files::check(group, &reigns));
    let reigning = old_masters::Reigning::new(group, &reigns);
    broken.extend(old_masters::check(number, group, &reigning, ground, tally));
    broken.extend(losses::check(
        number, group, &reigns, &reigning, ground, tally,
    ));
    for (at, what) in &group.strangers_touched {
        broken.push(Broken::new(Rule::StrangersStay, *at, what));
    }
    tally.count_answers(group);
    broken
}
