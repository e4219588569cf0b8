//! A Redis instance, as far as decisions need one.

use promoterd::decision::CommandFailure;
use promoterd::model::{
    AnnouncedReplica, Endpoint, Epoch, InstanceInfo, Loading, MasterLink, ReplicaAck,
    ReplicationHistory, ReplicationId, ReplicationOffset, Role, RunId, WriteLimits,
};

/// Whether its process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    Running,
    Hung,
    Dead,
}

/// A replica's link to its master, where that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Down,
    Syncing,
    Up,
}

/// What its file says, until it has read all of it.
#[derive(Debug, Clone)]
struct Reading {
    offset: u64,
    continues: Option<(u8, u64)>,
    history: u8,
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
    /// The life in which its data were saved, or that failed.
    pub rescue_ended: Option<u8>,
    /// Since when, in microseconds, its data and its role are what they are.
    pub still_since: u64,
    pub link: Link,
    /// Changes whenever its link to its master starts anew.
    pub attempt: u64,
    /// It cannot continue anybody who has less than this.
    backlog_from: u64,
    /// The epoch whose replicas' user it knows, and the one whose password it shows its master.
    pub knows: Option<Epoch>,
    pub shows: Option<Epoch>,
    /// When, in microseconds, it last took a full copy of another's data.
    pub copied_at: Option<u64>,
    /// It restarted without the data that it had, and has had none from anybody since.
    pub emptied: bool,
    reading: Option<Reading>,
    /// Whom its own configuration file has it follow.
    pub configured: Option<String>,
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
            rescue_ended: None,
            still_since: 0,
            link: Link::Up,
            attempt: 0,
            backlog_from: 0,
            knows: None,
            shows: None,
            copied_at: None,
            emptied: false,
            reading: None,
            configured: follows.map(str::to_owned),
            held_until: 0,
            waiting: Vec::new(),
            holds_nothing: false,
            stream_takes: 0,
        }
    }

    /// It refuses something.
    pub fn deny(&mut self, what: &str) {
        match what {
            "promote" => self.denies_promotion = true,
            "follow" => self.denies_following = true,
            "info" => self.denies_info = true,
            "config" => self.denies_config = true,
            "sync" => self.denies_sync = true,
            "hold" => self.holds_nothing = true,
            _ => panic!("what is {what}?"),
        }
    }

    /// It refuses nothing any more.
    pub fn heed(&mut self) {
        self.denies_promotion = false;
        self.denies_following = false;
        self.denies_info = false;
        self.denies_config = false;
        self.denies_sync = false;
        self.loads = false;
    }

    pub fn is_reading(&self) -> bool {
        self.reading.is_some()
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
        (self.knows, self.shows) = (None, None);
        self.reading = None;
        self.emptied |= how == "empty" && self.has_keys;
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
                self.offset = before.1.saturating_sub(500);
                self.continues = Some((before.0, self.offset + 1));
            }
            _ => panic!("restart {how}?"),
        }
    }

    /// What [`restart`](Self::restart) had it have takes a while to be read; until then it has nothing.
    pub fn begin_loading(&mut self) {
        let is_replica = self.follows.is_some();
        let (continues, offset) = (self.continues.take(), self.offset);
        // A file names the history it is of: a master goes on from there under a new name.
        let (history, continues) = match continues {
            Some((id, _)) if is_replica => (id, None),
            continues => (self.history, continues),
        };
        self.reading = Some(Reading {
            offset,
            continues,
            history,
        });
        self.offset = 0;
        self.loads = true;
    }

    pub fn finish_loading(&mut self) {
        if let Some(read) = self.reading.take() {
            self.loads = false;
            (self.offset, self.continues) = (read.offset, read.continues);
            self.history = read.history;
            self.backlog_from = read.offset;
        }
    }

    /// Whether it can feed `replica` from where that one is (`masterTryPartialResync`).
    pub fn can_continue(&self, replica: &Self) -> bool {
        let is_earlier = self
            .continues
            .is_some_and(|(id, parted_at)| id == replica.history && replica.offset < parted_at);
        (self.history == replica.history || is_earlier)
            && replica.offset >= self.backlog_from
            && replica.offset <= self.offset
    }

    /// `+CONTINUE`: the same stream under its present name.
    pub fn go_on_as(&mut self, source: &Self) {
        if self.history != source.history {
            self.continues = Some((self.history, self.offset + 1));
        }
        (self.history, self.offset) = (source.history, source.offset);
        self.emptied = source.emptied;
    }

    /// A full copy has been read.
    pub fn copy(&mut self, source: &Self) {
        (self.history, self.offset) = (source.history, source.offset);
        self.continues = None;
        self.backlog_from = source.offset;
        (self.has_keys, self.emptied) = (source.has_keys, source.emptied);
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

    /// What `INFO` says, with links that take time or not.
    pub fn info(&self, all: &[Instance], is_timed: bool) -> InstanceInfo {
        InstanceInfo {
            run_id: self.run_id(),
            process_id: self.process_id(),
            version: "redis 7.0.15".to_owned(),
            role: self.role(all, is_timed),
            history: self.history(),
            loading: match self.loads {
                true => Loading::Blocking,
                false => Loading::No,
            },
            priority: self.priority,
            has_keys: self.has_keys,
            connected_replicas: 0,
        }
    }

    pub fn history(&self) -> ReplicationHistory {
        ReplicationHistory {
            id: id(self.history),
            offset: ReplicationOffset(self.offset),
            continues: self
                .continues
                .map(|(earlier, parted_at)| (id(earlier), ReplicationOffset(parted_at))),
        }
    }

    fn role(&self, all: &[Instance], is_timed: bool) -> Role {
        if let Some(master) = self.follows.as_deref().filter(|_| is_timed) {
            return Role::Replica {
                master: endpoint(master),
                link: match self.link {
                    Link::Up => MasterLink::Up,
                    Link::Syncing => MasterLink::Syncing,
                    Link::Down => MasterLink::Down { seconds: Some(0) },
                },
            };
        }
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
            let is_up = !is_timed || other.link == Link::Up;
            other.follows.as_deref() == Some(&self.name)
                && other.process == Process::Running
                && is_up
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
