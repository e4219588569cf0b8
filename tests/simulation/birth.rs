//! The cluster that a seed names, as it is at the first moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use promoterd::consensus::{EngineSettings, Identity, heartbeat_interval};
use promoterd::decision::{Fencing, GroupPolicy, RescueLimits};
use promoterd::model::{
    Endpoint, Life, LogIndex, NodeId, ReplicationHistory, ReplicationOffset, SplitMix, WriteLimits,
};

use super::clock::Clock;
use super::disk::Disk;
use super::files::Kept;
use super::host::Host;
use super::server::{Hold, Part, Process, Server, Upstream, draw_id, draw_run_id};
use super::shape::{draw_fencing, one_of};
use super::streams::{Purpose, stream};
use super::theme::Theme;
use super::world::{Happens, SimulatedGroup, World};

const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

/// Makes hosts and servers, and starts them all.
pub fn populate(world: &mut World) {
    for node in 0..world.shape.voters {
        let mut random = stream(world.seed, Purpose::Host, node as u64);
        let host = host(world, node, &mut random);
        world.hosts.push(host);
        let delay = random.below(200_000);
        world.later(delay, Happens::Start { node });
    }
    for group in 0..world.shape.groups {
        let mut random = stream(world.seed, Purpose::Group, group as u64);
        add_group(world, group, &mut random);
    }
    world.add_observers();
    world.write_settings();
    let faults_from = world.plan.faults_from;
    world.at(faults_from, Happens::Injection { ordinal: 0 });
    let faults_until = world.plan.faults_until;
    world.at(faults_until, Happens::FaultsEnd);
}

fn name(node: usize) -> NodeId {
    NAMES[node].parse().expect("a letter is a name")
}

fn host(world: &World, node: usize, random: &mut SplitMix) -> Host {
    let voters: BTreeSet<NodeId> = (0..world.shape.voters).map(name).collect();
    let milliseconds = Duration::from_millis;
    Host {
        id: name(node),
        node: None,
        life: 0,
        incarnation: Life(0),
        kept: Kept::new(world.shape.groups),
        files: None,
        files_due: None,
        files_held: false,
        clock: match world.narrowing.theme {
            Theme::Everything | Theme::Disks => Clock::draw(world.shape.drift, random),
            Theme::Leases => Clock::draw_wrong(world.shape.drift, random),
        },
        disk: Disk::new(Identity {
            node: name(node),
            voters: voters.clone(),
        }),
        settings: EngineSettings {
            node: name(node),
            voters,
            election_timeout_min: milliseconds(300),
            election_timeout_max: milliseconds(600),
            heartbeat_interval: heartbeat_interval(milliseconds(300)),
            seed: world.seed,
        },
        paused: false,
        inbox: VecDeque::new(),
        wake_number: 0,
        log: BTreeMap::new(),
        applied: LogIndex(0),
        published: BTreeMap::new(),
        holds: BTreeMap::new(),
        fencer_deaf_until: 0,
        fencer_mute_until: 0,
        busy: (0, 0),
        woken_in_vain: 0,
        is_emptied: false,
        differs: false,
        settings_of_groups: BTreeMap::new(),
        stops_at: None,
        role: world.shape.role(node),
        slow_disk_until: 0,
    }
}

fn add_group(world: &mut World, group: usize, random: &mut SplitMix) {
    let size = one_of(random, &[2, 3, 3, 3, 4, 4]);
    let fencing = draw_fencing(world.narrowing.theme, random);
    let first = world.servers.len();
    let shift = usize::try_from(random.below(8)).unwrap_or(0);
    // All servers of a group have the same file.
    let limited = random.below(4) == 0;
    let zero_priority = random.below(8) == 0 && size > 2;
    let history = ReplicationHistory {
        id: draw_id(random),
        offset: ReplicationOffset(1000),
        continues: None,
    };
    for place in 0..size {
        let index = first + place;
        // Strict fencing needs a daemon beside each.
        let host = match fencing {
            Fencing::Strict => (place + shift) % world.shape.with_clients(),
            Fencing::Off | Fencing::Fast => world.shape.server_host(place + shift),
        };
        let port = 6379 + u16::try_from(group * 10 + place).unwrap_or(0);
        let endpoint = Endpoint::new(&format!("10.0.0.{}", host + 1), port);
        let upstream = Upstream::Down { since: None };
        let part = match place {
            0 => Part::Master,
            _ => Part::Replica {
                master: first,
                upstream,
            },
        };
        // Where fencing is strict, whatever starts a server starts it fenced.
        let limits = match fencing {
            Fencing::Strict => WriteLimits::FENCE,
            Fencing::Off | Fencing::Fast => WriteLimits {
                replicas_min: u32::from(limited),
                ..WriteLimits::default()
            },
        };
        let server = Server {
            endpoint: endpoint.expect("an address and a port"),
            host,
            group,
            process: Process::Running,
            life: 1,
            run_id: draw_run_id(random),
            process_id: 100 + u32::try_from(index).unwrap_or(0),
            part,
            history: match place {
                0 => history,
                _ => ReplicationHistory {
                    id: draw_id(random),
                    offset: ReplicationOffset(0),
                    continues: None,
                },
            },
            backlog_from: ReplicationOffset(0),
            has_keys: place == 0,
            priority: match place {
                1 if zero_priority => 0,
                _ => 100,
            },
            reading: None,
            denies: false,
            attempt: 0,
            stalled: Vec::new(),
            knows: None,
            shows: None,
            emptied: false,
            configured: (place > 0).then_some(first),
            limits,
            configured_limits: limits,
            acked_at: 0,
            hold: Hold::default(),
        };
        world.servers.push(server);
        world.try_to_follow(index, 1_000);
        let phase = random.below(1_000_000);
        world.later(phase, Happens::Acknowledges { index });
    }
    let servers: Vec<usize> = (first..first + size).collect();
    let policy = policy(world, &servers, fencing, random);
    // They ran before anybody wanted strict fencing, so they were started otherwise.
    let begins_unfenced = world.narrowing.theme == Theme::Leases && random.below(6) == 0;
    if begins_unfenced {
        for server in &mut world.servers[first..] {
            server.limits = WriteLimits::default();
        }
    }
    let name = format!("group-{group}").parse().expect("a valid name");
    world.groups.push(SimulatedGroup {
        name,
        policy,
        servers,
        sentinels_until: 0,
        disturbed_at: 0,
        begun_at: 0,
        begins_unfenced,
    });
    world.later(10_000, Happens::ClientWrites { group });
}

fn policy(
    world: &World,
    servers: &[usize],
    fencing: Fencing,
    random: &mut SplitMix,
) -> GroupPolicy {
    let milliseconds = Duration::from_millis;
    // Any instance will do in the list: sometimes only some are listed.
    let listed = servers
        .iter()
        .filter(|index| world.servers[**index].is_master());
    let all = servers.iter();
    let endpoint = |index: &usize| world.servers[*index].endpoint.clone();
    let instances = if random.below(7) == 0 {
        listed.map(endpoint).collect()
    } else {
        all.map(endpoint).collect()
    };
    let usual = GroupPolicy {
        instances,
        quorum: world.shape.voters / 2 + 1,
        down_after: milliseconds(1000),
        gone_after: milliseconds(20),
        exited: random.below(4) != 0,
        replica_veto_max: milliseconds(10_000),
        promote_timeout: milliseconds(one_of(random, &[1000, 5000])),
        parallel_syncs: 1,
        lag_max: None,
        readers_lag_max: None,
        cooldown: milliseconds(one_of(random, &[0, 0, 0, 1_000, 10_000])),
        failovers_max: 0,
        take_over: random.below(2) == 0,
        excluded: BTreeSet::new(),
        fencing,
        lease: milliseconds(800),
        isolation_after: milliseconds(1000),
        gone_loss_max: 1 << 20,
        guard: random.below(2) == 0,
        // The settings refuse it without fencing.
        rescue: random.below(3) == 0 && fencing != Fencing::Off,
        rescue_limits: RescueLimits {
            size_max: 1 << 30,
            lasts_max: milliseconds(3000),
        },
    };
    match world.narrowing.theme {
        Theme::Everything | Theme::Disks => usual,
        // Else nobody ever has to wait for a lease.
        Theme::Leases => GroupPolicy {
            lease: milliseconds(one_of(random, &[400, 800, 800, 1600, 1600])),
            down_after: milliseconds(one_of(random, &[300, 500, 1000])),
            cooldown: Duration::ZERO,
            ..usual
        },
    }
}
