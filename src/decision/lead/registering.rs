//! How a group becomes known to the cluster: once all that is to be known of it agrees, or by hand.

use std::mem::discriminant;
use std::time::{Duration, Instant};

use crate::breaks::{Break, is_broken};
use crate::decision::adoption::{self, Adoption, NotAdoptable};
use crate::decision::discovery::{self, Discovered, WaitingFor};
use crate::decision::entry::Entry;
use crate::decision::event::Action;
use crate::decision::group::Group;
use crate::decision::happening::Happening;
use crate::decision::policy::GroupPolicy;
use crate::decision::request::Request;
use crate::model::{Endpoint, UnixTime};

/// Time before people hear of another reason of the same kind.
const SAME_KIND_AFTER: Duration = Duration::from_secs(5);

impl Group {
    /// Takes on what an operator changed in the settings.
    pub(in crate::decision) fn adjust(&mut self, policy: GroupPolicy) {
        self.equality.adjust(&policy);
        self.is_roll_current = false;
        self.policy = policy;
    }

    pub(super) fn register(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.bookkeeping.register {
            return;
        }
        match self.discover(now) {
            Ok(found) => {
                self.bookkeeping.register = true;
                self.waiting = None;
                actions.push(Action::Propose(Entry::Register {
                    group: self.name.clone(),
                    master: found.master,
                    members: found.members,
                }));
            }
            Err(reason) => self.wait_for(reason, now, actions),
        }
    }

    /// The group, if its settings are equal on a majority and its instances agree on their master.
    fn discover(&self, now: Instant) -> Result<Discovered, WaitingFor> {
        let is_kept = |_: &WaitingFor| !is_broken(Break::RegistersOnUnequalSettings);
        let unequal = self.equality.awaited(now).filter(is_kept);
        // Who lists other instances sees other reasons, and this one explains them.
        if let Some(unequal) = &unequal
            && !self.equality.differences(now).is_empty()
        {
            return Err(unequal.clone());
        }
        let found = discovery::discover(&self.watches, &self.aliases, &self.policy, now)?;
        unequal.map_or(Ok(found), Err)
    }

    /// Why the group is not registered yet, as far as this node can tell.
    pub(in crate::decision) fn why_not_registered(&self, now: Instant) -> Option<WaitingFor> {
        self.discover(now).err()
    }

    /// Tells people why a group waits, once for each reason, and not in the first moments, when
    /// nobody can have answered yet. What differs only in words is told again after a while: the words may
    /// be those of a server that says something else each time.
    pub(super) fn wait_for(&mut self, reason: WaitingFor, now: Instant, actions: &mut Vec<Action>) {
        let early = now.saturating_duration_since(self.identity_since) < self.policy.down_after;
        let is_told = self.waiting.as_ref().is_some_and(|(told, at)| {
            let is_same_kind = discriminant(told) == discriminant(&reason);
            let is_recent = now.saturating_duration_since(*at) < SAME_KIND_AFTER;
            *told == reason || (is_same_kind && is_recent)
        });
        if early || is_told {
            return;
        }
        let group = self.name.clone();
        actions.push(Action::Announce(Happening::Waiting {
            group,
            reason: reason.clone(),
        }));
        self.waiting = Some((reason, now));
    }

    /// Whether an administrator may name `master`, as far as this node sees, and what that comes to.
    pub(in crate::decision) fn adoptable(
        &self,
        master: &Endpoint,
        now: Instant,
    ) -> Result<Discovered, NotAdoptable> {
        adoption::adopt(&self.watches, &self.aliases, &self.policy, master, now)
    }

    /// Registers the group with the master that an administrator named, or says why not: to people,
    /// since whoever asked only ever hears of what is committed.
    pub(in crate::decision) fn adopt(
        &mut self,
        request: &Request,
        master: &Endpoint,
        at: UnixTime,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        match self.adoptable(master, now) {
            Ok(found) => actions.push(Action::Propose(Entry::Adopt(Adoption {
                group: self.name.clone(),
                master: found.master,
                members: found.members,
                by: request.by.clone(),
                at,
                operation: request.operation,
            }))),
            Err(why) if self.refused != Some(request.operation) => {
                self.refused = Some(request.operation);
                actions.push(Action::Announce(Happening::AdoptionRefused {
                    group: self.name.clone(),
                    by: request.by.to_string(),
                    why: why.to_string(),
                }));
            }
            Err(_) => {}
        }
    }
}
