//! Saves the data set of an instance as a replica would copy it: `SYNC` on a connection of its own, to disk.

mod files;
mod transfer;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::Cmd;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use files::Unfinished;
pub(super) use files::remove_unfinished;
pub use files::{Description, KEPT_MAX, directory, list};
use transfer::{Transfer, TransferError};

use super::connection::reach;
use super::credentials::Credentials;
use super::info;
use super::reply::clean;
use crate::decision::{RescueOrder, Rescued};

/// Longest line of a reply, in bytes.
const LINE_MAX: u64 = 4096;
/// Longest bulk before the data set, in bytes: the answer to `INFO server`.
const BULK_MAX: u64 = 64 << 10;
/// Read at a time.
const PIECE: usize = 256 << 10;

/// Why a data set was not saved. Nothing of it is left.
#[derive(Debug, Error)]
pub(super) enum RescueError {
    #[error("cannot connect: {0}")]
    Unreachable(String),
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    #[error("the instance ended the connection before all was sent: see its log")]
    Ended,
    #[error(
        "{command} was answered with {said}: the user of promoterd needs +psync, +replconf, +info and +sync"
    )]
    Refused { command: &'static str, said: String },
    #[error("another process answers there")]
    OtherProcess,
    #[error("its data set cannot be read")]
    Transfer(#[from] TransferError),
    #[error("cannot {action} {path}")]
    Disk {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "less than {left_min} bytes would be left on the disk of {path}, which the state needs"
    )]
    DiskFull { path: PathBuf, left_min: u64 },
    #[error("it was not done within {} s (RESCUE_TIMEOUT)", .0.as_secs())]
    TimedOut(Duration),
}

/// Saves what `order` wants to `state_dir`, within its limits.
///
/// # Errors
/// What went wrong, in words; then nothing is left behind.
pub(super) async fn rescue(
    state_dir: &Path,
    credentials: &Credentials,
    order: &RescueOrder,
) -> Result<Rescued, String> {
    let lasts_max = order.limits.lasts_max;
    let saved = timeout(lasts_max, save(state_dir, credentials, order))
        .await
        .unwrap_or(Err(RescueError::TimedOut(lasts_max)));
    saved.map_err(|error| in_words(&error))
}

fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}

async fn save(
    state_dir: &Path,
    credentials: &Credentials,
    order: &RescueOrder,
) -> Result<Rescued, RescueError> {
    let stream = reach(&order.endpoint)
        .await
        .map_err(|failure| RescueError::Unreachable(failure.to_string()))?;
    let mut stream = BufReader::with_capacity(PIECE, stream);
    log_in(&mut stream, credentials).await?;
    check_process(&mut stream, credentials, order).await?;
    // Without it the instance needs room for a file on its own disk. One that does not know it, or forbids
    // it, sends the other form.
    let mut capable = redis::cmd("REPLCONF");
    capable.arg("capa").arg("eof");
    drop(ask(&mut stream, &capable).await?);
    let mut unfinished = Unfinished::create(state_dir, order).await?;
    send(&mut stream, &redis::cmd("SYNC")).await?;
    let bytes = copy(&mut stream, order.limits.size_max, &mut unfinished).await?;
    let path = unfinished.keep(order).await?;
    Ok(Rescued {
        path: path.display().to_string(),
        bytes,
    })
}

async fn copy(
    stream: &mut BufReader<TcpStream>,
    size_max: u64,
    unfinished: &mut Unfinished,
) -> Result<u64, RescueError> {
    let mut transfer = Transfer::new(size_max);
    let mut data = Vec::with_capacity(2 * PIECE);
    while !transfer.is_complete() {
        let piece = stream.fill_buf().await.map_err(RescueError::Broken)?;
        if piece.is_empty() {
            return Err(RescueError::Ended);
        }
        let length = piece.len();
        transfer.take(piece, &mut data)?;
        stream.consume(length);
        unfinished.write(&data).await?;
        data.clear();
    }
    Ok(transfer.bytes())
}

async fn log_in(
    stream: &mut BufReader<TcpStream>,
    credentials: &Credentials,
) -> Result<(), RescueError> {
    let Some(password) = &credentials.password else {
        return Ok(());
    };
    let mut command = redis::cmd("AUTH");
    if let Some(username) = &credentials.username {
        command.arg(username);
    }
    command.arg(password.expose());
    match ask(stream, &command).await? {
        Reply::Error(said) => Err(RescueError::Refused {
            command: "AUTH",
            said,
        }),
        Reply::Text(_) => Ok(()),
    }
}

async fn check_process(
    stream: &mut BufReader<TcpStream>,
    credentials: &Credentials,
    order: &RescueOrder,
) -> Result<(), RescueError> {
    let mut command = credentials.names.command("INFO");
    command.arg("server");
    let refused = |said| RescueError::Refused {
        command: "INFO",
        said,
    };
    match ask(stream, &command).await? {
        Reply::Error(said) => Err(refused(said)),
        Reply::Text(text) => match info::parse_run_id(&text) {
            Ok(run_id) if run_id == order.run_id => Ok(()),
            Ok(_) => Err(RescueError::OtherProcess),
            Err(error) => Err(refused(clean(&error.to_string()))),
        },
    }
}

/// One reply before the data set.
enum Reply {
    Text(Vec<u8>),
    Error(String),
}

async fn send(stream: &mut BufReader<TcpStream>, command: &Cmd) -> Result<(), RescueError> {
    let bytes = command.get_packed_command();
    let written = stream.get_mut().write_all(&bytes).await;
    written.map_err(RescueError::Broken)
}

async fn ask(stream: &mut BufReader<TcpStream>, command: &Cmd) -> Result<Reply, RescueError> {
    send(stream, command).await?;
    let line = read_line(stream).await?;
    let unreadable = || RescueError::Refused {
        command: "a command",
        said: clean(&String::from_utf8_lossy(&line)),
    };
    match line.split_first() {
        Some((b'-', said)) => Ok(Reply::Error(clean(&String::from_utf8_lossy(said)))),
        Some((b'+' | b':', said)) => Ok(Reply::Text(said.to_vec())),
        Some((b'$', length)) => {
            let length = std::str::from_utf8(length).ok();
            let length = length.and_then(|digits| digits.parse::<u64>().ok());
            let length = length.filter(|length| *length <= BULK_MAX);
            let length = usize::try_from(length.ok_or_else(unreadable)?).unwrap_or_default();
            let mut text = vec![0; length + 2];
            let read = stream.read_exact(&mut text).await;
            read.map_err(RescueError::Broken)?;
            text.truncate(length);
            Ok(Reply::Text(text))
        }
        Some(_) | None => Err(unreadable()),
    }
}

/// Without its end.
async fn read_line(stream: &mut BufReader<TcpStream>) -> Result<Vec<u8>, RescueError> {
    let mut line = Vec::new();
    let read = stream.take(LINE_MAX).read_until(b'\n', &mut line).await;
    read.map_err(RescueError::Broken)?;
    match line.strip_suffix(b"\r\n") {
        Some(text) => Ok(text.to_vec()),
        None => Err(RescueError::Ended),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
