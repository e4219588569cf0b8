//! What puts leases to the test: a master that the others hold down while it takes writes, a node beside
//! it that does not run, voters that forget or hear little, a fencer that heeds nobody.

use super::ambushes::Ambush;
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

    pub fn tenths_of_lease(&self, tenths: u64) -> Micros {
        let lease = self.groups[0].policy.lease;
        Micros::try_from(lease.as_micros()).expect("a few seconds") * tenths / 10
    }

    pub fn others(&self, host: usize) -> Vec<usize> {
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
        let span = self.span_beside_a_lease();
        self.pause_for(self.servers[master].host, span);
    }

    /// The daemon of a host does not run for so long, if there is one.
    pub fn pause_for(&mut self, host: usize, span: Micros) {
        if host < self.hosts.len() && self.hosts[host].node.is_some() {
            self.note(|| format!("node {host} stands still"));
            self.hosts[host].paused = true;
            self.later(span, Happens::Undo(Undo::ResumeNode(host)));
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

    /// A host sleeps for a part of a lease, and hears nobody for some time after.
    pub fn doze(&mut self, host: usize) {
        let tenths = 3 + self.dice.below(6);
        let sleeps = self.tenths_of_lease(tenths);
        let tenths = 3 + self.dice.below(12);
        let cut = sleeps + self.tenths_of_lease(tenths);
        self.suspend_for(host, sleeps, cut);
    }

    /// So long that the others have replaced the master of a host that sleeps, if they can at all.
    pub fn long_enough_to_be_replaced(&mut self) -> Micros {
        let policy = &self.groups[0].policy;
        let silent = Micros::try_from(policy.down_after.as_micros()).expect("a second");
        let outlived = self.tenths_of_lease(12);
        silent.max(outlived) + 20_000 + self.dice.below(400_000)
    }

    /// The master refuses to be fenced for longer than its lease lasts; mostly its host is cut off meanwhile.
    pub fn deny_at_the_end(&mut self, master: usize) {
        let lasts = self.long_enough_to_be_replaced() + self.tenths_of_lease(10);
        self.servers[master].denies = true;
        self.disturb(master);
        self.later(lasts, Happens::Undo(Undo::Allow(master)));
        if self.pick(4) != 0 {
            self.cut_until(self.paths_of(self.servers[master].host), lasts);
        }
    }

    /// The master hangs until it is being replaced, and its daemon does not hear that: it hears all but the
    /// leader.
    pub fn forget_grants(&mut self, master: usize) {
        let host = self.servers[master].host;
        let Some(leader) = self.leader().filter(|leader| *leader != host) else {
            return;
        };
        let tenths = 1 + self.dice.below(4);
        let down_after = self.groups[0].policy.down_after;
        let down_after = Micros::try_from(down_after.as_micros()).expect("a second");
        let hangs = down_after + self.tenths_of_lease(tenths);
        self.hang_server(master);
        self.later(hangs, Happens::Undo(Undo::ResumeServer(master)));
        let cut = hangs + self.tenths_of_lease(25);
        self.cut_until(vec![(host, leader), (leader, host)], cut);
        self.plan.lie_in_wait(Ambush::Forgotten, &mut self.dice);
    }

    /// The master's host is cut off, and reaches all but the leader again as soon as another is promoted.
    pub fn revive_grants(&mut self, master: usize) {
        let host = self.servers[master].host;
        let lasts = self.long_enough_to_be_replaced() + self.tenths_of_lease(20);
        self.cut_until(self.paths_of(host), lasts);
        self.plan.lie_in_wait(Ambush::Revived, &mut self.dice);
    }

    /// The daemon beside the master does not run for longer than a lease, while the others are refused there.
    pub fn abandon(&mut self, master: usize) {
        let host = self.servers[master].host;
        let span = self.long_enough_to_be_replaced() + self.tenths_of_lease(5);
        self.pause_for(host, span);
        self.reject(host);
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
