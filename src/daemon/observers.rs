//! The observers' port as the voter's loop holds it.

use std::time::Instant;

use super::node::{Node, NodeAction};
use super::public_view::PublicView;
use crate::model::{GroupName, Replica};
use crate::peer::Observers as Port;
use crate::status::ObserverOverview;

/// The port, and what it shows.
#[derive(Debug)]
pub(super) struct Observers {
    port: Port,
    view: PublicView,
}

impl Observers {
    pub(super) fn new(port: Port) -> Self {
        let view = PublicView::default();
        Self { port, view }
    }

    /// Takes in what is published to the files of this host too, before it is carried out.
    pub(super) fn note(&mut self, action: &NodeAction, node: &Node) {
        self.view.note(action, node);
    }

    /// Takes in how the replicas of a published group are seen.
    pub(super) fn note_replicas(&mut self, group: &GroupName, replicas: &[Replica]) {
        self.view.note_replicas(group, replicas);
    }

    /// Shows all that was noted, and how this node stands.
    pub(super) fn show(&mut self, node: &Node, now: Instant) {
        if let Some(state) = self.view.look(node, now) {
            self.port.show(state);
        }
    }

    pub(super) fn overview(&self, now: Instant) -> Vec<ObserverOverview> {
        let guests = self.port.guests().into_iter();
        let overview = guests.map(|guest| ObserverOverview {
            node: guest.node,
            address: guest.address,
            since: now.saturating_duration_since(guest.since),
            epochs: guest.position.files,
        });
        overview.collect()
    }
}
