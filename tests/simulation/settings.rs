//! Operators who give hosts other settings than the rest, and make them equal later.

use std::collections::BTreeMap;
use std::time::Duration;

use promoterd::decision::GroupPolicy;
use promoterd::model::GroupName;

use super::world::{Happens, World};

/// One schedule in so many begins with settings that are not equal.
const UNEQUAL_EVERY: u64 = 6;

impl World {
    /// Some hosts get settings of their own, for a while.
    pub fn mistake_settings(&mut self) {
        if self.seed % UNEQUAL_EVERY != 1 {
            return;
        }
        for node in 0..self.hosts.len() {
            self.hosts[node].differs = self.random.below(2) == 0;
        }
        let lasts = 500_000 + self.random.below(6_000_000);
        self.later(lasts, Happens::EqualSettings);
    }

    /// The settings that a host's daemon starts with; no two hosts make the same mistake.
    pub fn policies(&self, node: usize) -> BTreeMap<GroupName, GroupPolicy> {
        let mistake = u64::try_from(node).unwrap_or(0) + 1;
        let policy = |policy: &GroupPolicy| match self.hosts[node].differs {
            false => policy.clone(),
            true => GroupPolicy {
                down_after: policy.down_after + Duration::from_millis(mistake),
                ..policy.clone()
            },
        };
        let groups = self.groups.iter();
        groups
            .map(|group| (group.name.clone(), policy(&group.policy)))
            .collect()
    }

    /// How many hosts have the settings that most have, and how many it takes.
    pub fn equal_settings(&self) -> (usize, usize) {
        let alike = self.hosts.iter().filter(|host| !host.differs).count();
        (alike.max(1), self.hosts.len() / 2 + 1)
    }

    /// Somebody makes them equal, and restarts the daemons where they changed.
    pub fn make_settings_equal(&mut self) {
        let (equal, needed) = self.equal_settings();
        if equal < needed && self.oracle.registered.is_empty() {
            self.tally.unequal += 1;
        }
        for node in 0..self.hosts.len() {
            if std::mem::take(&mut self.hosts[node].differs) && self.hosts[node].node.is_some() {
                self.note(|| format!("node {node} gets the settings of the others"));
                self.crash_node(node);
                let delay = 1_000 + self.random.below(100_000);
                self.later(delay, Happens::Start { node });
            }
        }
    }
}
