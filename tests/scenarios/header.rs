//! What a script says at its beginning: who there is; and its lines, by their moments.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use promoterd::decision::{Fencing, GroupPolicy, RescueLimits};

use crate::instance::endpoint;

/// Who is hit when an epoch begins: the worst moment for all that take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The candidate or the leader, now and then.
    Anybody,
    /// Each candidate hangs right then.
    Candidates,
}

pub struct Header<'a> {
    pub nodes: Vec<&'a str>,
    /// Where each node runs.
    pub beside: BTreeMap<&'a str, &'a str>,
    /// Nodes whose settings are not those of the others.
    pub odd: BTreeSet<&'a str>,
    pub is_cold: bool,
    pub is_guarded: bool,
    /// What an old master has is saved before it is demoted.
    pub rescues: bool,
    /// Instances keep their roles over a restart.
    pub rewrites: bool,
    /// Who is hit when an epoch begins.
    pub sabotage: Option<Sabotage>,
    /// The seed of what is left to chance.
    pub weather: Option<u64>,
    /// Settings that are not the usual ones: a key and a number.
    settings: Vec<(&'a str, &'a str)>,
    /// Microseconds, and what happens then.
    pub commands: Vec<(u64, &'a str)>,
}

impl<'a> Header<'a> {
    pub fn read(script: &'a str) -> Self {
        let mut header = Self {
            nodes: Vec::new(),
            beside: BTreeMap::new(),
            odd: BTreeSet::new(),
            is_cold: false,
            is_guarded: false,
            rescues: false,
            rewrites: false,
            sabotage: None,
            weather: None,
            settings: Vec::new(),
            commands: Vec::new(),
        };
        for line in script.lines().map(str::trim) {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("", _) => {}
                ("nodes", names) => header.nodes = names.split(' ').collect(),
                ("beside", pair) => {
                    let (node, instance) = pair.split_once(' ').unwrap();
                    header.beside.insert(node, instance);
                }
                ("settings", name) => {
                    header.odd.insert(name);
                }
                ("cold", "") => header.is_cold = true,
                ("guarded", "") => header.is_guarded = true,
                ("rescues", "") => header.rescues = true,
                ("rewrites", "") => header.rewrites = true,
                ("sabotage", "anybody") => header.sabotage = Some(Sabotage::Anybody),
                ("sabotage", "candidates") => header.sabotage = Some(Sabotage::Candidates),
                ("weather", seed) => header.weather = Some(seed.parse().unwrap()),
                ("with", pair) => header.settings.push(pair.split_once(' ').unwrap()),
                ("at", rest) => {
                    let (at, command) = rest.split_once(' ').unwrap();
                    let at = (at.parse::<f64>().unwrap() * 1000.0) as u64;
                    header.commands.push((at, command));
                }
                (comment, _) if comment.starts_with('#') => {}
                (_, _) => panic!("what is \"{line}\"?"),
            }
        }
        header
    }

    /// The settings of all nodes.
    pub fn policy(&self, quorum: usize) -> GroupPolicy {
        let mut policy = policy(quorum, self.is_guarded, self.rescues);
        let span = |text: &str| Duration::from_millis(text.parse().unwrap());
        for (key, value) in &self.settings {
            match *key {
                "instances" => policy.instances = value.split(' ').map(endpoint).collect(),
                "gone_after" => policy.gone_after = span(value),
                "cooldown" => policy.cooldown = span(value),
                "promote_timeout" => policy.promote_timeout = span(value),
                "replica_veto_max" => policy.replica_veto_max = span(value),
                "failovers_max" => policy.failovers_max = value.parse().unwrap(),
                "gone_loss_max" => policy.gone_loss_max = value.parse().unwrap(),
                "fencing" => policy.fencing = fencing(value),
                "exited" => policy.exited = *value == "on",
                _ => panic!("no setting is called {key}"),
            }
        }
        // The settings refuse it without fencing.
        policy.rescue &= policy.fencing != Fencing::Off;
        policy
    }
}

fn fencing(level: &str) -> Fencing {
    match level {
        "off" => Fencing::Off,
        "fast" => Fencing::Fast,
        "strict" => Fencing::Strict,
        _ => panic!("what is {level}?"),
    }
}

/// The usual settings.
fn policy(quorum: usize, guard: bool, rescue: bool) -> GroupPolicy {
    GroupPolicy {
        instances: ["a", "b", "c"].map(endpoint).into(),
        quorum,
        down_after: Duration::from_secs(1),
        gone_after: Duration::from_millis(20),
        exited: true,
        replica_veto_max: Duration::from_secs(3),
        promote_timeout: Duration::from_secs(2),
        parallel_syncs: 1,
        lag_max: None,
        readers_lag_max: None,
        cooldown: Duration::from_secs(10),
        failovers_max: 2,
        take_over: false,
        excluded: BTreeSet::new(),
        fencing: Fencing::Fast,
        lease: Duration::from_millis(800),
        isolation_after: Duration::from_secs(1),
        gone_loss_max: 1 << 20,
        guard,
        rescue,
        rescue_limits: RescueLimits {
            size_max: 1 << 30,
            lasts_max: Duration::from_secs(5),
        },
    }
}
