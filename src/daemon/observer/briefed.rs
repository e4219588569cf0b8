//! What an observer was told, and what its files shall say of that. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::breaks::{Break, is_broken};
use crate::clients::journal::Entry;
use crate::clients::{Publication, Target};
use crate::model::GroupName;
use crate::peer::{Knowledge, PublicGroup};

/// An observer's knowledge, and whether a voter with a leader has confirmed it since this process began.
///
/// Before that it may be an old story, and nothing new is written. Once confirmed it never goes back, so
/// whatever is newer is right.
#[derive(Debug)]
pub struct Briefed {
    knowledge: Knowledge,
    is_confirmed: bool,
}

impl Briefed {
    /// With what was saved before.
    #[must_use]
    pub fn new(knowledge: Knowledge) -> Self {
        Self {
            knowledge,
            is_confirmed: false,
        }
    }

    /// All that is known.
    #[must_use]
    pub fn knowledge(&self) -> &Knowledge {
        &self.knowledge
    }

    /// What this host was told and did not finish: it goes on with that at once, if need be without a voter.
    /// What is right by the journal is not touched, since somebody may have had a reason to change it; and
    /// what no journal knows of waits for a voter.
    pub fn unfinished<'a>(
        &self,
        targets: &[Target],
        journalled: impl Fn(&Target) -> Option<&'a Entry>,
    ) -> Vec<Publication> {
        let is_unfinished = |target: &&Target| {
            let known = self.knowledge.groups().get(&target.group);
            known.zip(journalled(target)).is_some_and(|(known, entry)| {
                let is_unread = target.reload.is_some() && !entry.reloaded;
                entry.epoch < known.epoch || is_unread
            })
        };
        let targets = targets.iter().filter(is_unfinished);
        let names: BTreeSet<&GroupName> = targets.map(|target| &target.group).collect();
        let groups = self.knowledge.groups().iter();
        let groups = groups.filter(|(name, _)| names.contains(name));
        groups
            .map(|(name, group)| publication(name, group))
            .collect()
    }

    /// A voter told something, of which `taken` was new. Returns what the files shall say.
    pub fn take_in(
        &mut self,
        is_confirmed: bool,
        taken: &BTreeMap<GroupName, Arc<PublicGroup>>,
        knowledge: Knowledge,
    ) -> Vec<Publication> {
        self.knowledge = knowledge;
        let is_first = is_confirmed && !self.is_confirmed;
        self.is_confirmed |= is_confirmed;
        let told = match (self.is_confirmed, is_first) {
            (false, _) => return Vec::new(),
            (true, true) => self.knowledge.groups(),
            (true, false) if is_broken(Break::LaterNewsNotWritten) => return Vec::new(),
            (true, false) => taken,
        };
        let told = told.iter();
        told.map(|(name, group)| publication(name, group)).collect()
    }
}

fn publication(name: &GroupName, group: &PublicGroup) -> Publication {
    Publication {
        group: name.clone(),
        epoch: group.epoch,
        master: group.master.clone(),
        replicas: group.replicas.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clients::command::Command;
    use crate::clients::{Content, Digest};
    use crate::model::{ClusterId, Epoch, LogIndex};
    use crate::peer::News;

    fn news(epoch: u64) -> News {
        let group = PublicGroup {
            epoch: Epoch(epoch),
            master: "m:1".parse().unwrap(),
            replicas: Vec::new(),
            is_paused: false,
            index: LogIndex(epoch),
        };
        News {
            cluster: Some(ClusterId(7)),
            is_confirmed: true,
            groups: [("f".parse().unwrap(), group.into())].into(),
        }
    }

    fn knowing(epoch: u64) -> Knowledge {
        let mut knowledge = Knowledge::default();
        knowledge.take_in(news(epoch)).unwrap();
        knowledge
    }

    #[test]
    fn without_a_voter_only_what_was_told_and_not_done_is_done() {
        for (known, written, has_reload, is_unfinished) in [
            (2, Some((1, true)), false, true),
            (2, Some((2, true)), false, false),
            (2, Some((2, false)), false, false),
            (2, Some((2, false)), true, true),
            (2, Some((2, true)), true, false),
            (2, Some((3, true)), true, false),
            (2, None, true, false),
        ] {
            let target = Target {
                client: "api".parse().unwrap(),
                group: "f".parse().unwrap(),
                path: "/api.env".into(),
                content: Content::Template {
                    source: "/t".into(),
                },
                check: None,
                reload: has_reload.then(|| Command {
                    line: "true".parse().unwrap(),
                    limit: Duration::from_secs(1),
                }),
            };
            let entry = written.map(|(epoch, reloaded)| Entry {
                client: target.client.clone(),
                group: target.group.clone(),
                epoch: Epoch(epoch),
                master: "m:1".parse().unwrap(),
                digest: Digest::of(b""),
                reloaded,
            });
            let briefed = Briefed::new(knowing(known));
            let found = briefed.unfinished(&[target], |_| entry.as_ref());
            assert_eq!(!found.is_empty(), is_unfinished, "{written:?} {has_reload}");
        }
    }

    #[test]
    fn nothing_is_written_before_a_leader_has_confirmed_it_and_then_all_of_it() {
        let mut briefed = Briefed::new(knowing(2));
        let mut told = |is_confirmed, epoch| {
            let mut knowledge = briefed.knowledge().clone();
            let taken = knowledge.take_in(news(epoch)).unwrap();
            let published = briefed.take_in(is_confirmed, &taken, knowledge);
            let epochs = published.iter().map(|publication| publication.epoch.0);
            epochs.collect::<Vec<_>>()
        };
        for (is_confirmed, epoch, expected) in [
            (false, 3, None),
            (true, 3, Some(3)),
            (true, 3, None),
            (false, 4, Some(4)),
            (true, 4, None),
        ] {
            let published = told(is_confirmed, epoch);
            assert_eq!(
                published,
                Vec::from_iter(expected),
                "{is_confirmed} {epoch}"
            );
        }
    }
}
