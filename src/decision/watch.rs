//! Watching one instance: its probe connection, and what that tells of its health.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::health::{Cause, Health, Trouble};
use super::instance_event::{CommandFailure, ConnectFailure, LinkId, ProbeCommand, ProbeReport};
use super::policy::GroupPolicy;
use super::process_watch::ProcessWatch;
use super::stream::StreamWatch;
use crate::model::{Endpoint, InstanceInfo, PingReply, RunId};

/// Most pings without an answer on one connection.
const PINGS_OUTSTANDING_MAX: usize = 4;
/// Time before another attempt after a connection that closed without a single reply, as a server
/// with too many clients closes it.
const REST_AFTER_UNHEARD: Duration = Duration::from_millis(20);
/// A second connection without an answer is tried anew after so long: its server may have vanished.
const SPARE_PATIENCE: Duration = Duration::from_secs(5);

/// Draws the numbers of connections.
#[derive(Debug, Default)]
pub struct LinkIds(u64);

impl LinkIds {
    fn draw(&mut self) -> LinkId {
        self.0 += 1;
        LinkId(self.0)
    }
}

/// What one node knows of one instance, and the state of its probe connection.
#[derive(Debug)]
pub struct Watch {
    endpoint: Endpoint,
    link: Link,
    /// A second connection, tried while the first one is in doubt.
    spare: Spare,
    /// Last moment at which a reply showed a live process; at first, when watching began.
    alive_at: Instant,
    /// When the latest `PING` was sent that got a valid answer.
    answered: Option<Instant>,
    closed_at: Option<Instant>,
    refused: Option<Refusals>,
    process: Option<ProcessWatch>,
    trouble: Option<Trouble>,
    sample: Option<Sample>,
    /// When the latest `INFO` was sent, if it was answered with an error, and which.
    info_failed: Option<(Instant, CommandFailure)>,
    stream: StreamWatch,
}

#[derive(Debug)]
enum Link {
    Waiting { until: Instant },
    Connecting { link: LinkId },
    Open(OpenLink),
}

#[derive(Debug)]
struct OpenLink {
    link: LinkId,
    opened_at: Instant,
    /// Whether anything was replied on it.
    heard: bool,
    pings: VecDeque<Instant>,
    ping_due: Instant,
    info_due: Instant,
    info_asked: Option<Instant>,
    same_host: bool,
}

#[derive(Debug)]
enum Spare {
    None,
    Waiting {
        until: Instant,
    },
    Connecting {
        link: LinkId,
    },
    /// It accepts; it takes the place of the first one when it answers too.
    Open {
        link: LinkId,
        same_host: bool,
        opened_at: Instant,
    },
}

/// Connections refused in a row.
#[derive(Debug, Clone, Copy)]
struct Refusals {
    since: Instant,
    last: Instant,
}

/// The latest `INFO`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it was asked for: what it says is at least as new.
    pub asked_at: Instant,
    /// What it says.
    pub info: InstanceInfo,
}

/// How often a watched instance is to be asked for `INFO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Time between two readings.
    pub info_interval: Duration,
}

/// Orders for the probe of this instance.
pub type Orders = Vec<(LinkId, ProbeCommand)>;

impl Watch {
    /// Begins to watch `endpoint`; the first [`poll`](Self::poll) connects.
    #[must_use]
    pub fn new(endpoint: Endpoint, now: Instant) -> Self {
        Self {
            endpoint,
            link: Link::Waiting { until: now },
            spare: Spare::None,
            alive_at: now,
            answered: None,
            closed_at: None,
            refused: None,
            process: None,
            trouble: None,
            sample: None,
            info_failed: None,
            stream: StreamWatch::default(),
        }
    }

    /// The instance.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The latest `INFO`, however old.
    #[must_use]
    pub fn sample(&self) -> Option<&Sample> {
        self.sample.as_ref()
    }

    /// What it answered instead of the latest `INFO`, if that was sent at `since` or later.
    #[must_use]
    pub fn info_failure(&self, since: Instant) -> Option<&CommandFailure> {
        self.info_failed
            .as_ref()
            .filter(|(sent_at, _)| *sent_at >= since)
            .map(|(_, failure)| failure)
    }

    /// What is wrong with it although it lives, as far as known.
    #[must_use]
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// When the latest `PING` was sent that was answered: a sign of life of that moment.
    #[must_use]
    pub fn answered(&self) -> Option<Instant> {
        self.answered
    }

    /// What its replication stream did.
    #[must_use]
    pub fn stream(&self) -> &StreamWatch {
        &self.stream
    }

    /// The connection on which commands can be sent, if there is one.
    #[must_use]
    pub fn open_link(&self) -> Option<LinkId> {
        match &self.link {
            Link::Open(open) => Some(open.link),
            Link::Waiting { .. } | Link::Connecting { .. } => None,
        }
    }

    /// All its connections, and those on their way.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        let main = match &self.link {
            Link::Open(OpenLink { link, .. }) | Link::Connecting { link } => Some(*link),
            Link::Waiting { .. } => None,
        };
        let spare = match self.spare {
            Spare::Open { link, .. } | Spare::Connecting { link } => Some(link),
            Spare::None | Spare::Waiting { .. } => None,
        };
        main.into_iter().chain(spare)
    }

    /// The process that was seen to exit, and when.
    #[must_use]
    pub fn exited(&self) -> Option<(RunId, Instant)> {
        let process = self.process.as_ref()?;
        let refused_since = self.refused.map(|refusals| refusals.last);
        process.exited(refused_since)
    }

    /// This node's judgement, as far as the connection tells; `life` is the process that is meant, if
    /// any one in particular.
    #[must_use]
    pub fn health(&self, policy: &GroupPolicy, life: Option<RunId>, now: Instant) -> Health {
        if let Some((run_id, since)) = self.exited()
            && life.is_none_or(|life| life == run_id)
        {
            return Health::Down {
                cause: Cause::Exited,
                since,
            };
        }
        if let Some(refusals) = self.refused
            && refusals.last.saturating_duration_since(refusals.since) >= policy.gone_after
            && self.is_link_dead(policy, now)
        {
            let since = self
                .closed_at
                .map_or(refusals.since, |at| at.min(refusals.since));
            return Health::Down {
                cause: Cause::Gone,
                since,
            };
        }
        if now.saturating_duration_since(self.alive_at) >= policy.down_after {
            return Health::Down {
                cause: Cause::Silent,
                since: self.alive_at,
            };
        }
        if let Some(since) = self.suspected_since(policy, now) {
            return Health::Suspected { since };
        }
        if self.answered.is_some() || self.sample.is_some() {
            Health::Up
        } else {
            Health::Unknown
        }
    }

    fn is_link_dead(&self, policy: &GroupPolicy, now: Instant) -> bool {
        match &self.link {
            Link::Open(open) => open
                .pings
                .front()
                .is_some_and(|sent| now.saturating_duration_since(*sent) >= policy.gone_after),
            Link::Waiting { .. } | Link::Connecting { .. } => true,
        }
    }

    fn suspected_since(&self, policy: &GroupPolicy, now: Instant) -> Option<Instant> {
        let unanswered = match &self.link {
            Link::Open(open) => open
                .pings
                .front()
                .copied()
                .filter(|sent| now.saturating_duration_since(*sent) >= policy.doubt_after()),
            Link::Waiting { .. } | Link::Connecting { .. } => None,
        };
        let refused = self.refused.map(|refusals| refusals.since);
        [self.closed_at, refused, unanswered]
            .into_iter()
            .flatten()
            .min()
    }

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
            ProbeReport::Connected { same_host } => self.on_connected(link, same_host, now, orders),
            ProbeReport::ConnectFailed(failure) => {
                self.on_connect_failed(link, failure, policy, now);
            }
            ProbeReport::Closed(_) => self.on_closed(link, now),
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
            // The failover that sent the order reads this one.
            ProbeReport::PromoteReplied { .. } => {}
        }
    }

    fn on_connected(&mut self, link: LinkId, same_host: bool, now: Instant, orders: &mut Orders) {
        if matches!(&self.link, Link::Connecting { link: main } if *main == link) {
            self.open(link, same_host, now);
        } else if matches!(&self.spare, Spare::Connecting { link: spare } if *spare == link) {
            self.spare = Spare::Open {
                link,
                same_host,
                opened_at: now,
            };
            orders.push((link, ProbeCommand::AskInfo));
        }
    }

    fn open(&mut self, link: LinkId, same_host: bool, now: Instant) {
        self.link = Link::Open(OpenLink {
            link,
            opened_at: now,
            heard: false,
            pings: VecDeque::new(),
            ping_due: now,
            info_due: now,
            info_asked: None,
            same_host,
        });
    }

    fn on_connect_failed(
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
    fn retry_at(&self, failure: &ConnectFailure, policy: &GroupPolicy, now: Instant) -> Instant {
        let shortest = (policy.gone_after / 4).max(Duration::from_millis(1));
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
            ConnectFailure::Unreachable(_)
            | ConnectFailure::TimedOut
            | ConnectFailure::Denied(_)
            | ConnectFailure::Protocol(_) => GroupPolicy::RECONNECT_INTERVAL_MAX,
        };
        now + wait.min(GroupPolicy::RECONNECT_INTERVAL_MAX)
    }

    fn on_closed(&mut self, link: LinkId, now: Instant) {
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
            Link::Open(open) if open.link == link => now + REST_AFTER_UNHEARD,
            Link::Open(_) | Link::Waiting { .. } | Link::Connecting { .. } => return,
        };
        self.closed_at.get_or_insert(now);
        // A spare that is on its way takes the place of the closed connection.
        match std::mem::replace(&mut self.spare, Spare::None) {
            Spare::Connecting { link } => self.link = Link::Connecting { link },
            Spare::Waiting { until } => self.link = Link::Waiting { until },
            Spare::None => self.link = Link::Waiting { until: retry_at },
            Spare::Open {
                link, same_host, ..
            } => self.open(link, same_host, now),
        }
    }

    fn on_ping_replied(&mut self, link: LinkId, sent_at: Instant, reply: PingReply, now: Instant) {
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

    fn show_life(&mut self, now: Instant) {
        self.alive_at = now;
        self.closed_at = None;
        self.refused = None;
    }

    fn on_info_replied(
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
            self.open(link, same_host, now);
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
            Err(failure) => self.trouble = Some(Trouble::Error(failure.to_string())),
        }
    }

    /// The process is watched only after the same INFO was read twice on one connection, before and
    /// after its number was taken hold of: so the number cannot belong to anybody else.
    fn watch_process(
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
        if let Link::Open(open) = &mut self.link
            && open.pings.len() < PINGS_OUTSTANDING_MAX
            && open.pings.back().is_none_or(|sent| *sent < now)
        {
            open.pings.push_back(now);
            open.ping_due = now + policy.ping_interval();
            orders.push((open.link, ProbeCommand::Ping));
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
        if due.ping.is_some_and(|at| at <= now) {
            self.ask_ping(policy, now, orders);
        }
        if due.info.is_some_and(|at| at <= now) {
            self.ask_info(now, orders);
        }
    }

    fn poll_spare(
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
    fn doubted_at(&self, policy: &GroupPolicy) -> Option<Instant> {
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

    fn spare_due(&self, policy: &GroupPolicy) -> Option<Instant> {
        let doubted_at = self.doubted_at(policy)?;
        match self.spare {
            Spare::None => Some(doubted_at),
            Spare::Waiting { until } => Some(doubted_at.max(until)),
            Spare::Connecting { .. } | Spare::Open { .. } => None,
        }
    }

    fn spare_over(&self) -> Option<Instant> {
        match self.spare {
            Spare::Open { opened_at, .. } => Some(opened_at + SPARE_PATIENCE),
            Spare::None | Spare::Waiting { .. } | Spare::Connecting { .. } => None,
        }
    }

    fn due(&self, pace: Pace) -> Due {
        let Link::Open(open) = &self.link else {
            return Due {
                ping: None,
                info: None,
            };
        };
        let can_ping = open.pings.len() < PINGS_OUTSTANDING_MAX;
        let hurry = GroupPolicy::INFO_INTERVAL.saturating_sub(pace.info_interval);
        let info = open.info_due.checked_sub(hurry).unwrap_or(open.opened_at);
        Due {
            ping: can_ping.then_some(open.ping_due),
            info: open.info_asked.is_none().then_some(info),
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

    /// This node was asleep until `now`: silence meanwhile was its own.
    pub fn forgive(&mut self, now: Instant) {
        self.alive_at = now;
        self.closed_at = None;
        self.refused = None;
    }
}

struct Due {
    ping: Option<Instant>,
    info: Option<Instant>,
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
