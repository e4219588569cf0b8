//! What happens to the processes of the servers: crash, hang, restart; and what clients do to them.

use promoterd::model::Endpoint;

use super::server::{Part, Process, Restart, Upstream};
use super::world::{Happens, Item, World};

impl World {
    pub fn server_at(&self, endpoint: &Endpoint) -> Option<usize> {
        self.servers
            .iter()
            .position(|server| server.endpoint == *endpoint)
    }

    pub fn crash_server(&mut self, index: usize) {
        if self.servers[index].process == Process::Gone {
            return;
        }
        self.note(|| format!("server {index} crashes"));
        self.disturb(index);
        let now = self.now;
        self.servers[index].process = Process::Gone;
        self.servers[index].stalled.clear();
        self.drop_feeds(index);
        if let Some(pipe) = self.servers[index].feed() {
            self.pipes.close(pipe);
        }
        if let Part::Replica { upstream, .. } = &mut self.servers[index].part {
            *upstream = Upstream::Down { since: Some(now) };
        }
        self.close_connections_to(index);
    }

    pub fn hang_server(&mut self, index: usize) {
        if self.servers[index].is_running() {
            self.note(|| format!("server {index} hangs"));
            self.disturb(index);
            self.servers[index].process = Process::Hung;
        }
    }

    /// It runs again, and does first what it was asked for meanwhile.
    pub fn resume_server(&mut self, index: usize) {
        if self.servers[index].process != Process::Hung {
            return;
        }
        self.note(|| format!("server {index} goes on"));
        self.disturb(index);
        self.servers[index].process = Process::Running;
        for item in std::mem::take(&mut self.servers[index].stalled) {
            self.on_item(item);
        }
    }

    pub fn restart_server(&mut self, index: usize, restart: Restart) {
        if self.servers[index].process != Process::Gone {
            return;
        }
        self.note(|| format!("server {index} starts: {restart:?}"));
        self.disturb(index);
        self.servers[index].start(restart, &mut self.random);
        if self.servers[index].reading.is_some() {
            let life = self.servers[index].life;
            let lasts = 1_000 + self.random.below(800_000);
            self.later(lasts, Happens::Read { index, life });
        } else {
            self.try_to_follow(index, 1_000);
        }
    }

    pub fn on_read(&mut self, index: usize, life: u64) {
        let server = &mut self.servers[index];
        if server.life == life && server.process != Process::Gone {
            server.finish_reading();
            self.try_to_follow(index, 1_000);
        }
    }

    /// Keeps an item for a server that hangs; true when it is not to be taken in now.
    pub fn stalls(&mut self, index: usize, item: Item) -> bool {
        let server = &mut self.servers[index];
        match server.process {
            Process::Running => false,
            Process::Hung => {
                server.stalled.push(item);
                true
            }
            Process::Gone => true,
        }
    }

    pub fn on_stream_overdue(&mut self, index: usize, attempt: u64) {
        let server = &self.servers[index];
        let Some(master) = server.follows() else {
            return;
        };
        let is_cut = !self
            .pipes
            .is_open_both_ways(self.servers[master].host, server.host);
        if is_cut && server.feed().is_some() && server.is_running() {
            self.on_feed_closed(index, attempt);
        }
    }

    /// A client writes to the server that the file on its host names.
    pub fn on_client_writes(&mut self, group: usize) {
        let pause = 5_000 + self.random.below(80_000);
        self.later(pause, Happens::ClientWrites { group });
        let host = usize::try_from(self.random.below(self.hosts.len() as u64)).unwrap_or(0);
        let published = self.hosts[host].published.get(&self.groups[group].name);
        let named = published.and_then(|(_, master)| self.server_at(master));
        let index = named.unwrap_or(self.groups[group].servers[0]);
        let server = &self.servers[index];
        if !server.is_writable() || !self.pipes.is_open_both_ways(host, server.host) {
            return;
        }
        if server.hold.until.is_some() {
            self.servers[index].hold.waiting += 1;
            self.tally.held_writes += 1;
        } else {
            self.write_or_refuse(index);
        }
    }

    fn write_or_refuse(&mut self, index: usize) {
        if self.takes_writes(index) {
            self.write(index);
        } else {
            self.tally.refused_writes += 1;
        }
    }

    pub fn on_hold_ends(&mut self, index: usize, life: u64) {
        let server = &self.servers[index];
        let is_it = server.life == life && server.process != Process::Gone;
        if is_it && server.hold.until.is_some_and(|until| until <= self.now) {
            self.release_writes(index);
        }
    }

    /// What waited is carried out, or refused.
    pub fn release_writes(&mut self, index: usize) {
        self.note(|| format!("server {index} lets writes go on"));
        let hold = std::mem::take(&mut self.servers[index].hold);
        for _ in 0..hold.waiting {
            self.write_or_refuse(index);
        }
    }

    /// Something other than the daemons had a hand in the group of this server.
    pub fn disturb(&mut self, index: usize) {
        let group = self.servers[index].group;
        self.groups[group].disturbed_at = self.now;
    }

    /// The same of all groups.
    pub fn disturb_all(&mut self) {
        for group in &mut self.groups {
            group.disturbed_at = self.now;
        }
    }

    /// Whether a write would be accepted there (`min-replicas-to-write`).
    pub fn takes_writes(&self, index: usize) -> bool {
        let server = &self.servers[index];
        let fed = self.servers.iter();
        let fed = fed.filter(|other| other.follows() == Some(index) && other.is_fed());
        let needed = server.limits.replicas_needed();
        server.is_writable() && u32::try_from(fed.count()).unwrap_or(u32::MAX) >= needed
    }
}
