//! What waits for its moment: at a promotion, or when strict fencing comes into force, those who take part are
//! hit where one rule of leases alone keeps a second master from taking writes.

use promoterd::model::SplitMix;

use super::end::Blow;
use crate::world::{Happens, World};

/// What lies in wait for those who take part in the next promotion, at the moment at which it is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambush {
    /// The voters that waited for the old lease are started again, and hear their leader late.
    Forgotten,
    /// They hear their leader late, and the old master's daemon again.
    Revived,
    /// The fencer beside the new master answers nobody, and its daemon does not run for long.
    Unarmed,
    /// The new master's host falls asleep while it is being granted its first lease.
    Asleep,
}

impl World {
    /// The next promotion, soon, finds somebody in wait.
    pub fn ambush(&mut self, master: usize, ambush: Ambush) {
        self.plan.lie_in_wait(ambush, &mut self.dice);
        self.crash_for_a_while(master);
    }

    /// A daemon has a candidate promoted.
    pub fn on_promoted(&mut self, node: usize, candidate: usize) {
        let Some((ambush, dice)) = self.plan.ambush() else {
            return;
        };
        let host = self.servers[candidate].host;
        let old_host = self.servers[self.master_of(self.servers[candidate].group)].host;
        self.note(|| format!("ambush at the promotion of server {candidate}: {ambush:?}"));
        self.with_dice(dice, |world| match ambush {
            Ambush::Forgotten => world.bounce_all_but(node, old_host),
            Ambush::Revived => world.let_back(node, old_host),
            Ambush::Unarmed if host < world.hosts.len() => {
                world.hosts[host].fencer_mute_until = world.now + world.tenths_of_lease(3);
                let soon = 5_000 + world.dice.below(50_000);
                world.strike_later(soon, Blow::CrashBeside(candidate));
            }
            Ambush::Asleep if host < world.hosts.len() => {
                let longer = 2_000 + world.dice.below(20_000);
                let until = world.now + 3 * longer;
                for other in world.others(host) {
                    world.pipes.slow_down(other, host, longer, until);
                }
                let soon = longer + world.dice.below(longer);
                world.strike_later(soon, Blow::Suspend(host));
            }
            Ambush::Unarmed | Ambush::Asleep => {}
        });
    }

    /// All daemons but the leader and the one beside the old master are started again, and what the leader
    /// sends them takes a part of a lease.
    fn bounce_all_but(&mut self, leader: usize, old_host: usize) {
        let others = (0..self.hosts.len()).filter(|node| ![leader, old_host].contains(node));
        for node in others.collect::<Vec<_>>() {
            self.crash_node(node);
            let span = 1_000 + self.dice.below(5_000);
            self.later(span, Happens::Start { node });
            let longer = self.tenths_of_lease(2) + 30_000 + self.dice.below(20_000);
            let until = self.now + longer / 2;
            self.pipes.slow_down(leader, node, longer, until);
        }
    }

    /// The old master's host reaches all but the leader, of which they hear late.
    fn let_back(&mut self, leader: usize, old_host: usize) {
        for other in self.others(old_host) {
            if other != leader {
                self.heal(&[(old_host, other), (other, old_host)]);
                let longer = 250_000 + self.dice.below(150_000);
                let until = self.now + longer / 2;
                self.pipes.slow_down(leader, other, longer, until);
            }
        }
    }

    /// Long enough for the others to replace the master that is there. Of that it hears later than of what was
    /// sent to it before.
    pub fn suspend_until_replaced(&mut self, host: usize) {
        let span = self.long_enough_to_be_replaced();
        self.suspend_for(host, span, span);
        if let Some(leader) = self.leader().filter(|leader| *leader != host) {
            let cut = span + self.tenths_of_lease(6);
            self.cut_until(vec![(leader, host)], cut);
        }
    }

    /// A rule came into force, known to one daemon: the one beside a replica stops before it hears of it, and
    /// the master dies.
    pub fn on_ruled(&mut self, node: usize, group: usize) {
        if !self.groups[group].begins_unfenced || self.plan.is_over {
            return;
        }
        let dice = SplitMix::new(self.random.next());
        let servers = self.groups[group].servers.clone();
        let (masters, replicas): (Vec<usize>, Vec<usize>) = servers
            .into_iter()
            .partition(|index| self.servers[*index].is_master());
        let host = |index: &usize| self.servers[*index].host;
        let spared: Vec<usize> = masters.iter().map(host).chain([node]).collect();
        let replicas = replicas.iter().map(host);
        let late: Vec<usize> = replicas.filter(|it| !spared.contains(it)).collect();
        self.with_dice(dice, |world| {
            if late.is_empty() {
                return;
            }
            let span = world.long_enough_to_be_replaced() * 2;
            let late = late[world.pick(late.len())];
            world.pause_for(late, span);
            for master in masters {
                let soon = 1_000 + world.dice.below(100_000);
                world.strike_later(soon, Blow::CrashServer(master));
            }
        });
    }
}
