//! What the network does: cuts of all shapes, paths that come and go, paths that take long.

use super::end::{Blow, Undo};
use crate::pipes::Micros;
use crate::world::{Happens, World};

impl World {
    /// All that lead to a host or from it.
    pub fn paths_of(&self, host: usize) -> Vec<(usize, usize)> {
        let others = 0..self.host_count;
        others
            .flat_map(|other| [(host, other), (other, host)])
            .collect()
    }

    pub fn split_hosts(&mut self) {
        let sides: Vec<bool> = (0..self.host_count)
            .map(|_| self.dice.below(2) == 0)
            .collect();
        let one_way = self.dice.below(4) == 0;
        let mut paths = Vec::new();
        for from in 0..self.host_count {
            for to in 0..self.host_count {
                if sides[from] != sides[to] && (!one_way || sides[from]) {
                    paths.push((from, to));
                }
            }
        }
        self.cut_for_a_while(paths);
    }

    /// Each host reaches others than the next one does.
    pub fn cut_some_pairs(&mut self) {
        let mut paths = Vec::new();
        for one in 0..self.host_count {
            for other in one + 1..self.host_count {
                if self.dice.below(5) < 2 {
                    paths.extend([(one, other), (other, one)]);
                }
            }
        }
        self.cut_for_a_while(paths);
    }

    /// Some short cuts of one path, one after the other.
    pub fn flap(&mut self, from: usize, to: usize) {
        let paths = match self.pick(3) {
            0 => vec![(from, to)],
            _ => vec![(from, to), (to, from)],
        };
        let mut begins = 0;
        for _ in 0..2 + self.pick(10) {
            let lasts = 5_000 + self.dice.below(500_000);
            let cut = Blow::Cut(paths.clone(), lasts);
            self.strike_later(begins, cut);
            begins += lasts + 5_000 + self.dice.below(400_000);
        }
    }

    /// What goes by this path takes longer for a while.
    pub fn slow_path(&mut self, from: usize, to: usize) {
        let longer = [5_000, 40_000, 400_000][self.pick(3)];
        let longer = 1_000 + self.dice.below(longer);
        let until = self.now + self.span();
        self.note(|| format!("{from} to {to} takes {longer} us longer"));
        self.pipes.slow_down(from, to, longer, until);
        if self.pick(2) == 0 {
            self.pipes.slow_down(to, from, longer, until);
        }
    }

    pub fn cut_for_a_while(&mut self, paths: Vec<(usize, usize)>) {
        let span = self.span();
        self.cut_until(paths, span);
    }

    pub fn cut_until(&mut self, paths: Vec<(usize, usize)>, span: Micros) {
        self.note(|| format!("cut: {paths:?}"));
        self.disturb_all();
        for (from, to) in &paths {
            self.pipes.cut(*from, *to);
            self.let_time_out(*from, *to);
        }
        self.later(span, Happens::Undo(Undo::Heal(paths)));
    }

    /// What goes over a path that was cut ends some time later, if it still is.
    fn let_time_out(&mut self, from: usize, to: usize) {
        let (one, other) = (from.min(to), from.max(to));
        if let Some(session) = self.sessions.get(&(one, other)) {
            let session = session.number;
            let lasts = 300_000 + self.random.below(2_500_000);
            self.later(
                lasts,
                Happens::SessionOverdue {
                    one,
                    other,
                    session,
                },
            );
        }
        for id in self.connections_between(one, other) {
            let lasts = 1_500_000 + self.random.below(8_000_000);
            self.later(lasts, Happens::ConnectionOverdue { id });
        }
        for index in 0..self.servers.len() {
            let attempt = self.servers[index].attempt;
            self.later(
                crate::replication::STUCK_MAX,
                Happens::StreamOverdue { index, attempt },
            );
        }
    }

    pub fn heal(&mut self, paths: &[(usize, usize)]) {
        self.disturb_all();
        for (from, to) in paths {
            for (pipe, count) in self.pipes.heal(*from, *to) {
                // What was lost is sent again when its timer says so.
                let lasts = 1_000 + self.random.below(400_000);
                for _ in 0..count {
                    self.later(lasts, Happens::Arrives(pipe));
                }
            }
        }
    }
}
