//! S4: how long a master that was replaced goes on taking writes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ground::{Ground, Means};
use super::reigns::Reign;
use super::{Broken, Rule, Tally};
use crate::nemesis::history::{Answer, At, GroupHistory, InstanceId, Level, Write};

/// With the daemon beside it among the majority, an old master stops within this after it was replaced,
/// was started, woke up, or the last fault around it ended. README.md: it is told as soon as the epoch
/// begins, or as soon as it can be reached, which takes some milliseconds; a link that was cut is there
/// again 0.2 s after the cut.
pub const REPLACED_WITHIN: Duration = Duration::from_millis(1500);
/// A master that is cut off with the daemon beside it stops within this after the cut. README.md: 1.3 s.
pub const ISOLATED_WITHIN: Duration = Duration::from_millis(2000);

/// Servers log in milliseconds.
const CLOCK_MARGIN: Duration = Duration::from_millis(2);

/// Who was the master when, by its place: where a server restarted, it is the daemons' task to find out.
pub struct Reigning<'a> {
    reigns: &'a [Reign],
    /// When each process was first seen.
    first_seen: Vec<At>,
    instances: Vec<InstanceId>,
}

impl<'a> Reigning<'a> {
    pub fn new(group: &GroupHistory, reigns: &'a [Reign]) -> Self {
        Self {
            reigns,
            first_seen: group.processes.iter().map(|it| it.first_seen).collect(),
            instances: group.processes.iter().map(|it| it.instance).collect(),
        }
    }

    /// Since when the process that took this write was no master any more, if it was none.
    pub fn replaced_since(&self, write: &Write) -> Option<At> {
        let instance = self.instances[write.process];
        // It may have been carried out as late as it was answered.
        let until = self
            .reigns
            .iter()
            .take_while(|reign| reign.from <= write.answered + CLOCK_MARGIN);
        let mut since = None;
        for reign in until {
            if reign.instance == instance {
                since = None;
            } else if reign.from <= write.sent {
                since = since.or(Some(reign.from));
            }
        }
        since.map(|since: At| since.max(self.first_seen[write.process]))
    }
}

/// Looks at every write that was sent to an old master and taken.
pub fn check(
    number: usize,
    group: &GroupHistory,
    reigning: &Reigning<'_>,
    ground: &Ground<'_>,
    tally: &mut Tally,
) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut last_taken: BTreeMap<(usize, At), &Write> = BTreeMap::new();
    for write in &group.writes {
        let is_stranger = group.processes[write.process].is_stranger;
        if !matches!(write.answer, Answer::Taken { .. }) || is_stranger {
            continue;
        }
        if let Some(since) = reigning.replaced_since(write) {
            let last = last_taken.entry((write.process, since)).or_insert(write);
            if write.sent > last.sent {
                *last = write;
            }
        }
    }
    for ((process, since), last) in last_taken {
        let process = &group.processes[process];
        tally.two_masters = tally.two_masters.max(last.sent.saturating_sub(since));
        // It was there before it was replaced, so the daemons know its process.
        let is_logged = process.first_seen < since;
        let within = |means| match means {
            Means::Replaced => REPLACED_WITHIN,
            Means::Isolated => ISOLATED_WITHIN,
        };
        let due = match group.level {
            Level::Off => None,
            Level::Strict => Some((since + CLOCK_MARGIN, since, "strict")),
            Level::Fast => ground
                .must_have_stopped(number, process.instance, since, is_logged, within)
                .map(|bound| (bound.due, bound.counts_from, name_of(bound.means))),
        };
        let Some((due, counts_from, why)) = due else {
            continue;
        };
        tally.judge(why, last.sent.saturating_sub(counts_from));
        if last.sent > due {
            let what = format!(
                "instance {} took write {:?}, sent at {:.3} s, though it was replaced at {:.3} s and had \
                 to stop by {:.3} s ({why})",
                process.instance,
                last.id,
                last.sent.as_secs_f64(),
                since.as_secs_f64(),
                due.as_secs_f64(),
            );
            broken.push(Broken::new(Rule::OldMasterStops, last.sent, what));
        }
    }
    broken
}

fn name_of(means: Means) -> &'static str {
    match means {
        Means::Replaced => "replaced",
        Means::Isolated => "cut off",
    }
}
