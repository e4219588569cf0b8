//! A Redis instance, as far as decisions need one.

use promoterd::decision::CommandFailure;
use promoterd::model::{
    AnnouncedReplica, Endpoint, InstanceInfo, Loading, MasterLink, ReplicaAck, ReplicationHistory,
    ReplicationId, ReplicationOffset, Role, RunId, WriteLimits,
};

/// Whether its process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    Running,
    Hung,
    Dead,
}

#[derive(Debug, Clone)]
pub struct Instance {
    pub name: String,
    pub process: Process,
    pub life: u8,
    pub history: u8,
    pub offset: u64,
    pub continues: Option<(u8, u64)>,
    /// Whom it follows.
    pub follows: Option<String>,
    pub priority: u32,
    pub has_keys: bool,
    pub lags: bool,
    pub denies_promotion: bool,
    pub denies_following: bool,
    pub denies_info: bool,
    pub loads: bool,
    pub sentinels: u64,
    pub loses_promotion: bool,
    pub limits: WriteLimits,
    /// What its own file says of them.
    pub configured_limits: WriteLimits,
    pub denies_config: bool,
    pub denies_sync: bool,
    /// Microseconds until which it holds its clients' writes, and the bytes of those that wait.
    pub held_until: u64,
    pub waiting: Vec<u64>,
    pub holds_nothing: bool,
    /// Microseconds that the stream takes to it.
    pub stream_takes: u64,
}

impl Instance {
    pub fn new(name: &str, life: u8, follows: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            process: Process::Running,
            life,
            history: 1,
            offset: 1000,
            continues: None,
            follows: follows.map(str::to_owned),
            priority: 100,
            has_keys: true,
            lags: false,
            denies_promotion: false,
            denies_following: false,
            denies_info: false,
            loads: false,
            sentinels: 0,
            loses_promotion: false,
            limits: WriteLimits::default(),
            configured_limits: WriteLimits::default(),
            denies_config: false,
            denies_sync: false,
            held_until: 0,
            waiting: Vec::new(),
            holds_nothing: false,
            stream_takes: 0,
        }
    }

    pub fn run_id(&self) -> RunId {
        RunId::from_bytes([self.life; 20])
    }

    pub fn process_id(&self) -> u32 {
        1000 + u32::from(self.life)
    }

    /// Starts again with what it had, or without; as a master, as the settings of a master say.
    pub fn restart(&mut self, how: &str, life: u8, history: u8) {
        self.process = Process::Running;
        self.loads = false;
        self.held_until = 0;
        self.waiting.clear();
        self.life = life;
        self.limits = self.configured_limits;
        let before = (self.history, self.offset);
        self.history = history;
        self.continues = None;
        match how {
            "empty" => (self.offset, self.has_keys) = (0, false),
            // All of its keys, and nothing of its replication.
            "aof" => self.offset = 0,
            // A file of a clean shutdown.
            "data" => self.continues = Some((before.0, before.1 + 1)),
            // A file written some time before.
            "old" => {
                self.offset = before.1 - 500;
                self.continues = Some((before.0, self.offset + 1));
            }
            _ => panic!("restart {how}?"),
        }
    }

    /// `REPLICAOF NO ONE`.
    pub fn promote(&mut self, history: u8) {
        if self.follows.take().is_some() {
            self.continues = Some((self.history, self.offset + 1));
            self.history = history;
        }
    }

    /// `REPLICAOF`, and the copy that follows from it.
    pub fn follow(&mut self, master: &str, source: Option<&Instance>) {
        self.follows = Some(master.to_owned());
        if let Some(source) = source.filter(|source| source.process == Process::Running) {
            self.history = source.history;
            self.offset = source.offset;
            self.continues = source.continues;
            self.has_keys = source.has_keys;
        }
    }

    pub fn info(&self, all: &[Instance]) -> InstanceInfo {
        InstanceInfo {
            run_id: self.run_id(),
            process_id: self.process_id(),
            version: "redis 7.0.15".to_owned(),
            role: self.role(all),
            history: ReplicationHistory {
                id: id(self.history),
                offset: ReplicationOffset(self.offset),
                continues: self
                    .continues
                    .map(|(earlier, parted_at)| (id(earlier), ReplicationOffset(parted_at))),
            },
            loading: match self.loads {
                true => Loading::Blocking,
                false => Loading::No,
            },
            priority: self.priority,
            has_keys: self.has_keys,
            connected_replicas: 0,
        }
    }

    fn role(&self, all: &[Instance]) -> Role {
        if let Some(master) = &self.follows {
            let is_up = all.iter().any(|other| {
                other.name == *master
                    && other.process == Process::Running
                    && other.history == self.history
            });
            return Role::Replica {
                master: endpoint(master),
                link: match is_up {
                    true => MasterLink::Up,
                    false => MasterLink::Down { seconds: Some(0) },
                },
            };
        }
        let follows_us = |other: &&Instance| {
            other.follows.as_deref() == Some(&self.name) && other.process == Process::Running
        };
        let replicas = all
            .iter()
            .filter(follows_us)
            .map(|replica| AnnouncedReplica {
                endpoint: endpoint(&replica.name),
                online: true,
                offset: ReplicationOffset(replica.offset),
                ack: ReplicaAck::default(),
            });
        Role::Master {
            replicas: replicas.collect(),
        }
    }

    /// Whether it would carry out a client's write now.
    pub fn takes_writes(&self) -> bool {
        self.process == Process::Running && self.follows.is_none() && !self.limits.is_fence()
    }

    pub fn config(&self) -> Result<(), CommandFailure> {
        if self.denies_config {
            return Err(CommandFailure::Denied("NOPERM".to_owned()));
        }
        Ok(())
    }

    fn fence(&self) -> String {
        match self.limits {
            limits if limits.is_fence() => ", fenced".to_owned(),
            limits if limits == WriteLimits::default() => String::new(),
            limits => format!(", {limits}"),
        }
    }

    pub fn describe(&self) -> String {
        match (self.process, &self.follows) {
            (Process::Dead, _) => format!("{} dead", self.name),
            (Process::Hung, _) => format!("{} hung", self.name),
            (Process::Running, None) => {
                format!("{} master at {}{}", self.name, self.offset, self.fence())
            }
            (Process::Running, Some(master)) => {
                let fence = self.fence();
                format!("{} follows {master} at {}{fence}", self.name, self.offset)
            }
        }
    }
}

pub fn endpoint(name: &str) -> Endpoint {
    Endpoint::new(name, 6379).unwrap()
}

fn id(history: u8) -> ReplicationId {
    ReplicationId::from_bytes([history; 20])
}
