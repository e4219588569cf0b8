//! The links between daemons: ordered streams that break, or datagrams that are lost and repeated.

use promoterd::daemon::NodeEvent;
use promoterd::model::Life;
use promoterd::peer::{DownReason, PeerMessage};

use super::invariants::Violation;
use super::pipes::PipeId;
use super::world::{Happens, Item, World};

/// One link while it is up.
#[derive(Debug)]
pub struct Session {
    pub number: u64,
    /// From the lower to the higher, and back.
    pipes: [PipeId; 2],
}

impl World {
    pub fn send_bytes(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let incarnation = self.hosts[from].incarnation;
        if self.shape.datagrams {
            self.send_datagram(from, to, incarnation, bytes);
            return;
        }
        let key = (from.min(to), from.max(to));
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let pipe = session.pipes[usize::from(from > to)];
        let session = session.number;
        self.push(
            pipe,
            Item::Message {
                from,
                to,
                session,
                incarnation,
                bytes,
            },
        );
    }

    /// Lost, repeated, overtaken.
    fn send_datagram(&mut self, from: usize, to: usize, incarnation: Life, bytes: Vec<u8>) {
        let faulty = !self.plan.is_over;
        let life = self.hosts[to].life;
        let copies = match self.random.below(40) {
            0 | 1 if faulty => 0,
            2 if faulty => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let mut lasts = self.pipes.delay(from, to, self.now, &mut self.random);
            if faulty && self.random.below(30) == 0 {
                lasts += self.random.below(1_500_000);
            }
            let bytes = bytes.clone();
            self.later(
                lasts,
                Happens::Datagram {
                    from,
                    to,
                    life,
                    incarnation,
                    bytes,
                },
            );
        }
    }

    pub fn on_message(&mut self, from: usize, to: usize, incarnation: Life, bytes: &[u8]) {
        match PeerMessage::decode(bytes) {
            Ok(message) => {
                let sender = self.hosts[from].id.clone();
                self.tell(to, NodeEvent::PeerSent(sender, incarnation, message));
            }
            Err(error) => self.fail(Violation::new("codec", error.to_string())),
        }
    }

    pub fn dial(&mut self, one: usize, other: usize) {
        if self.sessions.contains_key(&(one, other)) {
            return;
        }
        // Whoever starts dials, and whatever breaks a link dials again.
        if self.hosts[one].node.is_none() || self.hosts[other].node.is_none() {
            return;
        }
        if !self.pipes.is_open_both_ways(one, other)
            || !self.hosts[one].is_running()
            || !self.hosts[other].is_running()
        {
            let retry = 50_000 + self.random.below(250_000);
            self.later(retry, Happens::Dial { one, other });
            return;
        }
        self.session_drawn += 1;
        let number = self.session_drawn;
        let pipes = [self.pipes.open(one, other), self.pipes.open(other, one)];
        self.sessions
            .insert((one, other), Session { number, pipes });
        for (here, there) in [(one, other), (other, one)] {
            let peer = self.hosts[there].id.clone();
            let life = self.hosts[there].incarnation;
            self.tell(here, NodeEvent::PeerUp(peer, life));
        }
    }

    /// Breaks a link: what is on its way is lost, and both ends hear of it in their own time.
    pub fn break_session(&mut self, one: usize, other: usize) {
        let Some(session) = self.sessions.remove(&(one, other)) else {
            return;
        };
        for pipe in session.pipes {
            self.pipes.close(pipe);
        }
        for (here, there) in [(one, other), (other, one)] {
            let life = self.hosts[here].life;
            let peer = self.hosts[there].id.clone();
            let event = NodeEvent::PeerDown(peer, DownReason::Closed);
            let lasts = self.pipes.delay(one, other, self.now, &mut self.random);
            self.later(
                lasts,
                Happens::Tell {
                    node: here,
                    life,
                    event,
                },
            );
        }
        let retry = 40_000 + self.random.below(200_000);
        self.later(retry, Happens::Dial { one, other });
    }

    pub fn on_session_overdue(&mut self, one: usize, other: usize, session: u64) {
        let is_it = self
            .sessions
            .get(&(one, other))
            .is_some_and(|held| held.number == session);
        if is_it && !self.pipes.is_open_both_ways(one, other) {
            self.break_session(one, other);
        }
    }

    pub fn drop_sessions_of(&mut self, node: usize) {
        for other in 0..self.hosts.len() {
            self.break_session(node.min(other), node.max(other));
        }
    }
}
