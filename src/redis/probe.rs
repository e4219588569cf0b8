//! One probe connection: a task that carries out the core's orders on it, in order, and reports.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult, ServerErrorKind, Value};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, trace};

use super::InstanceEvent;
use super::connection::{Connection, closing_reason, connect};
use super::credentials::Credentials;
use super::limits;
use super::names::CommandNames;
use super::process::ProcessWatch;
use super::reading::read_info;
use super::reply::{expect_ok, read_ping, read_promotion, read_subscribers};
use crate::decision::{
    CommandFailure, ConnectFailure, LinkId, ProbeEvent, ProbeReport, PromoteOrder,
};
use crate::model::{Endpoint, InstanceInfo, WriteLimits};

/// The most commands without a reply; a server that leaves more unanswered is let go.
const UNANSWERED_MAX: usize = 1000;

/// How long a process is still watched after its connection closed. The kernel closes the sockets
/// of a dying process before it reports the exit.
const WATCH_AFTER_CLOSE: Duration = Duration::from_secs(10);

/// What can be asked of a connection that is up.
#[derive(Debug)]
pub(super) enum Request {
    Ask(Question),
    WatchProcess(u32),
}

/// What is sent to the server.
#[derive(Debug)]
pub(super) enum Question {
    Ping,
    Info,
    CountSentinels,
    Promote(PromoteOrder),
    Limits,
    SetLimits(WriteLimits),
    HoldWrites(Duration),
    ReleaseWrites,
}

/// A handle on the task of one connection; dropped, it ends the task and closes the connection.
#[derive(Debug)]
pub(super) struct Link {
    requests: UnboundedSender<Request>,
    task: AbortHandle,
    end: Arc<Mutex<Option<End>>>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// As connections do.
    Well,
    /// The server sent what is no reply, or sent without end.
    Mad,
}

impl End {
    fn of(is_mad: bool) -> Self {
        if is_mad { Self::Mad } else { Self::Well }
    }
}

impl Link {
    /// Starts to connect after this rest.
    pub(super) fn open(
        endpoint: Endpoint,
        link: LinkId,
        credentials: Arc<Credentials>,
        events: UnboundedSender<InstanceEvent>,
        rest: Duration,
    ) -> Self {
        let (sender, requests) = unbounded_channel();
        let reporter = Reporter {
            endpoint,
            link,
            events,
        };
        let end = Arc::default();
        let told = Arc::clone(&end);
        let task = tokio::spawn(async move {
            if !rest.is_zero() {
                sleep(rest).await;
            }
            run(reporter, credentials, requests, &told).await;
        });
        Self {
            requests: sender,
            task: task.abort_handle(),
            end,
        }
    }

    /// How the connection ended, if it did; told once.
    pub(super) fn take_end(&self) -> Option<End> {
        self.end
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Whether the request will be carried out; not when the connection has closed meanwhile.
    pub(super) fn request(&self, request: Request) -> bool {
        self.requests.send(request).is_ok()
    }

    /// Whether nothing will be reported any more.
    pub(super) fn is_over(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends what happens on one connection to the core.
struct Reporter {
    endpoint: Endpoint,
    link: LinkId,
    events: UnboundedSender<InstanceEvent>,
}

impl Reporter {
    fn report(&self, report: ProbeReport) {
        trace!(endpoint = %self.endpoint, link = self.link.0, ?report, "probe");
        let event = ProbeEvent {
            endpoint: self.endpoint.clone(),
            link: self.link,
            report,
        };
        // Nobody listens any more only while the daemon stops.
        let _ = self.events.send(InstanceEvent::Probe(event));
    }
}

async fn run(
    reporter: Reporter,
    credentials: Arc<Credentials>,
    mut requests: UnboundedReceiver<Request>,
    end: &Mutex<Option<End>>,
) {
    let connection = match connect(&reporter.endpoint, &credentials, None).await {
        Ok(connection) => connection,
        Err(failure) => {
            let speaks_otherwise = matches!(failure, ConnectFailure::Protocol(_));
            tell_end(end, End::of(speaks_otherwise));
            return reporter.report(ProbeReport::ConnectFailed(failure));
        }
    };
    let meter = Arc::clone(&connection.meter);
    let names = credentials.names.clone();
    drop(credentials);
    reporter.report(ProbeReport::Connected {
        same_host: connection.same_host,
    });
    let mut watch = None;
    let reason = serve(&reporter, connection, &names, &mut requests, &mut watch).await;
    drop(requests);
    tell_end(end, End::of(meter.is_mad()));
    reporter.report(ProbeReport::Closed(reason));
    if watch.is_some() {
        let exit = timeout(WATCH_AFTER_CLOSE, see_exit(&reporter, &mut watch));
        let _ = exit.await;
    }
}

fn tell_end(end: &Mutex<Option<End>>, how: End) {
    *end.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
}

/// Serves requests until the connection ends; returns why it did.
async fn serve(
    reporter: &Reporter,
    connection: Connection,
    names: &CommandNames,
    requests: &mut UnboundedReceiver<Request>,
    watch: &mut Option<ProcessWatch>,
) -> String {
    let Connection {
        mut commands,
        mut driver,
        meter,
        same_host: _,
    } = connection;
    introduce(&mut commands, names).await;
    let mut replies = FuturesUnordered::new();
    loop {
        // Requests first: they are on the wire before anything else is looked at.
        tokio::select! {
            biased;
            Some(request) = requests.recv() => match request {
                Request::WatchProcess(process_id) => *watch = open_watch(reporter, process_id),
                Request::Ask(_) if replies.len() == UNANSWERED_MAX => {
                    return format!("{UNANSWERED_MAX} commands are without a reply");
                }
                Request::Ask(question) => replies.push(ask(commands.clone(), names, question)),
            },
            Some(reply) = replies.next(), if !replies.is_empty() => if let Ok(report) = reply {
                meter.reply_completed();
                reporter.report(report);
            },
            () = &mut driver => break,
            () = see_exit(reporter, watch) => {}
        }
    }
    // What was answered before the end still counts; the rest never will be.
    while let Some(Some(reply)) = replies.next().now_or_never() {
        if let Ok(report) = reply {
            reporter.report(report);
        }
    }
    closing_reason(&meter)
}

/// Gives the connection a name in `CLIENT LIST`. A server that does not allow it may refuse.
async fn introduce(commands: &mut MultiplexedConnection, names: &CommandNames) {
    let mut command = names.command("CLIENT");
    command
        .arg("SETNAME")
        .arg("promoterd")
        .set_no_response(true);
    let _ = commands.send_packed_command(&command).await;
}

/// In doubt nothing is watched, and so nothing is claimed.
fn open_watch(reporter: &Reporter, process_id: u32) -> Option<ProcessWatch> {
    ProcessWatch::open(process_id)
        .inspect_err(|error| {
            debug!(endpoint = %reporter.endpoint, process_id, %error, "process cannot be watched");
        })
        .ok()
}

/// Reports the exit of the process that is watched, if any is, and watches no more.
async fn see_exit(reporter: &Reporter, watch: &mut Option<ProcessWatch>) {
    let Some(process) = watch else {
        return pending().await;
    };
    let result = process.exited().await;
    *watch = None;
    match result {
        Ok(()) => reporter.report(ProbeReport::ProcessExited),
        Err(error) => debug!(endpoint = %reporter.endpoint, %error, "process watch failed"),
    }
}

/// Sends `question` when first polled and turns the reply into a report. An error means that the
/// connection is gone.
async fn ask(
    mut commands: MultiplexedConnection,
    names: &CommandNames,
    question: Question,
) -> RedisResult<ProbeReport> {
    let sent_at = Instant::now();
    match question {
        Question::Ping => {
            let reply = commands.send_packed_command(&names.command("PING")).await?;
            let reply = read_ping(&reply);
            Ok(ProbeReport::PingReplied { sent_at, reply })
        }
        Question::Info => ask_info(commands, names, sent_at).await,
        Question::CountSentinels => {
            let mut command = names.command("PUBSUB");
            command.arg("NUMSUB").arg("__sentinel__:hello");
            let reply = commands.send_packed_command(&command).await?;
            let result = read_subscribers(&reply);
            Ok(ProbeReport::SentinelsCounted { sent_at, result })
        }
        Question::Promote(order) => {
            let mut pipeline = redis::Pipeline::with_capacity(2);
            pipeline.cmd(names.of("REPLICAOF")).arg("NO").arg("ONE");
            pipeline.cmd(names.of("ROLE"));
            let replies = commands.send_packed_commands(&pipeline, 0, 2).await?;
            Ok(ProbeReport::PromoteReplied {
                epoch: order.epoch(),
                result: read_promotion(&replies),
            })
        }
        Question::Limits => {
            let reply = commands.send_packed_command(&limits::get(names)).await?;
            let result = limits::read(&reply);
            Ok(ProbeReport::LimitsReplied { sent_at, result })
        }
        Question::SetLimits(limits) => {
            let mut pipeline = redis::Pipeline::with_capacity(3);
            pipeline.add_command(limits::get(names));
            limits::add_set(&mut pipeline, names, limits);
            let replies = commands.send_packed_commands(&pipeline, 0, 3).await?;
            Ok(ProbeReport::LimitsSet {
                sent_at,
                limits,
                result: limits::read_set(&replies),
            })
        }
        Question::HoldWrites(lasts) => {
            let result = hold_writes(commands, names, lasts).await?;
            Ok(ProbeReport::WritesHeld { sent_at, result })
        }
        Question::ReleaseWrites => {
            let mut command = names.command("CLIENT");
            command.arg("UNPAUSE");
            let reply = commands.send_packed_command(&command).await?;
            let result = expect_ok(&reply);
            Ok(ProbeReport::WritesReleased { result })
        }
    }
}

/// What the server says of itself right behind the command: from there on it takes no client's writes.
async fn hold_writes(
    mut commands: MultiplexedConnection,
    names: &CommandNames,
    lasts: Duration,
) -> RedisResult<Result<InstanceInfo, CommandFailure>> {
    let mut pipeline = redis::Pipeline::with_capacity(2);
    let milliseconds = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    pipeline
        .cmd(names.of("CLIENT"))
        .arg("PAUSE")
        .arg(milliseconds)
        .arg("WRITE");
    pipeline.add_command(info_command(names));
    let replies = commands.send_packed_commands(&pipeline, 0, 2).await?;
    let [held, said] = <[Value; 2]>::try_from(replies).unwrap_or([Value::Nil, Value::Nil]);
    if let Err(failure) = expect_ok(&held) {
        return Ok(Err(failure));
    }
    if !is_syntax_error(&said) {
        return Ok(read_info(said));
    }
    let said = commands.send_packed_command(&names.command("INFO")).await?;
    Ok(read_info(said))
}

async fn ask_info(
    mut commands: MultiplexedConnection,
    names: &CommandNames,
    mut sent_at: Instant,
) -> RedisResult<ProbeReport> {
    let mut reply = commands.send_packed_command(&info_command(names)).await?;
    if is_syntax_error(&reply) {
        // Redis 6 takes one section at most; without any it tells all that we need.
        sent_at = Instant::now();
        reply = commands.send_packed_command(&names.command("INFO")).await?;
    }
    Ok(ProbeReport::InfoReplied {
        sent_at,
        result: read_info(reply),
    })
}

fn info_command(names: &CommandNames) -> Cmd {
    let mut command = names.command("INFO");
    for section in ["server", "replication", "persistence", "keyspace"] {
        command.arg(section);
    }
    command
}

fn is_syntax_error(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error)
        if error.kind() == Some(ServerErrorKind::ResponseError)
            && error.details() == Some("syntax error"))
}
