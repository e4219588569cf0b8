//! The nemesis: does to a site what the plan says, takes it back in time, and notes both.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use promoterd::model::SplitMix;

use super::harm::Returning;
use super::history::{At, Change, Harm, HostId, InstanceId};
use super::plan::Fault;
use super::site::Site;

/// Time between two looks at what a fencer may have ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Does and undoes.
pub struct Nemesis<'a> {
    pub site: &'a mut Site,
    pub began: Instant,
    pub random: SplitMix,
    /// What is to be taken back, and when.
    agenda: BTreeMap<(At, u64), Undo>,
    undos: u64,
    pub daemons_ill: BTreeSet<HostId>,
    pub instances_ill: BTreeSet<(usize, InstanceId)>,
    pub is_network_ill: bool,
    pub found: Found,
}

/// What is noted.
#[derive(Debug, Default)]
pub struct Found {
    pub world: Vec<(At, Change)>,
    /// By group.
    pub harms: Vec<(usize, At, Harm)>,
    pub strangers: Vec<Stranger>,
    pub touched: Vec<(usize, At, String)>,
    pub notes: Vec<(At, Option<usize>, String)>,
    /// How often each kind of fault was done, and was passed over since it did not fit.
    pub done: BTreeMap<&'static str, u64>,
    pub passed_over: BTreeMap<&'static str, u64>,
}

/// The process of somebody else.
#[derive(Debug, Clone)]
pub struct Stranger {
    pub group: usize,
    pub run_id: String,
}

/// How a fault is taken back.
#[derive(Debug, Clone)]
pub enum Undo {
    Network,
    /// The cut that comes and goes: how often still.
    Flap {
        pairs: BTreeSet<(HostId, HostId)>,
        period: Duration,
        left: u32,
    },
    ContinueDaemon(HostId),
    StartDaemon(HostId),
    /// Its fault is the file of this name.
    EndFault(HostId, &'static str),
    ContinueInstance(usize, InstanceId),
    StartInstance(usize, InstanceId, Returning),
    EndStranger(usize, InstanceId),
}

impl<'a> Nemesis<'a> {
    pub fn new(site: &'a mut Site, began: Instant, seed: u64) -> Self {
        Self {
            site,
            began,
            random: SplitMix::new(seed ^ 0x5EED),
            agenda: BTreeMap::new(),
            undos: 0,
            daemons_ill: BTreeSet::new(),
            instances_ill: BTreeSet::new(),
            is_network_ill: false,
            found: Found::default(),
        }
    }

    pub fn now(&self) -> At {
        self.began.elapsed()
    }

    pub fn note(&mut self, group: Option<usize>, what: impl Into<String>) {
        let now = self.now();
        self.found
            .notes
            .push((now, group, format!("NEMESIS: {}", what.into())));
    }

    /// Notes what changed.
    pub fn change(&mut self, change: Change) {
        let now = self.now();
        self.found.world.push((now, change));
    }

    /// Plays the plan, whose moments count from now, and takes everything back at its end.
    pub fn play(&mut self, plan: Vec<(At, Fault)>, span: Duration) {
        let start = self.now();
        for (at, fault) in plan {
            self.undo_until(start + at);
            let kind = fault.kind();
            match self.carry_out(fault) {
                Ok(()) => *self.found.done.entry(kind).or_default() += 1,
                Err(why) => {
                    self.note(None, format!("not done: {kind}: {why}"));
                    *self.found.passed_over.entry(kind).or_default() += 1;
                }
            }
        }
        self.undo_until(start + span);
        self.undo_all();
    }

    /// Takes back what is due, and waits until then.
    fn undo_until(&mut self, until: At) {
        while let Some(((at, _), _)) = self.agenda.first_key_value() {
            if *at > until {
                break;
            }
            let at = *at;
            self.wait_until(at);
            if let Some((_, undo)) = self.agenda.pop_first() {
                self.undo(undo);
            }
        }
        self.wait_until(until);
    }

    fn wait_until(&mut self, at: At) {
        loop {
            let left = at.saturating_sub(self.now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(LOOK_INTERVAL));
            self.supervise();
        }
    }

    fn undo_all(&mut self) {
        while let Some((_, undo)) = self.agenda.pop_first() {
            let undo = if matches!(undo, Undo::Flap { .. }) {
                Undo::Network
            } else {
                undo
            };
            self.undo(undo);
        }
    }

    /// Has `undo` be done so much later.
    pub fn later(&mut self, after: Duration, undo: Undo) {
        self.undos += 1;
        self.agenda.insert((self.now() + after, self.undos), undo);
    }

    fn carry_out(&mut self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Cut { pairs, span } => self.cut(&pairs, Undo::Network, span),
            Fault::Flap {
                pairs,
                period,
                times,
            } => {
                let undo = Undo::Flap {
                    pairs: pairs.clone(),
                    period,
                    left: times * 2 - 1,
                };
                self.cut(&pairs, undo, period)
            }
            Fault::Delay {
                hosts,
                ms,
                jitter,
                span,
            } => self.disturb(&hosts, span, |host| {
                vec!["delay".into(), host, ms.to_string(), jitter.to_string()]
            }),
            Fault::Lose {
                hosts,
                percent,
                span,
            } => self.disturb(&hosts, span, |host| {
                vec!["lose".into(), host, percent.to_string()]
            }),
            Fault::StopDaemon { host, span } => self.stop_daemon(host, span),
            Fault::KillDaemon { host, back, after } => self.kill_daemon(host, back, after),
            Fault::FailDisk { host, how, span } => self.fail_disk(host, how, span),
            Fault::SetClock {
                host,
                seconds,
                span,
            } => self.set_clock(host, seconds, span),
            Fault::Upgrade => self.upgrade(),
            Fault::StopInstance { group, whom, span } => self.stop_instance(group, whom, span),
            Fault::KillInstance {
                group,
                whom,
                back,
                after,
                with_leader,
            } => self.kill_instance(group, whom, back, after, with_leader),
            Fault::Stranger { group, span } => self.put_stranger(group, span),
        }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Network => self.heal(),
            Undo::Flap {
                pairs,
                period,
                left,
            } => self.flap(pairs, period, left),
            Undo::ContinueDaemon(host) => self.continue_daemon(host),
            Undo::StartDaemon(host) => self.start_daemon(host),
            Undo::EndFault(host, name) => self.end_fault(host, name),
            Undo::ContinueInstance(group, instance) => self.continue_instance(group, instance),
            Undo::StartInstance(group, instance, back) => {
                self.start_instance(group, instance, back);
            }
            Undo::EndStranger(group, instance) => self.end_stranger(group, instance),
        }
    }

    // One fault of the network at a time: each ends all.

    fn cut(
        &mut self,
        pairs: &BTreeSet<(HostId, HostId)>,
        undo: Undo,
        span: Duration,
    ) -> Result<(), String> {
        self.drop_between(pairs);
        self.later(span, undo);
        Ok(())
    }

    fn drop_between(&mut self, pairs: &BTreeSet<(HostId, HostId)>) {
        self.is_network_ill = true;
        self.change(Change::Cuts(pairs.clone()));
        let words: Vec<String> = pairs
            .iter()
            .map(|(one, other)| format!("{}-{}", one + 1, other + 1))
            .collect();
        self.note(None, format!("drops {}", words.join(" ")));
        let mut command = vec!["drop"];
        command.extend(words.iter().map(String::as_str));
        self.site.lab.run(&command);
    }

    fn heal(&mut self) {
        self.site.lab.run(&["heal"]);
        self.is_network_ill = false;
        self.change(Change::Cuts(BTreeSet::new()));
        self.change(Change::Lossy(BTreeSet::new()));
        self.note(None, "heals the network");
    }

    fn flap(&mut self, pairs: BTreeSet<(HostId, HostId)>, period: Duration, left: u32) {
        if left == 0 || self.is_network_ill {
            self.heal();
        } else {
            self.drop_between(&pairs);
        }
        if left > 0 {
            let left = left - 1;
            self.later(
                period,
                Undo::Flap {
                    pairs,
                    period,
                    left,
                },
            );
        }
    }

    fn disturb(
        &mut self,
        hosts: &BTreeSet<HostId>,
        span: Duration,
        words: impl Fn(String) -> Vec<String>,
    ) -> Result<(), String> {
        self.is_network_ill = true;
        self.change(Change::Lossy(hosts.clone()));
        for host in hosts {
            let words = words((host + 1).to_string());
            self.note(None, words.join(" "));
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            self.site.lab.run(&words);
        }
        self.later(span, Undo::Network);
        Ok(())
    }
}
