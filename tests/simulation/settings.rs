//! Operators who give hosts other settings than the rest, and make them equal later.

use std::time::Duration;

use super::streams::{Purpose, stream};
use super::world::{Happens, World};

/// One schedule in so many begins with settings that are not equal.
const UNEQUAL_EVERY: u64 = 6;

impl World {
    /// Gives all hosts the settings of the groups; some get others for a while.
    pub fn write_settings(&mut self) {
        let mut random = stream(self.seed, Purpose::Settings, 0);
        let are_equal = random.below(UNEQUAL_EVERY) != 0;
        for node in 0..self.hosts.len() {
            self.hosts[node].differs = !are_equal && random.below(2) == 0;
            self.write_settings_of(node);
        }
        if are_equal {
            return;
        }
        let lasts = 500_000 + random.below(6_000_000);
        self.later(lasts, Happens::EqualSettings);
    }

    /// No two hosts make the same mistake.
    fn write_settings_of(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let mistake = u64::try_from(node).unwrap_or(0) + 1;
        for group in &self.groups {
            let mut policy = group.policy.clone();
            if host.differs {
                policy.down_after += Duration::from_millis(mistake);
            }
            host.settings_of_groups.insert(group.name.clone(), policy);
        }
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
            if !std::mem::take(&mut self.hosts[node].differs) {
                continue;
            }
            self.write_settings_of(node);
            if self.hosts[node].node.is_some() {
                self.note(|| format!("node {node} gets the settings of the others"));
                self.crash_node(node);
                let delay = 1_000 + self.random.below(100_000);
                self.later(delay, Happens::Start { node });
            }
        }
    }
}
