//! What a node tells the others unasked, and what it makes of their settings.

use std::time::Instant;

use super::Supervisor;
use crate::decision::equality::EqualityNews;
use crate::decision::event::Action;
use crate::decision::happening::Happening;
use crate::decision::policy::EARLY;
use crate::decision::view::{Claims, REPORT_INTERVAL, Report};
use crate::model::{Endpoint, NodeId, NodeRole};

impl Supervisor {
    /// Tells the peers what changed at once, and that nothing did from time to time.
    ///
    /// What is in the settings never makes a report: it goes along with one that has the time.
    pub(super) fn tell(&mut self, wanted: bool, now: Instant, actions: &mut Vec<Action>) {
        let mut due = wanted || self.is_report_due(now);
        let claims_due = wanted || self.claims_due <= now + REPORT_INTERVAL / EARLY;
        for (name, group) in &mut self.groups {
            if let Some(record) = self.records.get(name).filter(|_| group.is_stirred()) {
                due |= group.has_news(record, now);
            }
        }
        if !due {
            return;
        }
        let mut views = Vec::new();
        for (name, group) in &mut self.groups {
            if let Some(record) = self.records.get(name) {
                views.push(group.view(record, now));
            }
        }
        self.report_due = now + REPORT_INTERVAL;
        if claims_due {
            self.claims_due = now + REPORT_INTERVAL;
        }
        let claims = claims_due.then(|| self.claims());
        actions.push(Action::Report(Report { views, claims }));
    }

    fn claims(&self) -> Claims {
        let groups = self.groups.iter();
        Claims {
            role: self.role,
            sentinel: self.sentinel.clone(),
            groups: groups
                .map(|(name, group)| group.equality.claim(name))
                .collect(),
        }
    }

    pub(super) fn hear_claims(
        &mut self,
        peer: &NodeId,
        claims: &Claims,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        self.roles.insert(peer.clone(), claims.role);
        self.sentinels.insert(peer.clone(), claims.sentinel.clone());
        for (name, group) in &mut self.groups {
            let claim = claims.groups.iter().find(|claim| claim.group == *name);
            let news = group.equality.hear(peer, claim, now);
            actions.extend(news.map(|news| {
                let (group, node) = (name.clone(), peer.clone());
                Action::Announce(match news {
                    EqualityNews::Differs(difference) => Happening::SettingsDiffer {
                        group,
                        node,
                        difference,
                    },
                    EqualityNews::Equal => Happening::SettingsEqual { group, node },
                })
            }));
        }
    }

    /// Where clients reach a voter's Sentinel endpoint, once it said whether it has one.
    #[must_use]
    pub fn sentinel_of(&self, node: &NodeId) -> Option<Option<&Endpoint>> {
        if *node == self.node {
            return Some(self.sentinel.as_ref());
        }
        self.sentinels.get(node).map(Option::as_ref)
    }

    /// What a node is, as far as this one knows.
    #[must_use]
    pub fn role_of(&self, node: &NodeId) -> Option<NodeRole> {
        if *node == self.node {
            return Some(self.role);
        }
        self.roles.get(node).copied()
    }
}
