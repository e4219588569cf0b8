//! The clients of the hosts: their files are kept right, they read them again, and they write to the
//! master that they have read of.

use promoterd::clients::Publication;
use promoterd::daemon::NodeEvent;
use promoterd::decision::Event;
use promoterd::model::NodeRole;

use super::files::{Begun, Files, Happened, Said};
use super::invariants::{Violation, files_never_go_back, journals_say_what_was_read};
use super::world::{Happens, World};

impl World {
    /// A daemon starts, and with it its thread for the files.
    pub fn start_files(&mut self, node: usize) {
        if self.hosts[node].role == NodeRole::Witness {
            return;
        }
        let groups: Vec<_> = self.groups.iter().map(|group| group.name.clone()).collect();
        let host = &mut self.hosts[node];
        let torn = host.kept.journal_length();
        host.files = Files::start(&mut host.kept, &groups);
        host.files_due = None;
        host.files_held = false;
        self.tally.torn_journals += u64::from(host.kept.journal_length() < torn);
        if host.files.is_none() {
            let what = format!("node {node} cannot read its journal");
            self.fail(Violation::new("recovery of the clients' journal", what));
        }
        if let Err(violation) = journals_say_what_was_read::check(self, node) {
            self.fail(violation);
        }
    }

    /// The core has the files of a group name this master.
    pub fn publish(&mut self, node: usize, publication: Publication) {
        if let Some(files) = &mut self.hosts[node].files {
            files.publish(publication);
            self.work_on_files(node);
        }
    }

    /// Begins what is due.
    pub fn work_on_files(&mut self, node: usize) {
        let now = self.instant(node);
        let host = &mut self.hosts[node];
        let life = host.life;
        let Some(files) = host.files.as_mut().filter(|_| !host.paused) else {
            return;
        };
        let mut begun = Vec::new();
        while let Some(next) = files.begin(now, &host.kept, &mut self.random) {
            begun.push(next);
        }
        let due = files.next().filter(|at| *at > now);
        let is_news = due.is_some() && due != host.files_due;
        host.files_due = due;
        for begun in begun {
            match begun {
                Begun::Step(lasts) => self.later(lasts, Happens::FilesStep { node, life }),
                Begun::Reload(index, said, lasts) => {
                    self.later(lasts, Happens::ClientRead { node, index, said });
                }
            }
        }
        if let Some(at) = due.filter(|_| is_news) {
            let at = self.micros(node, at);
            self.at(at, Happens::FilesDue { node, life });
        }
    }

    /// The kernel tells the daemon that somebody else changed a file.
    pub fn see_changed_file(&mut self, node: usize, index: usize) {
        let now = self.instant(node);
        if let Some(files) = &mut self.hosts[node].files {
            files.see_changed(index, now);
            self.work_on_files(node);
        }
    }

    pub fn on_files_due(&mut self, node: usize, life: u64) {
        if self.hosts[node].life == life {
            self.hosts[node].files_due = None;
            self.work_on_files(node);
        }
    }

    /// A step on the disk is done.
    pub fn on_files_step(&mut self, node: usize, life: u64) {
        let now = self.instant(node);
        let host = &mut self.hosts[node];
        if host.life != life {
            return;
        }
        if host.paused {
            host.files_held = true;
            return;
        }
        let Some(files) = &mut host.files else {
            return;
        };
        let ailment = host.disk.ailment;
        let happened = files.finish(&mut host.kept, ailment, now, &mut self.random);
        let follows = files.follows(&mut self.random);
        for happened in happened {
            self.on_happened(node, happened);
        }
        match follows {
            Some(lasts) => self.later(lasts, Happens::FilesStep { node, life }),
            None => self.work_on_files(node),
        }
    }

    fn on_happened(&mut self, node: usize, happened: Happened) {
        match happened {
            Happened::Replaced(group, before, said) => {
                self.tally.files_replaced += 1;
                self.note(|| format!("node {node}: the file of {group} names {said:?}"));
                if let Err(violation) = files_never_go_back::check_file(self, &group, before, &said)
                {
                    self.fail(violation);
                }
                // The journal does not know yet.
                self.on_replacing(node, 100);
            }
            Happened::Rewritten(group, epoch) => {
                let event = Event::FilesRewritten { group, epoch };
                self.tell(node, NodeEvent::Core(event));
            }
            Happened::NotJournalled => self.tally.not_journalled += 1,
        }
    }

    /// The command by which a client reads its file again ends, whatever became of the daemon.
    pub fn on_client_read(&mut self, node: usize, index: usize, said: Option<Said>) {
        let host = &mut self.hosts[node];
        host.kept.read[index] = said;
        self.tally.files_read += 1;
        if let Some(files) = &mut host.files {
            files.reloaded(index);
            self.work_on_files(node);
        }
    }

    /// The daemon is gone, by a crash or in good order.
    pub fn end_files(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let files = host.files.take();
        let happened = files.and_then(|files| files.crash(&mut host.kept, &mut self.random));
        if let Some(happened) = happened {
            self.on_happened(node, happened);
        }
    }

    /// It goes on where it was stopped.
    pub fn resume_files(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        if std::mem::take(&mut host.files_held) {
            let life = host.life;
            self.on_files_step(node, life);
        } else {
            self.work_on_files(node);
        }
    }

    /// A client writes to the server of which it has read.
    pub fn on_client_writes(&mut self, group: usize) {
        let pause = 5_000 + self.random.below(80_000);
        self.later(pause, Happens::ClientWrites { group });
        let clients = self.shape.with_clients() as u64;
        let host = usize::try_from(self.random.below(clients)).unwrap_or(0);
        let read = self.hosts[host].kept.read[group].as_ref();
        let named = read.and_then(|(_, master)| self.server_at(master));
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
}
