//! `promoterd pause`, `resume`, `adopt` and `switchover`: ask the daemon of this host, and follow
//! the operation to its end by its number.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::asking::{Socket, exit_code, runtime};
use super::{EXIT_FAILURE, complain, say, warn};
use crate::decision::{OperationId, Reason};
use crate::model::{Endpoint, GroupName};
use crate::status::client::{self, ClientError};
use crate::status::{
    AdoptOrder, AdoptionReport, BystanderReport, OperationReport, OperationState, PauseOrder,
    ResumeOrder, StatusReport, SwitchoverOrder, SwitchoverOutcome, SwitchoverReport,
    describe_pause,
};

/// It is committed.
const COMMITTED: u8 = 0;
/// It is not known to be committed, and may still be.
const NOT_KNOWN: u8 = 3;

/// Time before a daemon that broke off is asked again.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// How long the end of a switchover is waited for, beyond the time that it was given.
const END_WITHIN: Duration = Duration::from_secs(3);

/// Which groups, and by which daemon.
#[derive(Debug, Args)]
pub struct Target {
    /// The group.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    group: Option<GroupName>,
    /// All groups that are registered.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    asking: Asking,
}

/// How the daemon is asked.
#[derive(Debug, Args)]
pub struct Asking {
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
    /// How long to wait for the outcome.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    socket: Socket,
}

/// What to pause.
#[derive(Debug, Args)]
pub struct Pause {
    #[command(flatten)]
    target: Target,
    /// How long, as in `30m`; without it, until somebody resumes.
    #[arg(long = "for", value_name = "SPAN", value_parser = humantime::parse_duration)]
    lasts: Option<Duration>,
    /// Why, for whoever finds it paused.
    #[arg(long)]
    reason: Option<Reason>,
}

/// What to resume.
#[derive(Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    target: Target,
}

/// What to adopt.
#[derive(Debug, Args)]
pub struct Adopt {
    /// The group.
    group: GroupName,
    /// The instance that is to be its master.
    #[arg(value_name = "HOST:PORT")]
    master: Endpoint,
    #[command(flatten)]
    asking: Asking,
}

/// What to switch over.
#[derive(Debug, Args)]
pub struct Switchover {
    /// The group.
    group: GroupName,
    /// The replica that is to be the master; without it, the best one.
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<Endpoint>,
    /// Why, for the history.
    #[arg(long)]
    reason: Option<Reason>,
    #[command(flatten)]
    asking: Asking,
}

pub(super) fn switchover(arguments: &Switchover) -> u8 {
    let path = format!("/v1/groups/{}/switchover", arguments.group);
    let asking = Asking {
        // Its end is worth waiting for.
        timeout: arguments.asking.timeout + END_WITHIN,
        json: arguments.asking.json,
        socket: arguments.asking.socket.clone(),
    };
    operate(&asking, &path, |operation| SwitchoverOrder {
        operation: Some(operation),
        to: arguments.to.clone(),
        within_ms: Some(milliseconds(arguments.asking.timeout)),
        reason: arguments.reason.clone(),
    })
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn adopt(arguments: &Adopt) -> u8 {
    let path = format!("/v1/groups/{}/adopt", arguments.group);
    operate(&arguments.asking, &path, |operation| AdoptOrder {
        operation: Some(operation),
        master: Some(arguments.master.clone()),
    })
}

pub(super) fn pause(arguments: &Pause) -> u8 {
    let Target { asking, .. } = &arguments.target;
    operate(asking, &arguments.target.path("pause"), |operation| {
        PauseOrder {
            operation: Some(operation),
            for_ms: arguments.lasts.map(milliseconds),
            reason: arguments.reason.clone(),
        }
    })
}

pub(super) fn resume(arguments: &Resume) -> u8 {
    let Target { asking, .. } = &arguments.target;
    operate(asking, &arguments.target.path("resume"), |operation| {
        ResumeOrder {
            operation: Some(operation),
        }
    })
}

impl Target {
    fn path(&self, verb: &str) -> String {
        match &self.group {
            Some(group) => format!("/v1/groups/{group}/{verb}"),
            None => format!("/v1/{verb}"),
        }
    }
}

fn operate<T: Serialize>(asking: &Asking, path: &str, order: impl Fn(OperationId) -> T) -> u8 {
    let operation = match getrandom::u64() {
        Ok(number) => OperationId(number),
        Err(error) => {
            complain(&error);
            return EXIT_FAILURE;
        }
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let followed = runtime.block_on(follow(asking, path, &order(operation)));
    match followed {
        Ok(Some(report)) => {
            tell(&report, asking.json);
            outcome(&report)
        }
        Ok(None) => {
            let why = runtime.block_on(why_not(asking));
            warn(&format!(
                "not known yet: operation {operation} was not committed within {} s ({why}). It may \
                 still take effect: see `promoterd status`, or give the command again",
                asking.timeout.as_secs_f32()
            ));
            NOT_KNOWN
        }
        Err(error) => {
            complain(&error);
            exit_code(&error)
        }
    }
}

/// Asks until it is committed; none when that is not known in time.
///
/// It is the same operation however often it is asked for, so a daemon that broke off or restarted
/// is simply asked again.
async fn follow(
    asking: &Asking,
    path: &str,
    order: &impl Serialize,
) -> Result<Option<OperationReport>, ClientError> {
    let gives_up_at = Instant::now() + asking.timeout;
    let mut was_sent = false;
    loop {
        match client::post::<OperationReport>(&asking.socket.path, path, order).await {
            Ok(report) if report.state == OperationState::Done => return Ok(Some(report)),
            Ok(_) => was_sent = true,
            Err(error @ (ClientError::Unreachable { .. } | ClientError::Denied { .. })) => {
                if !was_sent {
                    return Err(error);
                }
            }
            Err(ClientError::Refused { status: 503, .. })
            | Err(ClientError::TimedOut { .. } | ClientError::Broken { .. }) => was_sent = true,
            Err(
                error @ (ClientError::Refused { .. }
                | ClientError::Unbounded { .. }
                | ClientError::NotUnderstood { .. }),
            ) => return Err(error),
        }
        if Instant::now() >= gives_up_at {
            return Ok(None);
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

async fn why_not(asking: &Asking) -> String {
    match client::get::<StatusReport>(&asking.socket.path, "/v1/status").await {
        Ok(status) => match status.leader {
            Some(leader) => format!("{leader} leads"),
            None => "no leader: a majority of the voters must be able to talk".to_owned(),
        },
        Err(error) => error.to_string(),
    }
}

fn outcome(report: &OperationReport) -> u8 {
    let switchovers = report
        .groups
        .iter()
        .filter_map(|group| group.switchover.as_ref());
    let mut failed = switchovers.filter(|it| it.outcome != SwitchoverOutcome::Done);
    failed.next().map_or(COMMITTED, |_| EXIT_FAILURE)
}

fn tell_switchover(group: &GroupName, switchover: &SwitchoverReport) {
    let SwitchoverReport {
        from: Some(from),
        to: Some(to),
        epoch: Some(epoch),
        outcome: SwitchoverOutcome::Done,
        held_ms,
        ..
    } = switchover
    else {
        let why = switchover.why.as_deref().unwrap_or("it has no end yet");
        return warn(&format!("no switchover of group {group}: {why}"));
    };
    let held = held_ms.map_or_else(String::new, |held| {
        format!("; writes were held for {held:.1} ms")
    });
    say(&format!(
        "{group}: {to} is the master since epoch {epoch}, {from} was{held}\n"
    ));
}

fn tell(report: &OperationReport, json: bool) {
    if json {
        let text = serde_json::to_string_pretty(report).unwrap_or_default();
        return say(&format!("{text}\n"));
    }
    for group in &report.groups {
        if let Some(switchover) = &group.switchover {
            tell_switchover(&group.group, switchover);
            continue;
        }
        let state = match (&group.paused, &group.adopted) {
            (Some(pause), _) => describe_pause(pause),
            (None, None) => "looked after".to_owned(),
            (None, Some(AdoptionReport { master, .. })) => {
                format!("registered, with {master} as its master")
            }
        };
        say(&format!("{}: {state}\n", group.group));
        let others = group.adopted.iter().flat_map(|adopted| &adopted.others);
        for BystanderReport { endpoint, outlook } in others {
            say(&format!("  {endpoint} {outlook}\n"));
        }
    }
}
