//! What goes wrong: a different mix of faults for each seed, each with random numbers of its own.

mod ambushes;
mod daemons;
mod disks;
mod end;
mod files;
mod leases;
mod network;
mod plan;
mod servers;

use ambushes::Ambush;
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
    /// Whoever connects to the master's host is refused, and what its daemon and the others say to each
    /// other gets through, or not, or in one direction.
    RejectMaster,
    /// The master's host is cut off.
    IsolateMaster,
    /// The master's host sleeps.
    SuspendMaster,
    /// The daemon beside the master is stopped for a while, or dies; its server and its fencer are not.
    PauseBesideMaster,
    CrashBesideMaster,
    /// The daemon beside the master and another one hear nothing of each other.
    BlindVoter,
    /// One daemon that is not beside the master is started again at once, or all of them are.
    BounceVoter,
    BounceVoters,
    /// What the others send to the master's host takes long, or what it sends to them.
    SlowGrants,
    /// The master refuses to be fenced.
    DenyMaster,
    /// It does until it must have been replaced, and its host is cut off.
    DenyAtTheEnd,
    /// The master's host sleeps for a part of a lease, and is cut off for longer.
    Doze,
    /// The master's daemon hears nothing of a failover, at whose promotion all voters but the leader are
    /// started again.
    ForgetGrants,
    /// The master's host is cut off, and hears all voters but the leader again when another is promoted.
    ReviveGrants,
    /// The daemon beside the master does not run, and whoever connects to that host is refused.
    AbandonMaster,
    /// The master dies. When its successor is promoted, the fencer there is mute, and the daemon ends.
    AmbushUnarmed,
    /// The master dies, and the host of its successor falls asleep while that is granted a lease.
    AmbushAsleep,
    /// The fencer beside the master takes no orders, but ends what it holds.
    DeafFencer,
    /// When a follower writes next, the power of all hosts is cut in the midst of it.
    CutPower,
    /// Somebody puts another address into a client's file, and the client reads it.
    ChangeFile,
}

/// Those of schedules about everything.
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

/// What schedules about leases are made of; what stands there more often is more frequent.
pub const OF_LEASES: [Fault; 53] = [
    Fault::RejectMaster,
    Fault::RejectMaster,
    Fault::RejectMaster,
    Fault::PauseBesideMaster,
    Fault::PauseBesideMaster,
    Fault::PauseBesideMaster,
    Fault::RejectMaster,
    Fault::RejectMaster,
    Fault::RejectMaster,
    Fault::RejectMaster,
    Fault::PauseBesideMaster,
    Fault::PauseBesideMaster,
    Fault::PauseBesideMaster,
    Fault::CrashBesideMaster,
    Fault::CrashBesideMaster,
    Fault::BlindVoter,
    Fault::BlindVoter,
    Fault::BounceVoter,
    Fault::BounceVoters,
    Fault::BounceVoters,
    Fault::SlowGrants,
    Fault::SlowGrants,
    Fault::SuspendMaster,
    Fault::IsolateMaster,
    Fault::DenyMaster,
    Fault::DenyAtTheEnd,
    Fault::Doze,
    Fault::ForgetGrants,
    Fault::ForgetGrants,
    Fault::ReviveGrants,
    Fault::ReviveGrants,
    Fault::AbandonMaster,
    Fault::AbandonMaster,
    Fault::AmbushUnarmed,
    Fault::AmbushUnarmed,
    Fault::AmbushAsleep,
    Fault::AmbushAsleep,
    Fault::DeafFencer,
    Fault::CrashMaster,
    Fault::HangMaster,
    Fault::BounceMaster,
    Fault::CrashServer,
    Fault::CrashLeader,
    Fault::PauseLeader,
    Fault::CrashNode,
    Fault::PauseNode,
    Fault::SlowDisk,
    Fault::SlowPath,
    Fault::FlapLink,
    Fault::PartialPartition,
    Fault::SplitHosts,
    Fault::Sabotage,
    Fault::Sabotage,
];

/// A course of events that another fault would mostly disturb: the next one is some time off.
pub const TAKE_TIME: [Fault; 6] = [
    Fault::DenyAtTheEnd,
    Fault::ForgetGrants,
    Fault::ReviveGrants,
    Fault::AbandonMaster,
    Fault::AmbushUnarmed,
    Fault::AmbushAsleep,
];

/// The same of schedules about disks.
pub const OF_DISKS: [Fault; 18] = [
    Fault::CutPower,
    Fault::CutPower,
    Fault::CutPower,
    Fault::ChangeFile,
    Fault::ChangeFile,
    Fault::ChangeFile,
    Fault::Sabotage,
    Fault::Sabotage,
    Fault::CrashNode,
    Fault::CrashLeader,
    Fault::CrashAllNodes,
    Fault::SlowDisk,
    Fault::FullDisk,
    Fault::FailingDisk,
    Fault::CrashMaster,
    Fault::BounceMaster,
    Fault::CutBothWays,
    Fault::RestartSite,
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
            Fault::RejectMaster => self.reject(self.servers[master].host),
            Fault::IsolateMaster => {
                self.cut_for_a_while(self.paths_of(self.servers[master].host));
            }
            Fault::SuspendMaster => self.suspend_host(self.servers[master].host),
            Fault::PauseBesideMaster => self.pause_beside(master),
            Fault::CrashBesideMaster => self.crash_beside(master),
            Fault::BlindVoter => self.blind_a_voter(master),
            Fault::BounceVoter => self.bounce_voters(master, 1),
            Fault::BounceVoters => self.bounce_voters(master, usize::MAX),
            Fault::SlowGrants => self.slow_grants(master),
            Fault::DenyMaster => self.deny_for_a_while(master),
            Fault::DenyAtTheEnd => self.deny_at_the_end(master),
            Fault::Doze => self.doze(self.servers[master].host),
            Fault::ForgetGrants => self.forget_grants(master),
            Fault::ReviveGrants => self.revive_grants(master),
            Fault::AbandonMaster => self.abandon(master),
            Fault::AmbushUnarmed => self.ambush(master, Ambush::Unarmed),
            Fault::AmbushAsleep => self.ambush(master, Ambush::Asleep),
            Fault::DeafFencer => self.deafen_fencer(master),
            Fault::CutPower => self.plan.cut_power(&mut self.dice),
            Fault::ChangeFile => self.change_file(node, group),
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
