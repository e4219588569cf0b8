//! What this node holds of a group's master, tells its peers, and makes of their views.

use super::Group;
use crate::breaks::{Break, is_broken};
use crate::decision::agreement::{self, Circumstances, Verdict};
use crate::decision::fencing::FenceCause;
use crate::decision::health::{Cause, Health};
use crate::decision::lease::LeaseClaim;
use crate::decision::record::GroupRecord;
use crate::decision::rescue::RescueClaim;
use crate::decision::view::{HeldView, Opinion, View};
use crate::decision::watch::Watch;
use crate::model::{
    Endpoint, Epoch, InstanceInfo, Life, Loading, NodeId, ReplicationOffset, Role, RunId,
};
use std::collections::BTreeMap;
use std::time::Instant;

/// What of a view is worth a message of its own when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    epoch: Epoch,
    run_id: RunId,
    opinion: Kind,
    files_epoch: Option<Epoch>,
    fences: Vec<(Endpoint, FenceCause)>,
    lease: Option<LeaseClaim>,
    rescues: Vec<RescueClaim>,
    /// Signs of life, only while somebody doubts.
    signs: Option<(Option<Instant>, Option<Instant>)>,
}

/// How a restarted master stands to the logged history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Continuity {
    /// It goes on with it, and no other instance is ahead of it, nor may be.
    Whole,
    /// So it seems, until the others are read again.
    Unsure,
    /// It does not, or somebody is ahead, or may be.
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unknown,
    Up,
    Suspected,
    Down(Cause),
}

impl Kind {
    fn of(health: Health) -> Self {
        match health {
            Health::Unknown => Self::Unknown,
            Health::Up => Self::Up,
            Health::Suspected { .. } => Self::Suspected,
            Health::Down { cause, .. } => Self::Down(cause),
        }
    }
}

impl Group {
    pub(super) fn watch_role(&mut self, record: Option<&GroupRecord>, now: Instant) {
        let Some(record) = record else { return };
        let Some(sample) = self
            .watches
            .get(&record.master().endpoint)
            .and_then(|watch| watch.sample())
        else {
            return;
        };
        let is_wrong = sample.asked_at >= self.identity_since
            && matches!(sample.info.role, Role::Replica { .. });
        if is_wrong {
            self.wrong_role_since.get_or_insert(now);
        } else {
            self.wrong_role_since = None;
        }
    }

    /// This node's judgement of the logged master.
    #[must_use]
    pub fn own_health(&self, record: &GroupRecord, now: Instant) -> Health {
        let master = record.master();
        let Some(watch) = self.watches.get(self.real(&master.endpoint)) else {
            return Health::Unknown;
        };
        if let Some(sample) = watch.sample()
            && sample.asked_at >= self.identity_since
            && sample.info.run_id != master.run_id
            && !is_broken(Break::RestartNotNoticed)
        {
            let since = sample.asked_at;
            match self.continuity(record, &sample.info, now) {
                Continuity::Whole => {}
                Continuity::Unsure => return Health::Suspected { since },
                Continuity::Broken => {
                    let cause = Cause::Restarted;
                    return Health::Down { cause, since };
                }
            }
        }
        let health = watch.health(&self.policy, Some(master.run_id), now);
        match (health, self.wrong_role_since) {
            (Health::Up, Some(since)) => {
                if now.saturating_duration_since(since) >= self.policy.down_after {
                    Health::Down {
                        cause: Cause::WrongRole,
                        since,
                    }
                } else {
                    Health::Suspected { since }
                }
            }
            (Health::Up, None) => match self.unleased_since(record, now) {
                Some(since) => Health::Down {
                    cause: Cause::Unleased,
                    since,
                },
                None => Health::Up,
            },
            (health, _) => health,
        }
    }

    /// Whether a restarted master still has all that the group has.
    pub(in crate::decision) fn is_continued(
        &self,
        record: &GroupRecord,
        info: &InstanceInfo,
        now: Instant,
    ) -> bool {
        self.continuity(record, info, now) == Continuity::Whole
    }

    fn continuity(&self, record: &GroupRecord, info: &InstanceInfo, now: Instant) -> Continuity {
        if is_broken(Break::EmptiedMasterAccepted) {
            return Continuity::Whole;
        }
        let most = self.best_reach(record);
        let reach = record.master().reach(&info.history);
        let is_behind = reach.is_none_or(|reach| most.is_some_and(|most| reach < most));
        if is_behind || !self.unheard(record, now).is_empty() {
            Continuity::Broken
        } else if self.are_others_read(record, now) {
            Continuity::Whole
        } else {
            Continuity::Unsure
        }
    }

    /// Whether all others that are up were read since the restarted master was there: what they said
    /// before tells nothing of the last that they got from its former life. Whoever can be reached and
    /// not be read is not waited for any longer than one that is silent.
    fn are_others_read(&self, record: &GroupRecord, now: Instant) -> bool {
        let master = &record.master().endpoint;
        let opened_at = self.watches.get(master).and_then(Watch::opened_at);
        let Some(opened_at) = opened_at else {
            return true;
        };
        let is_read = |watch: &Watch| {
            let is_down = match watch.health(&self.policy, None, now) {
                Health::Down { .. } => true,
                Health::Up | Health::Unknown | Health::Suspected { .. } => false,
            };
            is_down || watch.sample().is_some_and(|it| it.asked_at >= opened_at)
        };
        now.saturating_duration_since(opened_at) >= self.policy.down_after
            || self
                .watches
                .values()
                .filter(|watch| watch.endpoint() != master)
                .all(is_read)
    }

    /// Fresh views of all voters, our own included.
    pub(in crate::decision) fn views_now(
        &self,
        record: &GroupRecord,
        now: Instant,
    ) -> BTreeMap<NodeId, HeldView> {
        let mut views: BTreeMap<NodeId, HeldView> = self
            .views
            .iter()
            .filter(|(_, view)| view.counts(record.epoch(), record.master().run_id, now))
            .map(|(node, view)| (node.clone(), view.clone()))
            .collect();
        views.insert(self.node.clone(), self.own_view(record, now));
        views
    }

    pub(super) fn own_view(&self, record: &GroupRecord, now: Instant) -> HeldView {
        HeldView {
            life: Life::default(),
            received_at: now,
            epoch: record.epoch(),
            run_id: record.master().run_id,
            health: self.own_health(record, now),
            answered: self.master_answered(record),
            moving_since: self.moving_since(record),
            files_epoch: self.files_epoch,
            fences: self.own_fences(),
            lease: self.lease_claim(record, now),
            rescues: self.rescue_claims(),
        }
    }

    fn master_answered(&self, record: &GroupRecord) -> Option<Instant> {
        let master = self.watches.get(&record.master().endpoint);
        master.and_then(Watch::answered)
    }

    /// The latest moment after which a replica received more of the master's stream.
    pub(super) fn moving_since(&self, record: &GroupRecord) -> Option<Instant> {
        self.watches
            .values()
            .filter(|watch| *watch.endpoint() != record.master().endpoint)
            .filter_map(|watch| watch.stream().moving_since())
            .max()
    }

    /// What the voters' views come to.
    #[must_use]
    pub fn verdict(&self, record: &GroupRecord, now: Instant) -> Verdict {
        // The usual case, at every event: nothing is copied to find it out.
        if !self.is_held_down(record, now) {
            return Verdict::NotDown;
        }
        let circumstances = Circumstances {
            cooldown_until: self.cooldown_until,
            now,
        };
        agreement::judge(&self.views_now(record, now), &self.policy, circumstances)
    }

    /// Whether anybody holds the master down whose view counts.
    fn is_held_down(&self, record: &GroupRecord, now: Instant) -> bool {
        let is_down = |health| matches!(health, Health::Down { .. });
        let counts = |view: &HeldView| view.counts(record.epoch(), record.master().run_id, now);
        let mut others = self.views.values();
        others.any(|view| is_down(view.health) && counts(view))
            || is_down(self.own_health(record, now))
    }

    /// The last offset seen of the master.
    #[must_use]
    pub fn master_offset(&self, record: &GroupRecord) -> Option<ReplicationOffset> {
        let (run_id, offset) = self.master_seen?;
        (run_id == record.master().run_id).then_some(offset)
    }

    /// Whether this is the first process that was seen in the place of the logged master's with its data
    /// read. One that ended before that wrote to no file.
    pub(in crate::decision) fn is_next_process(&self, record: &GroupRecord, run_id: RunId) -> bool {
        self.master_next == Some((record.master().run_id, run_id))
    }

    /// Remembers how far the logged master was seen, and which process was there next.
    pub(super) fn see_master(&mut self, record: Option<&GroupRecord>) {
        let Some(master) = record.map(GroupRecord::master) else {
            return;
        };
        let sample = self.watches.get(&master.endpoint).and_then(Watch::sample);
        let Some(info) = sample.map(|sample| &sample.info) else {
            return;
        };
        if info.run_id == master.run_id {
            self.master_seen = Some((master.run_id, info.history.offset));
        } else if info.loading == Loading::No
            && self
                .master_next
                .is_none_or(|(after, _)| after != master.run_id)
        {
            self.master_next = Some((master.run_id, info.run_id));
        }
    }

    /// Whether this node's view is worth a message at once: it is other than what was last told.
    pub fn has_news(&mut self, record: &GroupRecord, now: Instant) -> bool {
        let told = self.what_is_told(record, now);
        let is_news = self.last_told.as_ref() != Some(&told);
        self.last_told = Some(told);
        is_news
    }

    /// Whether nobody, this node included, doubted the master when it last looked.
    pub(super) fn is_undoubted(&self) -> bool {
        let told = self.last_told.as_ref();
        told.is_some_and(|told| told.opinion == Kind::Up && told.signs.is_none())
    }

    fn what_is_told(&self, record: &GroupRecord, now: Instant) -> Told {
        let health = self.own_health(record, now);
        let doubted = health != Health::Up
            || self.views.values().any(|view| match view.health {
                Health::Suspected { .. } | Health::Down { .. } => {
                    view.counts(record.epoch(), record.master().run_id, now)
                }
                Health::Unknown | Health::Up => false,
            });
        Told {
            epoch: record.epoch(),
            run_id: record.master().run_id,
            opinion: Kind::of(health),
            files_epoch: self.files_epoch,
            fences: self.told_fences(),
            lease: self.lease_claim(record, now),
            rescues: self.rescue_claims(),
            signs: doubted.then(|| (self.master_answered(record), self.moving_since(record))),
        }
    }

    /// This node's view for its peers.
    pub fn view(&mut self, record: &GroupRecord, now: Instant) -> View {
        self.has_news(record, now);
        let own = self.own_view(record, now);
        let age = |at: Instant| now.saturating_duration_since(at);
        View {
            group: self.name.clone(),
            epoch: own.epoch,
            run_id: own.run_id,
            opinion: Opinion::of(own.health, now),
            answered_age: own.answered.map(age),
            moving_age: own.moving_since.map(age),
            files_epoch: own.files_epoch,
            fences: self.fence_claims(now),
            lease: own.lease,
            rescues: own.rescues,
        }
    }
}
