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
