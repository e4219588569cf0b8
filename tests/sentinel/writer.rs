//! Something that writes to the master all the time, and says what came of each write.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

/// Longest wait for a client.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two writes.
const PAUSE: Duration = Duration::from_millis(2);

/// What came of one write. Moments are milliseconds of the wall clock.
#[derive(Debug, Clone, Deserialize)]
pub struct Write {
    pub begun: f64,
    pub ended: f64,
    /// The server that took it.
    pub port: Option<u16>,
    pub error: Option<String>,
}

/// One client that writes.
pub struct Writer {
    pub name: String,
    /// From the end of an epoch to its first write to the new master, at most.
    pub late_max: Duration,
    writes: Receiver<Write>,
    /// It ends with its input.
    process: Option<(Child, ChildStdin)>,
}

impl Writer {
    /// A program, which says a line of JSON for each write.
    pub fn start(name: &str, late_max: Duration, mut command: Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name}: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, writes) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines() {
                let write = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(write).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take().unwrap();
        Self {
            name: name.to_owned(),
            late_max,
            writes,
            process: Some((child, input)),
        }
    }

    /// A library of this language: `write` tells which server took a write, or why none did.
    pub fn repeat(
        name: &str,
        late_max: Duration,
        mut write: impl FnMut() -> Result<u16, String> + Send + 'static,
    ) -> Self {
        let (sender, writes) = mpsc::channel();
        thread::spawn(move || {
            loop {
                let begun = milliseconds();
                let outcome = write();
                let write = Write {
                    begun,
                    ended: milliseconds(),
                    port: outcome.as_ref().ok().copied(),
                    error: outcome.err(),
                };
                if sender.send(write).is_err() {
                    break;
                }
                thread::sleep(PAUSE);
            }
        });
        Self {
            name: name.to_owned(),
            late_max,
            writes,
            process: None,
        }
    }

    /// Everything up to and with the first write that this server took.
    pub fn until_written_to(&self, port: u16) -> Vec<Write> {
        let until = Instant::now() + PATIENCE;
        let mut writes: Vec<Write> = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.writes.recv_timeout(left) {
                Ok(write) => {
                    writes.push(write);
                    if writes.last().unwrap().port == Some(port) {
                        return writes;
                    }
                }
                Err(error) => {
                    let last = &writes[writes.len().saturating_sub(20)..];
                    panic!(
                        "{} does not write to {port} ({error}): {last:#?}",
                        self.name
                    );
                }
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.process {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn milliseconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs_f64() * 1000.0
}
