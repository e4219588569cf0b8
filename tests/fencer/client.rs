//! A daemon's place, in a process of its own that can be stopped and killed: this program again, with one
//! test alone, which does what its standard input says.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use promoterd::decision::{HoldFailure, HoldOrder, HoldTask};
use promoterd::fencer::{BootClock, Fencer};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc::unbounded_channel;

use crate::process::PATIENCE;

/// The socket, for the process.
pub const SOCKET: &str = "FENCER_TEST_SOCKET";
/// What its lines begin with, beside those of the test program itself.
pub const MARK: &str = "fencer: ";
/// The test that is the process.
pub const TEST: &str = "client::the_process_of_a_client";

/// A client of the fencer; killed when dropped.
pub struct Client {
    child: Child,
    input: ChildStdin,
    said: Receiver<String>,
}

impl Client {
    pub fn start(socket: &Path) -> Self {
        Self::start_as(socket, 0)
    }

    /// As this user.
    pub fn start_as(socket: &Path, uid: u32) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--ignored", "--nocapture", "--exact", TEST])
            .env(SOCKET, socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if uid != 0 {
            command.uid(uid).gid(uid);
        }
        let mut child = command.spawn().unwrap();
        let (sender, said) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some((_, said)) = line.split_once(MARK) {
                    // The test may be over.
                    drop(sender.send(said.to_owned()));
                }
            }
        });
        let input = child.stdin.take().unwrap();
        Self { child, input, said }
    }

    /// Says a line, and waits for what comes of it.
    pub fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        self.said.recv_timeout(PATIENCE).unwrap()
    }

    /// The same of what must be done.
    pub fn must(&mut self, line: &str) {
        assert_eq!(self.ask(line), "ok", "{line}");
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
#[ignore = "a process that other tests start"]
fn the_process_of_a_client() {
    let socket = std::env::var_os(SOCKET).expect("whoever starts this names the socket");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (outcomes, mut heard) = unbounded_channel();
        let mut fencer = Fencer::new(socket.into(), outcomes);
        let mut clock = BootClock::new();
        let mut ask = async |process_id: u32, task: HoldTask| {
            clock.slept();
            let order = HoldOrder {
                group: "features".parse().unwrap(),
                instance: "127.0.0.1:6379".parse().unwrap(),
                process_id,
                task,
            };
            fencer.order(order.clone(), clock.reading());
            let outcome = heard.recv().await.unwrap();
            assert_eq!(outcome.order, order);
            match outcome.result {
                Ok(()) => "ok".to_owned(),
                Err(HoldFailure::Absent(reason)) => format!("absent: {reason}"),
                Err(HoldFailure::Refused(reason)) => format!("refused: {reason}"),
            }
        };
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            let process_id = words[1].parse().unwrap();
            let span = |at: usize| Duration::from_millis(words[at].parse().unwrap());
            let task = match words[0] {
                "check" => HoldTask::Check,
                "release" => HoldTask::Release,
                "until" | "renew" => HoldTask::Until(Instant::now() + span(2)),
                other => panic!("{other}"),
            };
            println!("{MARK}{}", ask(process_id, task).await);
            if words[0] != "renew" {
                continue;
            }
            loop {
                tokio::time::sleep(span(3)).await;
                let said = ask(process_id, HoldTask::Until(Instant::now() + span(2))).await;
                if said != "ok" {
                    println!("{MARK}{said}");
                    break;
                }
            }
        }
    });
}
