//! A simulated Redis server: its process, its role, and its replication history as Redis keeps it.

use promoterd::model::{
    AnnouncedReplica, Endpoint, Epoch, InstanceInfo, Loading, MasterLink, ReplicaAck,
    ReplicationHistory, ReplicationId, ReplicationOffset, Role, RunId, SplitMix, WriteLimits,
};

use super::pipes::{Micros, PipeId};
use super::world::Item;

/// What the process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    Running,
    /// Nothing answers; the kernel still accepts connections and keeps what arrives.
    Hung,
    Gone,
}

/// What a server does with what it had when it is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Without a file.
    Empty,
    /// From a file that has everything.
    Complete,
    /// From a file that lacks the last writes.
    Stale,
}

/// A replica's link to its master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    Down {
        since: Option<Micros>,
    },
    /// A full copy is on its way; the data are still the old ones.
    Copying {
        pipe: PipeId,
        copy: Copy,
    },
    /// The copy is there and is being read; the old data are gone.
    Reading {
        pipe: PipeId,
        copy: Copy,
    },
    Up {
        pipe: PipeId,
    },
}

/// `CLIENT PAUSE … WRITE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hold {
    /// When clients' writes go on by themselves; nothing while none are held.
    pub until: Option<Micros>,
    /// How many wait.
    pub waiting: u64,
}

/// What a full copy brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    pub id: ReplicationId,
    pub offset: ReplicationOffset,
    pub has_keys: bool,
    /// Its source had lost what it had.
    pub emptied: bool,
}

/// Its part in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Master,
    Replica { master: usize, upstream: Upstream },
}

/// One simulated server.
#[derive(Debug)]
pub struct Server {
    pub endpoint: Endpoint,
    pub host: usize,
    pub group: usize,
    pub process: Process,
    /// Counts its processes.
    pub life: u64,
    pub run_id: RunId,
    pub process_id: u32,
    pub part: Part,
    pub history: ReplicationHistory,
    /// It cannot continue anybody who has less than this.
    pub backlog_from: ReplicationOffset,
    pub has_keys: bool,
    pub priority: u32,
    /// What it read from its file, until it has read it all.
    pub reading: Option<(ReplicationHistory, bool)>,
    /// It refuses commands that change its role.
    pub denies: bool,
    /// Changes whenever its link to its master starts anew.
    pub attempt: u64,
    /// What arrived while it hung.
    pub stalled: Vec<Item>,
    /// The epoch whose replicas' user it knows: in memory only.
    pub knows: Option<Epoch>,
    /// The epoch whose password it shows its master: in memory only.
    pub shows: Option<Epoch>,
    /// It restarted without the data that it had, and has had none from anybody since.
    pub emptied: bool,
    /// Whom its own configuration file has it follow.
    pub configured: Option<usize>,
    /// What it says of writing now, and by its own configuration file.
    pub limits: WriteLimits,
    pub configured_limits: WriteLimits,
    /// When its master last had an acknowledgement of it.
    pub acked_at: Micros,
    pub hold: Hold,
}

impl Server {
    pub fn is_running(&self) -> bool {
        self.process == Process::Running
    }

    pub fn is_loading(&self) -> bool {
        let reads_copy = matches!(
            self.part,
            Part::Replica {
                upstream: Upstream::Reading { .. },
                ..
            }
        );
        reads_copy || self.reading.is_some()
    }

    pub fn is_master(&self) -> bool {
        self.part == Part::Master
    }

    pub fn is_writable(&self) -> bool {
        self.is_running() && self.is_master() && !self.is_loading()
    }

    pub fn is_fenced(&self) -> bool {
        self.limits.is_fence()
    }

    /// What it has, or is copying, is all that anybody is owed.
    pub fn begin_anew(&mut self) {
        self.emptied = false;
        if let Part::Replica { upstream, .. } = &mut self.part
            && let Upstream::Copying { copy, .. } | Upstream::Reading { copy, .. } = upstream
        {
            copy.emptied = false;
        }
    }

    /// Whom it follows.
    pub fn follows(&self) -> Option<usize> {
        match self.part {
            Part::Master => None,
            Part::Replica { master, .. } => Some(master),
        }
    }

    pub fn is_fed(&self) -> bool {
        matches!(
            self.part,
            Part::Replica {
                upstream: Upstream::Up { .. },
                ..
            }
        )
    }

    /// The pipe by which its master feeds it.
    pub fn feed(&self) -> Option<PipeId> {
        match self.part {
            Part::Replica {
                upstream:
                    Upstream::Up { pipe }
                    | Upstream::Copying { pipe, .. }
                    | Upstream::Reading { pipe, .. },
                ..
            } => Some(pipe),
            Part::Replica {
                upstream: Upstream::Down { .. },
                ..
            }
            | Part::Master => None,
        }
    }

    /// Whether `asked`'s history can be continued from here without a copy (`masterTryPartialResync`).
    pub fn can_continue(&self, asked: &ReplicationHistory) -> bool {
        let next = ReplicationOffset(asked.offset.0 + 1);
        let same = asked.id == self.history.id;
        let earlier = self
            .history
            .continues
            .is_some_and(|(id, parted_at)| id == asked.id && next <= parted_at);
        (same || earlier)
            && asked.offset >= self.backlog_from
            && asked.offset <= self.history.offset
    }

    /// `REPLICAOF NO ONE`: a replica goes on under a new id (`shiftReplicationId`).
    pub fn promote(&mut self, random: &mut SplitMix) {
        if self.is_master() {
            return;
        }
        let next = ReplicationOffset(self.history.offset.0 + 1);
        self.history.continues = Some((self.history.id, next));
        self.history.id = draw_id(random);
        self.part = Part::Master;
        self.attempt += 1;
    }

    /// `+CONTINUE id`: the same stream under its present name.
    pub fn continue_as(&mut self, id: ReplicationId) -> bool {
        if id == self.history.id {
            return false;
        }
        let next = ReplicationOffset(self.history.offset.0 + 1);
        self.history.continues = Some((self.history.id, next));
        self.history.id = id;
        true
    }

    /// The process starts anew.
    pub fn start(&mut self, restart: Restart, random: &mut SplitMix) {
        self.life += 1;
        self.process = Process::Running;
        self.run_id = draw_run_id(random);
        self.process_id += 1 + u32::try_from(random.below(50)).unwrap_or(1);
        self.attempt += 1;
        self.stalled.clear();
        self.limits = self.configured_limits;
        self.knows = None;
        self.shows = None;
        self.hold = Hold::default();
        self.emptied |= restart == Restart::Empty && self.has_keys;
        let was = self.history;
        let kept = match restart {
            Restart::Empty => None,
            Restart::Complete => Some(was.offset),
            Restart::Stale => {
                let lost = random.below(was.offset.0.min(20_000) + 1);
                Some(ReplicationOffset(was.offset.0 - lost))
            }
        };
        self.part = match self.configured {
            None => Part::Master,
            Some(master) => Part::Replica {
                master,
                upstream: Upstream::Down { since: None },
            },
        };
        let fresh = ReplicationHistory {
            id: draw_id(random),
            offset: ReplicationOffset(0),
            continues: None,
        };
        let had_keys = self.has_keys;
        self.history = fresh;
        self.has_keys = false;
        self.backlog_from = ReplicationOffset(0);
        // A file names the history it is of; a master goes on from there under a new id.
        self.reading = kept.map(|offset| {
            let next = ReplicationOffset(offset.0 + 1);
            let history = if self.is_master() {
                ReplicationHistory {
                    id: fresh.id,
                    offset,
                    continues: Some((was.id, next)),
                }
            } else {
                ReplicationHistory {
                    id: was.id,
                    offset,
                    continues: None,
                }
            };
            (history, had_keys)
        });
    }

    /// Its file is read.
    pub fn finish_reading(&mut self) {
        if let Some((history, has_keys)) = self.reading.take() {
            self.history = history;
            self.has_keys = has_keys;
            self.backlog_from = history.offset;
        }
    }
}

pub fn draw_id(random: &mut SplitMix) -> ReplicationId {
    ReplicationId::from_bytes(draw_bytes(random))
}

pub fn draw_run_id(random: &mut SplitMix) -> RunId {
    RunId::from_bytes(draw_bytes(random))
}

fn draw_bytes(random: &mut SplitMix) -> [u8; 20] {
    let mut bytes = [0; 20];
    for part in bytes.chunks_mut(8) {
        part.copy_from_slice(&random.next().to_le_bytes()[..part.len()]);
    }
    bytes
}

/// What `INFO` of server `index` says at `now`.
pub fn info(servers: &[Server], index: usize, now: Micros) -> InstanceInfo {
    let server = &servers[index];
    let fed_by_it = || {
        servers
            .iter()
            .filter(|other| other.follows() == Some(index) && other.is_fed())
    };
    let role = match server.part {
        Part::Master => Role::Master {
            replicas: fed_by_it()
                .map(|replica| AnnouncedReplica {
                    endpoint: replica.endpoint.clone(),
                    online: true,
                    offset: replica.history.offset,
                    ack: ReplicaAck::read(
                        now / 1_000_000 - replica.acked_at / 1_000_000,
                        Some(now),
                    ),
                })
                .collect(),
        },
        Part::Replica { master, upstream } => Role::Replica {
            master: servers[master].endpoint.clone(),
            link: match upstream {
                Upstream::Up { .. } => MasterLink::Up,
                Upstream::Copying { .. } | Upstream::Reading { .. } => MasterLink::Syncing,
                Upstream::Down { since } => MasterLink::Down {
                    seconds: since.map(|since| (now - since) / 1_000_000),
                },
            },
        },
    };
    InstanceInfo {
        run_id: server.run_id,
        process_id: server.process_id,
        version: "redis 7.0.15".to_owned(),
        connected_replicas: u32::try_from(fed_by_it().count()).unwrap_or(0),
        role,
        history: server.history,
        loading: if server.is_loading() {
            Loading::Blocking
        } else {
            Loading::No
        },
        priority: server.priority,
        has_keys: server.has_keys,
    }
}
