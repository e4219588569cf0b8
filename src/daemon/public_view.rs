//! What a voter shows observers: what its own clients' files are told, and whether to trust it. Pure.

use std::sync::Arc;
use std::time::Instant;

use super::node::{Node, NodeAction};
use crate::model::{Endpoint, GroupName, LogIndex, Replica};
use crate::peer::{PublicGroup, PublicState};

/// Follows a node from the outside: tell it of each action of a turn, then [`look`](Self::look).
#[derive(Debug, Default)]
pub struct PublicView {
    state: PublicState,
    /// How far the log was applied when the pauses were read.
    pauses_read_at: LogIndex,
    is_new: bool,
}

impl PublicView {
    /// Takes in what is published to the files of this host too, before it is carried out.
    pub fn note(&mut self, action: &NodeAction, node: &Node) {
        if let NodeAction::Publish {
            group,
            epoch,
            master,
            replicas,
        } = action
        {
            let known = self.state.groups.get(group);
            let seen = |endpoint: &Endpoint| {
                let mut replicas = known.into_iter().flat_map(|known| &known.replicas);
                let known = replicas.find(|known| known.endpoint == *endpoint);
                known
                    .cloned()
                    .unwrap_or_else(|| Replica::unknown(endpoint.clone()))
            };
            let told = PublicGroup {
                epoch: *epoch,
                master: master.clone(),
                replicas: replicas.iter().map(seen).collect(),
                is_paused: is_paused(group, node),
                index: node.engine_status().applied,
            };
            if !known.is_some_and(|known| told.says_the_same_as(known)) {
                self.state.groups.insert(group.clone(), Arc::new(told));
                self.is_new = true;
            }
        }
    }

    /// Takes in how the replicas of a published group are seen.
    pub fn note_replicas(&mut self, group: &GroupName, replicas: &[Replica]) {
        if let Some(known) = self.state.groups.get_mut(group)
            && known.replicas != replicas
        {
            Arc::make_mut(known).replicas = replicas.to_vec();
            self.is_new = true;
        }
    }

    /// What observers are shown.
    #[must_use]
    pub fn state(&self) -> &PublicState {
        &self.state
    }

    /// How the node stands after its turn; none when observers know as much. It comes behind every event, so
    /// it looks at no group unless something was committed.
    pub fn look(&mut self, node: &Node, now: Instant) -> Option<&PublicState> {
        let engine = node.engine_status();
        let head = (self.state.cluster, self.state.is_confirmed);
        self.state.cluster = node.cluster();
        self.state.is_confirmed = node.is_current(now);
        self.is_new |= head != (self.state.cluster, self.state.is_confirmed);
        if self.pauses_read_at != engine.applied {
            self.pauses_read_at = engine.applied;
            self.read_pauses(node, engine.applied);
        }
        std::mem::take(&mut self.is_new).then_some(&self.state)
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
}

fn is_paused(group: &GroupName, node: &Node) -> bool {
    let record = node.supervisor().records().get(group);
    record.is_some_and(|record| record.pause().is_some())
}
