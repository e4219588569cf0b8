//! What strikes at a moment of its own, how faults end, and how all of them do.

use promoterd::decision::Begin;
use promoterd::model::SplitMix;

use super::Fault;
use super::plan::Injection;
use crate::pipes::Micros;
use crate::server::{Process, Restart};
use crate::streams::{Purpose, stream};
use crate::world::{Happens, World};

/// The end of a fault.
#[derive(Debug)]
pub enum Undo {
    ResumeNode(usize),
    /// The host wakes, and the servers that hung with it go on.
    WakeHost(usize, Vec<usize>),
    HealDisk(usize),
    Heal(Vec<(usize, usize)>),
    /// Nobody is refused on these ways any more.
    Admit(Vec<(usize, usize)>),
    ResumeServer(usize),
    RestartServer(usize, Restart),
    Allow(usize),
}

/// What a fault does later than at once.
#[derive(Debug)]
pub enum Blow {
    CrashServer(usize),
    BounceServer(usize, Restart),
    HangServer(usize),
    CrashNode(usize),
    /// The daemon beside a server, for a part of a lease or some.
    CrashBeside(usize),
    PauseNode(usize),
    /// A host sleeps until its master must have been replaced.
    Suspend(usize),
    /// It is told to stop, and hands over what it leads.
    StopNode(usize),
    /// All daemons at once; this one comes back long after the others, who have to know without it what
    /// they promised.
    CrashAllNodes {
        last: usize,
    },
    Cut(Vec<(usize, usize)>, Micros),
}

impl World {
    /// Strikes after `delay`, with random numbers of its own.
    pub fn strike_later(&mut self, delay: Micros, blow: Blow) {
        let dice = SplitMix::new(self.dice.next());
        self.later(delay, Happens::Blow(blow, dice));
    }

    pub fn strike(&mut self, blow: Blow, dice: SplitMix) {
        if self.plan.is_over {
            return;
        }
        self.with_dice(dice, |world| match blow {
            Blow::CrashServer(server) => world.crash_for_a_while(server),
            // Back before anybody could miss it, under another run id.
            Blow::BounceServer(server, restart) => {
                world.crash_server(server);
                world.restart_server(server, restart);
                let life = world.servers[server].life;
                let index = server;
                world.later(0, Happens::Read { index, life });
            }
            Blow::HangServer(server) => world.hang_for_a_while(server),
            Blow::CrashNode(node) => world.bounce_node(node),
            Blow::CrashBeside(server) => world.crash_beside(server),
            Blow::Suspend(host) => world.suspend_until_replaced(host),
            Blow::PauseNode(node) => world.pause_node(node),
            Blow::StopNode(node) => world.stop_node(node),
            Blow::CrashAllNodes { last } => world.crash_all_nodes(last),
            Blow::Cut(paths, lasts) => world.cut_until(paths, lasts),
        });
    }

    /// An epoch began: the worst moment for whoever takes part.
    pub fn on_begun(&mut self, begin: &Begin) {
        let (name, now) = (&begin.group, self.now);
        for group in self.groups.iter_mut().filter(|group| group.name == *name) {
            group.begun_at = now;
        }
        let Some(candidate) = self.server_at(&begin.candidate.endpoint) else {
            return;
        };
        let Some(dice) = self.plan.sabotage() else {
            return;
        };
        let leader = self.hosts.iter().position(|host| host.id == begin.leader);
        let leader = leader.unwrap_or(0);
        let sabotage = Injection::Fault(Fault::Sabotage);
        *self.tally.injections.entry(sabotage).or_default() += 1;
        self.with_dice(dice, |world| {
            let soon = world.dice.below(1_000);
            match world.pick(8) {
                0 => return world.strike_later(0, Blow::CrashAllNodes { last: leader }),
                1 => return world.strike_later(soon, Blow::StopNode(leader)),
                _ => {}
            }
            let blow = match world.pick(6) {
                0 => Blow::CrashServer(candidate),
                1 => Blow::HangServer(candidate),
                2 => Blow::CrashNode(leader),
                3 => Blow::PauseNode(leader),
                4 => Blow::BounceServer(candidate, Restart::Complete),
                _ => Blow::BounceServer(candidate, Restart::Empty),
            };
            world.strike_later(soon, blow);
        });
    }

    /// A daemon begins to write what it will answer for: of what is acknowledged, nothing may be lost when
    /// the power is cut at once. Whoever leads comes back last.
    pub fn on_appending(&mut self, node: usize) {
        if self.hosts[node].leads() {
            return;
        }
        let Some(dice) = self.plan.power_cut() else {
            return;
        };
        self.with_dice(dice, |world| {
            let leader = world.leader().unwrap_or(node);
            let until = world.now + 10_000;
            for other in (0..world.hosts.len()).filter(|other| *other != leader) {
                let slow = &mut world.hosts[other].slow_disk_until;
                *slow = until.max(*slow);
            }
            let soon = 500 + world.dice.below(8_000);
            world.strike_later(soon, Blow::CrashAllNodes { last: leader });
        });
    }

    /// A daemon replaces a file in two steps: the worst moment lies between them.
    pub fn on_replacing(&mut self, node: usize, lasts: Micros) {
        if let Some(dice) = self.plan.sabotage() {
            self.with_dice(dice, |world| {
                if world.dice.below(2) == 0 {
                    world.strike_later(lasts / 2, Blow::CrashNode(node));
                }
            });
        }
    }

    fn sleeps(&self, undo: &Undo) -> bool {
        let host = if let Undo::ResumeNode(node) = undo {
            Some(*node)
        } else if let Undo::ResumeServer(server) | Undo::RestartServer(server, _) = undo {
            Some(self.servers[*server].host)
        } else {
            None
        };
        host.is_some_and(|host| self.suspended.contains(&host))
    }

    pub fn undo(&mut self, undo: Undo) {
        // Nothing on a host that sleeps starts or goes on before it wakes.
        if self.sleeps(&undo) {
            self.later(50_000, Happens::Undo(undo));
            return;
        }
        match undo {
            Undo::ResumeNode(node) => self.resume_node(node),
            Undo::WakeHost(host, servers) => self.wake_host(host, &servers),
            Undo::HealDisk(node) => self.hosts[node].disk.ailment = None,
            Undo::Heal(paths) => {
                self.note(|| format!("healed: {paths:?}"));
                self.heal(&paths);
            }
            Undo::Admit(paths) => {
                for (from, to) in paths {
                    self.pipes.admit(from, to);
                }
            }
            Undo::ResumeServer(server) => self.resume_server(server),
            Undo::RestartServer(server, restart) => self.restart_server(server, restart),
            Undo::Allow(server) => {
                self.servers[server].denies = false;
                self.disturb(server);
            }
        }
    }

    /// From here on everything works: what was down starts, what was cut heals.
    pub fn end_faults(&mut self) {
        self.plan.is_over = true;
        self.note(|| "all faults end".to_owned());
        let dice = stream(self.seed, Purpose::End, 0);
        self.with_dice(dice, |world| {
            while let Some(host) = world.suspended.first().copied() {
                world.end_sleep(host);
            }
            while let Some(path) = world.pipes.cut_paths().first().copied() {
                world.heal(&[path]);
            }
            world.pipes.end_delays();
            world.end_faults_of_nodes();
            world.end_faults_of_servers();
            world.have_operators_tidy_up();
        });
    }

    fn end_faults_of_nodes(&mut self) {
        for node in 0..self.hosts.len() {
            self.hosts[node].slow_disk_until = 0;
            self.hosts[node].fencer_deaf_until = 0;
            self.hosts[node].fencer_mute_until = 0;
            self.hosts[node].disk.ailment = None;
            self.resume_node(node);
            self.start_node(node);
        }
    }

    fn end_faults_of_servers(&mut self) {
        for group in &mut self.groups {
            group.sentinels_until = 0;
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
    }
}
