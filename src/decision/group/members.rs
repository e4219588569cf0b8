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
        let mut wanted: BTreeSet<Endpoint> = self.policy.instances.clone();
        if let Some(record) = record {
            wanted.extend(record.members().iter().cloned());
            // Whatever name this node knew it by, it is watched by the one that is logged.
            self.aliases.remove(&record.master().endpoint);
            wanted.insert(record.master().endpoint.clone());
        }
        for (endpoint, watch) in &self.watches {
            let Some(sample) = watch.sample() else {
                continue;
            };
            let is_master = record.is_none_or(|record| record.master().endpoint == *endpoint);
            if is_master {
                wanted.extend(discovery::announced(&sample.info).cloned());
            }
            if let Role::Replica { master, .. } = &sample.info.role {
                wanted.insert(master.clone());
            }
        }
        // What nobody names any more is no longer another name of anything.
        self.aliases.retain(|alias, _| wanted.contains(alias));
        for endpoint in wanted {
            let room = self.watches.len() < GroupPolicy::MEMBERS_MAX;
            if room
                && !self.aliases.contains_key(&endpoint)
                && !self.watches.contains_key(&endpoint)
            {
                self.watches
                    .insert(endpoint.clone(), Watch::new(endpoint, now));
            }
        }
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

    pub(in crate::decision) fn real(&self, endpoint: &Endpoint) -> Endpoint {
        self.aliases.get(endpoint).unwrap_or(endpoint).clone()
    }

    /// How one instance stands to the master, if it answers and is not the master itself.
    pub(in crate::decision) fn standing_of(
        &self,
        record: &GroupRecord,
        endpoint: &Endpoint,
        now: Instant,
    ) -> Option<Standing> {
        let standings = self.standings(record, now);
        standings.get(endpoint).map(|(standing, _)| *standing)
    }

    /// How each instance but the master stands to it, of those that answer.
    pub(in crate::decision) fn standings(
        &self,
        record: &GroupRecord,
        now: Instant,
    ) -> BTreeMap<Endpoint, (Standing, &Watch)> {
        let members: BTreeSet<Endpoint> = record
            .members()
            .iter()
            .map(|member| self.real(member))
            .collect();
        self.watches
            .iter()
            .filter(|(endpoint, watch)| {
                **endpoint != record.master().endpoint
                    && members.contains(*endpoint)
                    && watch.open_link().is_some()
                    && watch.health(&self.policy, None, now) == Health::Up
            })
            .filter_map(|(endpoint, watch)| {
                let info = &watch.sample()?.info;
                if info.run_id == record.master().run_id {
                    // The master itself, under a name that is not known as such yet.
                    return None;
                }
                let real = |endpoint: &Endpoint| self.real(endpoint);
                let standing = repair::standing(endpoint, info, record, &self.policy, real);
                // What it has is not known before it has read its file.
                if standing == Standing::Stranger && info.loading != Loading::No {
                    return None;
                }
                Some((endpoint.clone(), (standing, watch)))
            })
            .collect()
    }
}
