//! The script that a seed names: who there is, and what goes wrong when.

use std::fmt::Write;

use promoterd::model::SplitMix;

const INSTANCES: [&str; 3] = ["a", "b", "c"];
const NODES: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];

/// Draws a script.
pub fn draw(seed: u64) -> String {
    let mut draft = Draft {
        random: SplitMix::new(seed ^ 0x6d6f_6465_6c00_0000),
        text: String::new(),
        lines: Vec::new(),
        nodes: 0,
        operations: 0,
    };
    draft.shape(seed);
    draft.faults();
    draft.finish()
}

struct Draft {
    random: SplitMix,
    text: String,
    /// Milliseconds, and what happens then.
    lines: Vec<(u64, String)>,
    nodes: usize,
    operations: u64,
}

impl Draft {
    fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    fn pick<'a, const COUNT: usize>(&mut self, from: [&'a str; COUNT]) -> &'a str {
        from[usize::try_from(self.random.below(COUNT as u64)).unwrap_or(0)]
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn node(&mut self) -> &'static str {
        NODES[usize::try_from(self.random.below(self.nodes as u64)).unwrap_or(0)]
    }

    fn say(&mut self, line: &str) {
        writeln!(self.text, "{line}").unwrap();
    }

    fn at(&mut self, ms: u64, line: impl Into<String>) {
        self.lines.push((ms, line.into()));
    }

    /// Who there is, and the settings.
    fn shape(&mut self, seed: u64) {
        self.nodes = [1, 3, 3, 3, 3, 3, 3, 5][usize::try_from(self.below(8)).unwrap_or(0)];
        self.say(&format!("nodes {}", NODES[..self.nodes].join(" ")));
        self.say(&format!("weather {seed}"));
        for (place, instance) in INSTANCES.into_iter().enumerate() {
            if place < self.nodes && !self.once_in(4) {
                self.say(&format!("beside {} {instance}", NODES[place]));
            }
        }
        let is_cold = self.once_in(8);
        if is_cold {
            self.say("cold");
            for name in &NODES[..self.nodes] {
                if self.once_in(3) {
                    self.say(&format!("settings {name}"));
                }
            }
        }
        for word in ["guarded", "rewrites", "rescues"] {
            if self.once_in(2) {
                self.say(word);
            }
        }
        match self.below(8) {
            0..=2 => self.say("sabotage anybody"),
            3 => self.say("sabotage candidates"),
            _ => {}
        }
        let gone_after = self.pick(["100", "100", "100", "20"]);
        let timeout = self.pick(["500", "2000"]);
        let cooldown = self.pick(["0", "0", "3000"]);
        self.say(&format!("with gone_after {gone_after}"));
        self.say(&format!("with promote_timeout {timeout}"));
        self.say(&format!("with cooldown {cooldown}"));
        self.say("with replica_veto_max 1000");
        for (once_in, line) in [
            (4, "with failovers_max 0"),
            (5, "with fencing off"),
            (4, "with exited off"),
            (7, "with instances a"),
            (5, "with gone_loss_max 1000"),
        ] {
            if self.once_in(once_in) != (once_in == 4 && line.contains("max 0")) {
                self.say(line);
            }
        }
        if self.once_in(8) {
            let replica = self.pick(["b", "c"]);
            self.at(0, format!("priority {replica} 0"));
        }
        if self.once_in(6) {
            for instance in INSTANCES {
                self.at(0, format!("limit {instance} 1"));
            }
        }
    }

    /// How long a fault lasts, in milliseconds.
    fn span(&mut self) -> u64 {
        let longest = [10, 100, 600, 2500][usize::try_from(self.below(4)).unwrap_or(0)];
        1 + self.below(longest)
    }

    fn faults(&mut self) {
        let mut at = 20 + self.below(600);
        let count = 1 + self.below(6);
        let pause_max = [30, 400, 1200][usize::try_from(self.below(3)).unwrap_or(0)];
        for _ in 0..count {
            self.fault(at);
            at += self.below(pause_max);
        }
        match self.below(60) {
            0 | 1 => self.suspend_all(at),
            2 | 3 => self.doubt_one_after_the_other(at),
            _ => {}
        }
    }

    /// The whole site sleeps, and the master needs longest to come back.
    fn suspend_all(&mut self, at: u64) {
        let wakes = at + 1_300 + self.below(1_000);
        self.at(at, "hang a");
        for name in &NODES[..self.nodes] {
            self.at(at, format!("pause {name}"));
            self.at(wakes, format!("wake {name}"));
        }
        self.at(wakes + 700, "resume a");
    }

    /// A node cannot reach the master, says so and is heard no more; long after it another one cannot.
    fn doubt_one_after_the_other(&mut self, at: u64) {
        if self.nodes < 3 {
            return;
        }
        let long_after = at + 2_500 + self.below(500);
        let end = long_after + 2_700;
        self.at(at, "reject n2 a");
        self.at(at + 400, "pause n2");
        self.at(long_after, "reject n1 a");
        for line in ["heal n1 a", "heal n2 a", "wake n2"] {
            self.at(end, line);
        }
    }

    fn fault(&mut self, at: u64) {
        let end = at + self.span();
        let node = self.node();
        let instance = self.pick(INSTANCES);
        // The first master is hit most.
        let victim = self.pick(["a", "a", "b", "c"]);
        match self.below(20) {
            0..=3 => {
                let how = self.pick(["data", "data", "data", "empty", "old", "aof"]);
                self.at(at, format!("kill {victim}"));
                self.at(end, format!("restart {victim} {how}"));
            }
            4 | 5 => {
                let how = self.pick(["data", "empty", "empty", "old", "aof"]);
                self.at(at, format!("restart {victim} {how}"));
            }
            6 | 7 => {
                self.at(at, format!("hang {victim}"));
                self.at(end, format!("resume {victim}"));
            }
            8 | 9 => self.at(at, format!("lead {node}")),
            10 => {
                self.at(at, format!("crash {node}"));
                self.at(end, format!("start {node}"));
            }
            11 => {
                self.at(at, format!("pause {node}"));
                self.at(end, format!("wake {node}"));
            }
            12 => {
                let other = if self.once_in(2) {
                    instance
                } else {
                    self.node()
                };
                self.at(at, format!("cut {node} {other}"));
                self.at(end, format!("heal {node} {other}"));
            }
            13 => {
                self.at(at, format!("reject {node} {instance}"));
                self.at(end, format!("heal {node} {instance}"));
            }
            14 => {
                let what = self.pick(["promote", "follow", "info", "config"]);
                self.at(at, format!("deny {what} {instance}"));
                self.at(end, format!("heed {instance}"));
            }
            15 => self.at(at, format!("lose promote {instance}")),
            16 => {
                let master = self.pick(["none", "a", "b", "c"]);
                if master != instance {
                    self.at(at, format!("replicaof {instance} {master}"));
                }
            }
            17 => self.ask(at, node),
            18 => {
                self.at(at, format!("writes {victim} 200000"));
                self.at(at, format!("install {node}"));
            }
            _ => {
                self.at(at, "freeze log");
                self.at(end, "thaw log");
            }
        }
    }

    fn ask(&mut self, at: u64, node: &str) {
        self.operations += 1;
        let number = self.operations;
        let span = self.span();
        let wish = self.pick(["pause", "span", "span", "resume"]);
        let wish = match wish {
            "span" => format!("pause {span}"),
            other => other.to_owned(),
        };
        self.at(at, format!("ask {node} {number} {wish}"));
    }

    fn finish(mut self) -> String {
        let end = self.lines.iter().map(|(at, _)| *at).max().unwrap_or(0) + 20;
        self.at(end, "calm");
        self.lines.sort_by_key(|(at, _)| *at);
        for (at, line) in &self.lines {
            writeln!(self.text, "at {at} {line}").unwrap();
        }
        self.text
    }
}
