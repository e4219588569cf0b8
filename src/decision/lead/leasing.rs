//! The leader's part in leases: putting the rule in force, and waiting until an old lease is over.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::breaks::{Break, is_broken};
use crate::decision::entry::{Begin, Entry};
use crate::decision::event::Action;
use crate::decision::group::Group;
use crate::decision::lease::{LeaseClaim, LeaseRule, Released};
use crate::decision::policy::Fencing;
use crate::decision::record::GroupRecord;
use crate::decision::view::{HeldView, VIEW_FRESH_FOR};
use crate::model::Endpoint;

impl Group {
    /// Proposes that leases be needed, that they are obeyed, or that they are needed no more.
    pub(super) fn log_lease(
        &mut self,
        record: &GroupRecord,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        if self.bookkeeping.lease || record.mandate().is_some() {
            return;
        }
        let is_wanted = self.policy.fencing == Fencing::Strict;
        let is_lifted = record.pause().is_some_and(|pause| pause.lifts_lease);
        let rule = match record.lease() {
            None if is_wanted && !is_lifted && self.can_lease(record, now) => Some(LeaseRule {
                number: record.next_lease(),
                length: self.policy.lease,
                is_obeyed: false,
            }),
            Some(rule) if is_wanted && !rule.is_obeyed && self.is_obeyed(record, rule, now) => {
                Some(LeaseRule {
                    is_obeyed: true,
                    ..rule
                })
            }
            Some(_) if !is_wanted => None,
            None | Some(_) => return,
        };
        self.bookkeeping.lease = true;
        let group = self.name.clone();
        actions.push(Action::Propose(Entry::Lease { group, rule }));
    }

    /// Whether a node beside the master is there that could end it.
    fn can_lease(&self, record: &GroupRecord, now: Instant) -> bool {
        let master = &record.master().endpoint;
        let mut claims = self.lease_claims(record, now).into_iter();
        claims.any(|claim| claim.ready.contains(master))
    }

    /// Why no rule is in force, in words.
    pub(super) fn why_no_lease(&self, record: &GroupRecord, now: Instant) -> String {
        let master = &record.master().endpoint;
        if self.can_lease(record, now) {
            return "it is being put in force".to_owned();
        }
        let claims = self.lease_claims(record, now).into_iter();
        let why = claims.filter_map(|claim| claim.unready).next();
        why.unwrap_or_else(|| format!("no promoterd on the host of {master} has a fencer for it"))
    }

    fn is_obeyed(&self, record: &GroupRecord, rule: LeaseRule, now: Instant) -> bool {
        let mut claims = self.lease_claims(record, now).into_iter();
        claims.any(|claim| claim.obeys == Some(rule.number))
    }

    /// The instances that could hold no lease, where one is needed.
    pub(super) fn cannot_lease(&self, record: &GroupRecord, now: Instant) -> BTreeSet<Endpoint> {
        if !self.leases(Some(record)) {
            return BTreeSet::new();
        }
        let claims = self.lease_claims(record, now);
        let is_ready = |instance: &&Endpoint| {
            let mut claims = claims.iter();
            claims.any(|claim| claim.ready.contains(instance))
        };
        let instances = self.watches.keys();
        instances.filter(|it| !is_ready(it)).cloned().collect()
    }

    /// Whether no lease of the master that this epoch replaces can stand any more, nor be had again.
    pub(super) fn is_released(&self, record: &GroupRecord, begin: &Begin, now: Instant) -> bool {
        let is_needed = self.leases(Some(record)) && !is_broken(Break::LeaseNotWaitedFor);
        if !is_needed || begin.reinstates() {
            return true;
        }
        let own = self.lease_claim(record, now);
        // However old a claim is: nothing of the epochs before can be had again.
        let heard = self.views.values().filter_map(|view| view.lease.as_ref());
        let claims = own.iter().chain(heard).filter_map(|claim| claim.released);
        let released: Vec<Released> = claims.filter(|it| it.epoch == begin.epoch).collect();
        if released.iter().any(|it| it.is_fenced) {
            return true;
        }
        let is_obeyed = record.lease().is_some_and(|rule| rule.is_obeyed);
        is_obeyed && released.len() >= self.leasing.majority()
    }

    /// What this node and those that were heard lately claim.
    fn lease_claims(&self, record: &GroupRecord, now: Instant) -> Vec<LeaseClaim> {
        let is_fresh =
            |view: &&HeldView| now.saturating_duration_since(view.received_at) < VIEW_FRESH_FOR;
        let heard = self.views.values().filter(is_fresh);
        let heard = heard.filter_map(|view| view.lease.clone());
        self.lease_claim(record, now)
            .into_iter()
            .chain(heard)
            .collect()
    }
}
