//! A fencer, and servers whose end is seen to the microsecond.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{PATIENCE, Process, eventually, free_port};

/// The built program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_promoterd");

/// What is measured on a busy machine may be so late; the fencer itself is allowed 100 ms of it.
pub const LATE_MAX: Duration = Duration::from_millis(250);

/// A directory with a fencer that takes the operator's word.
pub struct Ground {
    pub socket: PathBuf,
    directory: TempDir,
    /// The fencer has the priority that its unit gives it.
    is_urgent: bool,
    fencer: Option<Process>,
}

/// A Redis server, and the moment of its end.
pub struct Server {
    pub process_id: u32,
    ended: Receiver<Instant>,
}

impl Ground {
    pub fn new() -> Self {
        Self::with_fencer(false)
    }

    /// With the priority that its unit gives it.
    pub fn urgent() -> Self {
        Self::with_fencer(true)
    }

    fn with_fencer(is_urgent: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut ground = Self {
            socket: directory.path().join("fencer.sock"),
            directory,
            is_urgent,
            fencer: None,
        };
        ground.start_fencer();
        ground
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A fencer in the place of the one that was ended.
    pub fn start_fencer(&mut self) {
        let mut command = match self.is_urgent {
            true => {
                let mut command = Command::new("chrt");
                command.args(["--rr", "10", PROGRAM]);
                command
            }
            false => Command::new(PROGRAM),
        };
        command
            .arg("fencer")
            .arg("--socket")
            .arg(&self.socket)
            .args(["--assume", "starts-fenced", "--log", "promoterd=debug"]);
        self.fencer = Some(Process::start(&mut command, &self.path().join("log")));
        eventually("the fencer listens", || {
            std::os::unix::net::UnixStream::connect(&self.socket).map_err(|error| error.to_string())
        });
    }

    /// SIGKILL, and its end.
    pub fn kill_fencer(&mut self) {
        self.fencer.take().unwrap().kill();
    }

    /// SIGTERM, and its end with success.
    pub fn stop_fencer(&mut self) {
        let fencer = self.fencer.take().unwrap();
        fencer.signal(Signal::TERM);
        assert_eq!(fencer.end("the fencer stops").code(), Some(0));
    }

    pub fn signal_fencer(&self, signal: Signal) {
        self.fencer.as_ref().unwrap().signal(signal);
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the fencer's log:\n{}", self.log());
        }
    }
}

impl Server {
    pub fn start(ground: &Ground) -> Self {
        Self::start_program(ground, "redis-server".as_ref())
    }

    /// A server of this program, once it listens.
    pub fn start_program(ground: &Ground, program: &Path) -> Self {
        let port = free_port();
        let server = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--dir"])
            .arg(ground.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self::watch(server);
        eventually("the server listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())
        });
        server
    }

    /// Any process.
    pub fn watch(mut process: Child) -> Self {
        let process_id = process.id();
        let (sender, ended) = channel();
        thread::spawn(move || {
            drop(process.wait());
            let _ = sender.send(Instant::now());
        });
        Self { process_id, ended }
    }

    /// When it ended.
    pub fn await_end(&self) -> Instant {
        self.ended.recv_timeout(PATIENCE).unwrap()
    }

    /// Asserts that it lives for so long from now on.
    pub fn lives_for(&self, span: Duration) {
        assert!(
            self.ended.recv_timeout(span).is_err(),
            "it ended within {span:?}"
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already: then nobody has its number yet, or its end was not asked for.
        if self.ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            let id = rustix::process::Pid::from_raw(self.process_id.cast_signed()).unwrap();
            let _ = rustix::process::kill_process(id, Signal::KILL);
        }
    }
}
