//! When a cluster has settled, and the few reasons for which a group honestly cannot.

use promoterd::decision::GroupRecord;

use super::server::Process;
use super::world::{SimulatedGroup, World};

/// Longest time from the last fault to a settled cluster, in microseconds.
pub const SETTLES_WITHIN: u64 = 60_000_000;
/// It must have held for so long.
pub const HOLDS_FOR: u64 = 1_000_000;

/// Checks the liveness promises.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn check(world: &World) -> Result<(), String> {
    let leaders = world.hosts.iter().filter(|host| {
        let status = host.node.as_ref().map(|node| node.engine_status());
        status.is_some_and(|status| status.established)
    });
    let leaders = leaders.count();
    if leaders != 1 {
        return Err(format!("{leaders} leaders"));
    }
    world.groups.iter().try_for_each(|group| check_group(world, group))
}

fn check_group(world: &World, group: &SimulatedGroup) -> Result<(), String> {
    let name = &group.name;
    let newest = world.oracle.newest_record(name);
    let record = newest.ok_or_else(|| format!("{name} is not registered"))?;
    if record.mandate().is_some() {
        return Err(format!("{name} has an open epoch"));
    }
    for (node, host) in world.hosts.iter().enumerate() {
        let held = host.node.as_ref().and_then(|node| node.supervisor().records().get(name));
        if held != Some(record) {
            return Err(format!("node {node} has not applied the newest state of {name}"));
        }
        let wanted = (record.epoch(), record.master().endpoint.clone());
        if host.published.get(name) != Some(&wanted) {
            return Err(format!("node {node} has not published {wanted:?}"));
        }
    }
    check_servers(world, group, record)
}

fn check_servers(world: &World, group: &SimulatedGroup, record: &GroupRecord) -> Result<(), String> {
    let master = world.server_at(&record.master().endpoint);
    let master = master.ok_or_else(|| "the master is no server".to_owned())?;
    let held = &world.servers[master];
    if !held.is_writable() || held.run_id != record.master().run_id {
        return Err(format!("server {master} is not the master that it should be"));
    }
    for index in group.servers.iter().copied().filter(|index| *index != master) {
        let server = &world.servers[index];
        assert_eq!(server.process, Process::Running, "all faults have ended");
        if server.follows() != Some(master) || !server.is_fed() {
            return Err(format!("server {index} does not follow server {master}"));
        }
    }
    Ok(())
}

/// Why this cluster need not settle, if there is such a reason; each is a state in which only an
/// operator can know what is right.
pub fn excuse(world: &World) -> Option<String> {
    world.groups.iter().find_map(|group| excuse_group(world, group))
}

fn excuse_group(world: &World, group: &SimulatedGroup) -> Option<String> {
    let servers = || group.servers.iter().map(|index| &world.servers[*index]);
    let Some(record) = world.oracle.newest_record(&group.name) else {
        let masters = servers().filter(|server| server.is_master()).count();
        return (masters != 1).then(|| format!("never registered: {masters} masters at first start"));
    };
    let lives = servers().any(|server| {
        server.run_id == record.master().run_id
            && server.endpoint == record.master().endpoint
            && server.is_master()
    });
    let eligible = servers().any(|server| {
        server.endpoint != record.master().endpoint
            && server.priority > 0
            && record.master().shares(&server.history)
    });
    if !lives && !eligible {
        return Some("no replica with the group's data that may be promoted".to_owned());
    }
    servers()
        .any(|server| {
            server.is_master() && server.endpoint != record.master().endpoint && server.has_keys
                && !record.knows_history(&server.history.id)
                && server.history.continues.is_none_or(|(id, _)| !record.knows_history(&id))
        })
        .then(|| "a stranger with data of its own".to_owned())
}
