//! Who was the master when, and with which history: from what daemons told and servers logged.

use std::collections::BTreeMap;

use promoterd::model::{ReplicationId, RunId};
use promoterd::status::OutcomeName;

use super::{Broken, Rule};
use crate::nemesis::history::{At, Begun, GroupHistory, InstanceId, Promotion};

/// Servers log in milliseconds, and a daemon may be heard late: a promotion belongs to an epoch of which
/// was heard no longer after it than this.
const HEARD_WITHIN: At = At::from_secs(3);
/// A candidate may take writes for so long after the epoch began; longer than `PROMOTE_TIMEOUT`.
const PROMOTED_WITHIN: At = At::from_secs(15);

/// One life of a master of an epoch.
#[derive(Debug, Clone)]
pub struct Reign {
    pub epoch: u64,
    pub instance: InstanceId,
    pub run_id: Option<RunId>,
    /// Not known where nobody who could tell was there.
    pub history: Option<ReplicationId>,
    pub from: At,
    /// When it was first heard that the epoch began.
    pub begun: At,
    /// Whether the epoch ended with this master.
    pub is_done: bool,
    /// Whether it is another life within an epoch that is older than it.
    pub is_identified: bool,
}

/// All reigns in order, and what cannot be.
pub fn reigns(group: &GroupHistory) -> (Vec<Reign>, Vec<Broken>) {
    let mut broken = Vec::new();
    let begun = begun_once(group, &mut broken);
    let promoted = assign(group, &begun, &mut broken);
    let mut reigns = first(group);
    for (epoch, begun) in &begun {
        let is_done = outcome(group, *epoch) == OutcomeName::Done;
        let promotion = promoted.get(epoch);
        if promotion.is_none() && !is_done {
            continue;
        }
        // After a restart of everything it is a master already, as it was started.
        if promotion.is_none() && !begun.reinstates && follows(group, begun) {
            let what = format!("epoch {epoch} is done, and its master logged no promotion");
            broken.push(Broken::new(Rule::OnePromotion, begun.heard, what));
        }
        reigns.push(Reign {
            epoch: *epoch,
            instance: begun.instance,
            run_id: Some(begun.run_id),
            history: match promotion {
                Some(promotion) => Some(promotion.history),
                None => kept_history(group, begun),
            },
            from: promotion.map_or(begun.heard, |promotion| promotion.at),
            begun: begun.heard,
            is_done,
            is_identified: false,
        });
    }
    for told in done_without_begun(group, &begun) {
        reigns.push(told);
    }
    for identified in &group.identified {
        let is_known = reigns.iter().any(|reign| {
            reign.epoch == identified.epoch && reign.history == Some(identified.history)
        });
        if !is_known {
            reigns.push(Reign {
                epoch: identified.epoch,
                instance: identified.instance,
                run_id: Some(identified.run_id),
                history: Some(identified.history),
                from: identified.heard,
                begun: identified.heard,
                is_done: true,
                is_identified: true,
            });
        }
    }
    reigns.sort_by_key(|reign| (reign.epoch, reign.from));
    (reigns, broken)
}

/// Whether the candidate followed some master when the epoch began, as far as its log tells: it had not
/// been promoted since.
fn follows(group: &GroupHistory, begun: &Begun) -> bool {
    let process = group
        .processes
        .iter()
        .find(|process| process.run_id == begun.run_id);
    let Some(process) = process else {
        return false;
    };
    let began_to = group.followers.get(&process.process_id);
    let began_to = began_to.and_then(|times| times.range(..begun.heard).next_back());
    let promotions = group.promotions.iter();
    let own = promotions.filter(|it| {
        (it.instance, it.process_id) == (process.instance, process.process_id)
            && it.at < begun.heard
    });
    let promoted = own.map(|promotion| promotion.at).max();
    began_to.is_some_and(|began_to| promoted.is_none_or(|promoted| promoted < *began_to))
}

/// The master that was found at the first start.
fn first(group: &GroupHistory) -> Vec<Reign> {
    let process = group.processes.iter().find(|process| process.instance == 0);
    let position = group
        .processes
        .iter()
        .position(|process| process.instance == 0);
    let mut taken = group
        .writes
        .iter()
        .filter(|write| Some(write.process) == position);
    let history = taken.find_map(|write| write.answer.history());
    vec![Reign {
        epoch: 1,
        instance: 0,
        run_id: process.map(|process| process.run_id),
        history,
        from: At::ZERO,
        begun: At::ZERO,
        is_done: true,
        is_identified: false,
    }]
}

/// One beginning for each epoch: all who tell of it name the same process.
fn begun_once(group: &GroupHistory, broken: &mut Vec<Broken>) -> BTreeMap<u64, Begun> {
    let mut found: BTreeMap<u64, Begun> = BTreeMap::new();
    for begun in &group.begun {
        let known = found.entry(begun.epoch).or_insert_with(|| begun.clone());
        if (known.instance, known.run_id) != (begun.instance, begun.run_id) {
            let what = format!("two beginnings: {known:?} and {begun:?}");
            broken.push(Broken::new(Rule::OnePromotion, begun.heard, what));
        }
        known.heard = known.heard.min(begun.heard);
    }
    found
}

/// Which promotion belongs to which epoch; one that belongs to none is a breach.
fn assign(
    group: &GroupHistory,
    begun: &BTreeMap<u64, Begun>,
    broken: &mut Vec<Broken>,
) -> BTreeMap<u64, Promotion> {
    let mut assigned = BTreeMap::new();
    let mut promotions: Vec<&Promotion> = group.promotions.iter().collect();
    promotions.sort_by_key(|promotion| promotion.at);
    let mut left = Vec::new();
    // An epoch that is done had its promotion; what is left over may belong to one that was given up.
    for promotion in promotions {
        match fitting(group, begun, &assigned, promotion, true) {
            Some(epoch) => drop(assigned.insert(epoch, promotion.clone())),
            None => left.push(promotion),
        }
    }
    for promotion in left {
        match fitting(group, begun, &assigned, promotion, false) {
            Some(epoch) => drop(assigned.insert(epoch, promotion.clone())),
            None if was_unheard(group, begun, promotion) => {}
            None => {
                let what = format!("promoted without an epoch of its own: {promotion:?}");
                broken.push(Broken::new(Rule::OnePromotion, promotion.at, what));
            }
        }
    }
    assigned
}

/// Whether it may belong to an epoch whose beginning nobody heard, since all daemons were down.
fn was_unheard(group: &GroupHistory, begun: &BTreeMap<u64, Begun>, promotion: &Promotion) -> bool {
    group.told.iter().any(|told| {
        told.to == promotion.instance
            && !begun.contains_key(&told.epoch)
            && told.heard + HEARD_WITHIN >= promotion.at
    })
}

fn fitting(
    group: &GroupHistory,
    begun: &BTreeMap<u64, Begun>,
    assigned: &BTreeMap<u64, Promotion>,
    promotion: &Promotion,
    wants_done: bool,
) -> Option<u64> {
    let process = group.processes.iter().find(|process| {
        (process.instance, process.process_id) == (promotion.instance, promotion.process_id)
    });
    let fits = |begun: &Begun| {
        // One that no writer reached is known by its place only.
        let is_it = process.is_none_or(|process| process.run_id == begun.run_id);
        begun.instance == promotion.instance
            && is_it
            && begun.heard <= promotion.at + HEARD_WITHIN
            && promotion.at <= begun.heard + PROMOTED_WITHIN
            && (outcome(group, begun.epoch) == OutcomeName::Done) == wants_done
    };
    // A process may be the master of several epochs, and of some without a promotion.
    let found = begun
        .iter()
        .filter(|(epoch, begun)| !assigned.contains_key(epoch) && fits(begun))
        .min_by_key(|(_, begun)| begun.heard.abs_diff(promotion.at));
    found.map(|(epoch, _)| *epoch)
}

/// How the epoch ended, as far as anybody told.
pub fn outcome(group: &GroupHistory, epoch: u64) -> OutcomeName {
    let told = group.told.iter().filter(|told| told.epoch == epoch);
    told.map(|told| told.outcome)
        .find(|outcome| *outcome != OutcomeName::Open)
        .unwrap_or(OutcomeName::Open)
}

/// The history of a master that was kept.
fn kept_history(group: &GroupHistory, begun: &Begun) -> Option<ReplicationId> {
    let process = group
        .processes
        .iter()
        .position(|process| process.run_id == begun.run_id)?;
    let writes = group.writes.iter().filter(|write| write.process == process);
    writes
        .filter(|write| write.sent >= begun.heard)
        .find_map(|write| write.answer.history())
}

/// Epochs of which only the histories tell, since nobody listened when they began.
fn done_without_begun(group: &GroupHistory, begun: &BTreeMap<u64, Begun>) -> Vec<Reign> {
    let mut found: BTreeMap<u64, Reign> = BTreeMap::new();
    let done = group
        .told
        .iter()
        .filter(|told| told.outcome == OutcomeName::Done);
    for told in done.filter(|told| !begun.contains_key(&told.epoch)) {
        let reign = found.entry(told.epoch).or_insert_with(|| Reign {
            epoch: told.epoch,
            instance: told.to,
            run_id: None,
            history: None,
            from: told.heard,
            begun: told.heard,
            is_done: true,
            is_identified: false,
        });
        reign.begun = reign.begun.min(told.heard);
    }
    for reign in found.values_mut() {
        let promotions = group.promotions.iter();
        let own = promotions.filter(|it| it.instance == reign.instance && it.at <= reign.begun);
        if let Some(promotion) = own.max_by_key(|promotion| promotion.at) {
            reign.from = promotion.at;
            reign.history = Some(promotion.history);
        }
    }
    found.into_values().collect()
}
