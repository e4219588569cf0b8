//! What operators ask of the daemons while all goes wrong: by the status socket, by signals, by files.
//!
//! A new request is a variant of [`Operation`], a line in [`ALL`], and what it does in
//! [`World::operate`].

use std::time::Duration;

use promoterd::daemon::NodeEvent;
use promoterd::decision::{Event, GroupPolicy, OperationId, Request, Requester, Scope, Wish};
use promoterd::model::GroupName;

use super::pipes::Micros;
use super::shape::one_of;
use super::world::{Happens, World};

/// Longest time that a stop may take to hand leadership over, as in the daemon.
const HAND_OVER_MAX: Micros = 500_000;

/// The kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A group is left alone, or looked after again.
    Pause,
    /// Another master is wanted.
    Switchover,
    /// Who is the master of a group that waits.
    Adopt,
    /// Other settings for a group, on one host after the other, and a reload on each.
    Reload,
    /// A daemon stops in good order, and is started again.
    Stop,
    /// All daemons do, one after the other.
    StopEach,
}

/// Those of schedules about everything.
pub const ALL: [Operation; 6] = [
    Operation::Pause,
    Operation::Switchover,
    Operation::Adopt,
    Operation::Reload,
    Operation::Stop,
    Operation::StopEach,
];

/// Those of schedules about leases, and about disks.
pub const OF_LEASES: [Operation; 4] = [
    Operation::Switchover,
    Operation::Switchover,
    Operation::Stop,
    Operation::Pause,
];
pub const OF_DISKS: [Operation; 4] = [
    Operation::Switchover,
    Operation::Switchover,
    Operation::Pause,
    Operation::Stop,
];

impl World {
    pub fn operate(&mut self, operation: Operation) {
        let node = self.pick(self.hosts.len());
        let group = self.pick(self.groups.len());
        match operation {
            Operation::Pause => self.pause_or_resume(node, group),
            Operation::Switchover => self.switch_over(node, group),
            Operation::Adopt => self.adopt(node, group),
            Operation::Reload => self.reload_everywhere(group),
            Operation::Stop => {
                let node = match self.pick(2) {
                    0 => self.leader().unwrap_or(node),
                    _ => node,
                };
                self.stop_node(node);
            }
            Operation::StopEach => {
                let mut delay = 0;
                for place in 0..self.hosts.len() {
                    let node = (node + place) % self.hosts.len();
                    self.later(delay, Happens::Stop { node });
                    delay += 200_000 + self.dice.below(1_500_000);
                }
            }
        }
    }

    /// Somebody uses the stop switch of a node, mostly of one that does not lead.
    fn pause_or_resume(&mut self, node: usize, group: usize) {
        let lasts = match self.pick(3) {
            0 => None,
            _ => Some(Duration::from_micros(self.span())),
        };
        let wish = match self.pick(3) {
            0 => Wish::Resume,
            _ => Wish::Pause {
                lasts,
                reason: None,
                lifts_lease: false,
            },
        };
        self.ask(node, group, wish);
    }

    /// Somebody wants another master, mostly any, and asks any node.
    fn switch_over(&mut self, node: usize, group: usize) {
        let place = self.pick(self.groups[group].servers.len());
        let named = self.groups[group].servers[place];
        let to = match self.pick(3) {
            0 => Some(self.servers[named].endpoint.clone()),
            _ => None,
        };
        let within = Duration::from_micros(100_000 + self.span());
        let wish = Wish::Switchover {
            to,
            within,
            reason: None,
        };
        self.ask(node, group, wish);
    }

    /// Any instance, right or wrong: the daemons know better where they do.
    fn adopt(&mut self, node: usize, group: usize) {
        let servers = &self.groups[group].servers;
        let place = usize::try_from(self.dice.below(servers.len() as u64)).unwrap_or(0);
        let master = self.servers[servers[place]].endpoint.clone();
        self.ask(node, group, Wish::Adopt { master });
    }

    /// By the status socket of a daemon: it refuses at once what cannot be.
    pub fn ask(&mut self, node: usize, group: usize, wish: Wish) {
        let operation = OperationId(self.dice.next());
        let now = self.instant(node);
        let scope = Scope::Group(self.groups[group].name.clone());
        let host = &self.hosts[node];
        let Some(running) = host.node.as_ref().filter(|_| !host.paused) else {
            return;
        };
        let admitted = running.supervisor().admit(operation, &scope, &wish, now);
        let groups = match admitted {
            Ok(groups) => groups,
            Err(impossible) => {
                self.tally.refused_requests += 1;
                return self.note(|| format!("node {node} refuses {wish:?}: {impossible}"));
            }
        };
        let request = Request {
            operation,
            by: Requester::new(0, None, host.id.clone()),
            groups,
            wish,
        };
        self.note(|| format!("somebody asks node {node}: {request:?}"));
        self.tell(node, NodeEvent::Core(Event::Requested(request)));
    }

    /// Settings that a running daemon takes on, of a group that is registered: for others the hosts
    /// have to agree first.
    fn reload_everywhere(&mut self, group: usize) {
        let name = self.groups[group].name.clone();
        if !self.oracle.registered.contains(&name) {
            return;
        }
        let milliseconds =
            |some: &[u64], world: &mut Self| Duration::from_millis(one_of(&mut world.dice, some));
        let policy = GroupPolicy {
            down_after: milliseconds(&[500, 1000, 2000], self),
            cooldown: milliseconds(&[0, 10_000], self),
            promote_timeout: milliseconds(&[1000, 5000], self),
            parallel_syncs: one_of(&mut self.dice, &[1, 2]),
            exited: self.dice.below(4) != 0,
            take_over: self.dice.below(2) == 0,
            ..self.groups[group].policy.clone()
        };
        self.groups[group].policy = policy.clone();
        for node in 0..self.hosts.len() {
            let delay = self.dice.below(600_000);
            let (name, policy) = (name.clone(), Box::new(policy.clone()));
            self.later(delay, Happens::Reload { node, name, policy });
        }
    }

    /// The file of one host is changed, and its daemon told to read it.
    pub fn reload(&mut self, node: usize, name: GroupName, policy: GroupPolicy) {
        let host = &mut self.hosts[node];
        host.settings_of_groups.insert(name, policy);
        if host.node.is_some() {
            self.tally.reloads += 1;
            self.note(|| format!("node {node} reads its settings again"));
            let policies = self.hosts[node].settings_of_groups.clone();
            self.tell(node, NodeEvent::Core(Event::Adjusted(policies)));
        }
    }

    /// `systemctl restart`: leadership first, then the daemon; it comes back some time later.
    pub fn stop_node(&mut self, node: usize) {
        if !self.hosts[node].is_running() || self.hosts[node].stops_at.is_some() {
            return;
        }
        self.note(|| format!("node {node} is told to stop"));
        let peer = (0..self.hosts.len()).find(|other| {
            let link = (node.min(*other), node.max(*other));
            *other != node && self.sessions.contains_key(&link)
        });
        let leads = |world: &Self| world.hosts[node].leads();
        let Some(peer) = peer.filter(|_| leads(self)) else {
            return self.end_stop(node);
        };
        self.tally.hand_overs += 1;
        self.hosts[node].stops_at = Some(self.now + HAND_OVER_MAX);
        let peer = self.hosts[peer].id.clone();
        self.hand_over(node, &peer);
        let life = self.hosts[node].life;
        self.later(HAND_OVER_MAX, Happens::StopOverdue { node, life });
    }

    /// It waits no longer for a new leader.
    pub fn on_stop_overdue(&mut self, node: usize, life: u64) {
        let host = &self.hosts[node];
        if host.life == life && host.stops_at.is_some() {
            self.end_stop(node);
        }
    }

    /// A daemon that is told to stop goes once it does not lead.
    pub fn stop_if_deposed(&mut self, node: usize) {
        let host = &self.hosts[node];
        if host.stops_at.is_some() && host.is_running() && !host.leads() {
            self.tally.handed_over += 1;
            self.end_stop(node);
        }
    }

    fn end_stop(&mut self, node: usize) {
        self.end_node(node);
        let delay = 50_000 + self.random.below(1_000_000);
        self.later(delay, Happens::Start { node });
    }

    /// Once all works again, what somebody paused is resumed, and a group whose instances do not agree
    /// is registered by hand.
    pub fn have_operators_tidy_up(&mut self) {
        self.resume_groups(true);
        self.later(3_000_000, Happens::AdoptWaiting);
        // Requests are tried for ten seconds.
        self.later(11_000_000, Happens::ResumePaused);
    }

    /// Those that are paused, or whatever they are.
    pub fn resume_groups(&mut self, all: bool) {
        for group in 0..self.groups.len() {
            let record = self.oracle.newest_record(&self.groups[group].name);
            if all || record.is_some_and(|record| record.pause().is_some()) {
                let node = self.pick(self.hosts.len());
                self.ask(node, group, Wish::Resume);
            }
        }
    }

    /// The one with the most data is named.
    pub fn adopt_waiting(&mut self) {
        for group in 0..self.groups.len() {
            if self
                .oracle
                .newest_record(&self.groups[group].name)
                .is_some()
            {
                continue;
            }
            let masters = self.groups[group].servers.iter().copied();
            let masters: Vec<usize> = masters
                .filter(|index| self.servers[*index].is_writable())
                .collect();
            let best = masters.iter().copied().max_by_key(|index| {
                let server = &self.servers[*index];
                (server.has_keys, server.history.offset)
            });
            if let Some(best) = best {
                let node = self.pick(self.hosts.len());
                let master = self.servers[best].endpoint.clone();
                self.ask(node, group, Wish::Adopt { master });
            }
        }
    }
}
