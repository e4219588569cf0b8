//! Daemons that crash, are stopped for a while, or sleep with their hosts.

use promoterd::daemon::NodeEvent;
use promoterd::decision::Event;

use super::end::Undo;
use crate::pipes::Micros;
use crate::world::{Happens, World};

impl World {
    pub fn bounce_node(&mut self, node: usize) {
        self.crash_node(node);
        let span = self.span();
        self.later(span, Happens::Start { node });
    }

    pub fn crash_all_nodes(&mut self, last: usize) {
        for node in 0..self.hosts.len() {
            self.crash_node(node);
            let delay = if node == last {
                1_500_000 + self.dice.below(1_500_000)
            } else {
                1_000 + self.dice.below(50_000)
            };
            self.later(delay, Happens::Start { node });
        }
    }

    pub fn pause_node(&mut self, node: usize) {
        if self.hosts[node].node.is_some() {
            self.hosts[node].paused = true;
            let span = self.span();
            self.later(span, Happens::Undo(Undo::ResumeNode(node)));
        }
    }

    pub fn suspend_host(&mut self, host: usize) {
        let span = self.span();
        self.suspend_for(host, span, span);
    }

    /// Nothing on a host runs, and nothing comes in or goes out, for as long or longer.
    pub fn suspend_for(&mut self, host: usize, sleeps: Micros, cut: Micros) {
        if self.suspended.contains(&host) {
            return;
        }
        self.note(|| format!("host {host} is suspended"));
        self.suspended.insert(host);
        if host < self.hosts.len() {
            let now = self.now;
            self.hosts[host].clock.stop(now);
        }
        if host < self.hosts.len() && self.hosts[host].node.is_some() {
            self.hosts[host].paused = true;
        }
        let servers: Vec<usize> = (0..self.servers.len())
            .filter(|index| self.servers[*index].host == host && self.servers[*index].is_running())
            .collect();
        for server in &servers {
            self.hang_server(*server);
        }
        self.later(sleeps, Happens::Undo(Undo::WakeHost(host, servers)));
        self.cut_until(self.paths_of(host), cut);
    }

    pub fn wake_host(&mut self, host: usize, servers: &[usize]) {
        self.note(|| format!("host {host} wakes"));
        self.end_sleep(host);
        for server in servers {
            self.resume_server(*server);
        }
        if host < self.hosts.len() {
            self.resume_node(host);
        }
    }

    /// Its fencer's timer rings before anything else goes on, and its daemon learns first that it slept.
    pub fn end_sleep(&mut self, host: usize) {
        if !self.suspended.remove(&host) || host >= self.hosts.len() {
            return;
        }
        self.end_overdue(host);
        let now = self.now;
        let woken = &mut self.hosts[host];
        woken.clock.go_on(now);
        if woken.paused {
            woken.inbox.push_front(NodeEvent::Core(Event::Suspended));
        }
    }

    /// All at once; most instances have all that they had, as after a clean stop, a few have nothing,
    /// or old data.
    pub fn restart_site(&mut self) {
        use crate::server::Restart;
        for node in 0..self.hosts.len() {
            self.bounce_node(node);
        }
        for server in 0..self.servers.len() {
            self.crash_server(server);
            let restart = match self.dice.below(8) {
                0 => Restart::Empty,
                1 => Restart::Stale,
                _ => Restart::Complete,
            };
            let span = self.span();
            self.later(span, Happens::Undo(Undo::RestartServer(server, restart)));
        }
    }
}
