//! What became of each acknowledged write, and whether what is lost was reported.

use std::collections::BTreeMap;

use promoterd::model::ReplicationId;

use super::lineage::shared;
use super::old_masters::Reigning;
use super::reigns::Reign;
use super::{Broken, Rule, Tally};
use crate::nemesis::history::{Answer, At, GroupHistory, Harm, Told, Write};

/// The estimate goes by the highest rate of writes that was seen; what may be written between two looks
/// beyond that, in bytes.
pub const ESTIMATE_MARGIN: u64 = 16 * 1024;

/// The fact is read before the old master is fenced, which is within 100 ms of its first answer: what it
/// takes in between is not in it.
const FENCED_WITHIN: At = At::from_millis(100);

/// The most that one failover lost.
#[derive(Debug, Default, Clone)]
struct Loss {
    /// Of what was acknowledged before it began.
    before: u64,
    /// What the very process took that was replaced, at any time: when, and how far it then was.
    of_old_process: Vec<(At, u64)>,
    count: u64,
    example: Option<Write>,
}

impl Loss {
    /// How far the old process was so long before the last write that it took.
    fn before_the_last(&self, span: At) -> u64 {
        let last = self.of_old_process.iter().map(|(sent, _)| *sent).max();
        let until = last.unwrap_or_default().saturating_sub(span);
        let told = self
            .of_old_process
            .iter()
            .filter(|(sent, _)| *sent <= until);
        told.map(|(_, bytes)| *bytes).max().unwrap_or(0)
    }
}

pub fn check(
    group: &GroupHistory,
    reigns: &[Reign],
    reigning: &Reigning<'_>,
    tally: &mut Tally,
) -> Vec<Broken> {
    let mut broken = check_the_others(group);
    let mut losses: BTreeMap<usize, Loss> = BTreeMap::new();
    for write in &group.writes {
        let Answer::Taken { history, offset } = write.answer else {
            continue;
        };
        let is_stranger = group.processes[write.process].is_stranger;
        if is_stranger || group.held.contains(&write.id) {
            continue;
        }
        let own = reigns
            .iter()
            .rposition(|reign| reign.history == Some(history));
        let Some(own) = own else {
            // Whoever took it was never known as a master: it restarted, and was replaced or demoted.
            tally.lose("taken by a server that had restarted, before it was replaced");
            continue;
        };
        if !reigns[own].is_done {
            // Nobody could tell that it had been promoted, and it is demoted as soon as it is reached.
            tally.lose("taken by a candidate that was given up");
            continue;
        }
        let lost_at = (own + 1..reigns.len()).find(|later| {
            let heir = reigns[*later].history.filter(|_| reigns[*later].is_done);
            heir.is_some_and(|heir| {
                shared(&group.forks, heir, history).is_none_or(|shared| offset > shared)
            })
        });
        let Some(lost_at) = lost_at else {
            // A reign of which no history is known may have been the one that lost it.
            if reigns[own..].iter().any(|reign| reign.history.is_none()) {
                tally.lose("not to be judged");
            } else if let Some(how) = excuse(group, &reigns[own..], At::MAX, write) {
                tally.lose(how);
            } else {
                let what = format!("every master since had it, and it is gone: {write:?}");
                broken.push(Broken::new(Rule::LossIsReported, write.sent, what));
            }
            continue;
        };
        let heir = &reigns[lost_at];
        if let Some(how) = excuse(group, &reigns[lost_at - 1..lost_at], heir.from, write) {
            tally.lose(how);
            continue;
        }
        if should_have_outlived(group, reigns[lost_at - 1].begun, heir.from, write) {
            let what = format!("it was on a disk when everything was restarted: {write:?}");
            broken.push(Broken::new(Rule::LossIsReported, write.sent, what));
            continue;
        }
        if heir.is_identified {
            let rule = if group.is_guarded {
                Rule::GuardHolds
            } else {
                Rule::LossIsReported
            };
            let what = format!(
                "lost within epoch {}, without a failover: {write:?}",
                heir.epoch
            );
            broken.push(Broken::new(rule, write.sent, what));
            continue;
        }
        let shared = heir
            .history
            .and_then(|heir| shared(&group.forks, heir, history));
        if shared.is_none() && group.is_guarded {
            let what = format!(
                "{write:?} and all before it, since epoch {} has other data",
                heir.epoch
            );
            broken.push(Broken::new(Rule::GuardHolds, write.sent, what));
            continue;
        }
        let bytes = offset - shared.unwrap_or(0);
        let loss = losses.entry(lost_at).or_default();
        loss.count += 1;
        if write.answered < heir.begun && reigning.replaced_since(write).is_none() {
            loss.before = loss.before.max(bytes);
            tally.lose("not replicated before the failover");
        } else {
            tally.lose("taken by an old master");
        }
        let is_old_process =
            Some(group.processes[write.process].run_id) == reigns[lost_at - 1].run_id;
        if is_old_process {
            loss.of_old_process.push((write.sent, bytes));
        }
        if loss.before == bytes || loss.example.is_none() {
            loss.example = Some(write.clone());
        }
    }
    for (lost_at, loss) in losses {
        broken.extend(compare(group, &reigns[lost_at], &loss, tally));
    }
    broken
}

/// What was lost, and what the history of failovers says of it.
fn compare(group: &GroupHistory, heir: &Reign, loss: &Loss, tally: &mut Tally) -> Vec<Broken> {
    let told = group.told.iter().filter(|told| told.epoch == heir.epoch);
    let told: Vec<&Told> = told.collect();
    let Some(estimate) = told.iter().map(|told| told.estimate).next() else {
        return Vec::new();
    };
    let fact = told.iter().find_map(|told| told.fact);
    tally.losses.push((loss.before, estimate, fact));
    let mut broken = Vec::new();
    let mut complain = |what: String| {
        let example = loss.example.as_ref().expect("a loss has a write");
        let what = format!(
            "epoch {}: {what}; {} writes, the last of them {example:?}",
            heir.epoch, loss.count
        );
        broken.push(Broken::new(Rule::LossIsReported, heir.begun, what));
    };
    if loss.before > estimate + ESTIMATE_MARGIN {
        complain(format!(
            "{} bytes acknowledged before it are lost, and estimated were {estimate}",
            loss.before
        ));
    }
    let told = loss.before_the_last(FENCED_WITHIN);
    if let Some(fact) = fact.filter(|fact| told > *fact) {
        complain(format!(
            "{told} bytes are lost, and the fact is told to be {fact}"
        ));
    }
    broken
}

/// What was never acknowledged for certain must not be there, and nothing twice or from nobody.
fn check_the_others(group: &GroupHistory) -> Vec<Broken> {
    let refused = group
        .writes
        .iter()
        .filter(|write| write.answer == Answer::Refused);
    refused
        .filter(|write| group.held.contains(&write.id))
        .map(|write| {
            let what = format!("it was refused, and is there: {write:?}");
            Broken::new(Rule::LossIsReported, write.sent, what)
        })
        .collect()
}

/// What was done to the masters of these reigns that loses this write by itself.
fn excuse(
    group: &GroupHistory,
    reigns: &[Reign],
    until: At,
    write: &Write,
) -> Option<&'static str> {
    let Answer::Taken { history, offset } = write.answer else {
        return None;
    };
    let from = reigns.first().map_or(until, |reign| reign.begun);
    let harms = group
        .harms
        .iter()
        .filter(|(at, _)| (from..=until).contains(at));
    harms.rev().find_map(|(at, harm)| match harm {
        Harm::Robbed { instance } => {
            let was_master = reigns.iter().any(|reign| reign.instance == *instance);
            (was_master && !group.is_guarded).then_some("copied from a master without its data")
        }
        Harm::Everything { on_disk } => {
            // Its server was killed then, a moment after it was noted what is on disk.
            let is_older = group.processes[write.process].first_seen <= *at;
            (is_older && !was_on_disk(group, on_disk, history, offset))
                .then_some("on no disk at a power cut")
        }
    })
}

fn was_on_disk(
    group: &GroupHistory,
    on_disk: &[(ReplicationId, u64)],
    history: ReplicationId,
    offset: u64,
) -> bool {
    on_disk.iter().any(|(saved, until)| {
        let shared = shared(&group.forks, *saved, history);
        shared.is_some_and(|shared| offset <= shared.min(*until))
    })
}

/// Whether everything was restarted between two masters, and the write was on some disk.
fn should_have_outlived(group: &GroupHistory, from: At, until: At, write: &Write) -> bool {
    let Answer::Taken { history, offset } = write.answer else {
        return false;
    };
    group.harms.iter().any(|(at, harm)| match harm {
        Harm::Everything { on_disk } => {
            let is_between = (from..=until).contains(at) && write.sent <= *at;
            is_between && was_on_disk(group, on_disk, history, offset)
        }
        Harm::Robbed { .. } => false,
    })
}
