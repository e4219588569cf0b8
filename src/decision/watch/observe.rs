//! Taking in what happened on the connections of an instance.

use super::{Link, OpenLink, Orders, REST_AFTER_UNHEARD, Refusals, Sample, Spare, Watch};
use crate::decision::health::Trouble;
use crate::decision::instance_event::{
    CommandFailure, ConnectFailure, LinkId, ProbeCommand, ProbeReport,
};
use crate::decision::policy::{Fencing, GroupPolicy};
use crate::decision::process_watch::ProcessWatch;
use crate::decision::sentinels::Count;
use crate::model::{InstanceInfo, PingReply};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

impl Watch {
    /// Takes in what happened on one of its connections.
    pub fn observe(
        &mut self,
        link: LinkId,
        report: ProbeReport,
        policy: &GroupPolicy,
        now: Instant,
        orders: &mut Orders,
    ) {
        match report {
            ProbeReport::Connected { same_host } => {
                self.on_connected(link, same_host, policy, now, orders);
            }
            ProbeReport::ConnectFailed(failure) => {
                self.on_connect_failed(link, failure, policy, now);
            }
            ProbeReport::Closed(reason) => self.on_closed(link, &reason, policy, now),
            ProbeReport::LimitsReplied { sent_at, result } => {
                self.on_limits_replied(link, sent_at, result);
            }
            ProbeReport::LimitsSet {
                sent_at,
                limits,
                result,
            } => self.on_limits_set(link, sent_at, limits, result),
            ProbeReport::PingReplied { sent_at, reply } => {
                self.on_ping_replied(link, sent_at, reply, now);
            }
            ProbeReport::InfoReplied { sent_at, result } => {
                self.on_info_replied(link, sent_at, result, policy, now, orders);
            }
            ProbeReport::ProcessExited => {
                if let Some(process) = &mut self.process {
                    process.on_exited(link, now);
                }
            }
            ProbeReport::SentinelsCounted { sent_at, result } => {
                let count = Count::after(self.sentinels.take(), sent_at, result);
                if let Link::Open(open) = &mut self.link {
                    open.count_due = count.repeated_at();
                }
                self.sentinels = Some(count);
            }
            // Whatever sent the order reads this one.
            ProbeReport::PromoteReplied { .. }
            | ProbeReport::WritesHeld { .. }
            | ProbeReport::WritesReleased { .. } => {}
        }
    }

    pub(super) fn on_connected(
        &mut self,
        link: LinkId,
        same_host: bool,
        policy: &GroupPolicy,
        now: Instant,
        orders: &mut Orders,
    ) {
        if matches!(&self.link, Link::Connecting { link: main } if *main == link) {
            self.open(link, same_host, policy, now);
        } else if matches!(&self.spare, Spare::Connecting { link: spare } if *spare == link) {
            self.spare = Spare::Open {
                link,
                same_host,
                opened_at: now,
            };
            orders.push((link, ProbeCommand::AskInfo));
        }
    }

    pub(super) fn open(
        &mut self,
        link: LinkId,
        same_host: bool,
        policy: &GroupPolicy,
        now: Instant,
    ) {
        // Another process may answer there, or somebody may have changed them meanwhile.
        self.limits.forget();
        self.link = Link::Open(OpenLink {
            link,
            opened_at: now,
            heard: false,
            pings: VecDeque::new(),
            ping_due: now,
            info_due: now,
            info_asked: None,
            limits_due: (policy.fencing == Fencing::Fast).then_some(now),
            limits_asked: false,
            same_host,
            count_due: now,
        });
    }

    pub(super) fn on_connect_failed(
        &mut self,
        link: LinkId,
        failure: ConnectFailure,
        policy: &GroupPolicy,
        now: Instant,
    ) {
        let retry_at = self.retry_at(&failure, policy, now);
        if matches!(&self.link, Link::Connecting { link: main } if *main == link) {
            self.link = Link::Waiting { until: retry_at };
        } else if matches!(&self.spare, Spare::Connecting { link: spare } if *spare == link) {
            self.spare = Spare::Waiting { until: retry_at };
        } else {
            return;
        }
        match failure {
            ConnectFailure::Refused => {
                let since = self.refused.map_or(now, |refusals| refusals.since);
                self.refused = Some(Refusals { since, last: now });
                self.trouble = None;
            }
            ConnectFailure::Denied(reply) => {
                self.refused = None;
                self.alive_at = now;
                self.trouble = Some(Trouble::Denied(reply));
            }
            other @ (ConnectFailure::Unreachable(_)
            | ConnectFailure::TimedOut
            | ConnectFailure::Protocol(_)) => {
                self.refused = None;
                self.trouble = Some(Trouble::Unreachable(other.to_string()));
            }
        }
    }

    /// Refusals are asked for often until they have lasted for `gone_after`, then less and less.
    pub(super) fn retry_at(
        &self,
        failure: &ConnectFailure,
        policy: &GroupPolicy,
        now: Instant,
    ) -> Instant {
        let shortest = shortest_wait(policy);
        let wait = match failure {
            ConnectFailure::Refused => {
                let lasted = self.refused.map_or(Duration::ZERO, |refusals| {
                    now.saturating_duration_since(refusals.since)
                });
                if lasted < policy.gone_after {
                    shortest.min(policy.gone_after - lasted)
                } else {
                    (lasted / 8).max(shortest)
                }
            }
            ConnectFailure::Unreachable(_) if self.has_just_closed(now) => shortest,
            ConnectFailure::Unreachable(_)
            | ConnectFailure::TimedOut
            | ConnectFailure::Denied(_)
            | ConnectFailure::Protocol(_) => GroupPolicy::RECONNECT_INTERVAL_MAX,
        };
        now + wait.min(GroupPolicy::RECONNECT_INTERVAL_MAX)
    }

    /// A server that dies closes its connections one after the other: a connection may still be
    /// accepted in that moment, to be reset in the next.
    fn has_just_closed(&self, now: Instant) -> bool {
        self.closed_at
            .is_some_and(|at| now.saturating_duration_since(at) < REST_AFTER_UNHEARD)
    }

    pub(super) fn on_closed(
        &mut self,
        link: LinkId,
        reason: &str,
        policy: &GroupPolicy,
        now: Instant,
    ) {
        if let Some(process) = &mut self.process {
            process.on_closed(link);
        }
        if matches!(&self.spare, Spare::Open { link: spare, .. } if *spare == link) {
            self.spare = Spare::Waiting {
                until: now + GroupPolicy::RECONNECT_INTERVAL_MAX,
            };
        }
        let retry_at = match &self.link {
            Link::Open(open) if open.link == link && open.heard => now,
            Link::Open(open) if open.link == link && self.has_just_closed(now) => {
                now + shortest_wait(policy)
            }
            Link::Open(open) if open.link == link => now + REST_AFTER_UNHEARD,
            Link::Open(_) | Link::Waiting { .. } | Link::Connecting { .. } => return,
        };
        self.closed_at.get_or_insert(now);
        self.trouble = Some(Trouble::Unreachable(format!("connection lost: {reason}")));
        // A spare that is on its way takes the place of the closed connection.
        match std::mem::replace(&mut self.spare, Spare::None) {
            Spare::Connecting { link } => self.link = Link::Connecting { link },
            Spare::Waiting { until } => self.link = Link::Waiting { until },
            Spare::None => self.link = Link::Waiting { until: retry_at },
            Spare::Open {
                link, same_host, ..
            } => self.open(link, same_host, policy, now),
        }
    }

    pub(super) fn on_ping_replied(
        &mut self,
        link: LinkId,
        sent_at: Instant,
        reply: PingReply,
        now: Instant,
    ) {
        let Link::Open(open) = &mut self.link else {
            return;
        };
        if open.link != link {
            return;
        }
        open.heard = true;
        open.pings.retain(|sent| *sent > sent_at);
        self.show_life(now);
        if reply.is_valid() {
            self.answered = Some(self.answered.map_or(sent_at, |before| before.max(sent_at)));
        }
        self.trouble = match reply {
            PingReply::Pong => None,
            PingReply::Loading => Some(Trouble::Loading),
            PingReply::MasterDown => Some(Trouble::MasterDown),
            PingReply::Busy => Some(Trouble::Busy),
            PingReply::Denied(reply) => Some(Trouble::Denied(reply)),
            PingReply::Error(reply) => Some(Trouble::Error(reply)),
        };
    }

    pub(super) fn show_life(&mut self, now: Instant) {
        self.alive_at = now;
        self.closed_at = None;
        self.refused = None;
    }

    pub(super) fn on_info_replied(
        &mut self,
        link: LinkId,
        sent_at: Instant,
        result: Result<InstanceInfo, CommandFailure>,
        policy: &GroupPolicy,
        now: Instant,
        orders: &mut Orders,
    ) {
        if let Spare::Open {
            link: spare,
            same_host,
            ..
        } = self.spare
            && spare == link
            && result.is_ok()
        {
            if let Some(old) = self.open_link() {
                orders.push((old, ProbeCommand::Disconnect));
            }
            self.spare = Spare::None;
            self.open(link, same_host, policy, now);
        }
        let Link::Open(open) = &mut self.link else {
            return;
        };
        if open.link != link {
            return;
        }
        open.heard = true;
        open.info_asked = None;
        let same_host = open.same_host;
        self.info_failed = result.as_ref().err().map(|error| (sent_at, error.clone()));
        match result {
            Ok(info) => {
                self.show_life(now);
                if same_host && policy.exited {
                    self.watch_process(link, &info, now, orders);
                }
                self.stream.observe(sent_at, &info);
                self.sample = Some(Sample {
                    asked_at: sent_at,
                    info,
                });
            }
            Err(CommandFailure::Denied(reply)) => {
                self.alive_at = now;
                self.trouble = Some(Trouble::Denied(reply));
            }
            Err(failure) => self.trouble = Some(Trouble::Error(failure.advise())),
        }
    }

    /// The process is watched only after the same INFO was read twice on one connection, before and
    /// after its number was taken hold of: so the number cannot belong to anybody else.
    pub(super) fn watch_process(
        &mut self,
        link: LinkId,
        info: &InstanceInfo,
        now: Instant,
        orders: &mut Orders,
    ) {
        match &mut self.process {
            Some(process) if process.is_of(link) => process.confirm(info),
            None | Some(_) => {
                self.process = Some(ProcessWatch::new(link, info));
                orders.push((link, ProbeCommand::WatchProcess(info.process_id)));
                self.ask_info(now, orders);
            }
        }
    }
}

/// Between two attempts of a series that shall tell within `gone_after` whether anybody is there.
fn shortest_wait(policy: &GroupPolicy) -> Duration {
    (policy.gone_after / 4).max(Duration::from_millis(1))
}
