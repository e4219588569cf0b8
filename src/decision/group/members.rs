//! Which instances a group watches, and under which of their names.

use super::Group;
use crate::decision::discovery::{self};
use crate::decision::event::Action;
use crate::decision::health::Health;
use crate::decision::instance_event::ProbeCommand;
use crate::decision::policy::GroupPolicy;
use crate::decision::record::GroupRecord;
use crate::decision::repair::{self, Standing};
use crate::decision::watch::Watch;
use crate::model::{Endpoint, Loading, Role, RunId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

impl Group {
    /// Watches all that are listed, logged, announced by the master, or followed by one of these.
    pub(super) fn watch_members(&mut self, record: Option<&GroupRecord>, now: Instant) {
        if let Some(record) = record {
            // Whatever name this node knew it by, it is watched by the one that is logged.
            self.aliases.remove(&record.master().endpoint);
        }
        // What nobody names any more is no longer another name of anything.
        if !self.aliases.is_empty() {
            let wanted: BTreeSet<Endpoint> = self.named(record).cloned().collect();
            self.aliases.retain(|alias, _| wanted.contains(alias));
        }
        let is_known = |endpoint: &&Endpoint| {
            self.watches.contains_key(*endpoint) || self.aliases.contains_key(*endpoint)
        };
        let new = self.named(record).filter(|endpoint| !is_known(endpoint));
        let mut new: Vec<Endpoint> = new.cloned().collect();
        new.sort_unstable();
        for endpoint in new {
            if self.watches.len() < GroupPolicy::MEMBERS_MAX {
                let watch = Watch::new(endpoint.clone(), now);
                self.watches.entry(endpoint).or_insert(watch);
            }
        }
    }

    /// All that is listed, logged or announced, some of it more than once.
    fn named<'a>(&'a self, record: Option<&'a GroupRecord>) -> impl Iterator<Item = &'a Endpoint> {
        let logged = record.into_iter().flat_map(|record| {
            let members = record.members().iter();
            members.chain([&record.master().endpoint])
        });
        let told = self.watches.iter().flat_map(move |(endpoint, watch)| {
            let info = watch.sample().map(|sample| &sample.info);
            let is_master = record.is_none_or(|record| record.master().endpoint == *endpoint);
            let announced = info.filter(|_| is_master).into_iter();
            let followed = info.and_then(|info| match &info.role {
                Role::Replica { master, .. } => Some(master),
                Role::Master { .. } => None,
            });
            announced.flat_map(discovery::announced).chain(followed)
        });
        self.policy.instances.iter().chain(logged).chain(told)
    }

    /// Two endpoints at which one process answers are one instance: the listed name stays.
    pub(super) fn find_aliases(&mut self, record: Option<&GroupRecord>, actions: &mut Vec<Action>) {
        let mut lives: BTreeMap<RunId, Endpoint> = BTreeMap::new();
        let mut doubles = Vec::new();
        for (endpoint, watch) in &self.watches {
            let Some(sample) = watch.sample().filter(|_| watch.open_link().is_some()) else {
                continue;
            };
            let Some(other) = lives.insert(sample.info.run_id, endpoint.clone()) else {
                continue;
            };
            let rank = |endpoint: &Endpoint| {
                let is_master = record.is_some_and(|record| record.master().endpoint == *endpoint);
                (is_master, self.policy.instances.contains(endpoint))
            };
            let (kept, dropped) = if rank(endpoint) > rank(&other) {
                (endpoint.clone(), other)
            } else {
                (other, endpoint.clone())
            };
            lives.insert(sample.info.run_id, kept.clone());
            doubles.push((dropped, kept));
        }
        for (dropped, kept) in doubles {
            if let Some(watch) = self.watches.remove(&dropped) {
                let orders = watch.links().map(|link| (link, ProbeCommand::Disconnect));
                self.send(&dropped, orders.collect(), actions);
            }
            for other in self.aliases.values_mut().filter(|other| **other == dropped) {
                other.clone_from(&kept);
            }
            self.aliases.insert(dropped, kept);
        }
    }

    /// The name by which an instance is watched.
    pub(in crate::decision) fn real<'a>(&'a self, endpoint: &'a Endpoint) -> &'a Endpoint {
        self.aliases.get(endpoint).unwrap_or(endpoint)
    }

    /// How one instance stands to the master, if it answers and is not the master itself.
    pub(in crate::decision) fn standing_of(
        &self,
        record: &GroupRecord,
        endpoint: &Endpoint,
        now: Instant,
    ) -> Option<Standing> {
        let mut each = self.each_standing(record, now);
        let found = each.find(|(instance, _)| *instance == endpoint);
        found.map(|(_, (standing, _))| standing)
    }

    /// How each instance but the master stands to it, of those that answer.
    pub(in crate::decision) fn standings(
        &self,
        record: &GroupRecord,
        now: Instant,
    ) -> BTreeMap<Endpoint, (Standing, &Watch)> {
        let each = self.each_standing(record, now);
        each.map(|(endpoint, standing)| (endpoint.clone(), standing))
            .collect()
    }

    pub(in crate::decision) fn each_standing<'a, 'b>(
        &'a self,
        record: &'b GroupRecord,
        now: Instant,
    ) -> impl Iterator<Item = (&'a Endpoint, (Standing, &'a Watch))> + use<'a, 'b> {
        self.watches
            .iter()
            .filter(move |(endpoint, watch)| {
                watch.open_link().is_some()
                    && **endpoint != record.master().endpoint
                    && self.is_member(record, endpoint)
                    && watch.health(&self.policy, None, now) == Health::Up
            })
            .filter_map(move |(endpoint, watch)| {
                let info = &watch.sample()?.info;
                if info.run_id == record.master().run_id {
                    // The master itself, under a name that is not known as such yet.
                    return None;
                }
                let aliases = &self.aliases;
                let standing = repair::standing(endpoint, info, record, &self.policy, aliases);
                // What it has is not known before it has read its file.
                if standing == Standing::Stranger && info.loading != Loading::No {
                    return None;
                }
                Some((endpoint, (standing, watch)))
            })
    }

    /// Whether it is logged, under whatever name.
    fn is_member(&self, record: &GroupRecord, endpoint: &Endpoint) -> bool {
        if self.aliases.is_empty() {
            return record.members().contains(endpoint);
        }
        let mut aliases = self.aliases.iter();
        let is_alias = |logged: &Endpoint| self.aliases.contains_key(logged);
        (record.members().contains(endpoint) && !is_alias(endpoint))
            || aliases.any(|(alias, real)| real == endpoint && record.members().contains(alias))
    }
}
