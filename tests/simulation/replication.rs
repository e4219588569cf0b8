//! How the simulated servers follow one another: attempts, partial and full copies, the stream.

use promoterd::model::ReplicationOffset;

use super::invariants::an_emptied_source_feeds_nobody;
use super::server::{Copy, Part, Process, Upstream};
use super::world::{Happens, Item, World};

/// Time between two attempts of a replica to reach its master (`replicationCron`).
const RETRY: u64 = 1_000_000;
/// A stream that is stuck for so long is given up (`repl-timeout`; 60 s in production).
pub const STUCK_MAX: u64 = 5_000_000;

impl World {
    /// `REPLICAOF host port`.
    pub fn follow(&mut self, index: usize, master: usize) {
        let now = self.now;
        let server = &mut self.servers[index];
        if server.follows() == Some(master) {
            return;
        }
        if let Some(pipe) = server.feed() {
            self.pipes.close(pipe);
        }
        let rewrites = self.shape.rewrites;
        let server = &mut self.servers[index];
        if rewrites {
            server.configured = Some(master);
        }
        server.attempt += 1;
        server.part = Part::Replica {
            master,
            upstream: Upstream::Down { since: Some(now) },
        };
        // A master drops its replicas when it becomes one; a replica keeps its own.
        self.drop_feeds(index);
        self.try_to_follow(index, 0);
    }

    /// `REPLICAOF NO ONE`.
    pub fn become_master(&mut self, index: usize) {
        if self.servers[index].is_master() {
            return;
        }
        if let Some(pipe) = self.servers[index].feed() {
            self.pipes.close(pipe);
        }
        self.servers[index].promote(&mut self.random);
        if self.shape.rewrites {
            self.servers[index].configured = None;
        }
        self.drop_feeds(index);
    }

    /// Closes the streams to all that follow `index`.
    pub fn drop_feeds(&mut self, index: usize) {
        for replica in 0..self.servers.len() {
            if self.servers[replica].follows() != Some(index) {
                continue;
            }
            if let Some(pipe) = self.servers[replica].feed() {
                let attempt = self.servers[replica].attempt;
                self.push(pipe, Item::FeedClosed { replica, attempt });
            }
        }
    }

    pub fn try_to_follow(&mut self, index: usize, delay: u64) {
        let attempt = self.servers[index].attempt;
        let jitter = self.random.below(2_000);
        self.later(delay + jitter, Happens::Follow { index, attempt });
    }

    /// One attempt of a replica: connect and `PSYNC`.
    pub fn attempt_to_follow(&mut self, index: usize, attempt: u64) {
        let replica = &self.servers[index];
        let Part::Replica {
            master,
            upstream: Upstream::Down { .. },
        } = replica.part
        else {
            return;
        };
        if replica.attempt != attempt || replica.process == Process::Gone {
            return;
        }
        let source = &self.servers[master];
        let is_ready = source.is_running()
            && !source.is_loading()
            && (source.is_master() || source.is_fed())
            && master != index
            && replica.is_running()
            && !replica.is_loading()
            && self.pipes.is_open_both_ways(source.host, replica.host);
        let is_let_in = replica
            .shows
            .is_none_or(|epoch| source.knows == Some(epoch));
        if is_ready && !is_let_in && source.emptied {
            self.tally.turned_away += 1;
        }
        if !is_ready || !is_let_in {
            self.try_to_follow(index, RETRY);
            return;
        }
        let (from, to) = (source.host, replica.host);
        let (history, has_keys) = (source.history, source.has_keys);
        let continues = source.can_continue(&replica.history);
        let pipe = self.pipes.open(from, to);
        if continues {
            self.servers[index].part = Part::Replica {
                master,
                upstream: Upstream::Up { pipe },
            };
            // The state is up only once the answer is there; until then nothing was received.
            let (id, offset) = (history.id, history.offset);
            let replica = index;
            self.push(
                pipe,
                Item::Continue {
                    replica,
                    attempt,
                    id,
                },
            );
            self.push(
                pipe,
                Item::Stream {
                    replica,
                    attempt,
                    offset,
                },
            );
            self.tally.partial_copies += 1;
        } else {
            let copy = Copy {
                id: history.id,
                offset: history.offset,
                has_keys,
                emptied: self.servers[master].emptied,
            };
            self.servers[index].part = Part::Replica {
                master,
                upstream: Upstream::Copying { pipe, copy },
            };
            let lasts = 10_000 + self.random.below(1_500_000);
            self.later(lasts, Happens::Copied { index, attempt });
            self.tally.full_copies += 1;
            self.note_copy(index, master);
        }
    }

    fn note_copy(&mut self, replica: usize, source: usize) {
        if let Err(violation) = an_emptied_source_feeds_nobody::check(self, replica, source) {
            self.fail(violation);
        }
    }

    /// A full copy has arrived, or not; then it is read.
    pub fn on_copied(&mut self, index: usize, attempt: u64) {
        let server = &self.servers[index];
        let Part::Replica { master, upstream } = server.part else {
            return;
        };
        if server.attempt != attempt || !server.is_running() {
            self.stall_copy(index, attempt);
            return;
        }
        match upstream {
            Upstream::Copying { pipe, copy } => {
                if self.pipes.is_cut(self.servers[master].host, server.host) {
                    self.later(RETRY, Happens::Copied { index, attempt });
                    return;
                }
                self.drop_feeds(index);
                self.servers[index].part = Part::Replica {
                    master,
                    upstream: Upstream::Reading { pipe, copy },
                };
                self.servers[index].has_keys = false;
                let lasts = self.random.below(200_000);
                self.later(lasts, Happens::Copied { index, attempt });
            }
            Upstream::Reading { pipe, copy } => {
                let server = &mut self.servers[index];
                server.history.id = copy.id;
                server.history.offset = copy.offset;
                server.history.continues = None;
                server.backlog_from = copy.offset;
                server.has_keys = copy.has_keys;
                server.emptied = copy.emptied;
                server.part = Part::Replica {
                    master,
                    upstream: Upstream::Up { pipe },
                };
                self.feed(index);
            }
            Upstream::Up { .. } | Upstream::Down { .. } => {}
        }
    }

    /// A hung server goes on with its copy when it runs again.
    fn stall_copy(&mut self, index: usize, attempt: u64) {
        let server = &self.servers[index];
        if server.attempt == attempt && server.process == Process::Hung {
            self.later(RETRY, Happens::Copied { index, attempt });
        }
    }

    /// The stream of `index` grew: its replicas are told.
    pub fn feed(&mut self, index: usize) {
        let offset = self.servers[index].history.offset;
        for replica in 0..self.servers.len() {
            if self.servers[replica].follows() != Some(index) {
                continue;
            }
            if let Some(pipe) = self.servers[replica].feed() {
                let attempt = self.servers[replica].attempt;
                self.push(
                    pipe,
                    Item::Stream {
                        replica,
                        attempt,
                        offset,
                    },
                );
            }
        }
    }

    pub fn on_stream(&mut self, index: usize, attempt: u64, offset: ReplicationOffset) {
        let server = &mut self.servers[index];
        if server.attempt != attempt {
            return;
        }
        match &mut server.part {
            Part::Replica {
                upstream: Upstream::Copying { copy, .. } | Upstream::Reading { copy, .. },
                ..
            } => copy.offset = copy.offset.max(offset),
            Part::Replica {
                upstream: Upstream::Up { .. },
                ..
            } => {
                server.history.offset = server.history.offset.max(offset);
                self.feed(index);
            }
            Part::Replica {
                upstream: Upstream::Down { .. },
                ..
            }
            | Part::Master => {}
        }
    }

    /// The stream of a replica ended: it tries again, and what was copied so far is void.
    pub fn on_feed_closed(&mut self, index: usize, attempt: u64) {
        let now = self.now;
        let server = &mut self.servers[index];
        let Part::Replica { master, upstream } = server.part else {
            return;
        };
        if server.attempt != attempt {
            return;
        }
        let pipe = server.feed();
        // What is being read is complete: the stream behind it is lost, the copy is not.
        if let Upstream::Reading { copy, .. } = upstream {
            server.history.id = copy.id;
            server.history.offset = copy.offset;
            server.history.continues = None;
            server.backlog_from = copy.offset;
            server.has_keys = copy.has_keys;
            server.emptied = copy.emptied;
        }
        server.attempt += 1;
        server.part = Part::Replica {
            master,
            upstream: Upstream::Down { since: Some(now) },
        };
        if let Some(pipe) = pipe {
            self.pipes.close(pipe);
        }
        // 0.1 to 1 s, by where in its second the replica's cron stands.
        let delay = 100_000 + self.random.below(RETRY);
        self.try_to_follow(index, delay);
    }

    /// Once a second (`replicationCron`).
    pub fn on_acknowledges(&mut self, index: usize) {
        self.later(1_000_000, Happens::Acknowledges { index });
        let server = &self.servers[index];
        let Some(master) = server.follows().filter(|_| server.is_fed()) else {
            return;
        };
        let (from, to) = (server.host, self.servers[master].host);
        let both_run = server.is_running() && self.servers[master].is_running();
        if both_run && self.pipes.is_open_both_ways(from, to) {
            self.servers[index].acked_at = self.now;
        }
    }

    /// A client writes.
    pub fn write(&mut self, index: usize) {
        let bytes = 1 + self.random.below(2_000);
        let server = &mut self.servers[index];
        server.history.offset = ReplicationOffset(server.history.offset.0 + bytes);
        server.has_keys = true;
        self.feed(index);
    }
}
