//! The nodes' connections to the instances, and what is done on them and beside them.

use std::time::Duration;

use promoterd::decision::{
    CommandFailure, ConnectFailure, Event, FollowOrder, FollowOutcome, GuardOrder, GuardOutcome,
    GuardTask, LinkId, Login, ProbeCommand, ProbeEvent, ProbeOrder, ProbeReport, RescueOrder,
    RescueOutcome, Rescued,
};
use promoterd::model::{Endpoint, InstanceInfo, PingReply, ReplicationHistory};

use crate::instance::{Process, endpoint};
use crate::invariants;
use crate::world::{Connection, ONE_WAY, Occurrence, Sent, World};

const CONNECT_TIMEOUT: u64 = 1_000_000;
/// Whoever waits for work gives it up after so long; what was sent may still be carried out.
const WORK_TIMEOUT: u64 = 1_000_000;

impl World {
    /// An order goes out, behind all that went before it on the same connection.
    pub fn send_probe(&mut self, node: usize, order: ProbeOrder) {
        let (at, life) = (self.now, self.nodes[node].life);
        let mut arrives = at + self.delay();
        if let Some(connection) = self.connection(node, life, order.link) {
            connection.up_at = connection.up_at.max(arrives);
            arrives = connection.up_at;
        }
        let sent = Sent {
            node,
            life,
            at,
            order,
        };
        self.push(arrives, Occurrence::Arrive(sent));
    }

    fn connection(&mut self, node: usize, life: u64, link: LinkId) -> Option<&mut Connection> {
        self.connections
            .iter_mut()
            .find(|it| it.node == node && it.life == life && it.link == link)
    }

    pub fn arrive(&mut self, sent: Sent<ProbeOrder>) {
        let name = sent.order.endpoint.host().to_owned();
        if sent.order.command == ProbeCommand::Connect {
            return self.connect(&sent, &name);
        }
        let is_it = |it: &Connection| {
            (it.node, it.life, it.link) == (sent.node, sent.life, sent.order.link)
        };
        let Some(index) = self.connections.iter().position(is_it) else {
            return;
        };
        if sent.order.command == ProbeCommand::Disconnect {
            self.connections.remove(index);
            return;
        }
        if let ProbeCommand::WatchProcess(_) = sent.order.command {
            self.connections[index].watched = true;
            return;
        }
        let life = self.connections[index].instance_life;
        let is_cut = self.is_cut(sent.node, &name);
        let instance = self.instance(&name).unwrap();
        match instance.process {
            Process::Running if instance.life == life && !is_cut => self.answer(sent, &name),
            Process::Running | Process::Hung | Process::Dead => self.stuck.push(sent),
        }
    }

    fn connect(&mut self, sent: &Sent<ProbeOrder>, name: &str) {
        let node = sent.node;
        if self.nodes[node].life != sent.life || self.nodes[node].is_dead {
            return;
        }
        let is_cut = self.is_cut(node, name);
        let is_rejected = self
            .rejected
            .iter()
            .any(|(from, to)| *from == self.nodes[node].name && to == name);
        let beside = self.nodes[node].beside.as_deref() == Some(name);
        let found = self
            .instance(name)
            .map(|instance| (instance.process, instance.life));
        let failed = ProbeReport::ConnectFailed;
        let back = self.delay();
        let (after, report) = match found {
            None => (
                back,
                failed(ConnectFailure::Unreachable("no such host".to_owned())),
            ),
            Some(_) if is_cut => (CONNECT_TIMEOUT, failed(ConnectFailure::TimedOut)),
            Some(_) if is_rejected => (back, failed(ConnectFailure::Refused)),
            Some((Process::Dead, _)) => (back, failed(ConnectFailure::Refused)),
            Some((Process::Running | Process::Hung, life)) => {
                self.connections.push(Connection {
                    node,
                    life: sent.life,
                    link: sent.order.link,
                    instance: name.to_owned(),
                    instance_life: life,
                    watched: false,
                    up_at: 0,
                    down_at: 0,
                });
                (back, ProbeReport::Connected { same_host: beside })
            }
        };
        self.reply(sent, after, report);
    }

    /// Comes back behind all that came before it on the same connection.
    fn reply(&mut self, sent: &Sent<ProbeOrder>, after: u64, report: ProbeReport) {
        let (node, life, link) = (sent.node, sent.life, sent.order.link);
        let mut at = self.now + after;
        if let Some(connection) = self.connection(node, life, link) {
            connection.down_at = connection.down_at.max(at);
            at = connection.down_at;
        }
        self.tell_probe((node, life, link), &sent.order.endpoint, at, report);
    }

    fn tell_probe(
        &mut self,
        (node, life, link): (usize, u64, LinkId),
        endpoint: &Endpoint,
        at: u64,
        report: ProbeReport,
    ) {
        let event = Event::Probed(ProbeEvent {
            endpoint: endpoint.clone(),
            link,
            report,
        });
        self.push(at, Occurrence::Deliver(node, life, event));
    }

    pub fn info(&self, name: &str) -> InstanceInfo {
        let index = self.index(name).expect("an instance of the group");
        self.instances[index].info(&self.instances, self.weather.is_some())
    }

    fn answer(&mut self, sent: Sent<ProbeOrder>, name: &str) {
        let sent_at = match self.weather {
            Some(_) => self.instant(sent.at),
            None => self.moment_of(sent.node) - Duration::from_micros(ONE_WAY),
        };
        let report = match &sent.order.command {
            ProbeCommand::Ping => {
                let is_loading = self.instance(name).unwrap().loads;
                ProbeReport::PingReplied {
                    sent_at,
                    reply: match is_loading && self.weather.is_some() {
                        true => PingReply::Loading,
                        false => PingReply::Pong,
                    },
                }
            }
            ProbeCommand::AskInfo => {
                let result = match self.instance(name).unwrap().denies_info {
                    true => Err(CommandFailure::Denied("NOPERM".to_owned())),
                    false => Ok(self.info(name)),
                };
                ProbeReport::InfoReplied { sent_at, result }
            }
            ProbeCommand::CountSentinels => ProbeReport::SentinelsCounted {
                sent_at,
                result: Ok(self.instance(name).unwrap().sentinels),
            },
            ProbeCommand::Promote(promotion) => {
                let epoch = promotion.epoch();
                let result = self.promote(name, epoch);
                if std::mem::take(&mut self.instance(name).unwrap().loses_promotion) {
                    return self.close(name, Some(sent.node), false);
                }
                ProbeReport::PromoteReplied { epoch, result }
            }
            ProbeCommand::AskLimits => {
                let instance = self.instance(name).unwrap();
                let result = instance.config().map(|()| instance.limits);
                ProbeReport::LimitsReplied { sent_at, result }
            }
            ProbeCommand::SetLimits(limits) => {
                let limits = *limits;
                let instance = self.instance(name).unwrap();
                let result = instance
                    .config()
                    .map(|()| std::mem::replace(&mut instance.limits, limits));
                ProbeReport::LimitsSet {
                    sent_at,
                    limits,
                    result,
                }
            }
            ProbeCommand::HoldWrites(lasts) => {
                let lasts = u64::try_from(lasts.as_micros()).unwrap();
                let until = self.now + lasts;
                self.push(until, Occurrence::GoOn(name.to_owned()));
                let instance = self.instance(name).unwrap();
                let result = if instance.holds_nothing {
                    Err(CommandFailure::Refused("ERR syntax error".to_owned()))
                } else {
                    instance.held_until = instance.held_until.max(until);
                    Ok(self.info(name))
                };
                ProbeReport::WritesHeld { sent_at, result }
            }
            ProbeCommand::ReleaseWrites => {
                self.instance(name).unwrap().held_until = 0;
                self.go_on(name);
                ProbeReport::WritesReleased { result: Ok(()) }
            }
            ProbeCommand::Connect | ProbeCommand::Disconnect | ProbeCommand::WatchProcess(_) => {
                return;
            }
        };
        let after = self.delay();
        self.reply(&sent, after, report);
    }

    fn promote(
        &mut self,
        name: &str,
        epoch: promoterd::model::Epoch,
    ) -> Result<(), CommandFailure> {
        self.lives += 1;
        let history = self.lives;
        let instance = self.instance(name).unwrap();
        if instance.loads {
            return Err(CommandFailure::Loading);
        }
        if instance.denies_promotion {
            return Err(CommandFailure::Denied("NOPERM".to_owned()));
        }
        if let Err(violation) = invariants::promoted(self, name, epoch) {
            self.fail(violation);
        }
        self.become_master(name, history);
        Ok(())
    }

    pub fn arrive_follow(&mut self, sent: Sent<FollowOrder>) {
        let name = sent.order.endpoint.host().to_owned();
        if self.instance(&name).unwrap().process == Process::Hung && self.weather.is_some() {
            let result = Err(CommandFailure::TimedOut);
            self.tell_followed(&sent, WORK_TIMEOUT, result);
            return self.stuck_follows.push(sent);
        }
        let result = self.follow_by_order(&name, &sent.order);
        let after = self.delay();
        self.tell_followed(&sent, after, result);
    }

    fn tell_followed(
        &mut self,
        sent: &Sent<FollowOrder>,
        after: u64,
        result: Result<Option<ReplicationHistory>, CommandFailure>,
    ) {
        let order = sent.order.clone();
        let event = Event::Followed(FollowOutcome { order, result });
        self.later(after, Occurrence::Deliver(sent.node, sent.life, event));
    }

    pub fn follow_by_order(
        &mut self,
        name: &str,
        order: &FollowOrder,
    ) -> Result<Option<ReplicationHistory>, CommandFailure> {
        let instance = self.instance(name).unwrap();
        if instance.process != Process::Running {
            return Err(CommandFailure::Lost("connection refused".to_owned()));
        }
        if instance.run_id() != order.run_id {
            return Err(CommandFailure::OtherProcess(instance.run_id()));
        }
        if instance.loads {
            return Err(CommandFailure::Loading);
        }
        if instance.denies_following {
            return Err(CommandFailure::Denied("NOPERM".to_owned()));
        }
        if let Err(violation) = invariants::follows(self, name, order) {
            self.fail(violation);
        }
        let instance = self.instance(name).unwrap();
        match order.login {
            Login::Kept => {}
            Login::Guard => instance.shows = Some(order.epoch),
            Login::Own => instance.shows = None,
        }
        let had = order.demotes.then(|| instance.history());
        self.follow(name, order.master.host());
        let instance = self.instance(name).unwrap();
        instance.is_misled = false;
        if order.demotes {
            // Its clients' connections are closed.
            instance.waiting.clear();
        }
        if let Some(limits) = order.restores.filter(|_| instance.limits.is_fence()) {
            instance.limits = limits;
        }
        if order.demotes && self.weather.is_some() {
            self.close(name, None, false);
        }
        Ok(had)
    }

    /// Without weather the guard is as good as done.
    pub fn arrive_guard(&mut self, sent: Sent<GuardOrder>) {
        let name = sent.order.endpoint.host().to_owned();
        let is_real = self.weather.is_some();
        let instance = self.instance(&name).unwrap();
        let order = &sent.order;
        let result = if !is_real {
            Ok(())
        } else if instance.process != Process::Running {
            Err(CommandFailure::Lost("connection refused".to_owned()))
        } else if instance.run_id() != order.run_id {
            Err(CommandFailure::OtherProcess(instance.run_id()))
        } else if instance.denies_config {
            Err(CommandFailure::Denied("NOPERM".to_owned()))
        } else {
            match order.task {
                GuardTask::Admit => instance.knows = Some(order.epoch),
                GuardTask::Arm => instance.shows = Some(order.epoch),
                GuardTask::Release => instance.shows = None,
                GuardTask::Close => instance.knows = None,
            }
            Ok(())
        };
        let (node, life, order) = (sent.node, sent.life, sent.order);
        let event = Event::Guarded(GuardOutcome { order, result });
        let after = self.delay();
        self.later(after, Occurrence::Deliver(node, life, event));
    }

    /// A copy takes nothing from the instance.
    pub fn arrive_rescue(&mut self, sent: Sent<RescueOrder>) {
        let name = sent.order.endpoint.host().to_owned();
        let instance = self.instance(&name).unwrap();
        instance.rescue_ended = Some(instance.life);
        let result = if instance.process != Process::Running {
            Err("the connection was lost".to_owned())
        } else if instance.run_id() != sent.order.run_id {
            Err("another process answers there".to_owned())
        } else if instance.denies_sync {
            Err("it refuses SYNC".to_owned())
        } else {
            Ok(Rescued {
                path: "features-2.rdb".to_owned(),
                bytes: 1,
            })
        };
        let (node, life, order) = (sent.node, sent.life, sent.order);
        let event = Event::Rescued(RescueOutcome { order, result });
        let after = self.delay();
        self.later(after, Occurrence::Deliver(node, life, event));
    }

    /// Closes the connections to an instance, of one node or all, and tells who watches its process.
    pub fn close(&mut self, name: &str, only: Option<usize>, exits: bool) {
        let closes = |connection: &Connection| {
            connection.instance == name && only.is_none_or(|node| node == connection.node)
        };
        let (closed, kept) = std::mem::take(&mut self.connections)
            .into_iter()
            .partition(closes);
        self.connections = kept;
        let closed: Vec<Connection> = closed;
        for connection in closed {
            let key = (connection.node, connection.life, connection.link);
            let at = connection.down_at.max(self.now + self.delay());
            let reason = ProbeReport::Closed("end of stream".to_owned());
            self.tell_probe(key, &endpoint(name), at, reason);
            if exits && connection.watched {
                let at = self.now + self.delay() + 100;
                self.tell_probe(key, &endpoint(name), at, ProbeReport::ProcessExited);
            }
        }
        self.stuck.retain(|sent| {
            sent.order.endpoint.host() != name || only.is_some_and(|only| only != sent.node)
        });
    }

    /// What was stuck comes through, as far as nothing holds it up any more.
    pub fn release(&mut self) {
        for sent in std::mem::take(&mut self.stuck) {
            self.push(self.now, Occurrence::Arrive(sent));
        }
        for sent in std::mem::take(&mut self.stuck_follows) {
            let name = sent.order.endpoint.host().to_owned();
            if self.instance(&name).unwrap().process == Process::Hung {
                self.stuck_follows.push(sent);
            } else {
                // Whoever gave the order has given it up.
                let _ = self.follow_by_order(&name, &sent.order);
            }
        }
    }
}
