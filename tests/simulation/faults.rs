//! What goes wrong, and when: drawn from the seed, a different mix for each.

use std::time::Duration;

use promoterd::daemon::NodeEvent;
use promoterd::decision::{Begin, Event, OperationId, Request, Requester, Wish};
use promoterd::model::{ReplicationOffset, SplitMix};

use super::clock::DRIFT_MAX;
use super::pipes::Micros;
use super::server::{Process, Restart, draw_id};
use super::world::{Happens, World};

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    CrashNode,
    CrashLeader,
    CrashAllNodes,
    EmptyNode,
    PauseNode,
    PauseLeader,
    /// A host sleeps, with all that it bears; its clock goes on.
    SuspendHost,
    SlowDisk,
    CutOneWay,
    CutBothWays,
    IsolateHost,
    SplitHosts,
    BreakLink,
    CrashMaster,
    CrashServer,
    HangMaster,
    HangServer,
    BounceMaster,
    DenyRoleChanges,
    Meddle,
    RenameHistory,
    /// All daemons and all servers at once; they come back in any order, with, without and with old data.
    RestartSite,
    /// Somebody pauses a group, or resumes it.
    Pause,
    /// Somebody wants another master.
    Switchover,
    /// When an epoch begins: its candidate or its leader is hit.
    Sabotage,
}

const ALL: [Fault; 25] = [
    Fault::CrashNode,
    Fault::CrashLeader,
    Fault::CrashAllNodes,
    Fault::EmptyNode,
    Fault::PauseNode,
    Fault::PauseLeader,
    Fault::SuspendHost,
    Fault::SlowDisk,
    Fault::CutOneWay,
    Fault::CutBothWays,
    Fault::IsolateHost,
    Fault::SplitHosts,
    Fault::BreakLink,
    Fault::CrashMaster,
    Fault::CrashServer,
    Fault::HangMaster,
    Fault::HangServer,
    Fault::BounceMaster,
    Fault::DenyRoleChanges,
    Fault::Meddle,
    Fault::RenameHistory,
    Fault::RestartSite,
    Fault::Pause,
    Fault::Switchover,
    Fault::Sabotage,
];

/// The end of a fault.
#[derive(Debug)]
pub enum Undo {
    ResumeNode(usize),
    /// The host wakes, and the servers that hung with it go on.
    WakeHost(usize, Vec<usize>),
    Heal(Vec<(usize, usize)>),
    ResumeServer(usize),
    RestartServer(usize, Restart),
    Allow(usize),
    CrashServer(usize),
    BounceServer(usize, Restart),
    HangServer(usize),
    CrashNode(usize),
    PauseNode(usize),
    /// Somebody looks whether a pause that was asked for late still took effect.
    ResumeGroups,
}

/// The shape of one run.
#[derive(Debug)]
pub struct Plan {
    pub nodes: usize,
    pub other_hosts: usize,
    pub groups: usize,
    /// Messages between daemons are lost, repeated and overtaken.
    pub datagrams: bool,
    /// Servers keep their roles over a restart.
    pub rewrites: bool,
    /// By how much the rate of a host's clock may differ from the world's, in millionths.
    pub drift: u64,
    pub faults_from: Micros,
    pub faults_until: Micros,
    pause_max: Micros,
    kinds: Vec<Fault>,
    pub is_over: bool,
}

impl Plan {
    pub fn draw(random: &mut SplitMix) -> Self {
        let nodes = [1, 3, 3, 3, 3, 5][usize::try_from(random.below(6)).unwrap_or(0)];
        // Each run knows about half of the kinds, so that rare ones are not drowned by the others.
        let mut kinds: Vec<Fault> = ALL.into_iter().filter(|_| random.below(2) == 0).collect();
        if kinds.is_empty() {
            kinds.push(Fault::CrashMaster);
        }
        let faults_from = random.below(4_000_000);
        let is_rough = random.below(2) == 0;
        Self {
            nodes,
            other_hosts: usize::try_from(random.below(3)).unwrap_or(0),
            groups: 1 + usize::from(random.below(3) == 0),
            datagrams: random.below(3) == 0,
            rewrites: random.below(2) == 0,
            drift: [0, 0, 100, DRIFT_MAX][usize::try_from(random.below(4)).unwrap_or(0)],
            faults_from,
            faults_until: faults_from + 2_000_000 + random.below(10_000_000),
            pause_max: 200_000 + random.below(if is_rough { 2_500_000 } else { 6_000_000 }),
            kinds,
            is_over: false,
        }
    }

    /// Whether whoever does something important is hit just then.
    pub fn sabotages(&self) -> bool {
        !self.is_over && self.kinds.contains(&Fault::Sabotage)
    }
}

impl World {
    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.random.below(count as u64)).unwrap_or(0)
    }

    /// How long a fault lasts: most are short, some outlast every timeout.
    fn span(&mut self) -> Micros {
        let longest = [20_000, 300_000, 1_500_000, 6_000_000][self.pick(4)];
        1_000 + self.random.below(longest)
    }

    pub fn on_fault(&mut self) {
        if self.plan.is_over {
            return;
        }
        let kind = self.pick(self.plan.kinds.len());
        let fault = self.plan.kinds[kind];
        if fault != Fault::Sabotage {
            *self.tally.faults.entry(fault).or_default() += 1;
            self.note(|| format!("fault: {fault:?}"));
            self.inject(fault);
        }
        let pause = self.random.below(self.plan.pause_max);
        self.later(pause, Happens::Fault);
    }

    fn inject(&mut self, fault: Fault) {
        let node = self.pick(self.hosts.len());
        let host = self.pick(self.host_count);
        let server = self.pick(self.servers.len());
        let master = self.some_master();
        match fault {
            Fault::CrashNode => self.bounce_node(node),
            Fault::CrashLeader => self.bounce_node(self.leader().unwrap_or(node)),
            Fault::CrashAllNodes => (0..self.hosts.len()).for_each(|node| self.bounce_node(node)),
            Fault::EmptyNode => self.empty_node(node),
            Fault::PauseNode => self.pause_node(node),
            Fault::PauseLeader => self.pause_node(self.leader().unwrap_or(node)),
            Fault::SuspendHost => self.suspend_host(host),
            Fault::SlowDisk => {
                let span = self.span();
                self.hosts[node].slow_disk_until = self.now + span;
            }
            Fault::CutOneWay => self.cut_for_a_while(vec![(host, node)]),
            Fault::CutBothWays => self.cut_for_a_while(vec![(host, node), (node, host)]),
            Fault::IsolateHost => self.cut_for_a_while(self.paths_of(host)),
            Fault::SplitHosts => self.split_hosts(),
            Fault::BreakLink => {
                let other = self.pick(self.hosts.len());
                self.break_session(node.min(other), node.max(other));
            }
            Fault::CrashMaster => self.crash_for_a_while(master),
            Fault::CrashServer => self.crash_for_a_while(server),
            Fault::HangMaster => self.hang_for_a_while(master),
            Fault::HangServer => self.hang_for_a_while(server),
            Fault::BounceMaster => {
                self.crash_server(master);
                let restart = self.restart();
                let span = 1_000 + self.random.below(30_000);
                self.later(span, Happens::Undo(Undo::RestartServer(master, restart)));
            }
            Fault::DenyRoleChanges => {
                self.servers[server].denies = true;
                self.disturb(server);
                let span = self.span();
                self.later(span, Happens::Undo(Undo::Allow(server)));
            }
            Fault::Meddle => self.meddle(server),
            Fault::RenameHistory => self.rename_history(master),
            Fault::RestartSite => self.restart_site(),
            Fault::Pause => self.pause_or_resume(node),
            Fault::Switchover => self.switch_over(node),
            Fault::Sabotage => {}
        }
    }

    /// Most instances have all that they had, as after a clean stop; a few have nothing, or old data.
    fn restart_site(&mut self) {
        for node in 0..self.hosts.len() {
            self.bounce_node(node);
        }
        for server in 0..self.servers.len() {
            self.crash_server(server);
            let restart = match self.random.below(8) {
                0 => Restart::Empty,
                1 => Restart::Stale,
                _ => Restart::Complete,
            };
            let span = self.span();
            self.later(span, Happens::Undo(Undo::RestartServer(server, restart)));
        }
    }

    /// Somebody uses the stop switch of a node, mostly of one that does not lead.
    fn pause_or_resume(&mut self, node: usize) {
        let group = self.pick(self.groups.len());
        let lasts = match self.pick(3) {
            0 => None,
            _ => Some(Duration::from_micros(self.span())),
        };
        let wish = match self.pick(3) {
            0 => Wish::Resume,
            _ => Wish::Pause {
                lasts,
                reason: None,
            },
        };
        self.ask(node, group, wish);
    }

    /// Somebody wants another master, mostly any, and asks any node.
    fn switch_over(&mut self, node: usize) {
        let group = self.pick(self.groups.len());
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

    fn ask(&mut self, node: usize, group: usize, wish: Wish) {
        let operation = OperationId(self.random.next());
        let request = Request {
            operation,
            by: Requester::new(0, None, self.hosts[node].id.clone()),
            groups: [self.groups[group].name.clone()].into(),
            wish,
        };
        self.note(|| format!("somebody asks node {node}: {request:?}"));
        self.tell(node, NodeEvent::Core(Event::Requested(request)));
    }

    pub fn leader(&self) -> Option<usize> {
        self.hosts.iter().position(|host| {
            host.node
                .as_ref()
                .is_some_and(|node| node.engine_status().established)
        })
    }

    fn some_master(&mut self) -> usize {
        let group = self.pick(self.groups.len());
        let name = &self.groups[group].name;
        let logged = self.oracle.newest_master(name);
        logged
            .and_then(|master| self.server_at(&master))
            .unwrap_or(self.groups[group].servers[0])
    }

    fn restart(&mut self) -> Restart {
        match self.random.below(5) {
            0 => Restart::Empty,
            1 => Restart::Stale,
            _ => Restart::Complete,
        }
    }

    fn bounce_node(&mut self, node: usize) {
        self.crash_node(node);
        let span = self.span();
        self.later(span, Happens::Start { node });
    }

    fn pause_node(&mut self, node: usize) {
        if self.hosts[node].node.is_some() {
            self.hosts[node].paused = true;
            let span = self.span();
            self.later(span, Happens::Undo(Undo::ResumeNode(node)));
        }
    }

    /// Nothing on a host runs, and nothing comes in or goes out.
    fn suspend_host(&mut self, host: usize) {
        self.note(|| format!("host {host} is suspended"));
        if host < self.hosts.len() && self.hosts[host].node.is_some() {
            self.hosts[host].paused = true;
        }
        let servers: Vec<usize> = (0..self.servers.len())
            .filter(|index| self.servers[*index].host == host && self.servers[*index].is_running())
            .collect();
        for server in &servers {
            self.hang_server(*server);
        }
        let span = self.span();
        self.later(span, Happens::Undo(Undo::WakeHost(host, servers)));
        self.cut_until(self.paths_of(host), span);
    }

    fn wake_host(&mut self, host: usize, servers: &[usize]) {
        self.note(|| format!("host {host} wakes"));
        for server in servers {
            self.resume_server(*server);
        }
        if host < self.hosts.len() {
            self.resume_node(host);
        }
    }

    /// All that lead to a host or from it.
    fn paths_of(&self, host: usize) -> Vec<(usize, usize)> {
        let others = 0..self.host_count;
        others
            .flat_map(|other| [(host, other), (other, host)])
            .collect()
    }

    fn crash_for_a_while(&mut self, server: usize) {
        self.crash_server(server);
        let span = self.span();
        let restart = self.restart();
        self.later(span, Happens::Undo(Undo::RestartServer(server, restart)));
    }

    fn hang_for_a_while(&mut self, server: usize) {
        self.hang_server(server);
        let span = self.span();
        self.later(span, Happens::Undo(Undo::ResumeServer(server)));
    }

    fn split_hosts(&mut self) {
        let sides: Vec<bool> = (0..self.host_count)
            .map(|_| self.random.below(2) == 0)
            .collect();
        let one_way = self.random.below(4) == 0;
        let mut paths = Vec::new();
        for from in 0..self.host_count {
            for to in 0..self.host_count {
                if sides[from] != sides[to] && (!one_way || sides[from]) {
                    paths.push((from, to));
                }
            }
        }
        self.cut_for_a_while(paths);
    }

    fn cut_for_a_while(&mut self, paths: Vec<(usize, usize)>) {
        let span = self.span();
        self.cut_until(paths, span);
    }

    fn cut_until(&mut self, paths: Vec<(usize, usize)>, span: Micros) {
        self.note(|| format!("cut: {paths:?}"));
        self.disturb_all();
        for (from, to) in &paths {
            self.pipes.cut(*from, *to);
            self.let_time_out(*from, *to);
        }
        self.later(span, Happens::Undo(Undo::Heal(paths)));
    }

    /// What goes over a path that was cut ends some time later, if it still is.
    fn let_time_out(&mut self, from: usize, to: usize) {
        let (one, other) = (from.min(to), from.max(to));
        if let Some(session) = self.sessions.get(&(one, other)) {
            let session = session.number;
            let lasts = 300_000 + self.random.below(2_500_000);
            self.later(
                lasts,
                Happens::SessionOverdue {
                    one,
                    other,
                    session,
                },
            );
        }
        for id in self.connections_between(one, other) {
            let lasts = 1_500_000 + self.random.below(8_000_000);
            self.later(lasts, Happens::ConnectionOverdue { id });
        }
        for index in 0..self.servers.len() {
            let attempt = self.servers[index].attempt;
            self.later(
                super::replication::STUCK_MAX,
                Happens::StreamOverdue { index, attempt },
            );
        }
    }

    fn heal(&mut self, paths: &[(usize, usize)]) {
        self.disturb_all();
        for (from, to) in paths {
            for (pipe, count) in self.pipes.heal(*from, *to) {
                // What was lost is sent again when its timer says so.
                let lasts = 1_000 + self.random.below(400_000);
                for _ in 0..count {
                    self.later(lasts, Happens::Arrives(pipe));
                }
            }
        }
    }

    /// Somebody changes roles by hand.
    fn meddle(&mut self, server: usize) {
        self.disturb(server);
        let group = self.servers[server].group;
        let place = self.pick(self.groups[group].servers.len());
        let other = self.groups[group].servers[place];
        if !self.servers[server].is_running() || self.servers[server].is_loading() {
            return;
        }
        if self.random.below(2) == 0 {
            self.note(|| format!("somebody promotes server {server}"));
            self.become_master(server);
        } else if other != server {
            self.note(|| format!("somebody has server {server} follow server {other}"));
            self.follow(server, other);
        }
    }

    /// A master without replicas drops its history's id after a while (`repl-backlog-ttl`).
    fn rename_history(&mut self, master: usize) {
        let is_alone = self
            .servers
            .iter()
            .all(|server| server.follows() != Some(master) || server.feed().is_none());
        if is_alone && self.servers[master].is_writable() {
            self.disturb(master);
            let id = draw_id(&mut self.random);
            let server = &mut self.servers[master];
            server.history.id = id;
            server.history.continues = None;
            server.backlog_from = ReplicationOffset(server.history.offset.0 + 1);
            self.note(|| format!("server {master} renames its history"));
        }
    }

    /// An epoch began: the worst moment for whoever takes part.
    pub fn on_begun(&mut self, begin: &Begin) {
        let (name, now) = (&begin.group, self.now);
        for group in self.groups.iter_mut().filter(|group| group.name == *name) {
            group.begun_at = now;
        }
        if !self.plan.sabotages() {
            return;
        }
        let Some(candidate) = self.server_at(&begin.candidate.endpoint) else {
            return;
        };
        let leader = self.hosts.iter().position(|host| host.id == begin.leader);
        let leader = leader.unwrap_or(0);
        let choice = self.random.below(8);
        let soon = self.random.below(1_000);
        let undo = match choice {
            0 => Undo::CrashServer(candidate),
            1 => Undo::HangServer(candidate),
            2 => Undo::CrashNode(leader),
            3 => Undo::PauseNode(leader),
            4 => Undo::BounceServer(candidate, Restart::Complete),
            5 => Undo::BounceServer(candidate, Restart::Empty),
            _ => return,
        };
        *self.tally.faults.entry(Fault::Sabotage).or_default() += 1;
        self.later(soon, Happens::Undo(undo));
    }

    pub fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::ResumeNode(node) => self.resume_node(node),
            Undo::WakeHost(host, servers) => self.wake_host(host, &servers),
            Undo::Heal(paths) => {
                self.note(|| format!("healed: {paths:?}"));
                self.heal(&paths);
            }
            Undo::ResumeServer(server) => self.resume_server(server),
            Undo::RestartServer(server, restart) => self.restart_server(server, restart),
            Undo::Allow(server) => {
                self.servers[server].denies = false;
                self.disturb(server);
            }
            Undo::ResumeGroups if self.is_anything_paused() => self.resume_groups(),
            _ if self.plan.is_over => {}
            Undo::CrashServer(server) => self.crash_for_a_while(server),
            // Back before anybody could miss it, under another run id.
            Undo::BounceServer(server, restart) => {
                self.crash_server(server);
                self.restart_server(server, restart);
                let life = self.servers[server].life;
                self.later(
                    0,
                    Happens::Read {
                        index: server,
                        life,
                    },
                );
            }
            Undo::HangServer(server) => self.hang_for_a_while(server),
            Undo::CrashNode(node) => self.bounce_node(node),
            Undo::PauseNode(node) => self.pause_node(node),
            Undo::ResumeGroups => {}
        }
    }

    /// From here on everything works: what was down starts, what was cut heals.
    pub fn end_faults(&mut self) {
        self.plan.is_over = true;
        self.note(|| "all faults end".to_owned());
        while let Some(path) = self.pipes.cut_paths().first().copied() {
            self.heal(&[path]);
        }
        for node in 0..self.hosts.len() {
            self.hosts[node].slow_disk_until = 0;
            self.resume_node(node);
            self.start_node(node);
        }
        for server in 0..self.servers.len() {
            self.servers[server].denies = false;
            match self.servers[server].process {
                Process::Running => {}
                Process::Hung => self.resume_server(server),
                Process::Gone => {
                    let restart = self.restart();
                    self.restart_server(server, restart);
                }
            }
        }
        self.resume_groups();
        // Requests are tried for ten seconds.
        self.later(11_000_000, Happens::Undo(Undo::ResumeGroups));
    }

    fn resume_groups(&mut self) {
        for group in 0..self.groups.len() {
            let node = self.pick(self.hosts.len());
            self.ask(node, group, Wish::Resume);
        }
    }

    fn is_anything_paused(&self) -> bool {
        self.groups.iter().any(|group| {
            let record = self.oracle.newest_record(&group.name);
            record.is_some_and(|record| record.pause().is_some())
        })
    }
}
