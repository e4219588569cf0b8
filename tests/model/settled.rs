//! When a group has settled, and the few reasons for which it honestly cannot.

use promoterd::decision::GroupRecord;

use crate::instance::{Instance, Link, Process, endpoint};
use crate::world::{World, group};

/// Longest time from the last fault to a settled group, in microseconds.
pub const SETTLES_WITHIN: u64 = 45_000_000;
/// It must have held for so long.
pub const HOLDS_FOR: u64 = 200_000;
/// So must a reason why it cannot settle, before it is taken for one.
pub const EXCUSED_AFTER: u64 = 7_000_000;

pub fn is_paused(world: &World) -> bool {
    let length = world.log.length();
    let record = world.log.state_at(length).get(&group());
    record.is_some_and(|record| record.pause().is_some())
}

/// Checks the liveness promises.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn check(world: &World) -> Result<(), String> {
    let leaders = world.nodes.iter().filter(|node| node.leads).count();
    if leaders != 1 {
        return Err(format!("{leaders} leaders"));
    }
    let newest = world.log.state_at(world.log.length()).get(&group());
    let record = newest.ok_or_else(|| "the group is not registered".to_owned())?;
    check_nodes(world, record)?;
    check_instances(world, record)
}

/// All nodes hold the newest state, have told it to their clients, and nothing is under way.
fn check_nodes(world: &World, record: &GroupRecord) -> Result<(), String> {
    if record.mandate().is_some() || record.is_vacant() {
        return Err("an epoch is open".to_owned());
    }
    if record.pause().is_some() {
        return Err("it is paused".to_owned());
    }
    for (node, held) in world.nodes.iter().enumerate() {
        if held.supervisor.records().get(&group()) != Some(record) {
            return Err(format!("{} has not applied the newest state", held.name));
        }
        let published = world.oracle.published(node);
        if published != Some(record.master().endpoint.host()) {
            return Err(format!("{} has published {published:?}", held.name));
        }
    }
    Ok(())
}

fn check_instances(world: &World, record: &GroupRecord) -> Result<(), String> {
    for instance in &world.instances {
        let (name, is_master) = (&instance.name, is_master(instance, record));
        if is_known(instance, record) && instance.limits != instance.configured_limits {
            return Err(format!("{name} does not have back what it had"));
        }
        let is_well = instance.process == Process::Running && !instance.loads;
        if is_master && !(is_well && instance.follows.is_none()) {
            return Err(format!("{name} is not the master that it should be"));
        }
        let follows = instance.follows.as_deref() == Some(record.master().endpoint.host());
        let is_fed = follows && instance.link == Link::Up;
        if !is_master && !is_fed && !is_apart(world, instance, record) {
            return Err(format!("{name} does not follow the master"));
        }
    }
    let is_there = |instance: &Instance| is_master(instance, record);
    match world.instances.iter().any(is_there) {
        true => Ok(()),
        false => Err("the logged master is not there".to_owned()),
    }
}

fn is_master(instance: &Instance, record: &GroupRecord) -> bool {
    endpoint(&instance.name) == record.master().endpoint
        && instance.run_id() == record.master().run_id
}

fn is_known(instance: &Instance, record: &GroupRecord) -> bool {
    record.members().contains(&endpoint(&instance.name))
}

/// One that nobody knows of, or a master with data of its own.
fn is_apart(world: &World, instance: &Instance, record: &GroupRecord) -> bool {
    let history = world.info(&instance.name).history;
    let ids = [Some(history.id), history.continues.map(|(id, _)| id)];
    let shares = ids.iter().flatten().any(|id| record.knows_history(id));
    let is_listed = world.nodes[0]
        .policy
        .instances
        .contains(&endpoint(&instance.name));
    let is_stranger = instance.follows.is_none() && !shares && (instance.has_keys || !is_listed);
    is_stranger || !is_known(instance, record)
}

/// Why this group need not settle, if there is such a reason; each is a state in which only an operator can
/// know what is right.
pub fn excuse(world: &World) -> Option<String> {
    let newest = world.log.state_at(world.log.length()).get(&group());
    let Some(record) = newest else {
        let masters = world.instances.iter().filter(|it| it.follows.is_none());
        let masters = masters.count();
        return (masters != 1)
            .then(|| format!("never registered: {masters} masters at first start"));
    };
    let has_data = |instance: &&Instance| {
        let history = world.info(&instance.name).history;
        record.master().shares(&history)
    };
    let master = world
        .instances
        .iter()
        .find(|it| endpoint(&it.name) == record.master().endpoint);
    let is_master_with_data = master.filter(has_data).is_some();
    let mut others = world
        .instances
        .iter()
        .filter(|it| is_known(it, record) && endpoint(&it.name) != record.master().endpoint);
    let is_eligible = others
        .clone()
        .filter(has_data)
        .any(|instance| instance.priority > 0);
    if is_master_with_data || is_eligible {
        return None;
    }
    others
        .any(|it| has_data(&it))
        .then(|| "only a replica that may not be promoted has the data".to_owned())
}
