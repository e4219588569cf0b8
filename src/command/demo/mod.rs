//! `promoterd demo`: a real failover of real servers on this machine, shown as it happens.

mod cluster;
mod listen;
mod report;
mod traffic;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rustix::process::Signal;
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use thiserror::Error;

use super::{EXIT_FAILURE, complain, say};
use crate::decision::Happening;
use crate::status::StepReport;
use crate::status::client::ClientError;
use cluster::{Cluster, NODES, Process, START_MAX};
use listen::{Heard, Listener};

/// For how long the client writes before the fault.
const WARM_UP: Duration = Duration::from_secs(1);
/// Longest time from the fault to the end of what follows it.
const FAILOVER_MAX: Duration = Duration::from_secs(15);

/// How to run the demo.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What happens to the master: its process is killed, or stopped so that it hangs.
    #[arg(long, value_enum, default_value_t = Fault::Kill)]
    fault: Fault,
    /// Leave everything running afterwards, and say how to look at it.
    #[arg(long)]
    keep: bool,
    /// Print one JSON object instead of the story.
    #[arg(long)]
    json: bool,
    /// A setting for the daemons, without its prefix, such as GROUPS__DEMO__DOWN_AFTER=500ms.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// What happens to the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Hang,
}

/// Why the demo saw no failover.
#[derive(Debug, Error)]
enum DemoError {
    #[error("there is no redis-server or valkey-server on PATH: install one")]
    NoServer,
    #[error("cannot work in {path}: set TMPDIR to a directory that can be written")]
    Directory { path: PathBuf, source: io::Error },
    #[error("there are no free ports on loopback")]
    Ports(#[source] io::Error),
    #[error("cannot start {}", .what.display())]
    Start { what: PathBuf, source: io::Error },
    #[error("the servers did not replicate in time: see the logs in {}", .log.display())]
    NotReplicating { log: PathBuf },
    #[error("a daemon ended too early, it said:\n{0}")]
    DaemonEnded(String),
    #[error("the daemons were not ready in time, one said: {0}")]
    NotReady(String),
    #[error("the status socket does not answer")]
    Status(#[from] ClientError),
    #[error("a thread of the demo failed")]
    Thread,
    #[error("the signal for the fault could not be sent")]
    Fault(#[source] io::Error),
    #[error("the new master cannot be asked for the writes")]
    Redis(#[from] ::redis::RedisError),
    #[error("{what} was not seen within {} s", FAILOVER_MAX.as_secs())]
    NotSeen { what: &'static str },
    #[error("interrupted")]
    Interrupted,
    #[error("signals cannot be caught, or a thread cannot be started")]
    System(#[source] io::Error),
}

/// All that was seen.
#[derive(Debug, Serialize)]
struct Seen {
    fault: Fault,
    server: String,
    loss_to_writable_ms: f64,
    writable_to_files_ms: f64,
    client_pause_ms: f64,
    acked_writes: usize,
    acked_writes_lost: usize,
    old_master: String,
    new_master: String,
    steps: Vec<StepReport>,
    file_before: String,
    file_after: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<Kept>,
}

/// What `--keep` left running.
#[derive(Debug, Serialize)]
struct Kept {
    directory: PathBuf,
    status_sockets: Vec<PathBuf>,
    daemons: Vec<u32>,
    servers: Vec<u32>,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    match demonstrate(arguments) {
        Ok(()) => 0,
        Err(error) => {
            complain(&error);
            EXIT_FAILURE
        }
    }
}

fn demonstrate(arguments: &Arguments) -> Result<(), DemoError> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(DemoError::System)?;
    }
    let story = Story {
        quiet: arguments.json,
        interrupted,
    };
    story.tell("starting a master, two replicas and three daemons on loopback ...\n");
    let mut cluster = Cluster::start(&arguments.settings)?;
    let listener = Listener::start(NODES.map(|node| cluster.socket(node)).to_vec())
        .map_err(DemoError::System)?;
    wait_until_ready(&mut cluster, &story)?;
    story.tell(&report::cast(&cluster));
    let seen = fail_over(arguments.fault, &cluster, &listener, &story)?;
    // Only now: nobody would be told how to end what a demo that failed left behind.
    if arguments.keep {
        cluster.keep();
    }
    if arguments.json {
        let kept = arguments.keep.then(|| Kept {
            directory: cluster.directory.clone(),
            status_sockets: NODES.map(|node| cluster.socket(node)).to_vec(),
            daemons: cluster.daemons.iter().map(Process::id).collect(),
            servers: cluster.instances.iter().map(Process::id).collect(),
        });
        let seen = Seen { kept, ..seen };
        let text = serde_json::to_string_pretty(&seen).unwrap_or_default();
        say(&format!("{text}\n"));
        return Ok(());
    }
    story.tell(&report::outcome(&seen));
    if arguments.keep {
        story.tell(&report::how_to_look(&cluster));
    }
    Ok(())
}

/// What is told to people while it happens, unless they want JSON.
struct Story {
    quiet: bool,
    interrupted: Arc<AtomicBool>,
}

impl Story {
    fn tell(&self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }

    fn check(&self) -> Result<(), DemoError> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(DemoError::Interrupted);
        }
        Ok(())
    }
}

fn wait_until_ready(cluster: &mut Cluster, story: &Story) -> Result<(), DemoError> {
    let until = Instant::now() + START_MAX;
    for node in NODES {
        let socket = cluster.socket(node);
        let mut last = String::new();
        let mut failed = None;
        let ready = cluster::wait_for(until, || {
            if let Err(error) = story.check() {
                failed = Some(error);
            } else if let Some(node) = cluster.ended_daemon() {
                let log = cluster.directory.join(format!("promoterd-{node}.log"));
                let said = std::fs::read_to_string(log).unwrap_or_default();
                failed = Some(DemoError::DaemonEnded(said));
            } else {
                match listen::readiness(&socket) {
                    Ok(()) => return true,
                    Err(reason) => last = reason,
                }
            }
            failed.is_some()
        });
        if let Some(error) = failed {
            return Err(error);
        }
        ready.ok_or_else(|| DemoError::NotReady(std::mem::take(&mut last)))?;
    }
    Ok(())
}

fn fail_over(
    fault: Fault,
    cluster: &Cluster,
    listener: &Listener,
    story: &Story,
) -> Result<Seen, DemoError> {
    let old_master = traffic::local(cluster.ports[0]);
    let files = NODES.map(|node| cluster.file(node)).to_vec();
    let file_before = read(&files[0])?;
    let writer = traffic::write(files[0].clone());
    listener.listen_for(WARM_UP, story, |_| false)?;

    let fault_at = Instant::now();
    let until = fault_at + FAILOVER_MAX;
    let writable = traffic::first_writable(cluster.ports[1..].to_vec(), until);
    let rewritten = traffic::all_rewritten(files.clone(), old_master.clone(), until);
    let fault_at = Instant::now();
    let (signal, name) = match fault {
        Fault::Kill => (Signal::KILL, "SIGKILL"),
        Fault::Hang => (Signal::STOP, "SIGSTOP"),
    };
    cluster.instances[0]
        .signal(signal)
        .map_err(DemoError::Fault)?;
    story.tell(&format!(
        "\n+    0.0 ms     {name} to the master {old_master}\n"
    ));

    let show = |heard: &Heard| {
        let after = heard.at.saturating_duration_since(fault_at);
        story.tell(&report::line(after, heard));
        matches!(heard.happening, Happening::Settled { .. })
    };
    let settled = listener.listen_for(FAILOVER_MAX, story, show)?;
    let writable = writable.wait().ok_or(DemoError::Thread)?;
    let (new_port, writable_at) = writable.ok_or(DemoError::NotSeen {
        what: "a writable master",
    })?;
    let rewritten_at = rewritten.wait().ok_or(DemoError::Thread)?;
    let rewritten_at = rewritten_at.ok_or(DemoError::NotSeen {
        what: "a rewritten client file",
    })?;
    if !settled {
        return Err(DemoError::NotSeen {
            what: "that the other replica follows",
        });
    }
    if fault == Fault::Hang {
        story.tell("\nthe old master is woken again (SIGCONT)\n");
        cluster.instances[0]
            .signal(Signal::CONT)
            .map_err(DemoError::Fault)?;
        let demoted = listener.listen_for(FAILOVER_MAX, story, |heard| {
            let after = heard.at.saturating_duration_since(fault_at);
            story.tell(&report::line(after, heard));
            matches!(heard.happening, Happening::Followed { demoted: true, .. })
        })?;
        demoted.then_some(()).ok_or(DemoError::NotSeen {
            what: "the demotion of the old master",
        })?;
    }
    let writes = writer.stop().ok_or(DemoError::Thread)?;
    if !writes.went_on_after(rewritten_at) {
        return Err(DemoError::NotSeen {
            what: "a write of the client to the new master",
        });
    }
    let pause = writes.longest_pause(fault_at).unwrap_or_default();
    let steps = listen::steps(&cluster.socket(NODES[0]))?;
    Ok(Seen {
        fault,
        server: cluster.server.display().to_string(),
        loss_to_writable_ms: milliseconds(writable_at.saturating_duration_since(fault_at)),
        writable_to_files_ms: milliseconds(rewritten_at.saturating_duration_since(writable_at)),
        client_pause_ms: milliseconds(pause),
        acked_writes: writes.acknowledged.len(),
        acked_writes_lost: traffic::missing(new_port, &writes)?,
        old_master,
        new_master: traffic::local(new_port),
        steps,
        file_before,
        file_after: read(&files[0])?,
        kept: None,
    })
}

fn read(file: &PathBuf) -> Result<String, DemoError> {
    std::fs::read_to_string(file).map_err(|source| DemoError::Directory {
        path: file.clone(),
        source,
    })
}

fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
