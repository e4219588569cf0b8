//! What a line of a script does.

use std::time::Duration;

use promoterd::decision::{OperationId, Request, Requester, Wish};
use promoterd::model::{NodeId, WriteLimits};

use crate::instance::{Instance, Link, Process, endpoint};
use crate::world::{Occurrence, World, group};

impl World {
    pub fn obey(&mut self, line: &str) {
        self.note("--", || line.to_owned());
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["show"] => self.show(),
            ["end"] => {}
            ["probes", word] => self.shows_probes = word == "on",
            ["calm"] => self.calm_down(),
            ["sentinels", count] => {
                for instance in &mut self.instances {
                    instance.sentinels = count.parse().unwrap();
                }
            }
            ["cut", left, right] => {
                self.cut.insert((left.to_owned(), right.to_owned()));
            }
            ["reject", node, name] => {
                self.rejected.insert((node.to_owned(), name.to_owned()));
                self.close(name, Some(self.node(node)), false);
            }
            ["heal", left, right] => {
                let pair = (left.to_owned(), right.to_owned());
                self.cut.remove(&pair);
                self.rejected.remove(&pair);
                self.release();
            }
            ["ask", node, ref wish @ ..] => self.ask(self.node(node), wish),
            [
                "lead" | "crash" | "start" | "pause" | "suspend" | "wake" | "install" | "equal",
                name,
            ] => {
                self.obey_for_node(words[0], self.node(name));
            }
            ["freeze", "log"] => self.log.is_frozen = true,
            ["drop", "log"] => self.log.held.clear(),
            ["thaw", "log"] => self.thaw_log(),
            _ => self.obey_for_instance(&words),
        }
    }

    fn obey_for_node(&mut self, word: &str, node: usize) {
        match word {
            "lead" => self.lead(node),
            "crash" => {
                let crashed = &mut self.nodes[node];
                crashed.is_dead = true;
                crashed.is_paused = false;
                crashed.leads = false;
                crashed.missed.clear();
                self.lose_leader(node);
            }
            "start" if self.nodes[node].is_dead => {
                // What it had applied when it last compacted its log.
                let applied = self.nodes[node].applied;
                let kept = self.weather.as_mut().map_or(0, |it| it.pick(4));
                self.start_node(node, applied.saturating_sub(kept));
            }
            "pause" if !self.nodes[node].is_dead => {
                self.nodes[node].is_paused = true;
                self.nodes[node].paused_at = self.now;
                self.lose_leader(node);
            }
            "suspend" if !self.nodes[node].is_dead => self.suspend(node),
            "wake" if self.nodes[node].is_paused => {
                self.unsuspend(node);
                self.wake_node(node);
            }
            "install" => self.install(node),
            "equal" => self.make_settings_equal(node),
            _ => {}
        }
    }

    fn obey_for_instance(&mut self, words: &[&str]) {
        match *words {
            ["kill", name] => self.kill(name),
            ["client", name, bytes] => self.client_writes(name, bytes.parse().unwrap()),
            ["slow", name, milliseconds] => {
                let takes = milliseconds.parse::<f64>().unwrap() * 1000.0;
                self.instance(name).unwrap().stream_takes = takes as u64;
            }
            ["hang", name] => {
                let instance = self.instance(name).unwrap();
                if instance.process == Process::Running {
                    instance.process = Process::Hung;
                }
            }
            ["resume", name] => {
                let instance = self.instance(name).unwrap();
                if instance.process == Process::Hung {
                    instance.process = Process::Running;
                    self.release();
                }
            }
            ["restart", name, how] => self.restart(name, how),
            ["load", name] => self.instance(name).unwrap().loads = true,
            ["writes", name, bytes] => self.write(name, bytes.parse().unwrap()),
            ["lag", name] => self.instance(name).unwrap().lags = true,
            ["deny", what, name] => self.instance(name).unwrap().deny(what),
            ["limit", name, number] => {
                let limits = WriteLimits {
                    replicas_min: number.parse().unwrap(),
                    lag_max_s: 10,
                };
                let instance = self.instance(name).unwrap();
                (instance.limits, instance.configured_limits) = (limits, limits);
            }
            ["fence", name] => self.instance(name).unwrap().limits = WriteLimits::FENCE,
            ["lose", "promote", name] => self.instance(name).unwrap().loses_promotion = true,
            ["heed", name] => self.instance(name).unwrap().heed(),
            ["priority", name, number] => {
                self.instance(name).unwrap().priority = number.parse().unwrap();
            }
            ["replicaof", name, "none"] => {
                self.lives += 1;
                self.become_master(name, self.lives);
            }
            ["replicaof", name, master] => {
                self.follow(name, master);
                self.instance(name).unwrap().is_misled = true;
            }
            _ => panic!("what is {words:?}?"),
        }
    }

    pub fn kill(&mut self, name: &str) {
        let is_weather = self.weather.is_some();
        let instance = self.instance(name).unwrap();
        let was_master = instance.follows.is_none().then(|| instance.run_id());
        instance.process = Process::Dead;
        instance.waiting.clear();
        if is_weather {
            instance.link = Link::Down;
            instance.attempt += 1;
            self.drop_replicas(name);
        }
        if let Some(process) = was_master {
            self.oracle.is_master(process, self.now);
        }
        self.close(name, None, true);
    }

    fn restart(&mut self, name: &str, how: &str) {
        if self.weather.is_some() {
            self.kill(name);
        } else {
            self.close(name, None, true);
        }
        self.lives += 1;
        let (now, life, rewrites) = (self.now, self.lives, self.rewrites);
        let is_weather = self.weather.is_some();
        let instance = self.instance(name).unwrap();
        let before = instance.history;
        instance.restart(how, life, life);
        instance.still_since = now;
        if matches!(how, "data" | "old") {
            self.oracle.went_on(life, before);
        }
        let instance = self.instance(name).unwrap();
        if !is_weather {
            return;
        }
        if !rewrites {
            instance.follows.clone_from(&instance.configured);
        }
        if how == "empty" {
            if instance.follows.is_some() {
                self.try_to_sync(name, 0);
            }
            return;
        }
        instance.begin_loading();
        let index = self.index(name).unwrap();
        let lasts = self.weather.as_mut().map_or(0, |it| it.below(400_000));
        self.later(lasts, Occurrence::Loaded(index, life));
    }

    fn thaw_log(&mut self) {
        self.log.is_frozen = false;
        for entry in std::mem::take(&mut self.log.held) {
            self.propose_again(entry);
        }
    }

    /// From here on everything works: what was down starts, what was cut heals.
    fn calm_down(&mut self) {
        if let Some(weather) = &mut self.weather {
            weather.is_calm = true;
        }
        self.cut.clear();
        self.rejected.clear();
        self.thaw_log();
        for node in 0..self.nodes.len() {
            self.obey_for_node("equal", node);
            self.obey_for_node("wake", node);
            self.obey_for_node("start", node);
        }
        for index in 0..self.instances.len() {
            let instance = &mut self.instances[index];
            let loads = instance.loads;
            instance.heed();
            instance.loads = loads && instance.is_reading();
            instance.loses_promotion = false;
            let (name, process) = (instance.name.clone(), instance.process);
            match process {
                Process::Running => {}
                Process::Hung => self.obey_for_instance(&["resume", &name]),
                Process::Dead => self.restart(&name, "data"),
            }
        }
        self.release();
    }

    /// An administrator wants something by the status socket of a node.
    fn ask(&mut self, node: usize, words: &[&str]) {
        let pause = |lasts: Option<Duration>, lifts_lease: bool| Wish::Pause {
            lasts,
            reason: None,
            lifts_lease,
        };
        let (number, wish) = match *words {
            [number, "pause"] => (number, pause(None, false)),
            [number, "pause", "without", "leases"] => (number, pause(None, true)),
            [number, "pause", span] => {
                let lasts = Duration::from_millis(span.parse().unwrap());
                (number, pause(Some(lasts), false))
            }
            [number, "resume"] => (number, Wish::Resume),
            [number, "switchover", ref to @ ..] => {
                let wish = Wish::Switchover {
                    to: to.first().map(|name| endpoint(name)),
                    within: Duration::from_secs(3),
                    reason: None,
                };
                (number, wish)
            }
            [number, "adopt", name] => {
                let master = endpoint(name);
                (number, Wish::Adopt { master })
            }
            _ => panic!("what is {words:?}?"),
        };
        let name: NodeId = self.nodes[node].id.clone();
        let request = Request {
            operation: OperationId(number.parse().unwrap()),
            by: Requester::new(0, Some("root".to_owned()), name),
            groups: [group()].into(),
            wish,
        };
        self.deliver(node, 0, promoterd::decision::Event::Requested(request));
    }

    fn show(&mut self) {
        let now = self.moment();
        let lines: Vec<String> = self
            .nodes
            .iter()
            .map(|node| {
                let now = now - Duration::from_micros(node.slept);
                let record = node.supervisor.records().get(&group());
                let overview = node.supervisor.groups()[&group()].overview(record, now);
                let decided = overview.decided.map(|decided| {
                    let (epoch, master) = (decided.epoch, decided.master);
                    format!(", epoch {epoch} of {}", master.host())
                });
                let phase = overview.phase.as_str();
                let paused = match record.and_then(|record| record.pause()) {
                    Some(_) => " (paused)",
                    None => "",
                };
                format!(
                    "{} {phase}{paused}{}",
                    node.name,
                    decided.unwrap_or_default()
                )
            })
            .collect();
        self.note("", || lines.join("; "));
        let instances: Vec<String> = self.instances.iter().map(Instance::describe).collect();
        self.note("", || instances.join("; "));
        if self.acknowledged > 0 {
            let acknowledged = self.acknowledged;
            self.note("", || format!("acknowledged {acknowledged} bytes"));
        }
    }
}
