//! What an observer knows of all groups, from whichever voter: it never goes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::word::{News, PublicGroup};
use crate::breaks::{Break, is_broken};
use crate::model::{ClusterId, GroupName};

/// The latest of all that voters of one cluster have told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knowledge {
    cluster: Option<ClusterId>,
    groups: BTreeMap<GroupName, Arc<PublicGroup>>,
}

/// A voter of a cluster that is not ours: nothing that it tells is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "it belongs to cluster {told}, and what this observer knows is of cluster {known}: correct PROMOTERD_PEERS; \
     to follow the other cluster, stop this observer and empty its state directory"
)]
pub struct OtherCluster {
    /// Ours.
    pub known: ClusterId,
    /// The voter's.
    pub told: ClusterId,
}

impl Knowledge {
    /// The cluster that all of it is about; none before a voter told.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// All groups.
    #[must_use]
    pub fn groups(&self) -> &BTreeMap<GroupName, Arc<PublicGroup>> {
        &self.groups
    }

    /// Takes in what is newer than what is known, and returns it.
    ///
    /// Of a group an older epoch is not taken, nor an older word about the same epoch: a voter may lag
    /// behind the one that was followed before. How its replicas are is no matter of the log: there the last
    /// word counts, from whichever voter.
    ///
    /// # Errors
    /// [`OtherCluster`]; then nothing was taken.
    pub fn take_in(
        &mut self,
        news: News,
    ) -> Result<BTreeMap<GroupName, Arc<PublicGroup>>, OtherCluster> {
        let Some(told) = news.cluster else {
            // Who belongs to none knows nothing.
            return Ok(BTreeMap::new());
        };
        if self.cluster.is_none() && !news.is_confirmed {
            // A voter that the others do not know any more would tie this observer to what it once was.
            return Ok(BTreeMap::new());
        }
        match self.cluster {
            Some(known) if known != told => return Err(OtherCluster { known, told }),
            Some(_) | None => self.cluster = Some(told),
        }
        let mut taken = news.groups;
        taken.retain(|name, group| {
            let known = self.groups.get(name);
            let is_newest = |known: &Arc<PublicGroup>| {
                is_newer(group, known) || is_broken(Break::OlderWordTaken)
            };
            if let Some(known) = known.filter(|known| !is_newest(known)) {
                let Some(seen) = seen_anew(group, known) else {
                    return false;
                };
                *group = Arc::new(seen);
                self.groups.insert(name.clone(), Arc::clone(group));
                return true;
            }
            let is_said_again = known.is_some_and(|known| group.says_the_same_as(known));
            self.groups.insert(name.clone(), Arc::clone(group));
            !is_said_again
        });
        Ok(taken)
    }
}

/// What is known, with its replicas as they are told now; none where that is the same.
fn seen_anew(told: &PublicGroup, known: &PublicGroup) -> Option<PublicGroup> {
    let mut seen = known.clone();
    if (told.epoch, &told.master) == (known.epoch, &known.master) {
        for replica in &mut seen.replicas {
            let mut now = told.replicas.iter();
            let now = now.find(|now| now.endpoint == replica.endpoint);
            if let Some(now) = now {
                replica.clone_from(now);
            }
        }
    }
    (seen != *known).then_some(seen)
}

/// One epoch has one master, whoever tells of it.
fn is_newer(told: &PublicGroup, known: &PublicGroup) -> bool {
    let is_later = told.index > known.index && told.master == known.master;
    told.epoch > known.epoch || (told.epoch == known.epoch && is_later)
}

#[cfg(test)]
mod tests {
    use super::super::word::PublicState;
    use super::super::word::tests::{group, state};
    use super::*;
    use crate::model::{Replica, ReplicaHealth};

    fn all(state: &PublicState) -> News {
        News::between(None, state).unwrap()
    }

    #[test]
    fn of_a_group_only_what_is_newer_is_taken() {
        let known = group(3, "c:1", 30);
        let with_replicas = |replicas: &[&str], index| PublicGroup {
            replicas: replicas
                .iter()
                .map(|it| Replica::unknown(it.parse().unwrap()))
                .collect(),
            ..group(3, "c:1", index)
        };
        for (told, is_taken) in [
            (group(2, "b:1", 40), false),
            (group(3, "c:1", 30), false),
            (group(3, "c:1", 29), false),
            (with_replicas(&["x:1"], 29), false),
            (with_replicas(&["x:1"], 31), true),
            (group(3, "x:1", 31), false),
            (group(4, "d:1", 25), true),
        ] {
            let mut knowledge = Knowledge::default();
            let taken = knowledge.take_in(all(&state(&[("f", known.clone())])));
            assert_eq!(taken.unwrap().len(), 1);
            let news = all(&state(&[("f", told.clone())]));
            let taken = knowledge.take_in(news).unwrap();
            assert_eq!(taken.len(), usize::from(is_taken), "{told:?}");
            let expected = if is_taken { &told } else { &known };
            assert_eq!(
                *knowledge.groups().values().next().unwrap().as_ref(),
                *expected
            );
        }
    }

    #[test]
    fn what_is_said_again_later_is_no_news_and_still_later_than_what_was_said_between() {
        let mut knowledge = Knowledge::default();
        let paused = |index| PublicGroup {
            is_paused: true,
            ..group(3, "c:1", index)
        };
        for (told, is_news) in [
            (group(3, "c:1", 5), true),
            (group(3, "c:1", 90), false),
            (paused(50), false),
            (paused(91), true),
        ] {
            let taken = knowledge.take_in(all(&state(&[("f", told)]))).unwrap();
            assert_eq!(taken.len(), usize::from(is_news));
        }
    }

    #[test]
    fn how_replicas_are_is_taken_from_whoever_tells_last_of_those_that_are_known() {
        let replica = |endpoint: &str, health| Replica {
            endpoint: endpoint.parse().unwrap(),
            health,
            lag_bytes: None,
        };
        let known = group(3, "c:1", 30);
        let down = |group: PublicGroup| PublicGroup {
            replicas: vec![replica("r:1", ReplicaHealth::Down)],
            ..group
        };
        for (told, taken) in [
            (group(3, "c:1", 20), None),
            (down(group(3, "x:1", 20)), None),
            (down(group(2, "c:1", 40)), None),
            (down(group(3, "c:1", 30)), Some(30)),
            (down(group(3, "c:1", 20)), Some(30)),
            (down(group(3, "c:1", 31)), Some(31)),
        ] {
            let mut knowledge = Knowledge::default();
            let first = all(&state(&[("f", known.clone())]));
            knowledge.take_in(first).unwrap();
            let news = knowledge.take_in(all(&state(&[("f", told)]))).unwrap();
            let news = news.into_values().next();
            let news = news.map(|group| (group.index.0, group.replicas.clone()));
            let expected = taken.map(|index| (index, vec![replica("r:1", ReplicaHealth::Down)]));
            assert_eq!(news, expected);
        }
    }

    #[test]
    fn nothing_of_another_cluster_or_of_none_is_taken() {
        let mut knowledge = Knowledge::default();
        let unborn = News {
            cluster: None,
            ..all(&state(&[("f", group(9, "x:1", 99))]))
        };
        assert_eq!(knowledge.take_in(unborn), Ok(BTreeMap::new()));
        let forsaken = News {
            is_confirmed: false,
            ..all(&state(&[("f", group(9, "x:1", 99))]))
        };
        assert_eq!(knowledge.take_in(forsaken), Ok(BTreeMap::new()));
        assert_eq!(knowledge, Knowledge::default());
        let ours = state(&[("f", group(1, "a:1", 3))]);
        knowledge.take_in(all(&ours)).unwrap();
        let before = knowledge.clone();
        let theirs = PublicState {
            cluster: Some(ClusterId(8)),
            ..state(&[("f", group(9, "x:1", 99))])
        };
        let refused = knowledge.take_in(all(&theirs)).unwrap_err();
        assert_eq!((refused.known, refused.told), (ClusterId(7), ClusterId(8)));
        assert_eq!(knowledge, before);
    }
}
