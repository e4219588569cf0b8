//! What must hold after every step, one promise a file.

mod a_loss_is_accepted_aloud;
mod an_answered_promotion_is_not_aborted;
mod an_emptied_source_feeds_nobody;
mod bounded_work;
mod candidates_share_the_history;
mod down_by_fresh_views;
mod epochs_only_grow;
mod files_never_go_back;
mod mandate_before_promotion;
mod members_are_not_forgotten;
mod one_log;
mod one_promotion_an_epoch;
mod only_the_leader_acts;
mod pauses_hold;
mod registered_on_equal_settings;
mod what_is_told_is_true;
mod what_only_it_has_is_saved_first;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use promoterd::decision::{
    Action, Begin, Entry, Event, FollowOrder, Happening, OperationId, Outcome, ProbeReport, View,
};
use promoterd::model::{Endpoint, Epoch, RunId};

use crate::instance::{Instance, endpoint};
use crate::world::{World, group};
use down_by_fresh_views::CHOSEN_WITHIN;

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    pub promise: &'static str,
    what: String,
}

impl Violation {
    pub fn new(promise: &'static str, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { promise, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.promise, self.what)
    }
}

/// What a node makes of one event.
pub struct Step<'a> {
    pub node: usize,
    pub actions: &'a [Action],
}

/// What nobody in the cluster knows for certain, and the checks do.
#[derive(Debug, Default)]
pub struct Oracle {
    nodes: BTreeMap<usize, KnownNode>,
    /// Every epoch that began, and when.
    begun: BTreeMap<Epoch, (Begin, u64)>,
    /// Every master that was committed.
    masters: BTreeMap<Epoch, Endpoint>,
    /// Which process accepted the promotion of an epoch.
    promoted: BTreeMap<Epoch, (Endpoint, RunId)>,
    /// When a process was last known to be a master.
    mastered: BTreeMap<RunId, u64>,
    /// From what each history went on.
    parents: BTreeMap<u8, u8>,
    /// The pause that stands, by the entries alone, and the operation that began it.
    pause: Option<Option<OperationId>>,
    operations: BTreeSet<OperationId>,
    /// Processes whose loss a leader said is for good.
    losses_accepted: BTreeSet<RunId>,
    /// How often something happened.
    pub begins: u64,
    pub dones: u64,
    pub aborts: u64,
}

/// What was told to one node, and what it told.
#[derive(Debug, Default)]
struct KnownNode {
    epochs: (Epoch, Epoch),
    /// What it last published, in all its lives.
    published: Option<(Epoch, Endpoint)>,
    is_confirmed: bool,
    is_pausing: bool,
    /// It ran without a break since then.
    awake_since: u64,
    /// When it last slept, from when to when, however shortly.
    nap: Option<(u64, u64)>,
    /// The views that came to it of late, by who sent them.
    views: BTreeMap<String, VecDeque<(u64, View)>>,
    /// The epochs whose promotion was answered to it, since it leads.
    answered: BTreeSet<Epoch>,
}

impl KnownNode {
    fn note_view(&mut self, peer: &str, view: &View, now: u64) {
        if !self.views.contains_key(peer) {
            self.views.insert(peer.to_owned(), VecDeque::new());
        }
        let views = self.views.get_mut(peer).expect("just inserted");
        // The reason for a choice may be a moment old.
        while views.len() > 1 && views[1].0 + CHOSEN_WITHIN < now {
            views.pop_front();
        }
        views.push_back((now, view.clone()));
    }
}

impl Oracle {
    /// What a node had in its last life it may have to learn again.
    pub fn node_started(&mut self, node: usize, now: u64) {
        let known = self.nodes.entry(node).or_default();
        let published = known.published.take();
        *known = KnownNode {
            published,
            awake_since: now,
            ..KnownNode::default()
        };
    }

    /// A node was asleep until now.
    pub fn woke(&mut self, node: usize, from: u64, now: u64) {
        let known = self.nodes.entry(node).or_default();
        known.nap = Some((from, now));
    }

    /// A node was asleep for long until now.
    pub fn slept(&mut self, node: usize, now: u64) {
        let known = self.nodes.entry(node).or_default();
        known.awake_since = now;
    }

    /// Something comes to a node.
    pub fn heard(&mut self, node: usize, event: &Event, now: u64) {
        let known = self.nodes.entry(node).or_default();
        if let Event::PeerReported { peer, report, .. } = event
            && let Some(view) = report.views.first()
        {
            known.note_view(peer.as_str(), view, now);
        }
        if let Event::Confirmed = event {
            known.is_confirmed = true;
        }
        // It looks at everything anew.
        if matches!(
            event,
            Event::LeadershipChanged { .. } | Event::ProposalRefused(_)
        ) {
            known.answered.clear();
        }
        if let Event::Probed(probed) = event
            && let ProbeReport::PromoteReplied { epoch, result } = &probed.report
            && result.is_ok()
        {
            known.answered.insert(*epoch);
        }
    }

    /// The master that a node's clients write to.
    pub fn published(&self, node: usize) -> Option<&str> {
        let (_, master) = self.nodes.get(&node)?.published.as_ref()?;
        Some(master.host())
    }

    /// A history begins that goes on from another.
    pub fn went_on(&mut self, history: u8, from: u8) {
        if history != from {
            self.parents.insert(history, from);
        }
    }

    /// A process is a master now, or was until now.
    pub fn is_master(&mut self, process: RunId, now: u64) {
        self.mastered.insert(process, now);
    }
}

/// Checks all promises after a step.
pub fn check(world: &mut World, step: &Step<'_>) -> Result<(), Violation> {
    bounded_work::check(world, step)?;
    epochs_only_grow::check(world, step.node)?;
    for action in step.actions {
        mandate_before_promotion::check(world, step.node, action)?;
        only_the_leader_acts::check(world, step.node, action)?;
        files_never_go_back::check(world, step.node, action)?;
        down_by_fresh_views::check(world, step.node, action)?;
        what_is_told_is_true::check(world, step.node, action)?;
        an_answered_promotion_is_not_aborted::check(world, step.node, action)?;
        if let Action::Announce(Happening::DataLost { master, .. }) = action {
            let process = world.instance(master.host()).map(|it| it.run_id());
            world.oracle.losses_accepted.extend(process);
        }
    }
    a_loss_is_accepted_aloud::check(world, step)?;
    pauses_hold::check(world, step)
}

/// A node has applied an entry.
pub fn applied(world: &World, node: usize) -> Result<(), Violation> {
    one_log::check(world, node)
}

/// An entry is committed, and fits what was before or is void.
pub fn committed(world: &mut World, entry: &Entry, fits: bool) -> Result<(), Violation> {
    pauses_hold::check_entry(&mut world.oracle, entry, fits)?;
    members_are_not_forgotten::check(world)?;
    if !fits {
        return Ok(());
    }
    if let Entry::Begin(begin) = entry {
        let now = world.now;
        world.oracle.begins += 1;
        candidates_share_the_history::check(world, begin)?;
        let begun = (begin.clone(), now);
        world.oracle.begun.insert(begin.epoch, begun);
    }
    if matches!(entry, Entry::Register { .. } | Entry::Adopt(_)) {
        registered_on_equal_settings::check(world, entry)?;
        // What its instances have when it is registered is what a group has.
        for instance in &mut world.instances {
            instance.emptied = false;
        }
    }
    world.oracle.dones += u64::from(matches!(entry, Entry::Done { .. }));
    world.oracle.aborts += u64::from(matches!(entry, Entry::Abort { .. }));
    note_master(world);
    Ok(())
}

/// What the master of the newest state has is what the group has.
fn note_master(world: &mut World) {
    let (_, records) = world.log.newest();
    let Some(record) = records.get(&group()) else {
        return;
    };
    let master = record.master();
    world
        .oracle
        .masters
        .insert(record.epoch(), master.endpoint.clone());
    let Some(index) = world.index(master.endpoint.host()) else {
        return;
    };
    let is_it = world.instances[index].run_id() == master.run_id;
    if is_it && record.mandate().is_none() {
        let history = world.instances[index].history;
        for instance in &mut world.instances {
            instance.emptied &= instance.history != history;
        }
    }
}

/// An instance accepts a promotion.
pub fn promoted(world: &mut World, name: &str, epoch: Epoch) -> Result<(), Violation> {
    one_promotion_an_epoch::check(world, name, epoch)?;
    let index = world.index(name).expect("an instance of the group");
    a_loss_is_accepted_aloud::check_promotion(world, &world.instances[index])
}

/// A full copy of `source` to a replica begins.
pub fn copies(world: &World, replica: usize, source: &Instance) -> Result<(), Violation> {
    an_emptied_source_feeds_nobody::check(world, replica, source)
}

/// An instance obeys an order to follow.
pub fn follows(world: &World, name: &str, order: &FollowOrder) -> Result<(), Violation> {
    what_only_it_has_is_saved_first::check(world, name, order)
}

/// Whether a node holds an epoch as begun, open or not.
fn knows_epoch(world: &World, node: usize, epoch: Epoch) -> Option<bool> {
    let record = world.nodes[node].supervisor.records().get(&group())?;
    let mut past = record.failovers().iter();
    let it = past.find(|past| past.begin.epoch == epoch)?;
    Some(it.outcome == Outcome::Open)
}

/// The endpoint and process of an instance.
fn process(instance: &Instance) -> (Endpoint, RunId) {
    (endpoint(&instance.name), instance.run_id())
}
