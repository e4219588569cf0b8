//! Processes that end with their guard, the ports they listen at, and waiting for them.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for anything, on a machine that is busy with other things too.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A process of a test's own; killed and awaited when dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts it; what it says is added to the file `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// SIGKILL, and its end.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Whether it has ended by itself, or somebody else ended it.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for it to end by itself.
    pub fn end(mut self, what: &str) -> ExitStatus {
        eventually(what, || {
            let ended = self.0.try_wait().unwrap();
            ended.ok_or_else(|| "it still runs".to_owned())
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Looks again and again until it is there, and fails with the last reason why not.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(reason) if Instant::now() >= until => {
                panic!("{what}: not within {PATIENCE:?}: {reason}")
            }
            Err(_) => thread::sleep(LOOK_INTERVAL),
        }
    }
}

/// Looks again and again for `span`, and fails as soon as it is not there.
pub fn throughout(what: &str, span: Duration, mut look: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    while start.elapsed() < span {
        if let Err(reason) = look() {
            panic!("{what}: not after {:?}: {reason}", start.elapsed());
        }
        thread::sleep(LOOK_INTERVAL);
    }
}

/// A port of the loopback that nobody listens at.
///
/// It lies below those that the kernel gives to outgoing connections: such a connection may take the
/// port of a server that is down, or even connect to itself there.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        let start = std::process::id().wrapping_mul(127) % u32::from(COUNT);
        AtomicU16::new(u16::try_from(start).unwrap())
    });
    loop {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The right to run a cluster: there are as many as processors, since time matters.
#[derive(Debug)]
pub struct Turn(usize);

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

impl Turn {
    pub fn take() -> Self {
        Self::take_share(1)
    }

    /// All of them: nobody else runs one.
    pub fn take_all() -> Self {
        Self::take_share(most_running())
    }

    fn take_share(share: usize) -> Self {
        let most = most_running();
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = ENDED
            .wait_while(running, |running| *running + share > most)
            .unwrap_or_else(PoisonError::into_inner);
        *running += share;
        Self(share)
    }
}

fn most_running() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        // Whoever wants all may be among them.
        ENDED.notify_all();
    }
}
