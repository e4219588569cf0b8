//! Whom the master may feed, where the operator wants it guarded.

use crate::decision::event::Action;
use crate::decision::group::Group;
use crate::decision::guard::GuardOverview;
use crate::decision::instance_event::Login;
use crate::decision::record::GroupRecord;
use crate::decision::repair::Standing;
use crate::model::{Endpoint, RunId};
use std::collections::BTreeMap;
use std::time::Instant;

impl Group {
    /// Gives the tasks of the guard that are due, and says what those that are made to follow the
    /// master are to show it.
    pub(super) fn keep_guarding(
        &mut self,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Option<Login> {
        let wanted = self.policy.guard;
        if wanted || record.is_guarded() {
            let others = self.guarded_instances(record, now);
            let mut guard = std::mem::take(&mut self.guard);
            let (orders, entry) = guard.poll(&self.name, record, wanted, &others, now);
            self.guard = guard;
            actions.extend(orders.into_iter().map(Action::Guard));
            if let Some(entry) = entry.filter(|_| !self.bookkeeping.guard) {
                self.bookkeeping.guard = true;
                actions.push(Action::Propose(entry));
            }
        }
        self.guard.login(record, wanted)
    }

    /// The instances that answer and are the group's, but for the master.
    fn guarded_instances(
        &self,
        record: &GroupRecord,
        now: Instant,
    ) -> BTreeMap<Endpoint, (RunId, Standing)> {
        self.standings(record, now)
            .into_iter()
            .filter(|(_, (standing, _))| *standing != Standing::Stranger)
            .filter_map(|(endpoint, (standing, watch))| {
                let run_id = watch.sample()?.info.run_id;
                Some((endpoint, (run_id, standing)))
            })
            .collect()
    }

    /// How far the guard is; none where it is off, or somebody else leads and knows.
    pub(in crate::decision) fn guard_overview(
        &self,
        record: &GroupRecord,
        now: Instant,
    ) -> Option<GuardOverview> {
        let is_known = self.policy.guard && self.is_leading;
        is_known.then(|| {
            let others = self.guarded_instances(record, now);
            self.guard.overview(record, &others)
        })
    }
}
