//! Whether the process of an instance on this host was seen to exit.

use std::time::Instant;

use super::instance_event::LinkId;
use crate::model::{InstanceInfo, RunId};

/// A process that is watched by its number, and the connection on which the number was learnt.
///
/// A process number can be used again, or belong to another namespace. So this claims nothing until
/// the same INFO was read again on the same connection, after the number was taken hold of, and
/// nothing before the connection is gone too.
#[derive(Debug)]
pub struct ProcessWatch {
    link: LinkId,
    process_id: u32,
    run_id: RunId,
    confirmed: bool,
    exited_at: Option<Instant>,
    closed: bool,
}

impl ProcessWatch {
    /// Starts with the INFO that was read before the process was taken hold of.
    #[must_use]
    pub fn new(link: LinkId, info: &InstanceInfo) -> Self {
        Self {
            link,
            process_id: info.process_id,
            run_id: info.run_id,
            confirmed: false,
            exited_at: None,
            closed: false,
        }
    }

    /// Whether it was learnt on this connection.
    #[must_use]
    pub fn is_of(&self, link: LinkId) -> bool {
        self.link == link
    }

    /// Takes in a later INFO of the same connection.
    pub fn confirm(&mut self, info: &InstanceInfo) {
        self.confirmed = info.run_id == self.run_id && info.process_id == self.process_id;
    }

    /// The process exited.
    pub fn on_exited(&mut self, link: LinkId, now: Instant) {
        if self.link == link {
            self.exited_at.get_or_insert(now);
        }
    }

    /// The instance closed the connection.
    pub fn on_closed(&mut self, link: LinkId) {
        if self.link == link {
            self.closed = true;
        }
    }

    /// Whether the process exited while the connection is still open: a child may hold it.
    #[must_use]
    pub fn wants_second_opinion(&self) -> bool {
        self.confirmed && self.exited_at.is_some() && !self.closed
    }

    /// The process and the moment of its exit, once it is proven; `refused_at` is when a new
    /// connection was last refused.
    #[must_use]
    pub fn exited(&self, refused_at: Option<Instant>) -> Option<(RunId, Instant)> {
        let exited_at = self.exited_at.filter(|_| self.confirmed)?;
        let refused = refused_at.is_some_and(|at| at >= exited_at);
        (self.closed || refused).then_some((self.run_id, exited_at))
    }
}
