//! What must hold after every step, one promise a file.

pub mod a_calm_switchover_loses_nothing;
pub mod an_emptied_source_feeds_nobody;
mod bounded_work;
mod epochs_only_grow;
pub mod files_never_go_back;
pub mod journals_say_what_was_read;
mod mandate_before_promotion;
mod one_log;
mod one_promotion_an_epoch;
pub mod one_writer_under_strict_fencing;
mod only_the_cut_off_are_isolated;
mod only_the_leader_acts;
mod only_the_seated_count;
mod pauses_hold;
mod registered_on_equal_settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use promoterd::daemon::NodeAction;
use promoterd::decision::{Begin, GroupRecord, OperationId, Records};
use promoterd::model::{ClusterId, Endpoint, Epoch, GroupName, Incarnation, RunId};

use super::world::World;
use one_log::CommittedLog;

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

/// One event that a node took in, and what it made of it.
pub struct Step<'a> {
    pub node: usize,
    pub was_deadline: bool,
    pub actions: &'a [NodeAction],
}

/// What nobody in the cluster knows for certain, and the checks do.
#[derive(Debug, Default)]
pub struct Oracle {
    committed: CommittedLog,
    /// The state directories that a committed entry let in.
    let_in: BTreeSet<Incarnation>,
    /// The state directories that were there when the cluster was born, and its id.
    born: Option<(ClusterId, BTreeSet<Incarnation>)>,
    /// Every epoch that began, as committed.
    mandates: BTreeMap<(GroupName, Epoch), Begin>,
    /// Every master that was committed, by epoch.
    masters: BTreeMap<(GroupName, Epoch), Endpoint>,
    /// Which process accepted the promotion of an epoch.
    promoted: BTreeMap<(GroupName, Epoch), (Endpoint, RunId)>,
    /// The epochs that each node has had in this life.
    epochs: BTreeMap<(usize, GroupName), (Epoch, Epoch)>,
    /// Which nodes carried an epoch on that another one began.
    resumed: BTreeMap<(GroupName, Epoch), usize>,
    /// Lives of servers whose loss a leader said is for good.
    pub losses_accepted: BTreeSet<(usize, u64)>,
    /// The groups whose pause stands, by the log, and the operation that began it.
    pauses: BTreeMap<GroupName, Option<OperationId>>,
    /// The operations that are committed.
    operations: BTreeSet<OperationId>,
    /// The groups that somebody registered by hand.
    adopted: BTreeSet<GroupName>,
    /// The groups that are registered.
    pub registered: BTreeSet<GroupName>,
    /// The groups whose pause stands, by what each node has applied.
    pausing: BTreeMap<usize, BTreeSet<GroupName>>,
}

impl Oracle {
    /// What a node had in its last life it may have to learn again.
    pub fn node_started(&mut self, node: usize) {
        self.epochs.retain(|(of, _), _| *of != node);
        self.pausing.remove(&node);
    }

    /// A server accepted a promotion.
    pub fn promoted(
        &mut self,
        group: &GroupName,
        epoch: Epoch,
        process: (Endpoint, RunId),
    ) -> Result<(), Violation> {
        one_promotion_an_epoch::check(self, group, epoch, process)
    }

    /// The newest committed state of a group.
    pub fn newest_record(&self, group: &GroupName) -> Option<&GroupRecord> {
        self.committed
            .newest()
            .and_then(|records: &Records| records.get(group))
    }

    pub fn newest_master(&self, group: &GroupName) -> Option<Endpoint> {
        let record = self.newest_record(group)?;
        Some(record.master().endpoint.clone())
    }
}

/// Checks all promises after a step.
pub fn check(world: &mut World, step: &Step<'_>) -> Result<(), Violation> {
    one_log::check(world, step.node)?;
    epochs_only_grow::check(world, step.node)?;
    mandate_before_promotion::check(world, step)?;
    only_the_cut_off_are_isolated::check(world, step)?;
    only_the_leader_acts::check(world, step)?;
    only_the_seated_count::check(world, step)?;
    files_never_go_back::check(world, step)?;
    pauses_hold::check(world, step)?;
    registered_on_equal_settings::check(world, step)?;
    bounded_work::check(world, step)
}
