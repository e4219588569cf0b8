//! What a voter's loop shows observers: what its own clients' files are told, and whether to trust it.

use std::sync::Arc;
use std::time::Instant;

use super::node::{Node, NodeAction};
use crate::model::{GroupName, LogIndex};
use crate::peer::{Observers as Port, PublicGroup, PublicState};
use crate::status::ObserverOverview;

/// The observers' port as the loop holds it.
#[derive(Debug)]
pub(super) struct Observers {
    port: Port,
    state: PublicState,
    /// How far the log was applied when the pauses were read.
    paused_at: LogIndex,
    is_new: bool,
}

impl Observers {
    pub(super) fn new(port: Port) -> Self {
        Self {
            port,
            state: PublicState::default(),
            paused_at: LogIndex(0),
            is_new: false,
        }
    }

    /// Takes in what is published to the files of this host too, before it is carried out.
    pub(super) fn note(&mut self, action: &NodeAction, node: &Node) {
        if let NodeAction::Publish {
            group,
            epoch,
            master,
            replicas,
        } = action
        {
            let told = PublicGroup {
                epoch: *epoch,
                master: master.clone(),
                replicas: replicas.clone(),
                is_paused: is_paused(group, node),
                index: node.engine_status().applied,
            };
            let known = self.state.groups.get(group);
            if !known.is_some_and(|known| told.says_the_same_as(known)) {
                self.state.groups.insert(group.clone(), Arc::new(told));
                self.is_new = true;
            }
        }
    }

    /// Shows all that was noted, and how this node stands. It comes behind every event, so it looks at no
    /// group unless something was committed.
    pub(super) fn show(&mut self, node: &Node) {
        let engine = node.engine_status();
        let head = (self.state.cluster, self.state.is_confirmed);
        self.state.cluster = node.cluster();
        self.state.is_confirmed = engine.leader.is_some() && node.supervisor().is_confirmed();
        self.is_new |= head != (self.state.cluster, self.state.is_confirmed);
        if self.paused_at != engine.applied {
            self.paused_at = engine.applied;
            self.read_pauses(node, engine.applied);
        }
        if std::mem::take(&mut self.is_new) {
            self.port.show(&self.state);
        }
    }

    fn read_pauses(&mut self, node: &Node, applied: LogIndex) {
        for (name, group) in &mut self.state.groups {
            let is_paused = is_paused(name, node);
            if group.is_paused != is_paused {
                let group = Arc::make_mut(group);
                group.is_paused = is_paused;
                group.index = applied;
                self.is_new = true;
            }
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

fn is_paused(group: &GroupName, node: &Node) -> bool {
    let record = node.supervisor().records().get(group);
    record.is_some_and(|record| record.pause().is_some())
}
