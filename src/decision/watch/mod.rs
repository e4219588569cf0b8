//! Watching one instance: its probe connection, and what that tells of its health.

mod limits;
mod observe;
mod pacing;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::health::{Cause, Health, Trouble};
use super::instance_event::{CommandFailure, LinkId, ProbeCommand};
use super::policy::GroupPolicy;
use super::process_watch::ProcessWatch;
use super::sentinels::Count;
use super::stream::StreamWatch;
use crate::model::{Endpoint, InstanceInfo, RunId};
use limits::LimitsWatch;

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
    limits: LimitsWatch,
    sentinels: Option<Count>,
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
    /// None where fencing is off: then nobody has to know them.
    limits_due: Option<Instant>,
    limits_asked: bool,
    same_host: bool,
    count_due: Instant,
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

impl Pace {
    /// The same, or faster.
    #[must_use]
    pub fn at_most(self, interval: Duration) -> Self {
        Self {
            info_interval: self.info_interval.min(interval),
        }
    }
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
            limits: LimitsWatch::default(),
            sentinels: None,
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

    /// The latest `INFO` that came by the present connection: another process may answer on each.
    #[must_use]
    pub fn current_sample(&self) -> Option<&Sample> {
        match &self.link {
            Link::Open(open) => self.sample().filter(|it| it.asked_at >= open.opened_at),
            Link::Waiting { .. } | Link::Connecting { .. } => None,
        }
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

    /// How many Sentinels watch it, as counted last.
    #[must_use]
    pub fn sentinels(&self) -> Option<&Count> {
        self.sentinels.as_ref()
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

    /// Whether it runs on this node's own host, as far as the open connection tells.
    #[must_use]
    pub fn is_beside(&self) -> bool {
        match &self.link {
            Link::Open(open) => open.same_host,
            Link::Waiting { .. } | Link::Connecting { .. } => false,
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

    /// When the connection was opened that stands.
    #[must_use]
    pub fn opened_at(&self) -> Option<Instant> {
        match &self.link {
            Link::Open(open) => Some(open.opened_at),
            Link::Waiting { .. } | Link::Connecting { .. } => None,
        }
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
    limits: Option<Instant>,
}

#[cfg(test)]
mod tests;
