//! The daemons' connections to the servers: how they come up and end, and what goes over them.

use promoterd::daemon::NodeEvent;
use promoterd::decision::{
    CommandFailure, ConnectFailure, Event, LinkId, ProbeCommand, ProbeEvent, ProbeOrder,
    ProbeReport,
};
use promoterd::model::ReplicationHistory;

use super::orders::Order;
use super::pipes::{Micros, PipeId};
use super::server::Process;
use super::work::Work;
use super::world::{Happens, Item, World};

/// Work has connections of its own, numbered from here.
const WORK_FROM: u64 = 1 << 40;

/// One connection of one life of a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId {
    pub node: usize,
    life: u64,
    number: u64,
}

#[derive(Debug)]
pub struct Connection {
    pub server: usize,
    /// The process at its other end; none until it is up.
    pub server_life: Option<u64>,
    up: PipeId,
    pub down: PipeId,
    /// The daemon knows that it is up.
    is_known: bool,
    /// The daemon still has its end.
    is_open: bool,
    /// The daemon would hear of the exit of the process.
    is_watched: bool,
    /// Nobody answers any more, and a child of the dead process holds the socket.
    is_orphaned: bool,
    pub work: Option<Work>,
}

/// An answer on its way to a daemon.
#[derive(Debug)]
pub enum Reply {
    Report(ProbeReport),
    /// The connection did not come up, or ended.
    Ends(ProbeReport),
    Worked(Result<Option<ReplicationHistory>, CommandFailure>),
}

impl World {
    pub fn probe(&mut self, node: usize, order: ProbeOrder) {
        let life = self.hosts[node].life;
        let id = ConnectionId {
            node,
            life,
            number: order.link.0,
        };
        match order.command {
            ProbeCommand::Connect => {
                let Some(server) = self.server_at(&order.endpoint) else {
                    return;
                };
                self.open(id, server, None);
                let host = self.servers[server].host;
                let lasts = self.pipes.delay(node, host, self.now, &mut self.random);
                self.later(lasts, Happens::Connects { id });
            }
            ProbeCommand::Disconnect => self.disconnect(id),
            ProbeCommand::Ping => {
                let sent_at = self.instant(node);
                self.send_order(id, Order::Ping { sent_at });
            }
            ProbeCommand::AskInfo => {
                let sent_at = self.instant(node);
                self.send_order(id, Order::Info { sent_at });
            }
            ProbeCommand::CountSentinels => {
                let sent_at = self.instant(node);
                self.send_order(id, Order::CountSentinels { sent_at });
            }
            ProbeCommand::WatchProcess(process_id) => self.watch_process(id, process_id),
            ProbeCommand::Promote(promotion) => {
                let epoch = promotion.epoch();
                self.send_order(id, Order::Promote { epoch });
            }
            ProbeCommand::AskLimits => {
                let sent_at = self.instant(node);
                self.send_order(id, Order::Limits { sent_at });
            }
            ProbeCommand::SetLimits(limits) => {
                let sent_at = self.instant(node);
                self.send_order(id, Order::SetLimits { sent_at, limits });
            }
            ProbeCommand::HoldWrites(lasts) => {
                let sent_at = self.instant(node);
                let lasts = Micros::try_from(lasts.as_micros()).expect("a few seconds");
                self.send_order(id, Order::Hold { sent_at, lasts });
            }
            ProbeCommand::ReleaseWrites => self.send_order(id, Order::Release),
        }
    }

    fn open(&mut self, id: ConnectionId, server: usize, work: Option<Work>) {
        let host = self.servers[server].host;
        let connection = Connection {
            server,
            server_life: None,
            is_known: false,
            up: self.pipes.open(id.node, host),
            down: self.pipes.open(host, id.node),
            is_open: true,
            is_watched: false,
            is_orphaned: false,
            work,
        };
        self.connections.insert(id, connection);
    }

    fn send_order(&mut self, id: ConnectionId, order: Order) {
        if let Some(connection) = self.connections.get(&id) {
            let up = connection.up;
            self.push(up, Item::Order { id, order });
        }
    }

    fn watch_process(&mut self, id: ConnectionId, process_id: u32) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let server = &self.servers[connection.server];
            connection.is_watched = server.host == id.node
                && server.process_id == process_id
                && server.process != Process::Gone;
        }
    }

    /// The connection attempt reaches the other host.
    pub fn on_connects(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let server = &self.servers[connection.server];
        if self.pipes.is_rejected(id.node, server.host) {
            self.tell_probe(id, ProbeReport::ConnectFailed(ConnectFailure::Refused), 500);
            return self.disconnect(id);
        }
        if !self.pipes.is_open_both_ways(id.node, server.host) {
            self.later(1_000_000, Happens::ConnectionOverdue { id });
            return;
        }
        let reply = match server.process {
            Process::Gone => Reply::Ends(ProbeReport::ConnectFailed(ConnectFailure::Refused)),
            // The kernel accepts for a process that hangs.
            Process::Running | Process::Hung => {
                connection.server_life = Some(server.life);
                let same_host = server.host == id.node;
                Reply::Report(ProbeReport::Connected { same_host })
            }
        };
        let down = connection.down;
        self.push(down, Item::Reply { id, reply });
    }

    /// The daemon lets go. What it has sent is still on its way.
    fn disconnect(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_open = false;
            self.forget_if_over(id);
        }
    }

    pub fn forget_if_over(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let is_over = !connection.is_open
            && (connection.server_life.is_none() || self.pipes.is_empty(connection.up));
        if is_over {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.remove(&id) {
            self.pipes.close(connection.up);
            self.pipes.close(connection.down);
        }
    }

    pub fn drop_connections_of(&mut self, node: usize) {
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for id in ids.into_iter().filter(|id| id.node == node) {
            self.disconnect(id);
        }
    }

    /// `CLIENT KILL TYPE normal`: all probe connections of all daemons are among them.
    pub fn kill_clients(&mut self, index: usize) {
        self.servers[index].hold.waiting = 0;
        let life = self.servers[index].life;
        for id in self.connections_to(index, life) {
            let connection = &self.connections[&id];
            if connection.work.is_none() {
                let down = connection.down;
                let reply = Reply::Ends(ProbeReport::Closed("killed".to_owned()));
                self.push(down, Item::Reply { id, reply });
            }
        }
    }

    fn connections_to(&self, index: usize, life: u64) -> Vec<ConnectionId> {
        self.connections
            .iter()
            .filter(|(_, held)| held.server == index && held.server_life == Some(life))
            .map(|(id, _)| *id)
            .collect()
    }

    /// The process is gone: its connections close, and whoever watches it is told.
    pub fn close_connections_to(&mut self, index: usize) {
        let life = self.servers[index].life;
        let is_held = self.random.below(6) == 0;
        for id in self.connections_to(index, life) {
            if self.connections[&id].is_watched && self.connections[&id].is_open {
                self.tell_probe(id, ProbeReport::ProcessExited, 3_000);
            }
            let connection = self.connections.get_mut(&id).expect("listed just now");
            self.pipes.close(connection.up);
            let down = connection.down;
            if connection.work.is_some() {
                let reply = Reply::Worked(Err(CommandFailure::Lost("reset".to_owned())));
                self.push(down, Item::Reply { id, reply });
            } else if is_held {
                connection.is_orphaned = true;
                let lasts = 100_000 + self.random.below(4_000_000);
                self.later(lasts, Happens::ConnectionOverdue { id });
            } else {
                let reply = Reply::Ends(ProbeReport::Closed("reset".to_owned()));
                self.push(down, Item::Reply { id, reply });
            }
        }
    }

    fn tell_probe(&mut self, id: ConnectionId, report: ProbeReport, within: u64) {
        let endpoint = self.servers[self.connections[&id].server].endpoint.clone();
        let link = LinkId(id.number);
        let event = NodeEvent::Core(Event::Probed(ProbeEvent {
            endpoint,
            link,
            report,
        }));
        let lasts = self.random.below(within + 1);
        let (node, life) = (id.node, id.life);
        self.later(lasts, Happens::Tell { node, life, event });
    }

    pub fn on_reply(&mut self, id: ConnectionId, reply: Reply) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if !connection.is_open {
            return;
        }
        let endpoint = self.servers[connection.server].endpoint.clone();
        let link = LinkId(id.number);
        connection.is_known = true;
        let event = match reply {
            Reply::Report(report) => Event::Probed(ProbeEvent {
                endpoint,
                link,
                report,
            }),
            Reply::Ends(report) => {
                self.forget(id);
                Event::Probed(ProbeEvent {
                    endpoint,
                    link,
                    report,
                })
            }
            Reply::Worked(result) => {
                let work = connection.work.clone().expect("a connection of its own");
                self.forget(id);
                work.ended(result)
            }
        };
        if self.hosts[id.node].life == id.life {
            self.tell(id.node, NodeEvent::Core(event));
        }
    }

    pub fn on_connection_overdue(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let host = self.servers[connection.server].host;
        let is_cut = !self.pipes.is_open_both_ways(id.node, host);
        if connection.work.is_some() || !connection.is_open {
            return;
        }
        if connection.server_life.is_some() && !is_cut && !connection.is_orphaned {
            return;
        }
        let report = match connection.is_known {
            true => ProbeReport::Closed("timed out".to_owned()),
            false => ProbeReport::ConnectFailed(ConnectFailure::TimedOut),
        };
        self.tell_probe(id, report, 0);
        self.disconnect(id);
    }

    /// Work goes out, on a connection of its own or a pooled one.
    pub fn order_work(&mut self, node: usize, work: Work) {
        let Some(server) = self.server_at(work.endpoint()) else {
            return;
        };
        self.connection_drawn += 1;
        let life = self.hosts[node].life;
        let number = WORK_FROM + self.connection_drawn;
        let id = ConnectionId { node, life, number };
        self.open(id, server, Some(work));
        let (host, process) = (self.servers[server].host, self.servers[server].process);
        let is_pooled = self.random.below(2) == 0;
        let can_connect = is_pooled || self.pipes.is_open_both_ways(node, host);
        let overdue = if can_connect { 3_000_000 } else { 1_000_000 };
        self.later(overdue, Happens::WorkOverdue { id });
        if process == Process::Gone {
            let down = self.connections[&id].down;
            let reply = Reply::Worked(Err(CommandFailure::Lost("refused".to_owned())));
            self.push(down, Item::Reply { id, reply });
        } else if can_connect {
            let life = self.servers[server].life;
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.server_life = Some(life);
            }
            self.send_order(id, Order::Work);
        }
    }

    /// Nobody waits any longer. What was sent may still be carried out.
    pub fn on_work_overdue(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if !connection.is_open {
            return;
        }
        let work = connection.work.clone().expect("a connection of its own");
        let event = NodeEvent::Core(work.ended(Err(CommandFailure::TimedOut)));
        self.disconnect(id);
        if self.hosts[id.node].life == id.life {
            self.tell(id.node, event);
        }
    }

    /// What lies between a node and a host answers for it: its probe connections there are reset.
    pub fn reset_connections(&mut self, node: usize, host: usize) {
        let ids = self.connections.iter().filter(|(id, held)| {
            let is_there = self.servers[held.server].host == host;
            id.node == node && is_there && held.is_open && held.work.is_none()
        });
        let ids: Vec<ConnectionId> = ids.map(|(id, _)| *id).collect();
        for id in ids {
            let report = match self.connections[&id].is_known {
                true => ProbeReport::Closed("reset".to_owned()),
                false => ProbeReport::ConnectFailed(ConnectFailure::Refused),
            };
            self.tell_probe(id, report, 500);
            self.disconnect(id);
        }
    }

    /// Connections that a cut between two hosts will end.
    pub fn connections_between(&self, one: usize, other: usize) -> Vec<ConnectionId> {
        self.connections
            .iter()
            .filter(|(id, held)| {
                let host = self.servers[held.server].host;
                (id.node, host) == (one, other) || (id.node, host) == (other, one)
            })
            .map(|(id, _)| *id)
            .collect()
    }
}
