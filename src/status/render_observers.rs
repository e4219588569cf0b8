//! Observers on the page: how one stands to the voters, and who follows a voter.

use super::render::{describe_link, line};
use super::schema::StatusReport;
use super::schema_observers::{FollowingReport, ObserverReport};
use super::table::{Lean, Table};
use super::text::span;

/// Observers that are named on the page.
const NAMED_MAX: usize = 10;

/// The node and its voters, where the node is an observer.
pub(super) fn write_following(
    report: &StatusReport,
    following: &FollowingReport,
    page: &mut String,
) {
    let StatusReport {
        node,
        role,
        version,
        uptime_ms,
        ..
    } = report;
    let voter = match (&following.voter, following.since_ms) {
        (Some(voter), Some(since)) => format!("follows {voter} for {}", span(since)),
        (Some(voter), None) => format!("follows {voter}"),
        (None, _) => "follows nobody".to_owned(),
    };
    let stale = match following.stale_ms {
        Some(stale) => format!("stale for {}", span(stale)),
        None => "not stale".to_owned(),
    };
    let up = span(*uptime_ms);
    line(
        page,
        &format!("node {node} ({role}), {voter}, {stale}, promoterd {version}, up {up}"),
    );
    let mut table = Table::new([
        ("VOTER", Lean::Left),
        ("ADDRESS", Lean::Left),
        ("LINK", Lean::Left),
    ]);
    for voter in &report.voters {
        let link = match (voter.connected, &voter.last_error) {
            (false, None) => "not followed".to_owned(),
            (true, _) | (false, Some(_)) => describe_link(voter),
        };
        table.add([voter.node.to_string(), voter.address.to_string(), link]);
    }
    table.print("  ", page);
    for told in &following.told {
        let others: Vec<String> = told.others.iter().map(ToString::to_string).collect();
        let paused = if told.left_alone { ", paused" } else { "" };
        let group = &told.group;
        line(
            page,
            &format!("  group {group}{paused}: others {}", others.join(", ")),
        );
    }
}

/// Who follows a voter, and whose files are behind.
pub(super) fn write_observers(report: &StatusReport, page: &mut String) {
    let Some(observers) = &report.observers else {
        return;
    };
    let behind: Vec<&ObserverReport> = observers
        .iter()
        .filter(|observer| is_behind(observer, report))
        .collect();
    let mut text = format!("  {} observers are connected", observers.len());
    if !behind.is_empty() {
        let names = behind.iter().take(NAMED_MAX);
        let names: Vec<&str> = names.map(|observer| observer.node.as_str()).collect();
        let more = match behind.len() > NAMED_MAX {
            true => " and others",
            false => "",
        };
        text.push_str(&format!(
            ", files of {} name an older epoch: {}{more}",
            behind.len(),
            names.join(", ")
        ));
    }
    line(page, &text);
}

fn is_behind(observer: &ObserverReport, report: &StatusReport) -> bool {
    observer.epochs.iter().any(|(name, named)| {
        let mut groups = report.groups.iter();
        let group = groups.find(|group| group.name == *name);
        group.is_some_and(|group| group.epoch.is_some_and(|epoch| *named < epoch))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::model::{Epoch, Replica, Term};
    use crate::status::source::{
        EngineRole, FollowedOverview, FollowingOverview, ObserverOverview, StatusSource,
    };
    use crate::status::{StatusReport, example, render, verdict};

    fn observer(voter: Option<&str>, stale: Option<u64>) -> StatusSource {
        let mut source = example::healthy();
        source.node = "api-7".parse().unwrap();
        source.engine.role = EngineRole::Observer;
        source.engine.leader = None;
        source.engine.term = Term(0);
        source.groups.clear();
        for it in &mut source.voters {
            it.is_self = false;
            it.role = None;
            it.connected = Some(it.node.as_str()) == voter;
            it.since = it.connected.then_some(Duration::from_secs(90));
        }
        source.voters[0].last_error = (voter != Some("a")).then(|| "it stopped".to_owned());
        source.following = Some(FollowingOverview {
            voter: voter.map(|voter| voter.parse().unwrap()),
            since: voter.map(|_| Duration::from_secs(90)),
            stale: stale.map(Duration::from_secs),
            is_informed: true,
            unsaved: None,
            unknown: Vec::new(),
            groups: vec![FollowedOverview {
                name: "features".parse().unwrap(),
                epoch: Epoch(1),
                master: example::endpoint("10.0.0.1:6379"),
                replicas: vec![Replica::unknown(example::endpoint("10.0.0.2:6379"))],
                is_paused: true,
            }],
        });
        source
    }

    fn page(source: &StatusSource) -> String {
        render(&StatusReport::from(source), example::NOW)
    }

    #[test]
    fn an_observer_shows_whom_it_follows_and_its_groups_with_their_files() {
        let page = page(&observer(Some("b"), None));
        let head =
            "all well\n\nnode api-7 (observer), follows b for 1 min 30 s, not stale, promoterd ";
        assert!(page.starts_with(head), "{page}");
        for line in [
            "  a      10.0.0.1:7400  down: it stopped\n",
            "  b      10.0.0.2:7400  up for 1 min 30 s\n",
            "  c      10.0.0.3:7400  not followed\n",
            "  group features, paused: others 10.0.0.2:6379\n",
            "group features: master 10.0.0.1:6379, epoch 1, following\n",
        ] {
            assert!(page.contains(line), "{line}: {page}");
        }
    }

    #[test]
    fn an_observer_that_nobody_confirms_says_for_how_long_and_why() {
        let stale = observer(None, Some(12));
        assert!(page(&stale).starts_with(
            "WRONG: stale for 12.0 s: no voter is followed; the files name the last masters that are known\n"
        ));
        let leaderless = StatusReport::from(&observer(Some("b"), Some(4)));
        let said = "stale for 4.0 s: voter b knows no leader; the files name the last masters that are known";
        assert_eq!(verdict::obstacles(&leaderless), [said]);
        let mut mistaken = observer(Some("b"), None);
        let following = mistaken.following.as_mut().unwrap();
        following.unknown = vec!["feature".parse().unwrap()];
        let problems = verdict::problems(&StatusReport::from(&mistaken));
        assert!(problems[0].starts_with("group feature is not known to the voters"));
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn a_voter_names_the_observers_whose_files_are_behind() {
        let mut source = example::healthy();
        source.groups[0].decided.as_mut().unwrap().epoch = Epoch(3);
        let observer = |node: &str, epoch| ObserverOverview {
            node: node.parse().unwrap(),
            address: "10.0.1.7:50000".parse().unwrap(),
            since: Duration::from_secs(5),
            epochs: [("features".parse().unwrap(), Epoch(epoch))].into(),
        };
        source.observers = Some(vec![observer("x", 3), observer("y", 2)]);
        let said = "  2 observers are connected, files of 1 name an older epoch: y\n";
        assert!(page(&source).contains(said), "{}", page(&source));
        source.observers = Some(Vec::new());
        assert!(page(&source).contains("  0 observers are connected\n"));
    }
}
