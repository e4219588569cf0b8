//! When an instance is connected to, pinged and asked.

use super::{
    Due, Link, LinkIds, Orders, PINGS_OUTSTANDING_MAX, Pace, SPARE_PATIENCE, Spare, Watch,
};
use crate::decision::instance_event::ProbeCommand;
use crate::decision::policy::{EARLY, GroupPolicy};
use crate::decision::process_watch::ProcessWatch;
use crate::decision::sentinels::COUNT_INTERVAL;
use crate::model::Role;
use std::time::{Duration, Instant};

impl Watch {
    /// Sends `INFO` at once, if there is a connection and none is on its way.
    pub fn ask_info(&mut self, now: Instant, orders: &mut Orders) {
        if let Link::Open(open) = &mut self.link
            && open.info_asked.is_none()
        {
            open.info_asked = Some(now);
            open.info_due = now + GroupPolicy::INFO_INTERVAL;
            orders.push((open.link, ProbeCommand::AskInfo));
        }
    }

    /// Sends `INFO` at once, unless it was sent since `since`, or one is on its way.
    pub fn refresh_info(&mut self, since: Instant, now: Instant, orders: &mut Orders) {
        if let Link::Open(open) = &self.link
            && open.info_due < since + GroupPolicy::INFO_INTERVAL
        {
            self.ask_info(now, orders);
        }
    }

    /// Sends `PING` at once, if there is a connection: somebody else doubts this instance.
    pub fn ask_ping(&mut self, policy: &GroupPolicy, now: Instant, orders: &mut Orders) {
        let interval = self.ping_interval(policy);
        if let Link::Open(open) = &mut self.link
            && open.pings.len() < PINGS_OUTSTANDING_MAX
            && open.pings.back().is_none_or(|sent| *sent < now)
        {
            open.pings.push_back(now);
            open.ping_due = now + interval;
            orders.push((open.link, ProbeCommand::Ping));
        }
    }

    /// A replica's silence only matters when it is chosen, and then it is asked again.
    fn ping_interval(&self, policy: &GroupPolicy) -> Duration {
        match self.sample.as_ref().map(|sample| &sample.info.role) {
            Some(Role::Replica { .. }) => policy.ping_interval() * 2,
            Some(Role::Master { .. }) | None => policy.ping_interval(),
        }
    }

    /// Does what is due: connect, ping, ask for `INFO`, try a second connection.
    pub fn poll(
        &mut self,
        policy: &GroupPolicy,
        pace: Pace,
        now: Instant,
        ids: &mut LinkIds,
        orders: &mut Orders,
    ) {
        if let Link::Waiting { until } = self.link
            && until <= now
        {
            let link = ids.draw();
            self.link = Link::Connecting { link };
            orders.push((link, ProbeCommand::Connect));
        }
        self.poll_spare(policy, now, ids, orders);
        let due = self.due(pace);
        let ping_soon = now + policy.ping_interval() / EARLY;
        let pings = due.ping.is_some_and(|at| at <= ping_soon);
        let info_soon = if pings {
            now + pace.info_interval / EARLY
        } else {
            now
        };
        if pings {
            self.ask_ping(policy, now, orders);
        }
        if due.info.is_some_and(|at| at <= info_soon) {
            self.count_sentinels(now, orders);
            self.ask_info(now, orders);
        }
        if due.limits.is_some_and(|at| at <= now) {
            self.ask_limits(now, orders);
        }
    }

    /// Goes along with an `INFO`, and before it: what that says is acted on with the count at hand.
    fn count_sentinels(&mut self, now: Instant, orders: &mut Orders) {
        if let Link::Open(open) = &mut self.link
            && open.count_due <= now
        {
            open.count_due = now + COUNT_INTERVAL;
            orders.push((open.link, ProbeCommand::CountSentinels));
        }
    }

    pub(super) fn poll_spare(
        &mut self,
        policy: &GroupPolicy,
        now: Instant,
        ids: &mut LinkIds,
        orders: &mut Orders,
    ) {
        let doubted_at = self.doubted_at(policy);
        match self.spare {
            Spare::None => {}
            Spare::Waiting { .. } if doubted_at.is_some() => {}
            Spare::Waiting { .. } => self.spare = Spare::None,
            Spare::Connecting { link } | Spare::Open { link, .. } if doubted_at.is_none() => {
                orders.push((link, ProbeCommand::Disconnect));
                self.spare = Spare::None;
            }
            Spare::Open {
                link, opened_at, ..
            } if opened_at + SPARE_PATIENCE <= now => {
                orders.push((link, ProbeCommand::Disconnect));
                self.spare = Spare::None;
            }
            Spare::Connecting { .. } | Spare::Open { .. } => {}
        }
        if self.spare_due(policy).is_some_and(|at| at <= now) {
            let link = ids.draw();
            self.spare = Spare::Connecting { link };
            orders.push((link, ProbeCommand::Connect));
        }
    }

    /// Since when the open connection is in doubt, or will be if nothing is heard.
    pub(super) fn doubted_at(&self, policy: &GroupPolicy) -> Option<Instant> {
        let Link::Open(open) = &self.link else {
            return None;
        };
        if self
            .process
            .as_ref()
            .is_some_and(ProcessWatch::wants_second_opinion)
        {
            return Some(open.opened_at);
        }
        open.pings.front().map(|sent| *sent + policy.doubt_after())
    }

    pub(super) fn spare_due(&self, policy: &GroupPolicy) -> Option<Instant> {
        let doubted_at = self.doubted_at(policy)?;
        match self.spare {
            Spare::None => Some(doubted_at),
            Spare::Waiting { until } => Some(doubted_at.max(until)),
            Spare::Connecting { .. } | Spare::Open { .. } => None,
        }
    }

    pub(super) fn spare_over(&self) -> Option<Instant> {
        match self.spare {
            Spare::Open { opened_at, .. } => Some(opened_at + SPARE_PATIENCE),
            Spare::None | Spare::Waiting { .. } | Spare::Connecting { .. } => None,
        }
    }

    pub(super) fn due(&self, pace: Pace) -> Due {
        let Link::Open(open) = &self.link else {
            return Due {
                ping: None,
                info: None,
                limits: None,
            };
        };
        let can_ping = open.pings.len() < PINGS_OUTSTANDING_MAX;
        let hurry = GroupPolicy::INFO_INTERVAL.saturating_sub(pace.info_interval);
        let info = open.info_due.checked_sub(hurry).unwrap_or(open.opened_at);
        Due {
            ping: can_ping.then_some(open.ping_due),
            info: open.info_asked.is_none().then_some(info),
            limits: open.limits_due.filter(|_| !open.limits_asked),
        }
    }

    /// The next moment at which [`poll`](Self::poll) or [`health`](Self::health) says something else.
    #[must_use]
    pub fn next_deadline(&self, policy: &GroupPolicy, pace: Pace, now: Instant) -> Option<Instant> {
        let due = self.due(pace);
        let connect = match &self.link {
            Link::Waiting { until } => Some(*until),
            Link::Connecting { .. } | Link::Open(_) => None,
        };
        let silent = Some(self.alive_at + policy.down_after).filter(|at| *at > now);
        let doubt = match &self.link {
            Link::Open(open) => open
                .pings
                .front()
                .map(|sent| *sent + policy.doubt_after())
                .filter(|at| *at > now),
            Link::Waiting { .. } | Link::Connecting { .. } => None,
        };
        [
            due.ping,
            due.info,
            due.limits,
            connect,
            silent,
            doubt,
            self.spare_due(policy),
            self.spare_over(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
