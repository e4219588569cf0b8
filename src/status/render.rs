//! The page of `promoterd status`: the verdict first, then what a person on call asks next.

use std::cmp::Reverse;

use super::render_observers;
use super::schema::{
    ClientReloadReport, FileReport, GroupReport, GuardReport, InstanceReport, StatusReport,
    VoterReport,
};
use super::schema_history::{FailoverReport, OutcomeName};
use super::schema_pause::PauseReport;
use super::source::ReloadStanding;
use super::table::{Lean, Table};
use super::text::{bytes, moment, plain, span};
use super::verdict;
use crate::model::{NodeRole, UnixTime};

/// What was read longer ago than this is marked on an instance that is not well.
const FRESH_MS: u64 = 2000;
/// Failovers on the page.
const FAILOVERS_MAX: usize = 5;

/// The whole page, as of `now`; the first line is `all well`, or what is wrong.
///
/// Lines are not folded, so that each can be searched for; control characters are taken out.
#[must_use]
pub fn render(report: &StatusReport, now: UnixTime) -> String {
    let mut page = String::new();
    write_verdict(report, &mut page);
    page.push('\n');
    write_node(report, &mut page);
    for group in &report.groups {
        page.push('\n');
        write_group(group, &mut page);
    }
    write_failovers(report, now, &mut page);
    page
}

pub(super) fn line(page: &mut String, text: &str) {
    page.push_str(&plain(text));
    page.push('\n');
}

fn write_verdict(report: &StatusReport, page: &mut String) {
    let problems = verdict::problems(report);
    match problems.split_first() {
        None => line(page, "all well"),
        Some((gravest, others)) => {
            line(page, &format!("WRONG: {gravest}"));
            for other in others {
                line(page, &format!("   and {other}"));
            }
        }
    }
}

fn write_node(report: &StatusReport, page: &mut String) {
    if let Some(following) = &report.following {
        render_observers::write_following(report, following, page);
        return;
    }
    let leader = match &report.leader {
        Some(leader) => format!("leader {leader}"),
        None => "no leader".to_owned(),
    };
    let StatusReport {
        node,
        role,
        term,
        version,
        uptime_ms,
        ..
    } = report;
    let up = span(*uptime_ms);
    line(
        page,
        &format!("node {node} ({role}), {leader}, term {term}, promoterd {version}, up {up}"),
    );
    let mut table = Table::new([
        ("VOTER", Lean::Left),
        ("ADDRESS", Lean::Left),
        ("LINK", Lean::Left),
    ]);
    for voter in &report.voters {
        table.add([
            describe_voter(voter),
            voter.address.to_string(),
            describe_link(voter),
        ]);
    }
    table.print("  ", page);
    render_observers::write_observers(report, page);
}

fn describe_voter(voter: &VoterReport) -> String {
    match voter.role {
        Some(NodeRole::Witness) => format!("{} (witness)", voter.node),
        Some(NodeRole::Voter | NodeRole::Observer) | None => voter.node.to_string(),
    }
}

pub(super) fn describe_link(voter: &VoterReport) -> String {
    if voter.is_self {
        return "this node".to_owned();
    }
    let state = if voter.connected { "up" } else { "down" };
    let since = voter
        .since_ms
        .map_or_else(String::new, |since| format!(" for {}", span(since)));
    let reason = voter
        .last_error
        .as_ref()
        .filter(|_| !voter.connected)
        .map_or_else(String::new, |error| format!(": {error}"));
    format!("{state}{since}{reason}")
}

fn write_group(group: &GroupReport, page: &mut String) {
    let GroupReport { name, phase, .. } = group;
    match (&group.master, group.epoch) {
        (Some(master), Some(epoch)) => line(
            page,
            &format!("group {name}: master {master}, epoch {epoch}, {phase}"),
        ),
        (Some(_) | None, _) => {
            let waiting = group.waiting.as_deref().unwrap_or("its master is sought");
            line(page, &format!("group {name}: {phase}, {waiting}"));
        }
    }
    if let Some(pause) = &group.paused {
        line(page, &format!("  {}", describe_pause(pause)));
    }
    write_instances(group, page);
    for down in &group.down {
        let age = span(down.for_ms);
        let node = &down.node;
        line(
            page,
            &match down.cause {
                Some(cause) => format!("  held down by {node}: {cause} for {age}"),
                None => format!("  suspected by {node} for {age}"),
            },
        );
    }
    for passed_over in &group.passed_over {
        line(
            page,
            &format!(
                "  not promoted: {}: {}",
                passed_over.endpoint, passed_over.reason
            ),
        );
    }
    if let Some(awaited) = &group.awaited {
        line(page, &format!("  waiting for {awaited}"));
    }
    if let Some(guard) = &group.guard {
        line(page, &describe_guard(guard));
    }
    write_files(group, page);
}

fn describe_guard(guard: &GuardReport) -> String {
    let GuardReport {
        armed, replicas, ..
    } = guard;
    let state = if guard.in_force {
        "in force"
    } else {
        "not in force"
    };
    let mut text = format!("  guard {state}: {armed} of {replicas} replicas");
    for trouble in &guard.troubles {
        text.push_str(&format!("; {} {}", trouble.endpoint, trouble.reason));
    }
    text
}

/// `PAUSED by root (uid 0) on a since …, until … (29 min left): new disks`.
#[must_use]
pub fn describe_pause(pause: &PauseReport) -> String {
    let since = moment(pause.at);
    let until = match (pause.until, pause.left_ms) {
        (Some(until), Some(left)) => format!("until {} ({} left)", moment(until), span(left)),
        (Some(until), None) => format!("until {}", moment(until)),
        (None, _) => format!("until `promoterd resume {}`", pause.group),
    };
    let reason = pause.reason.as_deref().unwrap_or("no reason given");
    let by = &pause.by;
    plain(&format!("PAUSED by {by} since {since}, {until}: {reason}"))
}

fn write_instances(group: &GroupReport, page: &mut String) {
    // An observer watches none.
    if group.master_instance.is_none() && group.replicas.is_empty() {
        return;
    }
    let mut table = Table::new([
        ("INSTANCE", Lean::Left),
        ("ROLE", Lean::Left),
        ("HEALTH", Lean::Left),
        ("OFFSET", Lean::Right),
        ("LAG", Lean::Right),
        ("PRIORITY", Lean::Right),
        ("VERSION", Lean::Left),
        ("NOTE", Lean::Left),
    ]);
    for instance in group.master_instance.iter().chain(&group.replicas) {
        let is_logged = instance.member || group.master.is_none();
        table.add([
            instance.endpoint.to_string(),
            or_dash(instance.role.clone()),
            describe_health(instance),
            or_dash(instance.offset.map(|offset| offset.to_string())),
            or_dash(instance.lag_bytes.map(bytes)),
            or_dash(instance.priority.map(|priority| priority.to_string())),
            or_dash(instance.version.clone()),
            describe_note(instance, is_logged),
        ]);
    }
    table.print("  ", page);
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn describe_health(instance: &InstanceReport) -> String {
    match instance.down {
        Some(cause) => format!("down: {cause}"),
        None if instance.healthy => "up".to_owned(),
        None if instance.trouble.is_none() && instance.read_ms_ago.is_none() => {
            "unknown".to_owned()
        }
        None => "not well".to_owned(),
    }
}

fn describe_note(instance: &InstanceReport, is_logged: bool) -> String {
    let mut notes: Vec<String> = instance.trouble.iter().cloned().collect();
    if !is_logged {
        notes.push("not of the group yet".to_owned());
    }
    let stale = instance.read_ms_ago.filter(|age| *age > FRESH_MS);
    if let Some(age) = stale.filter(|_| !instance.healthy) {
        notes.push(format!("read {} ago", span(age)));
    }
    notes.join("; ")
}

fn write_files(group: &GroupReport, page: &mut String) {
    if group.files.is_empty() {
        return;
    }
    let mut table = Table::new([
        ("CLIENT", Lean::Left),
        ("FILE", Lean::Left),
        ("EPOCH", Lean::Right),
        ("ERROR", Lean::Left),
    ]);
    for file in &group.files {
        table.add([
            file.client.to_string(),
            file.path.clone(),
            or_dash(file.epoch.map(|epoch| epoch.to_string())),
            or_dash(file.error.clone()),
        ]);
    }
    table.print("  ", page);
    for file in &group.files {
        write_commands(file, page);
    }
}

/// How the commands stand that go with the file, and what those printed that did not do their work.
fn write_commands(file: &FileReport, page: &mut String) {
    let client = &file.client;
    write_output("CHECK", file, &file.check_output, page);
    let Some(ClientReloadReport {
        state,
        epoch,
        error,
        output,
    }) = &file.reload
    else {
        return;
    };
    let state = match state {
        ReloadStanding::Running => "runs",
        ReloadStanding::Done => "done",
        ReloadStanding::Failed => "failed",
    };
    line(
        page,
        &format!("  RELOAD of {client}: {state}, epoch {epoch}"),
    );
    if error.is_some() {
        write_output("RELOAD", file, output, page);
    }
}

fn write_output(command: &str, file: &FileReport, output: &str, page: &mut String) {
    for printed in output.lines() {
        line(
            page,
            &format!("  {command} of {} printed: {printed}", file.client),
        );
    }
}

fn write_failovers(report: &StatusReport, now: UnixTime, page: &mut String) {
    let mut failovers: Vec<&FailoverReport> = report
        .groups
        .iter()
        .flat_map(|group| &group.failovers)
        .collect();
    if failovers.is_empty() {
        return;
    }
    failovers.sort_by_key(|failover| Reverse((failover.at, failover.epoch)));
    page.push('\n');
    line(page, "last failovers");
    for failover in failovers.into_iter().take(FAILOVERS_MAX) {
        write_failover(failover, now, page);
    }
}

fn write_failover(failover: &FailoverReport, now: UnixTime, page: &mut String) {
    let FailoverReport {
        group,
        epoch,
        from,
        to,
        outcome,
        ..
    } = failover;
    let change = match from == to {
        true => format!("{to} kept"),
        false => format!("{from} to {to}"),
    };
    let at = moment(failover.at);
    let age = span(now.0.saturating_sub(failover.at.0));
    line(
        page,
        &format!("  {at} ({age} ago)  {group}, epoch {epoch}: {change}, {outcome}"),
    );
    line(page, &format!("    cause: {}", describe_cause(failover)));
    if let Some(why) = &failover.why {
        line(page, &format!("    why: {why}"));
    }
    for passed_over in &failover.passed_over {
        line(
            page,
            &format!(
                "    passed over: {}: {}",
                passed_over.endpoint, passed_over.reason
            ),
        );
    }
    for step in &failover.steps {
        line(
            page,
            &format!(
                "    + {:>8.1} ms  {:<22}  took {:.1} ms",
                step.after_ms, step.step, step.took_ms
            ),
        );
    }
    line(page, &format!("    loss: {}", describe_loss(failover)));
}

fn describe_cause(failover: &FailoverReport) -> String {
    if let Some(by) = &failover.asked_by {
        let reason = match &failover.reason {
            Some(reason) => format!(": {reason}"),
            None => String::new(),
        };
        let (cause, leader) = (failover.cause, &failover.leader);
        return format!("{cause}, asked for by {by}{reason}; carried out by {leader}");
    }
    let views: Vec<String> = failover
        .views
        .iter()
        .map(|view| format!("{} says {}", view.node, view.cause))
        .collect();
    format!(
        "{} ({}; {} needed), decided by {}",
        failover.cause,
        views.join(", "),
        failover.needed,
        failover.leader
    )
}

fn describe_loss(failover: &FailoverReport) -> String {
    let estimate = match failover.loss_estimate_bytes {
        Some(most) => format!("{} at most by estimate", bytes(most)),
        None => "no estimate, the leader never saw how far the old master was".to_owned(),
    };
    match (failover.loss_bytes, failover.outcome) {
        (None, OutcomeName::Open | OutcomeName::Done) if failover.from == failover.to => {
            format!("{estimate}, the master was kept")
        }
        (Some(lost), _) => format!("{} in fact, {estimate}", bytes(lost)),
        (None, OutcomeName::Aborted) => "not counted, the epoch came to nothing".to_owned(),
        (None, OutcomeName::Open | OutcomeName::Done) => {
            format!(
                "{estimate}, the fact is known once {} is back",
                failover.from
            )
        }
    }
}
