//! `promoterd status`: asks the status socket once, and prints a page or the JSON.

use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::Value;
use thiserror::Error;

use super::asking::{NOT_REACHABLE, Socket, runtime};
use super::complain;
use crate::model::UnixTime;
use crate::status::client::{self, ClientError};
use crate::status::{StatusReport, render, verdict};

/// All is well: exactly when the page begins with `all well`.
const ALL_WELL: u8 = 0;
/// The daemon answered, and something is wrong: a node is not ready, a group has no master that
/// works, a file names an old one, a replica or a voter is missing, or the daemon refused.
const WRONG: u8 = 1;

/// Whose status, and how.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Print JSON, as `/v1/status` has it.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code,
    };
    let mut out = io::stdout().lock();
    let shown = runtime.block_on(show(&arguments.socket.path, arguments.json, &mut out));
    shown.unwrap_or_else(|error| {
        complain(&error);
        error.exit_code()
    })
}

/// Why there is no status.
#[derive(Debug, Error)]
enum StatusCommandError {
    /// The daemon did not give it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It was given, in another form than this version's.
    #[error("the daemon's status is not understood: are it and this command of one version?")]
    NotUnderstood(#[source] serde_json::Error),
    /// It could not be printed.
    #[error("cannot write the status to the standard output")]
    Print(#[source] io::Error),
}

impl StatusCommandError {
    /// The exit code that goes with it.
    #[must_use]
    fn exit_code(&self) -> u8 {
        match self {
            Self::Client(
                ClientError::Unreachable { .. }
                | ClientError::Denied { .. }
                | ClientError::TimedOut { .. },
            ) => NOT_REACHABLE,
            Self::Client(
                ClientError::Broken { .. }
                | ClientError::Unbounded { .. }
                | ClientError::Refused { .. }
                | ClientError::NotUnderstood { .. },
            )
            | Self::NotUnderstood(_)
            | Self::Print(_) => WRONG,
        }
    }
}

/// Prints what the daemon at `socket` knows to `out`, as JSON as it said it or as a page, and
/// returns the exit code: [`ALL_WELL`] or [`WRONG`].
///
/// # Errors
/// [`StatusCommandError`], whose [`StatusCommandError::exit_code`] is the exit code then.
async fn show(socket: &Path, json: bool, out: &mut impl Write) -> Result<u8, StatusCommandError> {
    let answer: Value = client::get(socket, "/v1/status").await?;
    if json {
        // As it came, so that what a newer daemon says is not lost.
        print(&format!("{answer:#}\n"), out)?;
    }
    let report: StatusReport =
        serde_json::from_value(answer).map_err(StatusCommandError::NotUnderstood)?;
    if !json {
        print(&render(&report, now()), out)?;
    }
    Ok(if verdict::problems(&report).is_empty() {
        ALL_WELL
    } else {
        WRONG
    })
}

fn print(page: &str, out: &mut impl Write) -> Result<(), StatusCommandError> {
    out.write_all(page.as_bytes())
        .and_then(|()| out.flush())
        .map_err(StatusCommandError::Print)
}

fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime(0).after(since)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;
    use crate::status::{EventFeed, Gatekeeper, Question, StatusServer, StatusSource, example};

    /// What the command prints and returns while a daemon answers with `source`.
    async fn status_of(source: StatusSource, json: bool) -> (String, u8) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.sock");
        let server = StatusServer::bind(&path).await.unwrap();
        let (questions, mut asked) = mpsc::channel(1);
        let source = Arc::new(source);
        let mut out = Vec::new();
        let answering = async {
            while let Some(question) = asked.recv().await {
                if let Question::Overview(answer) = question {
                    let _ = answer.send(StatusSource::clone(&source));
                }
            }
        };
        let code = tokio::select! {
            code = show(&path, json, &mut out) => code.unwrap(),
            () = answering => unreachable!("the server keeps asking"),
            never = server.serve(questions, EventFeed::new("b".parse().unwrap()), Gatekeeper::new("adm")) => match never {},
        };
        (String::from_utf8(out).unwrap(), code)
    }

    #[tokio::test]
    async fn the_exit_code_is_0_exactly_when_the_page_says_that_all_is_well() {
        for (source, expected) in [
            (example::healthy(), ALL_WELL),
            (example::aborted(), ALL_WELL),
            (example::after_failover(), WRONG),
            (example::suspecting(), WRONG),
            (example::paused(), WRONG),
            (example::discovering(), WRONG),
            (example::file_errors(), WRONG),
        ] {
            let (page, code) = status_of(source.clone(), false).await;
            assert_eq!(code, expected, "{page}");
            assert_eq!(page.starts_with("all well\n"), code == ALL_WELL, "{page}");
            assert_eq!(status_of(source, true).await.1, expected);
        }
    }

    #[tokio::test]
    async fn the_json_is_what_the_socket_says() {
        let (text, _) = status_of(example::after_failover(), true).await;
        let printed: StatusReport = serde_json::from_str(&text).unwrap();
        assert_eq!(printed, StatusReport::from(&example::after_failover()));
        assert!(
            text.starts_with("{\n  \"schema\": 1,\n  \"node\": \"b\",\n"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn without_a_daemon_the_exit_code_is_2_and_the_error_says_where_it_was_sought() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status.sock");
        let error = show(&path, false, &mut Vec::new()).await.unwrap_err();
        assert_eq!(error.exit_code(), NOT_REACHABLE);
        let message = error.to_string();
        let expected = format!(
            "cannot reach promoterd at {}: is it running?",
            path.display()
        );
        assert!(message.starts_with(&expected), "{message}");
    }

    #[tokio::test]
    async fn an_output_that_is_closed_is_an_error() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = print("page", &mut Closed).unwrap_err();
        assert_eq!(error.exit_code(), WRONG);
    }
}
