//! The root-side fencer of each host: another process than the daemon, which ends servers when their time
//! is over. It goes by the clock that goes on while its host sleeps (`CLOCK_BOOTTIME`).

use promoterd::daemon::NodeEvent;
use promoterd::decision::{Event, HoldFailure, HoldOrder, HoldOutcome, HoldTask};
use promoterd::model::SplitMix;

use super::faults::Undo;
use super::pipes::Micros;
use super::server::{Process, Restart};
use super::world::{Happens, World};

/// A daemon waits no longer for an answer.
const ANSWER_MAX: Micros = 1_000_000;

impl World {
    /// A daemon tells the fencer of its host something.
    pub fn order_hold(&mut self, node: usize, order: HoldOrder) {
        let life = self.hosts[node].life;
        let delay = 10 + self.random.below(100);
        let ends_at = match order.task {
            HoldTask::Until(at) => self.micros(node, at),
            HoldTask::Check | HoldTask::Release => 0,
        };
        self.later(
            delay,
            Happens::Hold {
                node,
                life,
                order,
                ends_at,
            },
        );
    }

    pub fn on_hold(&mut self, node: usize, life: u64, order: HoldOrder, ends_at: Micros) {
        if self.suspended.contains(&node) {
            return self.later(
                50_000,
                Happens::Hold {
                    node,
                    life,
                    order,
                    ends_at,
                },
            );
        }
        if self.hosts[node].fencer_mute_until > self.now {
            let result = Err(HoldFailure::Absent("it says nothing".to_owned()));
            let event = NodeEvent::Core(Event::Held(HoldOutcome { order, result }));
            return self.later(ANSWER_MAX, Happens::Tell { node, life, event });
        }
        let result = self.hold(node, &order, ends_at);
        let event = NodeEvent::Core(Event::Held(HoldOutcome { order, result }));
        let delay = 10 + self.random.below(100);
        self.later(delay, Happens::Tell { node, life, event });
    }

    fn hold(&mut self, node: usize, order: &HoldOrder, ends_at: Micros) -> Result<(), HoldFailure> {
        if self.hosts[node].fencer_deaf_until > self.now {
            return Err(HoldFailure::Absent("it is deaf".to_owned()));
        }
        let index = self.server_at(&order.instance).filter(|index| {
            let server = &self.servers[*index];
            server.host == node
                && server.process_id == order.process_id
                && server.process != Process::Gone
        });
        let index = index.ok_or_else(|| HoldFailure::Refused("no such process".to_owned()))?;
        match order.task {
            HoldTask::Check => {}
            HoldTask::Until(_) => {
                let process = (index, self.servers[index].life);
                self.hosts[node].holds.insert(process, ends_at);
                let late = self.fencer_is_late(index, ends_at);
                self.at(ends_at + late, Happens::HoldsOver { host: node });
            }
            HoldTask::Release => {
                let process = (index, self.servers[index].life);
                self.hosts[node].holds.remove(&process);
            }
        }
        Ok(())
    }

    /// How long after its moment it ends a server: an eighth of a lease is allowed.
    fn fencer_is_late(&self, server: usize, ends_at: Micros) -> Micros {
        let lease = self.groups[self.servers[server].group].policy.lease;
        let most = Micros::try_from((lease / 8).as_micros()).expect("a few seconds");
        let mut random = SplitMix::new(self.seed ^ ends_at);
        match random.below(2) {
            0 => most,
            _ => random.below(most),
        }
    }

    /// Ends the servers of a host whose time is over; one that sleeps does when it wakes.
    pub fn end_overdue(&mut self, host: usize) {
        if self.suspended.contains(&host) || host >= self.hosts.len() {
            return;
        }
        let now = self.now;
        let held = self.hosts[host].holds.iter();
        let overdue: Vec<(usize, u64)> = held
            .filter(|(_, until)| **until <= now)
            .map(|(process, _)| *process)
            .collect();
        for process in overdue {
            self.hosts[host].holds.remove(&process);
            let (index, life) = process;
            if self.servers[index].life == life && self.servers[index].process != Process::Gone {
                self.note(|| format!("the fencer ends server {index}"));
                self.tally.ended += 1;
                self.crash_server(index);
                let restart = match self.random.below(5) {
                    0 => Restart::Empty,
                    1 => Restart::Stale,
                    _ => Restart::Complete,
                };
                let delay = 20_000 + self.random.below(200_000);
                self.later(delay, Happens::Undo(Undo::RestartServer(index, restart)));
            }
        }
    }
}
