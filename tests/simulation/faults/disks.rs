//! Disks that are slow, full, or fail.

use super::end::Undo;
use crate::disk::Ailment;
use crate::world::{Happens, World};

impl World {
    pub fn slow_disk(&mut self, node: usize) {
        let span = self.span();
        self.hosts[node].slow_disk_until = self.now + span;
    }

    /// What the log wrote ahead still takes some appends, most of the time.
    pub fn fill_disk(&mut self, node: usize) {
        let appends_left = match self.pick(3) {
            0 => 0,
            _ => self.pick(40),
        };
        self.ail(node, Ailment::Full { appends_left });
    }

    pub fn fail_disk(&mut self, node: usize) {
        self.ail(node, Ailment::FailsToSync);
    }

    fn ail(&mut self, node: usize, ailment: Ailment) {
        self.hosts[node].disk.ailment = Some(ailment);
        let span = self.span();
        self.later(span, Happens::Undo(Undo::HealDisk(node)));
    }
}
