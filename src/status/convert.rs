//! From what the loop knows to what the socket says.

use std::cmp::Reverse;
use std::time::Duration;

use super::convert_observers::followed_report;
use super::schema::{
    ClientReloadReport, DifferingReport, DownReport, FenceHolder, FenceReport, FileReport,
    GroupAnswer, GroupReport, GuardReport, InstanceReport, PassedOver, SCHEMA, StatusReport,
    VoterReport,
};
use super::schema_history::{FailoverReport, HistoryReport};
use super::schema_observers::{FollowingReport, ObserverReport};
use super::schema_pause::PauseReport;
use super::schema_switchover::GivenUpReport;
use super::source::{FileOverview, StatusSource, VoterOverview};
use crate::decision::{
    Difference, DownOverview, FenceOverview, GroupOverview, GuardOverview, Ineligible,
    InstanceOverview,
};
use crate::model::{Endpoint, GroupName, NodeId};

/// Failovers that a group shows in `/v1/status`; the others are in `/v1/history`.
const LAST_FAILOVERS_MAX: usize = 5;
/// Failovers in `/v1/history`, so that an answer stays below what a client takes.
const HISTORY_MAX: usize = 1000;

impl From<&StatusSource> for StatusReport {
    fn from(source: &StatusSource) -> Self {
        Self {
            schema: SCHEMA,
            node: source.node.clone(),
            role: source.engine.role,
            leader: source.engine.leader.clone(),
            term: source.engine.term,
            cluster: source.cluster.map(|cluster| cluster.to_string()),
            incarnation: source.incarnation.to_string(),
            waiting: source.waiting.clone(),
            voters: source.voters.iter().map(VoterReport::from).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: milliseconds(source.uptime),
            confirmed: source.confirmed,
            following: source.following.as_ref().map(FollowingReport::from),
            observers: source
                .observers
                .as_ref()
                .map(|observers| observers.iter().map(ObserverReport::from).collect()),
            groups: group_reports(source).collect(),
        }
    }
}

/// Those that a voter watches, or those that an observer was told of.
fn group_reports(source: &StatusSource) -> impl Iterator<Item = GroupReport> {
    let followed = source
        .following
        .iter()
        .flat_map(|following| &following.groups);
    let followed = followed.map(|group| followed_report(group, source));
    let watched = source.groups.iter();
    watched
        .map(|group| group_report(group, source))
        .chain(followed)
}

impl From<&StatusSource> for HistoryReport {
    fn from(source: &StatusSource) -> Self {
        let mut failovers: Vec<FailoverReport> = source
            .groups
            .iter()
            .flat_map(|group| &group.failovers)
            .map(FailoverReport::from)
            .collect();
        failovers.sort_by_key(|failover| Reverse((failover.at, failover.epoch)));
        failovers.truncate(HISTORY_MAX);
        let mut pauses: Vec<PauseReport> = source
            .groups
            .iter()
            .flat_map(|group| &group.pauses)
            .map(PauseReport::from)
            .collect();
        pauses.sort_by_key(|pause| Reverse(pause.at));
        pauses.truncate(HISTORY_MAX);
        let given_up = source.groups.iter().flat_map(|group| &group.given_up);
        let mut given_up: Vec<GivenUpReport> = given_up.map(GivenUpReport::from).collect();
        given_up.sort_by_key(|given_up| Reverse(given_up.at));
        given_up.truncate(HISTORY_MAX);
        Self {
            schema: SCHEMA,
            failovers,
            pauses,
            given_up,
        }
    }
}

impl GroupAnswer {
    /// The group called `name`, if there is one.
    #[must_use]
    pub fn find(source: &StatusSource, name: &str) -> Option<Self> {
        let group = group_reports(source).find(|group| group.name.as_str() == name)?;
        Some(Self {
            schema: SCHEMA,
            group,
        })
    }
}

impl From<&VoterOverview> for VoterReport {
    fn from(voter: &VoterOverview) -> Self {
        Self {
            node: voter.node.clone(),
            connected: voter.connected,
            is_self: voter.is_self,
            role: voter.role,
            address: voter.address.clone(),
            since_ms: voter.since.map(milliseconds),
            last_error: voter.last_error.clone(),
        }
    }
}

pub(super) fn files_of(group: &GroupName, source: &StatusSource) -> Vec<FileReport> {
    let files = source.files.iter();
    files
        .filter(|file| file.group == *group)
        .map(FileReport::from)
        .collect()
}

fn group_report(group: &GroupOverview, source: &StatusSource) -> GroupReport {
    let (master, replicas): (Vec<_>, Vec<_>) = group
        .instances
        .iter()
        .partition(|instance| instance.is_master);
    let decided = group.decided.as_ref();
    GroupReport {
        name: group.name.clone(),
        epoch: decided.map(|decided| decided.epoch),
        phase: group.phase.as_str().to_owned(),
        master: decided.map(|decided| decided.master.clone()),
        master_run_id: decided.map(|decided| decided.run_id),
        waiting: waiting(group, source),
        differing: group.differing.iter().map(DifferingReport::from).collect(),
        paused: current_pause(group),
        deferred_to: group.deferred_to.clone(),
        master_instance: master.first().copied().map(InstanceReport::from),
        replicas: replicas.into_iter().map(InstanceReport::from).collect(),
        readers: source.readers.get(&group.name).cloned().unwrap_or_default(),
        down: group.down.iter().map(DownReport::from).collect(),
        passed_over: group.passed_over.iter().map(PassedOver::from).collect(),
        awaited: group.awaited.clone(),
        guard: group.guard.as_ref().map(GuardReport::from),
        files: files_of(&group.name, source),
        failovers: group
            .failovers
            .iter()
            .rev()
            .take(LAST_FAILOVERS_MAX)
            .map(FailoverReport::from)
            .collect(),
    }
}

/// A leader whose settings are its own registers nothing, though a majority may agree without it.
fn waiting(group: &GroupOverview, source: &StatusSource) -> Option<String> {
    if group.decided.is_some() || group.waiting.is_some() {
        return group.waiting.as_ref().map(ToString::to_string);
    }
    let leader = source.engine.leader.as_ref()?;
    let (node, difference) = group.differing.iter().find(|(node, _)| node == leader)?;
    Some(format!(
        "{node}, which leads, to have the settings of the others ({difference}): make the \
         PROMOTERD_GROUPS__F__ lines equal on all hosts, then reload or restart promoterd there"
    ))
}

impl From<&GuardOverview> for GuardReport {
    fn from(guard: &GuardOverview) -> Self {
        let trouble = |(endpoint, reason): &(Endpoint, String)| PassedOver {
            endpoint: endpoint.clone(),
            reason: reason.clone(),
        };
        Self {
            in_force: guard.admitted && guard.armed == guard.replicas,
            armed: guard.armed,
            replicas: guard.replicas,
            troubles: guard.troubles.iter().map(trouble).collect(),
        }
    }
}

impl From<&(NodeId, Difference)> for DifferingReport {
    fn from((node, difference): &(NodeId, Difference)) -> Self {
        Self {
            node: node.clone(),
            difference: difference.clone(),
        }
    }
}

fn current_pause(group: &GroupOverview) -> Option<PauseReport> {
    let last = group.pauses.last()?;
    let left_ms = group.pause_left.map(milliseconds);
    last.ended.is_none().then(|| PauseReport {
        left_ms,
        ..PauseReport::from(last)
    })
}

impl From<&InstanceOverview> for InstanceReport {
    fn from(instance: &InstanceOverview) -> Self {
        Self {
            endpoint: instance.endpoint.clone(),
            healthy: instance.is_healthy,
            offset: instance.offset,
            lag_bytes: instance.lag_bytes,
            role: instance.role.map(str::to_owned),
            version: instance.version.clone(),
            priority: instance.priority,
            trouble: instance.trouble.clone(),
            down: instance.down,
            member: instance.is_member,
            read_ms_ago: instance.read_ago.map(milliseconds),
            fence: instance.fence.as_ref().map(FenceReport::from),
        }
    }
}

impl From<&FenceOverview> for FenceReport {
    fn from(fence: &FenceOverview) -> Self {
        let holders = fence.holders.iter();
        Self {
            held_by: holders
                .map(|(node, cause, held_for)| FenceHolder {
                    node: node.clone(),
                    cause: *cause,
                    for_ms: milliseconds(*held_for),
                })
                .collect(),
            lifted_by: fence.lifted_by.clone(),
        }
    }
}

impl From<&DownOverview> for DownReport {
    fn from(down: &DownOverview) -> Self {
        Self {
            node: down.node.clone(),
            cause: down.cause,
            for_ms: milliseconds(down.held_for),
        }
    }
}

impl From<&(Endpoint, Ineligible)> for PassedOver {
    fn from((endpoint, reason): &(Endpoint, Ineligible)) -> Self {
        Self {
            endpoint: endpoint.clone(),
            reason: reason.to_string(),
        }
    }
}

impl From<&FileOverview> for FileReport {
    fn from(file: &FileOverview) -> Self {
        Self {
            client: file.client.clone(),
            path: file.path.to_string_lossy().into_owned(),
            epoch: file.epoch,
            error: file
                .error
                .clone()
                .or_else(|| file.reload.as_ref()?.error.clone()),
            check_output: file.check_output.clone(),
            reload: file.reload.as_ref().map(|reload| ClientReloadReport {
                state: reload.standing,
                epoch: reload.epoch,
                error: reload.error.clone(),
                output: reload.output.clone(),
            }),
        }
    }
}

pub(super) fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::status::{OutcomeName, example};

    fn value(source: &StatusSource) -> Value {
        serde_json::to_value(StatusReport::from(source)).unwrap()
    }

    #[test]
    fn the_fields_that_scripts_rely_on_are_there_under_their_names() {
        let status = value(&example::after_failover());
        assert_eq!(status["schema"], 1);
        assert_eq!(status["node"], "b");
        assert_eq!(status["role"], "leader");
        assert_eq!(status["leader"], "b");
        assert_eq!(status["term"], 7);
        assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(status["uptime_ms"], 7_500_000);
        assert_eq!(status["confirmed"], true);
        assert_eq!(
            status["voters"][2],
            json!({
                "node": "c", "connected": false, "is_self": false, "role": "voter", "address": "10.0.0.3:7400",
                "since_ms": 3200, "last_error": "connection refused"
            })
        );
        let group = &status["groups"][0];
        assert_eq!(group["name"], "features");
        assert_eq!(group["epoch"], 2);
        assert_eq!(group["phase"], "watching");
        assert_eq!(group["master"], "10.0.0.2:6379");
        assert_eq!(group["master_instance"]["endpoint"], "10.0.0.2:6379");
        assert_eq!(
            group["replicas"][1],
            json!({
                "endpoint": "10.0.0.3:6379", "healthy": true, "offset": 88_000,
                "lag_bytes": 1536, "role": "replica", "version": "redis 7.0.15", "priority": 100,
                "trouble": null, "down": null, "member": true, "read_ms_ago": 120, "fence": null
            })
        );
        assert_eq!(
            group["files"],
            json!([
                {
                    "client": "api", "path": "/etc/api/redis.env", "epoch": 2, "error": null,
                    "check_output": "", "reload": null
                }
            ])
        );
    }

    #[test]
    fn who_holds_a_master_down_is_told_with_the_cause_and_the_age() {
        let status = value(&example::suspecting());
        assert_eq!(status["groups"][0]["phase"], "suspecting");
        assert_eq!(
            status["groups"][0]["down"],
            json!([
                {"node": "a", "cause": "wrong_role", "for_ms": 1250},
                {"node": "b", "cause": null, "for_ms": 300}
            ])
        );
    }

    #[test]
    fn a_group_that_is_not_registered_has_neither_epoch_nor_master() {
        let status = value(&example::discovering());
        let group = &status["groups"][0];
        assert_eq!(group["epoch"], Value::Null);
        assert_eq!(group["master"], Value::Null);
        assert_eq!(group["master_instance"], Value::Null);
        assert_eq!(group["replicas"].as_array().unwrap().len(), 2);
        assert_eq!(
            group["waiting"],
            "no answer from 10.0.0.3:6379 (connection refused): start them, or take them out of \
             INSTANCES"
        );
    }

    #[test]
    fn whoever_has_other_settings_is_told_with_the_keys() {
        let mut source = example::healthy();
        let keys = vec!["QUORUM".to_owned()];
        source.groups[0].differing = vec![
            ("a".parse().unwrap(), Difference::Differs { keys }),
            ("c".parse().unwrap(), Difference::NoGroup),
        ];
        assert_eq!(
            value(&source)["groups"][0]["differing"],
            json!([
                {"node": "a", "settings": "differs", "keys": ["QUORUM"]},
                {"node": "c", "settings": "no_group"}
            ])
        );
        assert_eq!(value(&source)["groups"][0]["waiting"], Value::Null);
        source.engine.leader = Some("a".parse().unwrap());
        source.groups[0].decided = None;
        assert_eq!(
            value(&source)["groups"][0]["waiting"],
            "a, which leads, to have the settings of the others (differs in QUORUM): make the \
             PROMOTERD_GROUPS__F__ lines equal on all hosts, then reload or restart promoterd there"
        );
    }

    #[test]
    fn a_failover_is_told_with_views_steps_and_loss() {
        let source = example::after_failover();
        let history = serde_json::to_value(HistoryReport::from(&source)).unwrap();
        assert_eq!(
            history["failovers"][0],
            json!({
                "group": "features", "epoch": 2, "from": "10.0.0.1:6379", "to": "10.0.0.2:6379",
                "at": 1_770_000_000_123_u64, "cause": "gone",
                "asked_by": null, "reason": null, "operation": null,
                "views": [{"node": "a", "cause": "gone"}, {"node": "b", "cause": "silent"}],
                "needed": 2, "outcome": "done", "why": null,
                "passed_over": [
                    {"endpoint": "10.0.0.4:6379", "reason": "its priority is 0"}
                ],
                "steps": [
                    {"step": "agreed", "after_ms": 20.412, "took_ms": 20.412},
                    {"step": "begun", "after_ms": 22.0, "took_ms": 1.588},
                    {"step": "promoted", "after_ms": 23.125, "took_ms": 1.125},
                    {"step": "files_rewritten", "after_ms": 1031.5, "took_ms": 1008.375}
                ],
                "loss_estimate_bytes": 4096, "loss_bytes": 1234, "leader": "b"
            })
        );
    }

    #[test]
    fn an_aborted_failover_says_why() {
        let history = HistoryReport::from(&example::aborted());
        let aborted = &history.failovers[0];
        assert_eq!(aborted.outcome, OutcomeName::Aborted);
        assert_eq!(
            aborted.why.as_deref(),
            Some("the candidate was not promoted within 2000 ms")
        );
    }

    #[test]
    fn history_is_newest_first_across_groups_and_bounded_in_a_status() {
        let mut source = example::after_failover();
        let first = source.groups[0].failovers[0].clone();
        source.groups[0].failovers = (2..12_u64)
            .map(|epoch| {
                let mut record = first.clone();
                record.begin.epoch = crate::model::Epoch(epoch);
                record.begin.at = crate::model::UnixTime(1000 * epoch);
                record
            })
            .collect();
        let mut other = source.groups[0].clone();
        other.name = "sessions".parse().unwrap();
        for record in &mut other.failovers {
            record.begin.group = other.name.clone();
            record.begin.at.0 += 500;
        }
        source.groups.push(other);
        let history = HistoryReport::from(&source);
        let order: Vec<(&str, u64)> = history
            .failovers
            .iter()
            .take(3)
            .map(|failover| (failover.group.as_str(), failover.epoch.0))
            .collect();
        assert_eq!(
            order,
            [("sessions", 11), ("features", 11), ("sessions", 10)]
        );
        assert_eq!(history.failovers.len(), 20);
        let shown = &StatusReport::from(&source).groups[0].failovers;
        let epochs: Vec<u64> = shown.iter().map(|failover| failover.epoch.0).collect();
        assert_eq!(epochs, [11, 10, 9, 8, 7]);
    }

    #[test]
    fn a_report_reads_back_as_it_was_written() {
        for source in [
            example::healthy(),
            example::after_failover(),
            example::suspecting(),
            example::discovering(),
            example::file_errors(),
        ] {
            let report = StatusReport::from(&source);
            let text = serde_json::to_string(&report).unwrap();
            assert_eq!(serde_json::from_str::<StatusReport>(&text).unwrap(), report);
        }
        let answer = GroupAnswer::find(&example::healthy(), "features").unwrap();
        let text = serde_json::to_string(&answer).unwrap();
        assert!(text.starts_with(r#"{"schema":1,"name":"features","epoch":1,"#));
        assert_eq!(serde_json::from_str::<GroupAnswer>(&text).unwrap(), answer);
        assert_eq!(GroupAnswer::find(&example::healthy(), "feature"), None);
    }
}
