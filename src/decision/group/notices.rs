//! What of a group people hear of as it changes.

use super::Group;
use crate::decision::event::Action;
use crate::decision::happening::Happening;
use crate::decision::health::Health;
use crate::decision::record::GroupRecord;
use crate::decision::repair::Standing;
use crate::decision::sentinels::{self, SentinelWatch};
use crate::model::Endpoint;
use std::collections::BTreeSet;
use std::time::Instant;

impl Group {
    pub(super) fn note_down(
        &mut self,
        record: Option<&GroupRecord>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        for (endpoint, watch) in &self.watches {
            let is_master = record.is_some_and(|record| record.master().endpoint == *endpoint);
            let health = match record {
                Some(record) if is_master => self.own_health(record, now),
                Some(_) | None => watch.health(&self.policy, None, now),
            };
            let happening = match health {
                Health::Down { cause, .. } if self.down.get(endpoint) != Some(&cause) => {
                    self.down.insert(endpoint.clone(), cause);
                    Happening::SubjectivelyDown {
                        group: self.name.clone(),
                        instance: endpoint.clone(),
                        is_master,
                        cause,
                    }
                }
                Health::Up if self.down.remove(endpoint).is_some() => Happening::AnswersAgain {
                    group: self.name.clone(),
                    instance: endpoint.clone(),
                },
                Health::Down { .. } | Health::Up | Health::Unknown | Health::Suspected { .. } => {
                    continue;
                }
            };
            actions.push(Action::Announce(happening));
        }
    }

    /// The Sentinels for whose sake nothing is done about the group.
    #[must_use]
    pub fn deferred_to(&self, now: Instant) -> Option<SentinelWatch> {
        sentinels::found(&self.watches, now).filter(|_| !self.policy.take_over)
    }

    pub(super) fn note_sentinels(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let found = self.deferred_to(now);
        let (told, is_hidden_told) = &mut self.sentinels_told;
        // Not each time that one of them comes or goes.
        if found.is_some() != told.is_some() {
            actions.push(Action::Announce(match &found {
                Some(found) => Happening::SentinelsFound {
                    group: self.name.clone(),
                    instance: found.instance.clone(),
                    sentinels: found.sentinels,
                },
                None => Happening::SentinelsGone {
                    group: self.name.clone(),
                },
            }));
        }
        *told = found;
        if !*is_hidden_told && let Some((instance, why)) = sentinels::hidden(&self.watches) {
            *is_hidden_told = true;
            actions.push(Action::Announce(Happening::SentinelsHidden {
                group: self.name.clone(),
                instance,
                why: why.to_string(),
            }));
        }
    }

    pub(super) fn note_strangers(
        &mut self,
        record: Option<&GroupRecord>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let strangers: BTreeSet<Endpoint> = record
            .into_iter()
            .flat_map(|record| self.each_standing(record, now))
            .filter(|(_, (standing, _))| *standing == Standing::Stranger)
            .map(|(endpoint, _)| endpoint.clone())
            .collect();
        for instance in strangers.difference(&self.strangers) {
            let (group, instance) = (self.name.clone(), instance.clone());
            actions.push(Action::Announce(Happening::Stranger { group, instance }));
        }
        self.strangers = strangers;
    }
}
