//! What happens to the servers, and what people do to them.

use promoterd::model::ReplicationOffset;

use super::end::Undo;
use crate::server::{Restart, draw_id};
use crate::world::{Happens, World};

impl World {
    pub fn restart(&mut self) -> Restart {
        match self.dice.below(5) {
            0 => Restart::Empty,
            1 => Restart::Stale,
            _ => Restart::Complete,
        }
    }

    pub fn crash_for_a_while(&mut self, server: usize) {
        self.crash_server(server);
        let span = self.span();
        let restart = self.restart();
        self.later(span, Happens::Undo(Undo::RestartServer(server, restart)));
    }

    pub fn hang_for_a_while(&mut self, server: usize) {
        self.hang_server(server);
        let span = self.span();
        self.later(span, Happens::Undo(Undo::ResumeServer(server)));
    }

    pub fn bounce_master(&mut self, master: usize) {
        self.crash_server(master);
        let restart = self.restart();
        let span = 1_000 + self.dice.below(30_000);
        self.later(span, Happens::Undo(Undo::RestartServer(master, restart)));
    }

    pub fn deny_for_a_while(&mut self, server: usize) {
        self.servers[server].denies = true;
        self.disturb(server);
        let span = self.span();
        self.later(span, Happens::Undo(Undo::Allow(server)));
    }

    /// Sentinels subscribe to all servers of a group, and leave again.
    pub fn let_sentinels_watch(&mut self, group: usize) {
        let until = self.now + self.span();
        self.groups[group].sentinels_until = until;
    }

    /// Somebody changes roles by hand.
    pub fn meddle(&mut self, server: usize) {
        self.disturb(server);
        let group = self.servers[server].group;
        let place = self.pick(self.groups[group].servers.len());
        let other = self.groups[group].servers[place];
        if !self.servers[server].is_running() || self.servers[server].is_loading() {
            return;
        }
        if self.dice.below(2) == 0 {
            self.note(|| format!("somebody promotes server {server}"));
            self.become_master(server);
        } else if other != server {
            self.note(|| format!("somebody has server {server} follow server {other}"));
            self.follow(server, other);
        }
    }

    /// A master without replicas drops its history's id after a while (`repl-backlog-ttl`).
    pub fn rename_history(&mut self, master: usize) {
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
}
