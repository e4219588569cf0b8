//! What is known of an instance's limits of writing: whether it is fenced, and what it has of its own.

use super::{Link, Orders, Watch};
use crate::decision::instance_event::{CommandFailure, LinkId, ProbeCommand};
use crate::decision::policy::GroupPolicy;
use crate::model::{Role, WriteLimits};
use std::time::Instant;

/// The limits of one instance, as far as it told.
#[derive(Debug, Default)]
pub(super) struct LimitsWatch {
    /// The latest answer, and when it was asked for.
    latest: Option<(Instant, WriteLimits)>,
    /// The latest that were no fence.
    own: Option<WriteLimits>,
    /// Why they could not be read or set the last time.
    failed: Option<CommandFailure>,
    /// Somebody may have changed them since.
    is_doubted: bool,
    /// What was ordered on this connection, and has no answer.
    ordered: Option<(LinkId, WriteLimits)>,
    /// When a fence was first read on this connection, and none was ordered to be lifted since.
    fenced_since: Option<Instant>,
    /// A reading that was sent after that showed it too.
    is_surely_fenced: bool,
}

impl LimitsWatch {
    fn observe(&mut self, at: Instant, limits: WriteLimits, now: Instant) {
        if !limits.is_fence() {
            self.unfence();
        } else if self.ordered.is_none_or(|(_, ordered)| ordered.is_fence()) {
            self.is_surely_fenced |= self.fenced_since.is_some_and(|since| at >= since);
            self.fenced_since.get_or_insert(now);
        }
        let is_news = self.latest.is_none_or(|(before, _)| at >= before);
        if is_news {
            self.latest = Some((at, limits));
            self.is_doubted = false;
            self.note_own(limits);
        }
    }

    pub(super) fn forget(&mut self) {
        self.latest = None;
        self.ordered = None;
        self.unfence();
    }

    fn unfence(&mut self) {
        self.fenced_since = None;
        self.is_surely_fenced = false;
    }

    fn note_own(&mut self, limits: WriteLimits) {
        if !limits.is_fence() {
            self.own = Some(limits);
        }
    }
}

impl Watch {
    /// The limits as last read, or as last set from here.
    #[must_use]
    pub fn limits(&self) -> Option<WriteLimits> {
        self.limits.latest.map(|(_, limits)| limits)
    }

    /// The latest limits that were no fence: what to put back where a fence is lifted.
    #[must_use]
    pub fn own_limits(&self) -> Option<WriteLimits> {
        self.limits.own
    }

    /// A peer fenced it, and this is what it had before.
    pub fn learn_own_limits(&mut self, limits: WriteLimits) {
        self.limits.note_own(limits);
    }

    /// Why the limits could not be read or set the last time.
    #[must_use]
    pub fn limits_failure(&self) -> Option<&CommandFailure> {
        self.limits.failed.as_ref()
    }

    /// Whether it has a fence, by what it last said and what is on its way to it.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        let ordered = self
            .limits
            .ordered
            .filter(|(link, _)| self.open_link() == Some(*link));
        let limits = ordered.map(|(_, limits)| limits).or(self.limits());
        limits.is_some_and(WriteLimits::is_fence)
    }

    /// Whether a fence was seen there that nothing on its way will lift.
    #[must_use]
    pub fn is_seen_fenced(&self) -> bool {
        !self.limits.is_doubted
            && self.limits().is_some_and(WriteLimits::is_fence)
            && self.is_fenced()
    }

    /// Whether nothing that was sent to it before, on whatever connection, can lift its fence: it was read
    /// twice, the second time by a question that was sent after the first answer. Redis takes up what waits
    /// in all its sockets before it takes up what comes later.
    #[must_use]
    pub fn is_surely_fenced(&self) -> bool {
        self.limits.is_surely_fenced && self.is_seen_fenced()
    }

    /// Whether it said at last, on this connection, that it is a master.
    #[must_use]
    pub fn says_master(&self) -> bool {
        let role = self.current_sample().map(|sample| &sample.info.role);
        matches!(role, Some(Role::Master { .. }))
    }

    /// Sets the limits, unless that is on its way already.
    pub fn set_limits(&mut self, limits: WriteLimits, orders: &mut Orders) {
        let Some(link) = self.open_link() else {
            return;
        };
        if self.limits.ordered == Some((link, limits)) {
            return;
        }
        self.limits.ordered = Some((link, limits));
        if !limits.is_fence() {
            self.limits.unfence();
        }
        orders.push((link, ProbeCommand::SetLimits(limits)));
    }

    /// Asks for the limits at once, if there is a connection and they are not being asked for.
    pub fn ask_limits(&mut self, now: Instant, orders: &mut Orders) {
        if let Link::Open(open) = &mut self.link
            && !open.limits_asked
        {
            open.limits_asked = true;
            open.limits_due = Some(now + GroupPolicy::LIMITS_INTERVAL);
            orders.push((open.link, ProbeCommand::AskLimits));
        }
    }

    /// Has a fence that was read once read again at once.
    pub fn make_sure_of_fence(&mut self, now: Instant, orders: &mut Orders) {
        if self.limits.fenced_since.is_some() && !self.limits.is_surely_fenced {
            self.ask_limits(now, orders);
        }
    }

    /// Has the limits asked for with the next poll.
    pub fn doubt_limits(&mut self, now: Instant) {
        if let Link::Open(open) = &mut self.link
            && let Some(due) = &mut open.limits_due
        {
            *due = now.min(*due);
            self.limits.is_doubted = true;
        }
    }

    pub(super) fn on_limits_replied(
        &mut self,
        link: LinkId,
        sent_at: Instant,
        result: Result<WriteLimits, CommandFailure>,
        now: Instant,
    ) {
        let Link::Open(open) = &mut self.link else {
            return;
        };
        if open.link != link {
            return;
        }
        open.limits_asked = false;
        if result.as_ref().is_ok_and(|limits| limits.is_fence()) {
            let soon = sent_at + GroupPolicy::LIMITS_INTERVAL_FENCED;
            open.limits_due = open.limits_due.map(|due| due.min(soon));
        }
        self.take_limits(sent_at, result, now);
    }

    pub(super) fn on_limits_set(
        &mut self,
        link: LinkId,
        sent_at: Instant,
        limits: WriteLimits,
        result: Result<WriteLimits, CommandFailure>,
        now: Instant,
    ) {
        if self.limits.ordered == Some((link, limits)) {
            self.limits.ordered = None;
        }
        // Somebody else may lift it.
        if let Link::Open(open) = &mut self.link
            && open.link == link
            && limits.is_fence()
        {
            let soon = sent_at + GroupPolicy::LIMITS_INTERVAL_FENCED;
            open.limits_due = open.limits_due.map(|due| due.min(soon));
        }
        if let Ok(before) = &result {
            self.limits.note_own(*before);
        }
        self.take_limits(sent_at, result.map(|_| limits), now);
    }

    fn take_limits(
        &mut self,
        sent_at: Instant,
        result: Result<WriteLimits, CommandFailure>,
        now: Instant,
    ) {
        self.limits.failed = result.as_ref().err().cloned();
        if let Ok(limits) = result {
            self.limits.observe(sent_at, limits, now);
        }
    }
}
