//! Clients of a script that write: what was acknowledged to them, what waits, and what reaches the replicas.

use crate::instance::{Instance, Process};
use crate::world::{Occurrence, World};

impl World {
    /// A client writes: it waits while writes are held, and is refused where none are taken.
    pub fn client_writes(&mut self, name: &str, bytes: u64) {
        let now = self.now;
        let instance = self.instance(name).unwrap();
        if instance.process == Process::Dead {
            return;
        }
        if now < instance.held_until {
            instance.waiting.push(bytes);
        } else if instance.takes_writes() {
            instance.offset += bytes;
            instance.still_since = now;
            self.acknowledged += bytes;
            self.feed(name);
        }
    }

    /// What waited is carried out, or refused.
    pub fn go_on(&mut self, name: &str) {
        let now = self.now;
        let instance = self.instance(name).unwrap();
        if now < instance.held_until {
            return;
        }
        for bytes in std::mem::take(&mut instance.waiting) {
            self.client_writes(name, bytes);
        }
    }

    fn feed(&mut self, name: &str) {
        let source = self.instance(name).unwrap().clone();
        let follows = |instance: &&Instance| instance.follows.as_deref() == Some(name);
        let fed: Vec<(String, u64)> = self
            .instances
            .iter()
            .filter(follows)
            .map(|replica| (replica.name.clone(), replica.stream_takes))
            .collect();
        for (replica, takes) in fed {
            let stream = Occurrence::Stream(replica, source.history, source.offset);
            self.push(self.now + takes, stream);
        }
    }

    pub fn stream(&mut self, name: &str, history: u8, offset: u64) {
        let replica = self.instance(name).unwrap();
        let is_fed = replica.follows.is_some()
            && replica.history == history
            && replica.process == Process::Running
            && !replica.lags;
        if is_fed {
            replica.offset = replica.offset.max(offset);
        }
    }
}
