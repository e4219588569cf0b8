//! What an administrator may ask for, as far as this node can tell at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Supervisor;
use crate::decision::request::{Impossible, OperationId, Scope, Wish};
use crate::decision::switchover::NotSwitched;
use crate::model::{Endpoint, GroupName};

/// A majority that was not heard for so long cannot be counted on: reports come more often.
const MAJORITY_UNHEARD_MAX: Duration = Duration::from_millis(1500);

impl Supervisor {
    /// The groups that an administrator means.
    ///
    /// # Errors
    /// [`Impossible`] when there is nothing to do it to, or it cannot be done.
    pub fn admit(
        &self,
        operation: OperationId,
        scope: &Scope,
        wish: &Wish,
        now: Instant,
    ) -> Result<BTreeSet<GroupName>, Impossible> {
        match (wish, scope) {
            (Wish::Pause { .. } | Wish::Resume, scope) => self.select(scope, now),
            (Wish::Adopt { .. } | Wish::Switchover { .. }, Scope::All) => {
                Err(Impossible::OneGroupOnly)
            }
            (Wish::Switchover { to, .. }, scope @ Scope::Group(name)) => {
                let selected = self.select(scope, now)?;
                self.admit_switchover(operation, name, to.as_ref(), now)?;
                Ok(selected)
            }
            (Wish::Adopt { master }, Scope::Group(name)) => {
                self.admit_adoption(operation, name, master, now)
            }
        }
    }

    fn select(&self, scope: &Scope, now: Instant) -> Result<BTreeSet<GroupName>, Impossible> {
        match scope {
            Scope::All => {
                let all: BTreeSet<GroupName> =
                    self.records.iter().map(|(name, _)| name.clone()).collect();
                let is_empty = all.is_empty();
                (!is_empty).then_some(all).ok_or(Impossible::NoneRegistered)
            }
            Scope::Group(name) if self.records.get(name).is_some() => Ok([name.clone()].into()),
            Scope::Group(name) => Err(match self.groups.get(name) {
                Some(group) => Impossible::NotRegistered {
                    group: name.clone(),
                    waiting: group.why_not_registered(now),
                },
                None => self.unknown(name),
            }),
        }
    }

    /// The leader looks again; what this node sees is what it can give reasons for.
    fn admit_adoption(
        &self,
        operation: OperationId,
        name: &GroupName,
        master: &Endpoint,
        now: Instant,
    ) -> Result<BTreeSet<GroupName>, Impossible> {
        let admitted = || [name.clone()].into();
        match (self.records.get(name), self.groups.get(name)) {
            (Some(record), _) if record.has_done(operation) => Ok(admitted()),
            (Some(record), _) => Err(Impossible::Registered {
                group: name.clone(),
                master: record.master().endpoint.clone(),
            }),
            (None, None) => Err(self.unknown(name)),
            (None, Some(group)) => match group.adoptable(master, now) {
                Ok(_) => Ok(admitted()),
                Err(why) => Err(Impossible::NotAdoptable {
                    group: name.clone(),
                    why,
                }),
            },
        }
    }

    /// The same: what the leader sees decides.
    fn admit_switchover(
        &self,
        operation: OperationId,
        name: &GroupName,
        to: Option<&Endpoint>,
        now: Instant,
    ) -> Result<(), Impossible> {
        let Some(record) = self.records.get(name) else {
            return Ok(());
        };
        if record.has_done(operation) || self.desk.is_open(operation) {
            return Ok(());
        }
        let group = self.groups.get(name).ok_or_else(|| self.unknown(name))?;
        let unheard = now.saturating_duration_since(self.majority_heard(now));
        let switchable = if unheard > MAJORITY_UNHEARD_MAX {
            Err(NotSwitched::NoMajority(unheard))
        } else {
            group.switchable(record, to, None, now).map(|_| ())
        };
        switchable.map_err(|why| Impossible::NotSwitchable {
            group: name.clone(),
            why,
        })
    }

    fn unknown(&self, name: &GroupName) -> Impossible {
        let registered = self.records.iter().map(|(name, _)| name);
        let known: BTreeSet<&GroupName> = self.groups.keys().chain(registered).collect();
        Impossible::UnknownGroup {
            group: name.clone(),
            known: known.into_iter().cloned().collect(),
        }
    }
}
