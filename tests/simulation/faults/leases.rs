//! What puts leases to the test: a master that the others hold down while it takes writes, a node beside
//! it that does not run, voters that forget or hear little, a fencer that heeds nobody.

use super::end::Undo;
use crate::pipes::Micros;
use crate::world::{Happens, World};

impl World {
    /// A part of a lease, about one, or some.
    fn span_beside_a_lease(&mut self) -> Micros {
        let tenths = match self.pick(3) {
            0 => 1 + self.dice.below(7),
            1 => 7 + self.dice.below(10),
            _ => 15 + self.dice.below(20),
        };
        self.tenths_of_lease(tenths)
    }

    fn tenths_of_lease(&self, tenths: u64) -> Micros {
        let lease = self.groups[0].policy.lease;
        Micros::try_from(lease.as_micros()).expect("a few seconds") * tenths / 10
    }

    fn others(&self, host: usize) -> Vec<usize> {
        (0..self.host_count).filter(|it| *it != host).collect()
    }

    /// A wall in front of a host, which answers for it. Its own clients write on.
    pub fn reject(&mut self, host: usize) {
        let mut others = self.others(host);
        if self.pick(4) == 0 && others.len() > 1 {
            others.remove(self.pick(others.len()));
        }
        self.note(|| format!("{others:?} are refused at host {host}"));
        self.disturb_all();
        let span = 100_000 + self.span_beside_a_lease();
        let to = others.iter().map(|other| (*other, host));
        let to: Vec<(usize, usize)> = to.collect();
        for (other, host) in &to {
            self.pipes.reject(*other, *host);
            self.reset_connections(*other, *host);
        }
        let back = others.iter().map(|other| (host, *other));
        match self.pick(4) {
            0 => {}
            1 => self.cut_until(back.collect(), span),
            _ => self.cut_until(to.iter().copied().chain(back).collect(), span),
        }
        self.later(span, Happens::Undo(Undo::Admit(to)));
    }

    pub fn pause_beside(&mut self, master: usize) {
        let node = self.servers[master].host;
        if node < self.hosts.len() && self.hosts[node].node.is_some() {
            self.note(|| format!("node {node} stands still"));
            self.hosts[node].paused = true;
            let span = self.span_beside_a_lease();
            self.later(span, Happens::Undo(Undo::ResumeNode(node)));
        }
    }

    pub fn crash_beside(&mut self, master: usize) {
        let node = self.servers[master].host;
        if node < self.hosts.len() {
            self.crash_node(node);
            let span = self.span_beside_a_lease();
            self.later(span, Happens::Start { node });
        }
    }

    pub fn blind_a_voter(&mut self, master: usize) {
        let host = self.servers[master].host;
        let mut others = self.others(host);
        if !others.is_empty() {
            let other = others.swap_remove(self.pick(others.len()));
            let span = 500_000 + self.span_beside_a_lease();
            self.cut_until(vec![(host, other), (other, host)], span);
        }
    }

    /// Daemons that are not beside the master, all at once and back at once: their disks are kept, and what
    /// they had in memory is not.
    pub fn bounce_voters(&mut self, master: usize, most: usize) {
        let mut others = self.others(self.servers[master].host);
        others.retain(|other| *other < self.hosts.len());
        while others.len() > most {
            others.swap_remove(self.pick(others.len()));
        }
        for node in others {
            self.crash_node(node);
            let span = 1_000 + self.dice.below(20_000);
            self.later(span, Happens::Start { node });
        }
    }

    pub fn slow_grants(&mut self, master: usize) {
        let host = self.servers[master].host;
        let tenths = [1, 5, 15][self.pick(3)];
        let longer = self.tenths_of_lease(tenths);
        let until = self.now + 200_000 + self.span_beside_a_lease();
        let is_back = self.pick(3) == 0;
        for other in self.others(host) {
            let longer = 1_000 + self.dice.below(longer);
            let (from, to) = if is_back {
                (host, other)
            } else {
                (other, host)
            };
            self.note(|| format!("{from} to {to} takes {longer} us longer"));
            self.pipes.slow_down(from, to, longer, until);
        }
    }

    pub fn deafen_fencer(&mut self, master: usize) {
        let host = self.servers[master].host;
        if host < self.hosts.len() {
            let span = self.span_beside_a_lease();
            self.note(|| format!("the fencer of host {host} takes no orders"));
            self.hosts[host].fencer_deaf_until = self.now + span;
        }
    }
}
