//! What the service manager is told: that the daemon is ready, how its groups stand, that its loop runs.
//!
//! Outside systemd nobody listens, and nothing is sent. Source of the words: sd_notify(3).

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::warn;

use super::node::Node;
use crate::consensus::Role;

/// The daemon as a service of systemd.
#[derive(Debug)]
pub(super) struct Service {
    watchdog: Option<Watchdog>,
    status: String,
    /// A service manager that cannot be reached is told of once.
    is_unheard: bool,
}

/// Proof that the loop runs, which the service manager wants from time to time.
#[derive(Debug)]
struct Watchdog {
    interval: Duration,
    due: Instant,
}

impl Service {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`.
    pub(super) fn new(now: Instant) -> Self {
        let watchdog = sd_notify::watchdog_enabled().map(|limit| Watchdog {
            interval: limit / 2,
            due: now,
        });
        Self {
            watchdog,
            status: String::new(),
            is_unheard: false,
        }
    }

    /// Everything is bound and locked.
    pub(super) fn ready(&mut self, node: &Node) {
        self.ready_as(describe(node));
    }

    /// The same of what is no node.
    pub(super) fn ready_as(&mut self, status: String) {
        self.send(&[NotifyState::Ready]);
        self.show_as(status);
    }

    /// The settings are being read again; [`ready`](Self::ready) ends that.
    pub(super) fn reloading(&mut self) {
        // Without the moment, newer versions take it for a mistake.
        if let Ok(moment) = NotifyState::monotonic_usec_now() {
            self.send(&[NotifyState::Reloading, moment]);
        }
    }

    /// It stops, and may take so long for it.
    pub(super) fn stopping(&mut self, limit: Duration) {
        let limit = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
        self.send(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(limit)]);
    }

    /// When the loop must come by here next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.watchdog.as_ref().map(|watchdog| watchdog.due)
    }

    /// The loop came by.
    pub(super) fn turn(&mut self, now: Instant) {
        let Some(watchdog) = self
            .watchdog
            .as_mut()
            .filter(|watchdog| watchdog.due <= now)
        else {
            return;
        };
        watchdog.due = now + watchdog.interval;
        self.send(&[NotifyState::Watchdog]);
    }

    /// Something happened that people are told of: the line that `systemctl status` shows follows.
    pub(super) fn show(&mut self, node: &Node) {
        self.show_as(describe(node));
    }

    /// The same of what is no node.
    pub(super) fn show_as(&mut self, status: String) {
        if self.status != status {
            self.send(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    fn send(&mut self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states)
            && !std::mem::replace(&mut self.is_unheard, true)
        {
            warn!(%error, "systemd cannot be told how this daemon stands: check NotifyAccess= of its unit");
        }
    }
}

/// One line: our part, and each group with its master.
fn describe(node: &Node) -> String {
    let engine = node.engine_status();
    let part = match (engine.role, engine.leader) {
        (Role::Leader, _) => "leader".to_owned(),
        (Role::Follower | Role::Candidate, Some(leader)) => format!("follower of {leader}"),
        (Role::Follower | Role::Candidate, None) => "no leader".to_owned(),
    };
    let supervisor = node.supervisor();
    let groups = supervisor.groups().keys().map(|name| {
        supervisor.records().get(name).map_or_else(
            || format!("{name} not registered"),
            |record| {
                let master = &record.master().endpoint;
                format!("{name} epoch {} at {master}", record.epoch())
            },
        )
    });
    std::iter::once(part)
        .chain(groups)
        .collect::<Vec<_>>()
        .join("; ")
}
