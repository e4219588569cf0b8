//! What goes wrong: a different mix of faults for each seed, each with random numbers of its own.

mod daemons;
mod disks;
mod end;
mod network;
mod plan;
mod servers;

pub use end::{Blow, Undo};
pub use plan::{Injection, Plan};

use promoterd::model::SplitMix;

use super::pipes::Micros;
use super::world::World;

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    CrashNode,
    CrashLeader,
    CrashAllNodes,
    EmptyNode,
    PauseNode,
    PauseLeader,
    /// A host sleeps, with all that it bears; its clock goes on.
    SuspendHost,
    SlowDisk,
    /// Nothing more fits on a daemon's disk.
    FullDisk,
    /// A daemon's disk fails to sync.
    FailingDisk,
    CutOneWay,
    CutBothWays,
    IsolateHost,
    SplitHosts,
    /// Each host reaches others than the next one does.
    PartialPartition,
    /// A path comes and goes.
    FlapLink,
    /// A path takes long, one way or both.
    SlowPath,
    BreakLink,
    CrashMaster,
    CrashServer,
    HangMaster,
    HangServer,
    BounceMaster,
    DenyRoleChanges,
    Meddle,
    RenameHistory,
    /// Sentinels watch a group for a while.
    Sentinels,
    /// All daemons and all servers at once; they come back in any order, with, without and with old data.
    RestartSite,
    /// When an epoch begins, or a file is replaced: whoever takes part is hit, some times over.
    Sabotage,
}

/// All of them.
pub const ALL: [Fault; 29] = [
    Fault::CrashNode,
    Fault::CrashLeader,
    Fault::CrashAllNodes,
    Fault::EmptyNode,
    Fault::PauseNode,
    Fault::PauseLeader,
    Fault::SuspendHost,
    Fault::SlowDisk,
    Fault::FullDisk,
    Fault::FailingDisk,
    Fault::CutOneWay,
    Fault::CutBothWays,
    Fault::IsolateHost,
    Fault::SplitHosts,
    Fault::PartialPartition,
    Fault::FlapLink,
    Fault::SlowPath,
    Fault::BreakLink,
    Fault::CrashMaster,
    Fault::CrashServer,
    Fault::HangMaster,
    Fault::HangServer,
    Fault::BounceMaster,
    Fault::DenyRoleChanges,
    Fault::Meddle,
    Fault::RenameHistory,
    Fault::Sentinels,
    Fault::RestartSite,
    Fault::Sabotage,
];

impl World {
    /// Does something with the random numbers of `dice`.
    pub fn with_dice(&mut self, dice: SplitMix, act: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.dice, dice);
        act(self);
        self.dice = before;
    }

    /// One of so many.
    pub fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.dice.below(count as u64)).unwrap_or(0)
    }

    /// How long a fault lasts: most are short, some outlast every timeout.
    pub fn span(&mut self) -> Micros {
        let longest = [20_000, 300_000, 1_500_000, 6_000_000][self.pick(4)];
        1_000 + self.dice.below(longest)
    }

    pub fn inject_fault(&mut self, fault: Fault) {
        let node = self.pick(self.hosts.len());
        let host = self.pick(self.host_count);
        let server = self.pick(self.servers.len());
        let group = self.pick(self.groups.len());
        let master = self.master_of(group);
        match fault {
            Fault::CrashNode => self.bounce_node(node),
            Fault::CrashLeader => self.bounce_node(self.leader().unwrap_or(node)),
            Fault::CrashAllNodes => (0..self.hosts.len()).for_each(|node| self.bounce_node(node)),
            Fault::EmptyNode => self.empty_node(node),
            Fault::PauseNode => self.pause_node(node),
            Fault::PauseLeader => self.pause_node(self.leader().unwrap_or(node)),
            Fault::SuspendHost => self.suspend_host(host),
            Fault::SlowDisk => self.slow_disk(node),
            Fault::FullDisk => self.fill_disk(node),
            Fault::FailingDisk => self.fail_disk(node),
            Fault::CutOneWay => self.cut_for_a_while(vec![(host, node)]),
            Fault::CutBothWays => self.cut_for_a_while(vec![(host, node), (node, host)]),
            Fault::IsolateHost => self.cut_for_a_while(self.paths_of(host)),
            Fault::SplitHosts => self.split_hosts(),
            Fault::PartialPartition => self.cut_some_pairs(),
            Fault::FlapLink => self.flap(host, node),
            Fault::SlowPath => self.slow_path(host, node),
            Fault::BreakLink => {
                let other = self.pick(self.hosts.len());
                self.break_session(node.min(other), node.max(other));
            }
            Fault::CrashMaster => self.crash_for_a_while(master),
            Fault::CrashServer => self.crash_for_a_while(server),
            Fault::HangMaster => self.hang_for_a_while(master),
            Fault::HangServer => self.hang_for_a_while(server),
            Fault::BounceMaster => self.bounce_master(master),
            Fault::DenyRoleChanges => self.deny_for_a_while(server),
            Fault::Meddle => self.meddle(server),
            Fault::RenameHistory => self.rename_history(master),
            Fault::Sentinels => self.let_sentinels_watch(group),
            Fault::RestartSite => self.restart_site(),
            Fault::Sabotage => self.plan_sabotage(),
        }
    }

    pub fn leader(&self) -> Option<usize> {
        self.hosts.iter().position(|host| {
            host.node
                .as_ref()
                .is_some_and(|node| node.engine_status().established)
        })
    }

    /// Whom the log names, or who was it in the beginning.
    fn master_of(&self, group: usize) -> usize {
        let name = &self.groups[group].name;
        let logged = self.oracle.newest_master(name);
        logged
            .and_then(|master| self.server_at(&master))
            .unwrap_or(self.groups[group].servers[0])
    }
}
