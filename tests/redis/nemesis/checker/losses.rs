//! What became of each acknowledged write, and whether what is lost was reported.

use std::collections::BTreeMap;

use promoterd::model::ReplicationId;

use super::ground::Ground;
use super::lineage::{parting, shared};
use super::old_masters::Reigning;
use super::reigns::Reign;
use super::{Broken, Rule, Tally};
use crate::cluster::MORE_NODES;
use crate::nemesis::history::{Answer, At, GroupHistory, Harm, Told, Write};

/// The estimate goes by the highest rate of writes that was seen; what may be written between two looks
/// beyond that, in bytes.
pub const ESTIMATE_MARGIN: u64 = 16 * 1024;

/// The most that one failover lost.
#[derive(Debug, Default, Clone)]
struct Loss {
    /// Of what was acknowledged before it began.
    before: u64,
    /// Of what the very process took that was replaced, at any time.
    of_old_process: u64,
    count: u64,
    example: Option<Write>,
}

pub fn check(
    number: usize,
    group: &GroupHistory,
    reigns: &[Reign],
    reigning: &Reigning<'_>,
    ground: &Ground<'_>,
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
        let parted = heir
            .history
            .and_then(|heir| parting(&group.forks, heir, history));
        if parted.is_none() && group.is_guarded {
            let what = format!(
                "{write:?} and all before it, since epoch {} has other data",
                heir.epoch
            );
            broken.push(Broken::new(Rule::GuardHolds, write.sent, what));
            continue;
        }
        let bytes = offset - parted.unwrap_or(0);
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
            loss.of_old_process = loss.of_old_process.max(bytes);
        }
        if loss.before == bytes || loss.example.is_none() {
            loss.example = Some(write.clone());
        }
    }
    for (lost_at, loss) in losses {
        // Whoever never saw the lost master as the master has nothing to estimate by.
        let (lost, heir) = (&reigns[lost_at - 1], &reigns[lost_at]);
        let told = group.told.iter().find(|told| told.epoch == heir.epoch);
        let leader = told.and_then(|told| MORE_NODES.iter().position(|it| *it == told.leader));
        let is_estimated = leader.is_some_and(|node| {
            ground.has_seen(node, number, lost.instance, lost.from, heir.begun)
        });
        broken.extend(compare(group, &reigns[lost_at], &loss, is_estimated, tally));
    }
    broken
}

/// What was lost, and what the history of failovers says of it.
fn compare(
    group: &GroupHistory,
    heir: &Reign,
    loss: &Loss,
    is_estimated: bool,
    tally: &mut Tally,
) -> Vec<Broken> {
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
    let lost = loss.before;
    match estimate.filter(|_| is_estimated) {
        Some(most) if lost > most + ESTIMATE_MARGIN => complain(format!(
            "{lost} bytes acknowledged before it are lost, and estimated were {most}"
        )),
        None if is_estimated => complain(format!(
            "{lost} bytes acknowledged before it are lost, and nothing was estimated by a leader that must have \
             seen the old master"
        )),
        Some(_) | None => {}
    }
    let lost = loss.of_old_process;
    if let Some(fact) = fact.filter(|fact| lost > *fact) {
        complain(format!(
            "{lost} bytes are lost, and the fact is told to be {fact}"
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
