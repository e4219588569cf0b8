//! Strict fencing around the cores: messages about leases, and a fencer beside each node.

use promoterd::decision::{Event, HoldFailure, HoldOrder, HoldOutcome, HoldTask, LeaseMessage};
use promoterd::model::NodeId;

use crate::instance::{Process, endpoint};
use crate::world::{Occurrence, World};

/// To the fencer or back: it is another process of the same host.
const TO_FENCER: u64 = 20;

impl World {
    pub fn tell_of_lease(&mut self, node: usize, peer: &NodeId, message: LeaseMessage) {
        let to = self.node(peer.as_str());
        if self.is_cut(node, peer.as_str()) {
            return;
        }
        let peer = self.nodes[node].id.clone();
        let after = self.delay();
        self.deliver(to, after, Event::Leased { peer, message });
    }

    /// What the fencer of a node's host does with an order.
    pub fn hold(&mut self, node: usize, order: HoldOrder) {
        let named = |name: &String| endpoint(name) == order.instance;
        let beside = self.nodes[node].beside.clone().filter(named);
        let held = beside.and_then(|name| {
            let instance = self.instance(&name)?;
            let is_it =
                instance.process_id() == order.process_id && instance.process != Process::Dead;
            is_it.then_some((name, instance.life))
        });
        let result = match held {
            None => Err(HoldFailure::Refused("no such process".to_owned())),
            Some((name, life)) => {
                self.nodes[node].holds.retain(|(held, _, _)| *held != name);
                if let HoldTask::Until(until) = order.task {
                    let span = until.saturating_duration_since(self.instant(0));
                    // Its own clock goes on while the host sleeps.
                    let at = u64::try_from(span.as_micros()).unwrap() + self.nodes[node].slept;
                    self.nodes[node].holds.push((name, life, at));
                    self.push(at, Occurrence::HoldsOver(node));
                }
                Ok(())
            }
        };
        let outcome = HoldOutcome { order, result };
        self.deliver(node, 2 * TO_FENCER, Event::Held(outcome));
    }

    /// Nothing on its host runs any more.
    pub fn suspend(&mut self, node: usize) {
        let asleep = &mut self.nodes[node];
        (asleep.is_paused, asleep.is_asleep, asleep.paused_at) = (true, true, self.now);
        if let Some(name) = self.nodes[node].beside.clone() {
            self.obey(&format!("hang {name}"));
        }
        self.lose_leader(node);
    }

    /// Its host wakes: the fencer's timer rings before all else, and the node hears first that it slept.
    pub fn unsuspend(&mut self, node: usize) {
        let awake = &mut self.nodes[node];
        if !std::mem::take(&mut awake.is_asleep) {
            return;
        }
        awake.slept += self.now - awake.paused_at;
        self.nodes[node].missed.insert(0, Event::Suspended);
        self.end_overdue(node);
        let beside = self.nodes[node].beside.clone();
        let is_hung = |name: &String| {
            let mut instances = self.instances.iter();
            instances.any(|it| it.name == *name && it.process == Process::Hung)
        };
        if let Some(name) = beside.filter(is_hung) {
            self.obey(&format!("resume {name}"));
        }
    }

    /// Ends what nobody held on to: the fencer runs whatever its node does.
    pub fn end_overdue(&mut self, node: usize) {
        if self.nodes[node].is_asleep {
            return;
        }
        let now = self.now;
        let (over, held) = std::mem::take(&mut self.nodes[node].holds)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, _, at)| *at <= now);
        self.nodes[node].holds = held;
        for (name, life, _) in over {
            let lives = |it: &&mut crate::instance::Instance| {
                it.life == life && it.process != Process::Dead
            };
            if self.instance(&name).filter(lives).is_some() {
                self.note("--", || format!("the fencer ends {name}"));
                self.kill(&name);
            }
        }
    }
}
