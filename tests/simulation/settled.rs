//! When a cluster has settled, and the few reasons for which a group honestly cannot.

use promoterd::decision::{Fencing, GroupRecord};
use promoterd::model::NodeRole;

use super::observers;
use super::server::{Process, Server};
use super::world::{SimulatedGroup, World};

/// Longest time from the last fault to a settled cluster, in microseconds.
pub const SETTLES_WITHIN: u64 = 60_000_000;
/// It must have held for so long.
pub const HOLDS_FOR: u64 = 500_000;
/// So must a reason why it cannot settle, before it is taken for one.
pub const EXCUSED_AFTER: u64 = 8_000_000;

/// Checks the liveness promises.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn check(world: &World) -> Result<(), String> {
    check_leader(world)?;
    let waiting = world.hosts.iter().filter_map(|host| {
        let waiting = host.node.as_ref()?.waiting()?;
        Some(format!("node {} waits: {waiting}", host.id))
    });
    waiting.map(Err).next().unwrap_or(Ok(()))?;
    world
        .groups
        .iter()
        .try_for_each(|group| check_group(world, group))
}

fn check_leader(world: &World) -> Result<(), String> {
    let leaders = world.hosts.iter().filter(|host| {
        let status = host.node.as_ref().map(|node| node.engine_status());
        status.is_some_and(|status| status.established)
    });
    match leaders.count() {
        1 => Ok(()),
        leaders => Err(format!("{leaders} leaders")),
    }
}

fn check_group(world: &World, group: &SimulatedGroup) -> Result<(), String> {
    let newest = world.oracle.newest_record(&group.name);
    let record = newest.ok_or_else(|| format!("{} is not registered", group.name))?;
    check_nodes(world, group, record)?;
    check_servers(world, group, record)
}

/// All nodes hold the newest state, have told it to their clients, and nothing is under way.
fn check_nodes(world: &World, group: &SimulatedGroup, record: &GroupRecord) -> Result<(), String> {
    let name = &group.name;
    if record.mandate().is_some() {
        return Err(format!("{name} has an open epoch"));
    }
    for (node, host) in world.hosts.iter().enumerate() {
        let held = host
            .node
            .as_ref()
            .and_then(|node| node.supervisor().records().get(name));
        if held != Some(record) {
            return Err(format!(
                "node {node} has not applied the newest state of {name}"
            ));
        }
        if host.role == NodeRole::Witness {
            continue;
        }
        let wanted = (record.epoch(), record.master().endpoint.clone());
        let place = world.groups.iter().position(|group| group.name == *name);
        let place = place.expect("it is one of them");
        if host.kept.files[place].as_ref() != Some(&wanted) {
            return Err(format!(
                "the file of {name} on host {node} does not name {wanted:?}"
            ));
        }
        if !host.kept.has_forgotten && host.kept.read[place].as_ref() != Some(&wanted) {
            return Err(format!(
                "the client of {name} on host {node} has not read {wanted:?}"
            ));
        }
    }
    observers::check(world, name, record)
}

fn check_servers(
    world: &World,
    group: &SimulatedGroup,
    record: &GroupRecord,
) -> Result<(), String> {
    let master = world.server_at(&record.master().endpoint);
    let master = master.ok_or_else(|| "the master is no server".to_owned())?;
    let held = &world.servers[master];
    for index in &group.servers {
        let server = &world.servers[*index];
        let is_kept = server.limits == server.configured_limits;
        let is_right = match group.policy.fencing {
            Fencing::Strict => server.is_fenced() == (*index != master),
            Fencing::Off | Fencing::Fast => is_kept,
        };
        if record.members().contains(&server.endpoint) && !is_right {
            let limits = server.limits;
            return Err(format!(
                "server {index} does not have back what it had: {limits}"
            ));
        }
    }
    if !held.is_writable() || held.run_id != record.master().run_id {
        return Err(format!(
            "server {master} is not the master that it should be"
        ));
    }
    for index in group
        .servers
        .iter()
        .copied()
        .filter(|index| *index != master)
    {
        let server = &world.servers[index];
        if server.process != Process::Running {
            // A fencer ended it.
            return Err(format!("server {index} does not run"));
        }
        // One that is not listed, and died before its master was asked about it, nobody knows of.
        let is_known = record.members().contains(&server.endpoint);
        // What is not the group's is not touched.
        let is_ours = is_known && !is_stranger(group, record, server);
        if is_ours && (server.follows() != Some(master) || !server.is_fed()) {
            return Err(format!("server {index} does not follow server {master}"));
        }
    }
    Ok(())
}

/// Nobody that may be promoted holds the logged history: whether that is for the operator to mend.
fn without_data<'a>(
    world: &World,
    record: &GroupRecord,
    mut servers: impl Iterator<Item = &'a Server>,
) -> Option<String> {
    let master = world.server_at(&record.master().endpoint);
    let has_its_data = |server: &Server| record.master().shares(&server.history);
    if master.is_some_and(|index| has_its_data(&world.servers[index])) {
        // It is kept, or promoted anew.
        return None;
    }
    // Else the group goes on with the best of what is left.
    servers
        .any(has_its_data)
        .then(|| "only a replica that may not be promoted has the data".to_owned())
}

/// Why this cluster need not settle, if there is such a reason, and all but the servers concerned is
/// as it should be; each is a state in which only an operator can know what is right.
pub fn excuse(world: &World) -> Option<String> {
    check_leader(world).ok()?;
    let mut excuse = None;
    for group in &world.groups {
        if check_group(world, group).is_ok() {
            continue;
        }
        let why = excuse_group(world, group)?;
        if let Some(record) = world.oracle.newest_record(&group.name) {
            check_nodes(world, group, record).ok()?;
        }
        excuse.get_or_insert(why);
    }
    excuse
}

fn excuse_group(world: &World, group: &SimulatedGroup) -> Option<String> {
    let servers = || group.servers.iter().map(|index| &world.servers[*index]);
    let Some(record) = world.oracle.newest_record(&group.name) else {
        let masters: Vec<&Server> = servers().filter(|server| server.is_master()).collect();
        return match masters.as_slice() {
            [only] if is_named(world, group, only) => None,
            [_] => Some("never registered: no listed server leads to the only master".to_owned()),
            _ => Some(format!(
                "never registered: {} masters at first start",
                masters.len()
            )),
        };
    };
    let lives = servers().any(|server| {
        server.run_id == record.master().run_id
            && server.endpoint == record.master().endpoint
            && server.is_master()
    });
    let eligible = servers().any(|server| {
        // One that nobody knows of is no help.
        record.members().contains(&server.endpoint)
            && server.endpoint != record.master().endpoint
            && server.priority > 0
            && record.master().shares(&server.history)
    });
    if lives || eligible {
        return None;
    }
    without_data(world, record, servers())
}

/// Whether a master is listed, or some listed server follows it or one that does: else a stranger has turned
/// all of these elsewhere, and nothing in the settings says where the group is.
fn is_named(world: &World, group: &SimulatedGroup, master: &Server) -> bool {
    let leads_to_it = |index: &usize| {
        let mut upstream = Some(*index);
        // They may follow one another in a circle.
        for _ in 0..world.servers.len() {
            let Some(server) = upstream.map(|index| &world.servers[index]) else {
                return false;
            };
            if server.endpoint == master.endpoint {
                return true;
            }
            upstream = server.follows();
        }
        false
    };
    let servers = group.servers.iter();
    let mut listed = servers.filter(|index| {
        let endpoint = &world.servers[**index].endpoint;
        group.policy.instances.contains(endpoint)
    });
    listed.any(leads_to_it)
}

/// A master with data of its own, or one that is not listed.
fn is_stranger(group: &SimulatedGroup, record: &GroupRecord, server: &Server) -> bool {
    let continues = server.history.continues.map(|(id, _)| id);
    let ids = [Some(server.history.id), continues];
    let is_known = ids.iter().flatten().any(|id| record.knows_history(id));
    let is_listed = group.policy.instances.contains(&server.endpoint);
    server.is_master()
        && server.endpoint != record.master().endpoint
        && !is_known
        && (server.has_keys || !is_listed)
}
