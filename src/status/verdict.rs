//! What is wrong, in words, the gravest first: for `/readyz` and for the first line of a person.

use super::schema::{DifferingReport, FileReport, GroupReport, InstanceReport, StatusReport};
use super::schema_observers::FollowingReport;
use super::text::span;
use crate::decision::Phase;
use crate::model::{Endpoint, Epoch};

/// What keeps this node from its work; nothing when it is ready.
#[must_use]
pub fn obstacles(report: &StatusReport) -> Vec<String> {
    if let Some(following) = &report.following {
        return doubts(following);
    }
    let mut obstacles = Vec::new();
    if let Some(waiting) = &report.waiting {
        obstacles.push(format!("this node is no voter yet: {waiting}"));
    }
    let is_born = report.cluster.is_some();
    if report.leader.is_none() && is_born {
        obstacles.push(
            "no leader: nothing is promoted until a majority of the voters can talk".to_owned(),
        );
    }
    if !report.confirmed && is_born {
        obstacles.push(
            "no leader has confirmed this node's state yet: its files are not touched".to_owned(),
        );
    }
    for group in report.groups.iter().filter(|group| group.master.is_none()) {
        let waiting = group.waiting.as_deref().unwrap_or("its master is sought");
        obstacles.push(format!("group {} is not registered: {waiting}", group.name));
    }
    obstacles
}

/// What an observer has to say against what it knows.
fn doubts(following: &FollowingReport) -> Vec<String> {
    let Some(stale) = following.stale_ms.map(span) else {
        return Vec::new();
    };
    let why = match &following.voter {
        Some(voter) => format!("voter {voter} knows no leader"),
        None => "no voter is followed".to_owned(),
    };
    let known = match following.informed {
        true => "the files name the last masters that are known",
        false => "and nothing is known yet: no file is touched",
    };
    vec![format!("stale for {stale}: {why}; {known}")]
}

/// What is wrong at an observer: it has no part in anything but its files.
fn problems_of_observer(report: &StatusReport, following: &FollowingReport) -> Vec<String> {
    let mut problems = doubts(following);
    let unknown = following.unknown.iter().filter(|_| following.informed);
    problems.extend(unknown.map(|name| {
        format!(
            "group {name} is not known to the voters: correct PROMOTERD_CLIENTS__…__GROUP, or wait until they have \
             registered it"
        )
    }));
    let files = report.groups.iter().flat_map(|group| {
        let epoch = group.epoch.unwrap_or_default();
        let files = group.files.iter();
        files.filter_map(move |file| file_problem(file, epoch))
    });
    problems.extend(files);
    let unsaved = following.unsaved.as_ref();
    problems.extend(unsaved.map(|error| format!("the state is not kept on disk: {error}")));
    problems
}

/// All that a person should see to; nothing when all is well.
///
/// First what keeps the node from its work, then masters, pauses, files, replicas and voters.
#[must_use]
pub fn problems(report: &StatusReport) -> Vec<String> {
    if let Some(following) = &report.following {
        return problems_of_observer(report, following);
    }
    let mut problems = obstacles(report);
    let decided = || {
        report.groups.iter().filter_map(|group| {
            let master = group.master.as_ref()?;
            Some((group, master, group.epoch?))
        })
    };
    problems.extend(decided().filter_map(|(group, master, _)| master_problem(group, master)));
    problems.extend(report.groups.iter().filter_map(pause_problem));
    for (group, _, epoch) in decided() {
        problems.extend(
            group
                .files
                .iter()
                .filter_map(|file| file_problem(file, epoch)),
        );
    }
    for (group, _, _) in decided() {
        problems.extend(settings_problems(group, report));
        problems.extend(replica_problems(group));
        problems.extend(guard_problems(group));
    }
    problems.extend(
        report
            .voters
            .iter()
            .filter(|voter| !voter.connected)
            .map(|voter| {
                let reason = voter.last_error.as_deref().unwrap_or("not yet");
                format!("voter {} is not connected: {reason}", voter.node)
            }),
    );
    problems
}

/// The leader's settings are those that count, so whoever has others is the one to be named.
fn settings_problems(group: &GroupReport, report: &StatusReport) -> Vec<String> {
    let name = &group.name;
    let advice = "make the PROMOTERD_GROUPS__F__ lines equal on all hosts";
    let leader = group.differing.iter();
    let leader = leader
        .clone()
        .find(|it| report.leader.as_ref() == Some(&it.node));
    if let Some(DifferingReport { node, difference }) = leader {
        return vec![format!(
            "group {name}: the settings of this node are not those of the leader ({node} {difference}): \
             {advice}"
        )];
    }
    let differing = group.differing.iter();
    let problem = |DifferingReport { node, difference }: &DifferingReport| {
        format!("group {name}: settings are not equal, {node} {difference}: {advice}")
    };
    differing.map(problem).collect()
}

fn guard_problems(group: &GroupReport) -> Vec<String> {
    let troubles = group.guard.iter().flat_map(|guard| &guard.troubles);
    troubles
        .map(|trouble| {
            let (name, endpoint) = (&group.name, &trouble.endpoint);
            format!(
                "group {name}: the guard is not in force: {endpoint} {}",
                trouble.reason
            )
        })
        .collect()
}

fn pause_problem(group: &GroupReport) -> Option<String> {
    let name = &group.name;
    if let (None, Some(watch)) = (&group.paused, &group.deferred_to) {
        return Some(format!(
            "group {name} is watched by {} Sentinels too (at {}): nothing is done about it until they \
             are stopped, or TAKE_OVER is set",
            watch.sentinels, watch.instance
        ));
    }
    let pause = group.paused.as_ref()?;
    Some(format!(
        "group {name} is paused by {}: nothing is done about it (`promoterd resume {name}` ends that)",
        pause.by
    ))
}

fn master_problem(group: &GroupReport, master: &Endpoint) -> Option<String> {
    let name = &group.name;
    let phase = group.phase.as_str();
    if phase == Phase::Suspecting.as_str() {
        let nodes: Vec<&str> = group.down.iter().map(|down| down.node.as_str()).collect();
        return Some(format!(
            "group {name}: master {master} is held down or suspected by {}, which is not enough to act",
            nodes.join(", ")
        ));
    }
    if phase == Phase::Down.as_str() {
        let advice = match &group.awaited {
            _ if group.paused.is_some() => {
                "and nothing is done about it while the group is paused".to_owned()
            }
            _ if group.deferred_to.is_some() => {
                "and that is left to the Sentinels that watch it".to_owned()
            }
            Some(awaited) => format!("waiting for {awaited}"),
            None if group.passed_over.is_empty() => "and nobody has been promoted yet".to_owned(),
            None => "and nobody can be promoted".to_owned(),
        };
        return Some(format!("group {name}: master {master} is down, {advice}"));
    }
    if phase != Phase::Watching.as_str() {
        return Some(format!("group {name}: a failover is under way ({phase})"));
    }
    match &group.master_instance {
        Some(instance) if instance.healthy => None,
        Some(instance) => Some(format!(
            "group {name}: master {master} is not well: {}",
            ailment(instance)
        )),
        None => Some(format!(
            "group {name}: master {master} is not watched from here"
        )),
    }
}

fn file_problem(file: &FileReport, epoch: Epoch) -> Option<String> {
    let FileReport { client, path, .. } = file;
    let behind = match file.epoch {
        Some(named) if named >= epoch => None,
        Some(named) => Some(format!("names the master of epoch {named}, not {epoch}")),
        None => Some("is not known to name the master".to_owned()),
    };
    let what = match (behind, &file.error) {
        (None, None) => return None,
        (Some(behind), None) => behind,
        (None, Some(error)) => error.clone(),
        (Some(behind), Some(error)) => format!("{behind}: {error}"),
    };
    Some(format!("client {client}: file {path}: {what}"))
}

fn replica_problems(group: &GroupReport) -> Vec<String> {
    let name = &group.name;
    if group.replicas.is_empty() {
        return vec![format!(
            "group {name} has no replica: nobody could take its master's place"
        )];
    }
    group
        .replicas
        .iter()
        .filter(|replica| !replica.healthy)
        .map(|replica| {
            format!(
                "group {name}: replica {} is not well: {}",
                replica.endpoint,
                ailment(replica)
            )
        })
        .collect()
}

fn ailment(instance: &InstanceReport) -> String {
    match (instance.down, &instance.trouble) {
        (Some(cause), Some(trouble)) => format!("{cause} ({trouble})"),
        (Some(cause), None) => cause.to_string(),
        (None, Some(trouble)) => trouble.clone(),
        (None, None) => "it has not answered lately".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Difference;
    use crate::status::{StatusSource, example};

    fn problems_of(source: &StatusSource) -> Vec<String> {
        problems(&StatusReport::from(source))
    }

    #[test]
    fn a_healthy_cluster_has_no_problem() {
        assert_eq!(problems_of(&example::healthy()), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_trouble_is_named_once() {
        assert_eq!(
            problems_of(&example::discovering()),
            [
                "no leader: nothing is promoted until a majority of the voters can talk",
                "no leader has confirmed this node's state yet: its files are not touched",
                "group features is not registered: no answer from 10.0.0.3:6379 (connection \
                 refused): start them, or take them out of INSTANCES",
            ]
        );
        assert_eq!(
            problems_of(&example::suspecting()),
            [
                "group features: master 10.0.0.1:6379 is held down or suspected by a, b, which is \
                 not enough to act"
            ]
        );
        assert_eq!(
            problems_of(&example::after_failover()),
            [
                "group features: replica 10.0.0.1:6379 is not well: copying the master's data",
                "voter c is not connected: connection refused",
            ]
        );
        assert_eq!(
            problems_of(&example::file_errors()),
            [
                "client api: file /etc/api/redis.env: names the master of epoch 1, not 2: cannot \
                 write /etc/api: permission denied\u{1b}[2J",
                "client worker: file /etc/worker/app.toml: names the master of epoch 1, not 2",
            ]
        );
    }

    #[test]
    fn every_phase_but_watching_is_a_problem() {
        for (phase, expected) in [
            (
                Phase::Down,
                "group features: master 10.0.0.1:6379 is down, and nobody has been promoted yet",
            ),
            (
                Phase::Choosing,
                "group features: a failover is under way (choosing)",
            ),
            (
                Phase::Beginning,
                "group features: a failover is under way (beginning)",
            ),
            (
                Phase::Promoting,
                "group features: a failover is under way (promoting)",
            ),
            (
                Phase::Ending,
                "group features: a failover is under way (ending)",
            ),
        ] {
            let mut source = example::healthy();
            source.groups[0].phase = phase;
            assert_eq!(problems_of(&source), [expected]);
        }
    }

    #[test]
    fn a_master_that_this_node_cannot_use_is_a_problem_though_nobody_holds_it_down() {
        let mut source = example::healthy();
        source.groups[0].instances[0].is_healthy = false;
        source.groups[0].instances[0].trouble = Some("loading its data set".to_owned());
        assert_eq!(
            problems_of(&source),
            ["group features: master 10.0.0.1:6379 is not well: loading its data set"]
        );
        source.groups[0].instances[0].trouble = None;
        assert_eq!(
            problems_of(&source),
            ["group features: master 10.0.0.1:6379 is not well: it has not answered lately"]
        );
    }

    #[test]
    fn a_group_without_a_replica_is_not_well() {
        let mut source = example::healthy();
        source.groups[0].instances.truncate(1);
        assert_eq!(
            problems_of(&source),
            ["group features has no replica: nobody could take its master's place"]
        );
    }

    #[test]
    fn whoever_has_other_settings_than_the_leader_is_named_once() {
        let named = |differing: &[(&str, Difference)], leader: &str| {
            let mut source = example::healthy();
            source.engine.leader = Some(leader.parse().unwrap());
            let differing = differing.iter();
            source.groups[0].differing = differing
                .map(|(node, difference)| (node.parse().unwrap(), difference.clone()))
                .collect();
            problems_of(&source)
        };
        let keys = vec!["QUORUM".to_owned(), "GUARD".to_owned()];
        let differs = Difference::Differs { keys };
        let advice = "make the PROMOTERD_GROUPS__F__ lines equal on all hosts";
        let both = [("a", differs.clone()), ("c", Difference::NoGroup)];
        assert_eq!(
            named(&both, "b"),
            [
                format!(
                    "group features: settings are not equal, a differs in QUORUM and GUARD: {advice}"
                ),
                format!(
                    "group features: settings are not equal, c does not have the group: {advice}"
                ),
            ]
        );
        assert_eq!(
            named(&both, "a"),
            [format!(
                "group features: the settings of this node are not those of the leader (a differs in QUORUM \
                 and GUARD): {advice}"
            )]
        );
        assert_eq!(named(&[], "b"), Vec::<String>::new());
    }

    #[test]
    fn only_what_keeps_a_node_from_its_work_is_an_obstacle() {
        for source in [
            example::healthy(),
            example::after_failover(),
            example::suspecting(),
            example::file_errors(),
        ] {
            assert_eq!(
                obstacles(&StatusReport::from(&source)),
                Vec::<String>::new()
            );
        }
    }
}
