//! The state of the site over time, and by when an old master must have stopped taking writes in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::nemesis::history::{At, Change, History, HostId, InstanceId};

/// A master can be known to be cut off when everything was well around it for so long before: its node
/// then has seen its replicas, and the logged process is the one that runs.
const WELL_BEFORE: Duration = Duration::from_secs(5);

/// A daemon that can reach an instance for so long has asked it how much it has.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// Why an old master must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// The daemon beside it is with the majority, and hears of its replacement.
    Replaced,
    /// The daemon beside it and itself are cut off, after all was well.
    Isolated,
}

/// By when an old master must have stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    pub means: Means,
    /// When it was replaced, or the last fault around it began or ended.
    pub counts_from: At,
    pub due: At,
}

/// The state in force for a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    cuts: BTreeSet<(HostId, HostId)>,
    lossy: BTreeSet<HostId>,
    daemons_ill: BTreeSet<HostId>,
    /// Daemons that are no voters.
    outside: BTreeSet<HostId>,
    instances_ill: BTreeSet<(usize, InstanceId)>,
}

/// The states one after the other, each with its beginning.
pub struct Ground<'a> {
    history: &'a History,
    states: Vec<(At, State)>,
}

impl<'a> Ground<'a> {
    pub fn new(history: &'a History) -> Self {
        let mut states = vec![(At::ZERO, State::default())];
        for (at, change) in &history.world {
            let (began, mut state) = states.last().cloned().unwrap_or_default();
            let before = state.clone();
            state.change(change);
            if state == before {
                continue;
            }
            if began == *at {
                states.pop();
            }
            states.push((*at, state));
        }
        Self { history, states }
    }

    /// Whether a daemon that chose at `at` must have seen how much an instance of the group had since `from`:
    /// since it was started, or went on, it could reach that for long enough.
    pub fn has_seen(
        &self,
        node: HostId,
        group: usize,
        instance: InstanceId,
        from: At,
        at: At,
    ) -> bool {
        let host = self.history.groups[group].hosts[instance];
        let ends = self.states.iter().skip(1).map(|(began, _)| *began);
        let spans = self.states.iter().zip(ends.chain([At::MAX]));
        let mut has_seen = false;
        for ((began, state), ended) in spans.take_while(|((began, _), _)| *began < at) {
            let reaches = state.hear_one_another(node, host)
                && !state.instances_ill.contains(&(group, instance))
                && !state.lossy.contains(&node)
                && !state.lossy.contains(&host);
            if state.daemons_ill.contains(&node) {
                has_seen = false;
            } else if reaches && ended.min(at).saturating_sub(from.max(*began)) >= SEEN_WITHIN {
                has_seen = true;
            }
        }
        has_seen
    }

    /// By when an instance must have stopped that is not the master any more since `from`; where the faults
    /// leave no bound, nothing.
    pub fn must_have_stopped(
        &self,
        group: usize,
        instance: InstanceId,
        from: At,
        is_logged: bool,
        within: impl Fn(Means) -> Duration,
    ) -> Option<Bound> {
        let spans = self.spans_of(group);
        spans.iter().enumerate().find_map(|(position, span)| {
            let (began, ended, state) = span;
            let means = self.means(state, group, instance)?;
            if means == Means::Isolated && !(is_logged && was_well_before(&spans, position)) {
                return None;
            }
            // Whoever is cut off is fenced whether somebody takes its place or not.
            let counts_from = match means {
                Means::Replaced => (*began).max(from),
                Means::Isolated => *began,
            };
            let due = (counts_from + within(means)).max(from);
            (due <= *ended).then_some(Bound {
                means,
                counts_from,
                due,
            })
        })
    }

    /// The states as far as they matter to one group, with their beginning and end.
    fn spans_of(&self, group: usize) -> Vec<(At, At, State)> {
        let mut spans: Vec<(At, At, State)> = Vec::new();
        let mut begins: BTreeMap<usize, At> = BTreeMap::new();
        for (began, state) in &self.states {
            let mut state = state.clone();
            state.instances_ill.retain(|(of, _)| *of == group);
            begins.insert(spans.len(), *began);
            match spans.last_mut() {
                Some((_, ended, last)) if *last == state => *ended = At::MAX,
                Some((_, ended, _)) => {
                    *ended = *began;
                    spans.push((*began, At::MAX, state));
                }
                None => spans.push((*began, At::MAX, state)),
            }
        }
        spans
    }

    fn means(&self, state: &State, group: usize, instance: InstanceId) -> Option<Means> {
        let hosts = &self.history.groups[group].hosts;
        let here = hosts[instance];
        let is_running = !state.instances_ill.contains(&(group, instance));
        let is_beside = state.is_counted(here);
        if !is_running || !is_beside || !state.lossy.is_empty() {
            return None;
        }
        let count = self.history.hosts;
        let side: BTreeSet<HostId> = (0..count)
            .filter(|host| state.hear_one_another(here, *host))
            .collect();
        if !state.is_apart(&side, count) {
            return None;
        }
        let is_majority = |number: usize| number * 2 > count;
        if is_majority(side.iter().filter(|host| state.is_counted(**host)).count()) {
            return Some(Means::Replaced);
        }
        let replicas = hosts
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != instance);
        let lost = replicas.filter(|(_, host)| !side.contains(host)).count();
        let has_lost_most = lost * 2 > hosts.len() - 1;
        (!is_majority(side.len()) && has_lost_most).then_some(Means::Isolated)
    }
}

/// Whether the span comes right after one in which nothing was wrong for long enough.
fn was_well_before(spans: &[(At, At, State)], position: usize) -> bool {
    let before = position.checked_sub(1).map(|before| &spans[before]);
    before.is_some_and(|(began, ended, state)| {
        *state == State::default() && *ended >= *began + WELL_BEFORE
    })
}

impl State {
    fn change(&mut self, change: &Change) {
        match change {
            Change::Cuts(cuts) => self.cuts = cuts.clone(),
            Change::Lossy(hosts) => self.lossy = hosts.clone(),
            Change::Daemon { host, is_well } => {
                if *is_well {
                    self.daemons_ill.remove(host);
                } else {
                    self.daemons_ill.insert(*host);
                }
            }
            Change::Voter { host, is_one } => {
                if *is_one {
                    self.outside.remove(host);
                } else {
                    self.outside.insert(*host);
                }
            }
            Change::Instance {
                group,
                instance,
                is_well,
            } => {
                if *is_well {
                    self.instances_ill.remove(&(*group, *instance));
                } else {
                    self.instances_ill.insert((*group, *instance));
                }
            }
        }
    }

    /// Whether the daemon of this host runs, and votes.
    fn is_counted(&self, host: HostId) -> bool {
        !self.daemons_ill.contains(&host) && !self.outside.contains(&host)
    }

    /// A connection needs both ways.
    fn hear_one_another(&self, one: HostId, other: HostId) -> bool {
        !self.cuts.contains(&(one, other)) && !self.cuts.contains(&(other, one))
    }

    /// Whether the hosts of a side all hear one another, and none of the others.
    fn is_apart(&self, side: &BTreeSet<HostId>, count: usize) -> bool {
        side.iter().all(|one| {
            (0..count).all(|other| self.hear_one_another(*one, other) == side.contains(&other))
        })
    }
}
