//! How instances follow one another. Without weather a copy takes no time; with it replicas try again and
//! again, as Redis has them do, and copy whatever they find.

use crate::instance::{Link, Process};
use crate::invariants;
use crate::world::{Occurrence, World};

/// Time between two attempts of a replica (`replicationCron`).
const RETRY: u64 = 1_000_000;

impl World {
    /// `REPLICAOF`.
    pub fn follow(&mut self, name: &str, master: &str) {
        if self.weather.is_none() {
            let source = self.instance(master).cloned();
            return self.instance(name).unwrap().follow(master, source.as_ref());
        }
        let instance = self.instance(name).unwrap();
        if instance.follows.as_deref() == Some(master) {
            return;
        }
        let was_master = instance.follows.is_none().then(|| instance.run_id());
        instance.follows = Some(master.to_owned());
        instance.attempt += 1;
        instance.link = Link::Down;
        if let Some(process) = was_master {
            self.oracle.is_master(process, self.now);
        }
        self.drop_replicas(name);
        self.try_to_sync(name, 0);
    }

    /// `REPLICAOF NO ONE`.
    pub fn become_master(&mut self, name: &str, history: u8) {
        let now = self.now;
        let instance = self.instance(name).unwrap();
        let was_replica = instance.follows.is_some();
        let (process, before) = (instance.run_id(), instance.history);
        instance.promote(history);
        instance.still_since = now;
        instance.attempt += 1;
        if was_replica {
            self.oracle.went_on(history, before);
        }
        self.oracle.is_master(process, self.now);
        if was_replica && self.weather.is_some() {
            self.drop_replicas(name);
        }
    }

    /// Its replicas lose their link, and try again.
    pub fn drop_replicas(&mut self, name: &str) {
        for index in 0..self.instances.len() {
            let replica = &mut self.instances[index];
            if replica.follows.as_deref() == Some(name) && replica.link != Link::Down {
                replica.link = Link::Down;
                replica.attempt += 1;
                let replica = replica.name.clone();
                self.try_to_sync(&replica, 100_000);
            }
        }
    }

    pub fn try_to_sync(&mut self, name: &str, after: u64) {
        let Some(weather) = &mut self.weather else {
            return;
        };
        let after = after + weather.below(if after == 0 { 3_000 } else { RETRY });
        let index = self.index(name).unwrap();
        let attempt = self.instances[index].attempt;
        self.later(after, Occurrence::Sync(index, attempt));
    }

    /// One attempt: connect and `PSYNC`.
    pub fn sync(&mut self, index: usize, attempt: u64) {
        let replica = &self.instances[index];
        if replica.attempt != attempt || replica.link != Link::Down {
            return;
        }
        let name = replica.name.clone();
        let source = replica.follows.as_deref().and_then(|name| self.index(name));
        let Some(source) = source.filter(|source| self.feeds(*source, index)) else {
            return self.try_to_sync(&name, RETRY / 2);
        };
        let source = self.instances[source].clone();
        let replica = &mut self.instances[index];
        if source.can_continue(replica) {
            replica.go_on_as(&source);
            replica.link = Link::Up;
            return;
        }
        replica.link = Link::Syncing;
        let weather = self.weather.as_mut().expect("only in weather");
        let lasts = 2_000 + weather.below(300_000);
        self.note("", || format!("{name} copies {}", source.name));
        if let Err(violation) = invariants::copies(self, index, &source) {
            return self.fail(violation);
        }
        self.later(lasts, Occurrence::Copied(index, attempt));
    }

    fn feeds(&self, source: usize, replica: usize) -> bool {
        let (source, replica) = (&self.instances[source], &self.instances[replica]);
        let is_let_in = replica
            .shows
            .is_none_or(|epoch| source.knows == Some(epoch));
        source.process == Process::Running
            && replica.process == Process::Running
            && source.name != replica.name
            && !source.loads
            && !replica.loads
            && (source.follows.is_none() || source.link == Link::Up)
            && is_let_in
    }

    pub fn finish_copy(&mut self, index: usize, attempt: u64) {
        let now = self.now;
        let replica = &self.instances[index];
        if replica.attempt != attempt || replica.link != Link::Syncing {
            return;
        }
        let source = replica.follows.as_deref().and_then(|name| self.index(name));
        let source = source.map(|source| self.instances[source].clone());
        let source = source.filter(|source| source.process == Process::Running);
        let replica = &mut self.instances[index];
        match source.filter(|_| replica.process == Process::Running) {
            Some(source) => {
                replica.copy(&source);
                replica.copied_at = Some(now);
                replica.link = Link::Up;
            }
            None => {
                replica.link = Link::Down;
                let name = replica.name.clone();
                self.try_to_sync(&name, RETRY / 2);
            }
        }
    }

    /// A server has read its file.
    pub fn finish_loading(&mut self, index: usize, life: u8) {
        let instance = &mut self.instances[index];
        if instance.life == life && instance.process != Process::Dead {
            instance.finish_loading();
            instance.still_since = self.now;
            let name = instance.name.clone();
            if instance.follows.is_some() {
                self.try_to_sync(&name, 0);
            }
        }
    }

    /// A client writes to the master that the file on its host names.
    pub fn some_client_writes(&mut self) {
        let Some(weather) = &mut self.weather else {
            return;
        };
        let (pause, bytes) = (20_000 + weather.below(60_000), 1 + weather.below(2_000));
        let node = weather.pick(self.nodes.len());
        self.later(pause, Occurrence::ClientWrites);
        let named = self.oracle.published(node);
        let named = named.unwrap_or("a").to_owned();
        let instance = &self.instances[self.index(&named).unwrap()];
        let is_open = instance.process == Process::Running
            && instance.follows.is_none()
            && !instance.loads
            && !instance.limits.is_fence()
            && instance.held_until <= self.now;
        if is_open {
            self.write(&named, bytes);
        }
    }

    pub fn write(&mut self, name: &str, bytes: u64) {
        let (is_weather, now) = (self.weather.is_some(), self.now);
        let source = self.instance(name).unwrap();
        source.offset += bytes;
        source.still_since = now;
        source.has_keys = true;
        let source = source.clone();
        for replica in &mut self.instances {
            let is_fed = replica.follows.as_deref() == Some(name)
                && replica.history == source.history
                && replica.process == Process::Running
                && (!is_weather || replica.link == Link::Up)
                && !replica.lags;
            if is_fed {
                replica.offset = source.offset;
            }
        }
    }
}
