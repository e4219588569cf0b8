//! What the servers make of the commands that reach them.

use std::time::Instant;

use promoterd::decision::{CommandFailure, FollowOrder, Login, ProbeReport};
use promoterd::model::{Epoch, InstanceInfo, PingReply, ReplicationHistory, WriteLimits};

use super::invariants::a_calm_switchover_loses_nothing;
use super::pipes::Micros;
use super::probes::{ConnectionId, Reply};
use super::server::{Process, info};
use super::work::Work;
use super::world::{Happens, Item, World};

/// A command on its way to a server.
#[derive(Debug)]
pub enum Order {
    Ping {
        sent_at: Instant,
    },
    Info {
        sent_at: Instant,
    },
    CountSentinels {
        sent_at: Instant,
    },
    Promote {
        epoch: Epoch,
    },
    Limits {
        sent_at: Instant,
    },
    SetLimits {
        sent_at: Instant,
        limits: WriteLimits,
    },
    Hold {
        sent_at: Instant,
        lasts: Micros,
    },
    Release,
    Work,
}

impl World {
    /// A command reaches a server.
    pub fn on_order(&mut self, id: ConnectionId, order: Order) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let index = connection.server;
        let server = &mut self.servers[index];
        if connection.server_life != Some(server.life) || server.process == Process::Gone {
            return;
        }
        if server.process == Process::Hung {
            server.stalled.push(Item::Order { id, order });
            return;
        }
        let reply = self.execute(id, index, order);
        if let Some(connection) = self.connections.get(&id) {
            let down = connection.down;
            self.push(down, Item::Reply { id, reply });
        }
        self.forget_if_over(id);
    }

    fn execute(&mut self, id: ConnectionId, index: usize, order: Order) -> Reply {
        match order {
            Order::Ping { sent_at } => {
                let reply = if self.servers[index].is_loading() {
                    PingReply::Loading
                } else {
                    PingReply::Pong
                };
                Reply::Report(ProbeReport::PingReplied { sent_at, reply })
            }
            Order::Info { sent_at } => {
                let result = Ok(info(&self.servers, index, self.now));
                Reply::Report(ProbeReport::InfoReplied { sent_at, result })
            }
            Order::CountSentinels { sent_at } => {
                let group = &self.groups[self.servers[index].group];
                let result = Ok(if group.sentinels_until > self.now {
                    3
                } else {
                    0
                });
                Reply::Report(ProbeReport::SentinelsCounted { sent_at, result })
            }
            Order::Promote { epoch } => {
                let result = self.promote(id.node, index, epoch);
                Reply::Report(ProbeReport::PromoteReplied { epoch, result })
            }
            Order::Limits { sent_at } => {
                let result = self.may_configure(index);
                let result = result.map(|()| self.servers[index].limits);
                Reply::Report(ProbeReport::LimitsReplied { sent_at, result })
            }
            Order::SetLimits { sent_at, limits } => {
                let result = self.set_limits(id.node, index, limits);
                Reply::Report(ProbeReport::LimitsSet {
                    sent_at,
                    limits,
                    result,
                })
            }
            Order::Hold { sent_at, lasts } => {
                let result = self.hold_writes(index, lasts);
                Reply::Report(ProbeReport::WritesHeld { sent_at, result })
            }
            Order::Release => {
                self.release_writes(index);
                Reply::Report(ProbeReport::WritesReleased { result: Ok(()) })
            }
            Order::Work => Reply::Worked(self.execute_work(id, index)),
        }
    }

    fn hold_writes(&mut self, index: usize, lasts: Micros) -> Result<InstanceInfo, CommandFailure> {
        self.may_configure(index)?;
        self.note(|| format!("server {index} holds writes"));
        let until = self.now + lasts;
        let server = &mut self.servers[index];
        server.hold.until = server.hold.until.max(Some(until));
        let life = server.life;
        self.at(until, Happens::HoldEnds { index, life });
        Ok(info(&self.servers, index, self.now))
    }

    pub fn may_change_role(&self, index: usize) -> Result<(), CommandFailure> {
        let server = &self.servers[index];
        if server.is_loading() {
            return Err(CommandFailure::Loading);
        }
        if server.denies {
            return Err(CommandFailure::Denied("NOPERM".to_owned()));
        }
        Ok(())
    }

    /// `CONFIG` is allowed while a data set is read.
    fn may_configure(&self, index: usize) -> Result<(), CommandFailure> {
        if self.servers[index].denies {
            return Err(CommandFailure::Denied("NOPERM".to_owned()));
        }
        Ok(())
    }

    fn set_limits(
        &mut self,
        node: usize,
        index: usize,
        limits: WriteLimits,
    ) -> Result<WriteLimits, CommandFailure> {
        self.may_configure(index)?;
        self.note(|| format!("server {index} gets {limits} from node {node}"));
        if limits.is_fence() {
            self.tally.fences += 1;
        }
        Ok(std::mem::replace(&mut self.servers[index].limits, limits))
    }

    fn promote(&mut self, node: usize, index: usize, epoch: Epoch) -> Result<(), CommandFailure> {
        self.may_change_role(index)?;
        self.become_master(index);
        self.note(|| format!("server {index} promoted by node {node} in epoch {epoch}"));
        self.tally.promotions += 1;
        let server = &self.servers[index];
        let group = self.groups[server.group].name.clone();
        let promoted = (server.endpoint.clone(), server.run_id);
        if let Err(violation) = self.oracle.promoted(&group, epoch, promoted) {
            self.fail(violation);
        }
        self.on_promoted(node, index);
        Ok(())
    }

    fn note_handed_over(&mut self, index: usize, master: usize) {
        if let Err(violation) = a_calm_switchover_loses_nothing::check(self, index, master) {
            self.fail(violation);
        }
    }

    fn execute_work(
        &mut self,
        id: ConnectionId,
        index: usize,
    ) -> Result<Option<ReplicationHistory>, CommandFailure> {
        let work = self.connections.get(&id).and_then(|held| held.work.clone());
        let work = work.expect("a connection of its own");
        if work.run_id() != self.servers[index].run_id {
            return Err(CommandFailure::OtherProcess(self.servers[index].run_id));
        }
        match work {
            Work::Follow(order) => self.execute_follow(id, index, &order),
            Work::Guard(order) => self.execute_guard(index, &order).map(|()| None),
            Work::Rescue(_) => self.execute_rescue(index).map(|()| None),
        }
    }

    fn execute_follow(
        &mut self,
        id: ConnectionId,
        index: usize,
        order: &FollowOrder,
    ) -> Result<Option<ReplicationHistory>, CommandFailure> {
        match order.login {
            Login::Kept => {}
            Login::Guard => self.servers[index].shows = Some(order.epoch),
            Login::Own => self.servers[index].shows = None,
        }
        self.may_change_role(index)?;
        let master = self.server_at(&order.master);
        let master = master.ok_or_else(|| CommandFailure::Refused("no such host".to_owned()))?;
        if self.servers[index].is_master() {
            self.tally.demotions += 1;
            self.note_handed_over(index, master);
        }
        self.note(|| {
            let epoch = order.epoch;
            format!(
                "server {index} follows server {master} by order of node {} in epoch {epoch}",
                id.node
            )
        });
        let had = order.demotes.then(|| self.servers[index].history);
        self.follow(index, master);
        let server = &mut self.servers[index];
        if let Some(limits) = order.restores.filter(|_| server.is_fenced()) {
            server.limits = limits;
        }
        if order.demotes {
            self.kill_clients(index);
        }
        Ok(had)
    }
}
