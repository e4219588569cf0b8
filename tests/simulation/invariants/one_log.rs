//! S3: a decision once committed survives, and all nodes agree on every one.

use std::collections::BTreeMap;

use promoterd::consensus::{LogEntry, Rejoin};
use promoterd::decision::{Adoption, Entry, Grounds, GroupRecord, Outcome, Records, ResumedBy};
use promoterd::model::LogIndex;

use super::{Oracle, Violation, World};

const PROMISE: &str = "S3: what is committed stays, and is the same everywhere";

/// Everything that any node ever applied, and the state it leads to.
#[derive(Debug, Default)]
pub struct CommittedLog {
    entries: BTreeMap<LogIndex, LogEntry>,
    states: BTreeMap<LogIndex, Records>,
}

impl CommittedLog {
    pub fn newest(&self) -> Option<&Records> {
        self.states.values().next_back()
    }
}

/// What the node applied in this step is what everybody applied there, across all restarts; and its
/// state is the one that these entries lead to, also where it came as a snapshot.
pub fn check(world: &mut World, node: usize) -> Result<(), Violation> {
    let Some(running) = &world.hosts[node].node else {
        return Ok(());
    };
    let applied = running.engine_status().applied;
    let before = std::mem::replace(&mut world.hosts[node].applied, applied);
    if applied < before {
        let what = format!("node {node} went back from entry {before} to {applied}");
        return Err(Violation::new(PROMISE, what));
    }
    if applied == before {
        return Ok(());
    }
    let (mut begun, mut ruled) = (Vec::new(), Vec::new());
    for index in (before.0 + 1..=applied.0).map(LogIndex) {
        let entry = world.hosts[node].log.get(&index).cloned();
        match agree(world, node, index, entry)? {
            Some(Entry::Begin(begin)) => begun.push(begin),
            Some(Entry::Lease {
                group,
                rule: Some(rule),
            }) if !rule.is_obeyed => ruled.push(group),
            Some(_) | None => {}
        }
    }
    check_state(world, node, applied)?;
    for begin in begun {
        world.on_begun(&begin);
    }
    for name in ruled {
        let group = world.groups.iter().position(|group| group.name == name);
        if let Some(group) = group {
            world.on_ruled(node, group);
        }
    }
    Ok(())
}

fn agree(
    world: &mut World,
    node: usize,
    index: LogIndex,
    entry: Option<LogEntry>,
) -> Result<Option<Entry>, Violation> {
    let known = world.oracle.committed.entries.get(&index);
    match (known, entry) {
        (Some(known), Some(entry)) if *known == entry => Ok(None),
        (Some(known), Some(entry)) => {
            let what = format!("entry {index}: node {node} applied {entry:?}, others {known:?}");
            Err(Violation::new(PROMISE, what))
        }
        // It came within a snapshot, and the state will be compared.
        (Some(_), None) => {
            if world.hosts[node].log.range(..index).next().is_none() {
                world.tally.installs += 1;
            }
            Ok(None)
        }
        (None, None) => {
            let what = format!("node {node} applied entry {index}, which nobody has");
            Err(Violation::new(PROMISE, what))
        }
        (None, Some(entry)) => commit(world, node, index, entry),
    }
}

/// The first node that applies an entry decides what it is. Gives what it says, if that came to anything.
fn commit(
    world: &mut World,
    node: usize,
    index: LogIndex,
    entry: LogEntry,
) -> Result<Option<Entry>, Violation> {
    let oracle = &mut world.oracle;
    let mut state = oracle.committed.newest().cloned().unwrap_or_default();
    let mut fitting = None;
    if !entry.payload.is_empty() && Rejoin::decode(&entry.payload).is_none() {
        let decoded = Entry::decode(&entry.payload);
        let decoded = decoded.map_err(|error| Violation::new(PROMISE, error.to_string()))?;
        let group = decoded.group().clone();
        let before = state
            .get(&group)
            .map_or(0, |record| record.failovers().len());
        let fits = state.apply(decoded.clone()) != promoterd::decision::Change::None;
        note(oracle, &state, &decoded, fits);
        super::pauses_hold::check_entry(oracle, &decoded, fits)?;
        let now = world.now;
        world.transcript.note(now, || {
            format!("entry {index} first applied by node {node}, fits: {fits}, {before} failovers before: {decoded:?}")
        });
        if !fits && matches!(decoded, Entry::Begin(_)) && state.get(&group).is_some_and(is_paused) {
            world.tally.begins_paused += 1;
        }
        if fits {
            count(world, &state, &decoded);
            fitting = Some(decoded);
        }
    }
    if let Some(rejoin) = Rejoin::decode(&entry.payload) {
        world.oracle.let_in.insert(rejoin.incarnation);
    }
    let committed = &mut world.oracle.committed;
    committed.entries.insert(index, entry);
    committed.states.insert(index, state);
    Ok(fitting)
}

fn is_paused(record: &GroupRecord) -> bool {
    record.pause().is_some()
}

fn note(oracle: &mut Oracle, state: &Records, entry: &Entry, fits: bool) {
    let group = entry.group();
    let Some(record) = state.get(group).filter(|_| fits) else {
        return;
    };
    if let Entry::Adopt(_) = entry {
        oracle.adopted.insert(group.clone());
    }
    if let Some(open) = record
        .failovers()
        .back()
        .filter(|last| last.outcome == Outcome::Open)
    {
        let key = (group.clone(), open.begin.epoch);
        oracle.mandates.insert(key, open.begin.clone());
    }
    let key = (group.clone(), record.epoch());
    oracle.masters.insert(key, record.master().endpoint.clone());
}

fn count(world: &mut World, state: &Records, entry: &Entry) {
    match entry {
        Entry::Begin(begin) if begin.asked().is_some() => world.tally.switchovers += 1,
        Entry::Begin(begin) if !begin.reinstates() => {
            if let Grounds::Lost(evidence) = &begin.grounds {
                *world.tally.begun.entry(evidence.cause).or_default() += 1;
            }
        }
        Entry::Begin(begin) if begin.from.run_id == begin.candidate.run_id => world.tally.kept += 1,
        Entry::Begin(_) => world.tally.restored += 1,
        Entry::Done { group, .. } => {
            world.tally.done += 1;
            let asked = state
                .get(group)
                .and_then(|record| record.failovers().back()?.begin.asked());
            world.tally.switched += u64::from(asked.is_some());
        }
        Entry::GiveUp(_) => world.tally.given_up += 1,
        Entry::Abort { .. } => world.tally.aborted += 1,
        Entry::Limits { .. } => world.tally.limits_logged += 1,
        Entry::Lease { rule, .. } => {
            world.tally.leases += u64::from(rule.is_some_and(|rule| rule.is_obeyed));
        }
        // What its instances have when it is registered is what a group has.
        Entry::Register { members, .. } | Entry::Adopt(Adoption { members, .. }) => {
            world.tally.adoptions += u64::from(matches!(entry, Entry::Adopt(_)));
            let members: Vec<_> = members
                .iter()
                .map(|member| world.server_at(member))
                .collect();
            for (index, server) in world.servers.iter_mut().enumerate() {
                let upstream = server.follows();
                if members.contains(&Some(index))
                    || upstream.is_some_and(|it| members.contains(&Some(it)))
                {
                    server.begin_anew();
                }
            }
        }
        Entry::Members { .. }
        | Entry::Identify { .. }
        | Entry::Settled { .. }
        | Entry::Returned { .. }
        | Entry::Guarded { .. } => {}
        Entry::Pause(_) => world.tally.pauses += 1,
        Entry::Resume(resume) => match resume.by {
            ResumedBy::Admin { .. } | ResumedBy::Replaced => world.tally.resumes += 1,
            ResumedBy::Expiry { .. } => world.tally.expiries += 1,
        },
    }
}

fn check_state(world: &World, node: usize, applied: LogIndex) -> Result<(), Violation> {
    let held = world.hosts[node]
        .node
        .as_ref()
        .map(|node| node.supervisor().records());
    if held == world.oracle.committed.states.get(&applied) {
        return Ok(());
    }
    let what = format!("node {node} at entry {applied}: its state is not what the entries lead to");
    Err(Violation::new(PROMISE, what))
}
