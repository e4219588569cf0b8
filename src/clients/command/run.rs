//! One command from its start to its end, in a process group of its own.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::output::Tail;
use super::{CommandError, Report};

/// What of our own environment a command sees, beside the variables that it is given.
const INHERITED: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ"];

/// How long output is waited for whose writer outlives the command.
const OUTPUT_MAX: Duration = Duration::from_millis(100);

/// How long a killed process is waited for; one that hangs in the kernel ends when it can.
const DEATH_MAX: Duration = Duration::from_secs(2);

/// A command that runs. Dropped, it is killed with all that it started.
#[derive(Debug)]
pub struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        // Its end, when it has ended already, is none.
        self.0.abort();
    }
}

/// Starts a command from any thread; `done` is called on a thread of the runtime, unless the
/// [`Running`] is dropped before.
///
/// # Errors
/// [`CommandError::Start`] when it does not even begin; `done` is not called then.
pub fn start(
    words: &[String],
    limit: Duration,
    variables: &[(&'static str, String)],
    runtime: &Handle,
    done: impl FnOnce(Report) + Send + 'static,
) -> Result<Running, CommandError> {
    let program = words[0].clone();
    let _inside = runtime.enter();
    let (child, output) =
        spawn(words, variables).map_err(|source| CommandError::Start { program, source })?;
    let program = words[0].clone();
    let group = Group::of(&child);
    let task = runtime.spawn(async move {
        done(supervise(program, child, group, output, limit).await);
    });
    Ok(Running(task.abort_handle()))
}

fn spawn(words: &[String], variables: &[(&'static str, String)]) -> io::Result<(Child, Output)> {
    let (reader, writer) = io::pipe()?;
    let mut command = tokio::process::Command::new(&words[0]);
    command
        .args(&words[1..])
        .env_clear()
        .envs(
            INHERITED
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let child = command.spawn()?;
    // Its ends of the pipe would keep the output from ending.
    drop(command);
    let pipe = Receiver::from_owned_fd(OwnedFd::from(reader))?;
    let is_open = true;
    Ok((child, Output { pipe, is_open }))
}

async fn supervise(
    program: String,
    mut child: Child,
    group: Group,
    mut output: Output,
    limit: Duration,
) -> Report {
    let deadline = Instant::now() + limit;
    let mut tail = Tail::default();
    let ended = {
        let mut deadline = pin!(sleep_until(deadline));
        loop {
            tokio::select! {
                ended = child.wait() => break Some(ended),
                () = output.read(&mut tail), if output.is_open => {}
                () = &mut deadline => break None,
            }
        }
    };
    let result = match ended {
        Some(ended) => {
            group.leave();
            verdict(program, ended)
        }
        None => {
            group.kill();
            if timeout(DEATH_MAX, child.wait()).await.is_ok() {
                group.leave();
            }
            Err(CommandError::Endless { program, limit })
        }
    };
    let rest = async {
        while output.is_open {
            output.read(&mut tail).await;
        }
    };
    // Whoever still writes to it is a daemon that the command started.
    let _ = timeout(OUTPUT_MAX, rest).await;
    let output = tail.text();
    Report { result, output }
}

fn verdict(program: String, ended: io::Result<ExitStatus>) -> Result<(), CommandError> {
    let status = match ended {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => status.to_string(),
        },
        Err(error) => error.to_string(),
    };
    Err(CommandError::Failed { program, status })
}

/// The process group of a command, killed when nobody waits for the command any more.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let number = child.id().and_then(|number| i32::try_from(number).ok());
        Self(number.and_then(Pid::from_raw))
    }

    /// Its leader is not yet waited for, so that no other group can have the number.
    fn kill(&self) {
        if let Some(group) = self.0 {
            // It may be gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// The leader has ended, and its number may be another's.
    fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the command and all that it starts print.
struct Output {
    pipe: Receiver,
    is_open: bool,
}

impl Output {
    async fn read(&mut self, tail: &mut Tail) {
        let mut buffer = [0; 4096];
        match self.pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => self.is_open = false,
            Ok(length) => tail.push(&buffer[..length]),
        }
    }
}
