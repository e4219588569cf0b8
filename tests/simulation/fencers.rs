//! The root-side fencer of each host: another process than the daemon, which ends servers when their time
//! is over.

use promoterd::daemon::NodeEvent;
use promoterd::decision::{Event, HoldFailure, HoldOrder, HoldOutcome, HoldTask};

use super::faults::Undo;
use super::server::{Process, Restart};
use super::world::{Happens, World};

impl World {
    /// A daemon tells the fencer of its host something.
    pub fn order_hold(&mut self, node: usize, order: HoldOrder) {
        let life = self.hosts[node].life;
        let delay = 10 + self.random.below(100);
        self.later(delay, Happens::Hold { node, life, order });
    }

    pub fn on_hold(&mut self, node: usize, life: u64, order: HoldOrder) {
        let result = self.hold(node, &order);
        let event = NodeEvent::Core(Event::Held(HoldOutcome { order, result }));
        let delay = 10 + self.random.below(100);
        self.later(delay, Happens::Tell { node, life, event });
    }

    fn hold(&mut self, node: usize, order: &HoldOrder) -> Result<(), HoldFailure> {
        let index = self.server_at(&order.instance).filter(|index| {
            let server = &self.servers[*index];
            server.host == node
                && server.process_id == order.process_id
                && server.process != Process::Gone
        });
        let index = index.ok_or_else(|| HoldFailure::Refused("no such process".to_owned()))?;
        match order.task {
            HoldTask::Check => {}
            HoldTask::Until(until) => {
                let process = (index, self.servers[index].life);
                self.hosts[node].holds.insert(process, until);
                let at = self.micros(node, until);
                self.at(at, Happens::HoldsOver { host: node });
            }
            HoldTask::Release => {
                let process = (index, self.servers[index].life);
                self.hosts[node].holds.remove(&process);
            }
        }
        Ok(())
    }

    /// Ends the servers of a host whose time is over; one that sleeps does when it wakes.
    pub fn end_overdue(&mut self, host: usize) {
        if self.suspended.contains(&host) || host >= self.hosts.len() {
            return;
        }
        let now = self.instant(host);
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
